-- Who told the logs of a range, without secrets, until its blocks prove them: so that an incident names who told wrongly.

ALTER TABLE chain.ranges ADD COLUMN tellers text[] NOT NULL DEFAULT '{}';
