-- What a contract says counts on its chain alone, what a key signs on all: a session knows which of the two began it.
-- Of those that are open that is not known: who has one signs in anew.
DELETE FROM access.sessions;
ALTER TABLE access.sessions ADD COLUMN is_contract boolean NOT NULL;
