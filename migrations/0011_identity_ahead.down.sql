DROP TABLE identity.ahead;
