ALTER TABLE chain.ranges DROP COLUMN tellers;
