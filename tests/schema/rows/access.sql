INSERT INTO access.api_keys (key_id, key_hash, client_id, name)
VALUES ('key_1', repeat('0', 64), 'client', 'a key');
INSERT INTO access.rate_limit_tracker (key_id, window_start, window_type) VALUES ('key_1', now(), 'minute');
INSERT INTO access.audit_logs (event_type, action, success) VALUES ('authentication', 'GET /v1/keys', false);
INSERT INTO access.challenges (nonce, expires_at) VALUES ('12345678', now());
INSERT INTO access.sessions (token_hash, account, chain_id, is_contract, created_at, expires_at)
VALUES (repeat('0', 64), '0x' || repeat('0', 40), 1, false, now(), now());
INSERT INTO access.nonces (signer, nonce, expires_at) VALUES ('did:key:a', '12345678', now());
