-- Migration 46 puts the index itself back.
SELECT;
