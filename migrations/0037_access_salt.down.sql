ALTER TABLE access.audit_logs DROP COLUMN salt;
