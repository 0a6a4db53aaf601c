-- Without the column a contract's session would be one of the account on all chains.
DELETE FROM access.sessions WHERE is_contract;
ALTER TABLE access.sessions DROP COLUMN is_contract;
