DROP TABLE access.nonces;
DROP TABLE access.sessions;
DROP TABLE access.challenges;
