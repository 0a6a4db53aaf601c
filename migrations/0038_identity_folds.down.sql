-- What was folded anew stays: the rows are what the facts say.
SELECT 1;
