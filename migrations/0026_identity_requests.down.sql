DROP TABLE identity.requests;
