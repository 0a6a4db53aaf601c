DROP TABLE chain.mismatches;
DROP TABLE chain.census_again;
DROP TABLE chain.census;
