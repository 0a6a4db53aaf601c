-- Names that a registration file claims (services called `ENS` and `DID`) are identifiers of standing `claimed`: whoever
-- ever named such a file is folded anew.
INSERT INTO identity.dirty (agent_id, refold)
SELECT DISTINCT u.agent_id, true
  FROM identity.documents d JOIN identity.uri_agents u ON u.uri_hash = d.uri_hash
 WHERE jsonb_path_exists(d.whole, '$.services[*].name ? (@ like_regex "^(ens|did)$" flag "i")');
