-- Migration 43 puts the foreign key itself back.
SELECT;
