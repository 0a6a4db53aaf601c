-- What VEXEL's contracts say counts as long as their address is the agent's, on the chain on which it was heard first:
-- those of whom they spoke are folded anew.
INSERT INTO identity.dirty (agent_id, refold)
SELECT DISTINCT h.agent_id, true
  FROM identity.did_logs d JOIN identity.did_hashes h ON h.hash = d.hash
 WHERE h.agent_id IS NOT NULL;

-- A claim is of one life of the key's agent, and of what its token's owner owned when he signed: as his statements do, it
-- rests on the transfer that made him the owner, `<tx hash>/<owner>`. Claims from before do not name it.
ALTER TABLE identity.claims ADD COLUMN transfer text;

CREATE OR REPLACE VIEW identity.v_claims AS
SELECT DISTINCT ON (c.key_agent, c.token_agent) c.key_agent, c.token_agent, c.at, c.statement
  FROM identity.claims c
  JOIN identity.tokens t ON t.agent_id = c.token_agent AND t.founding = c.founding AND t.owner = c.owner
                        AND NOT t.burned
  JOIN identity.agents k ON k.id = c.key_agent AND NOT k.status_final
 WHERE NOT EXISTS (SELECT FROM identity.statements s
                    WHERE s.agent_id = c.key_agent AND s.kind = 'register' AND s.serial > c.statement)
   AND (c.transfer IS NULL
        OR EXISTS (SELECT FROM chain.v_logs l
                    WHERE l.chain_id = t.chain_id AND l.block_number = t.owner_block AND l.log_index = t.owner_log
                      AND c.transfer = '0x' || encode(l.tx_hash, 'hex') || '/0x' || encode(t.owner, 'hex')))
 ORDER BY c.key_agent, c.token_agent, c.serial DESC;
