-- Nothing to take back: a key of this name is read as the same client without it.
SELECT 1;
