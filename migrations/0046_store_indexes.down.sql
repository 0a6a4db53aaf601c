-- Migration 45 puts the index itself back.
SELECT;
