CREATE OR REPLACE VIEW identity.v_claims AS
SELECT DISTINCT ON (c.key_agent, c.token_agent) c.key_agent, c.token_agent, c.at, c.statement
  FROM identity.claims c
  JOIN identity.tokens t ON t.agent_id = c.token_agent AND t.founding = c.founding AND t.owner = c.owner
                        AND NOT t.burned
  JOIN identity.agents k ON k.id = c.key_agent AND NOT k.status_final
 ORDER BY c.key_agent, c.token_agent, c.serial DESC;
ALTER TABLE identity.claims DROP COLUMN transfer;
