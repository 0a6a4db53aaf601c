-- What a disk changed and nobody has as it was, and what the journal was told of it: once, whoever finds it how often.
CREATE TABLE publish.damages (
    what    text        PRIMARY KEY,
    told_at timestamptz NOT NULL
);
