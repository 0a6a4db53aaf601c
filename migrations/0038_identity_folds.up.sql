-- What VEXEL's contracts say counts as long as their address is the agent's, on the chain on which it was heard first:
-- those of whom they spoke are folded anew.
INSERT INTO identity.dirty (agent_id, refold)
SELECT DISTINCT h.agent_id, true
  FROM identity.did_logs d JOIN identity.did_hashes h ON h.hash = d.hash
 WHERE h.agent_id IS NOT NULL;
