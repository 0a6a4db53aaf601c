//! Whom somebody wants to watch, and what a node is asked for their sake.

use std::collections::{BTreeMap, BTreeSet};

use chain::{LogFilter, Registries, contracts::topics};
use kernel::{Address, B256, Token};
use serde::{Deserialize, Serialize};

use super::Scope;

/// Values of one topic in one question. Providers refuse some thousand; this many all of them take.
const CHUNK: usize = 100;

/// Section `sync`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyncConfig {
    /// What of each chain is kept.
    pub scope: Scope,
    /// Whom to watch: owners' addresses, and agents as `eip155:<chain>:<registry>/<agentId>` or `did:nft:...`.
    pub watch: Vec<String>,
}

impl SyncConfig {
    /// Whom to watch; `None` where everything is kept. The error is for people.
    pub fn watch(&self) -> Result<Option<Watch>, String> {
        match (self.scope, self.watch.as_slice()) {
            (Scope::All, []) => Ok(None),
            (Scope::All, _) => Err(
                "it names whom to watch, but sync.scope is \"all\": set it to \"watched\", or name nobody"
                    .to_owned(),
            ),
            (Scope::Watched, []) => Err(
                "sync.scope is \"watched\": name the owners and agents to watch, at least one".to_owned(),
            ),
            (Scope::Watched, names) => Watch::parse(names).map(Some),
        }
    }
}

/// Whom somebody wants to watch, on whatever chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watch {
    /// Owners: each token that one of them gives or gets enters the scope.
    pub owners: BTreeSet<Address>,
    /// Tokens.
    pub tokens: BTreeSet<Token>,
}

impl Watch {
    /// Reads names; the error names the one that is none.
    fn parse(names: &[String]) -> Result<Self, String> {
        let mut watch = Self::default();
        for name in names {
            let token = if name.starts_with("did:") {
                Token::from_did(name)
            } else {
                name.parse()
            };
            match (token, owner(name)) {
                (Ok(token), _) => drop(watch.tokens.insert(token)),
                (_, Some(owner)) => drop(watch.owners.insert(owner)),
                _ => {
                    return Err(format!(
                        "`{name}` is neither an owner's address (0x and 40 hex digits) nor an agent \
                         (eip155:<chain>:<registry>/<agentId> or did:nft:eip155:<chain>_erc721:<registry>_<agentId>)"
                    ));
                }
            }
        }
        Ok(watch)
    }
}

/// An owner's address. That of nobody is in every mint: who watches it wants the scope `all`.
fn owner(name: &str) -> Option<Address> {
    let address: Address = name.strip_prefix("0x").and_then(|_| name.parse().ok())?;
    (address != Address::ZERO).then_some(address)
}

/// What is asked for the sake of owners, and of tokens: all logs that a chain has of them, but
/// `MetadataUpdate`, whose id is no topic.
pub fn questions<'a>(
    contracts: &Registries,
    owners: impl IntoIterator<Item = &'a Address>,
    tokens: impl IntoIterator<Item = &'a Token>,
) -> Vec<LogFilter> {
    let owners: Vec<B256> = owners.into_iter().map(Address::into_word).collect();
    let mut of_registry: BTreeMap<Address, Vec<B256>> = BTreeMap::new();
    for token in tokens {
        let id = B256::from(token.id.to_be_bytes());
        of_registry.entry(token.registry).or_default().push(id);
    }
    let ask = |addresses: &[Address], topics| LogFilter {
        addresses: addresses.to_vec(),
        topics,
    };
    let mut out = Vec::new();
    for owners in owners.chunks(CHUNK).map(<[B256]>::to_vec) {
        let gives = vec![topics::TRANSFER, topics::APPROVAL_FOR_ALL];
        let gets = vec![topics::TRANSFER];
        out.push(ask(
            &contracts.identity,
            [gives, owners.clone(), vec![], vec![]],
        ));
        out.push(ask(&contracts.identity, [gets, vec![], owners, vec![]]));
    }
    for (registry, ids) in of_registry {
        for ids in ids.chunks(CHUNK).map(<[B256]>::to_vec) {
            let said = vec![
                topics::REGISTERED,
                topics::URI_UPDATED,
                topics::METADATA_SET,
            ];
            let moved = vec![topics::TRANSFER, topics::APPROVAL];
            out.push(ask(&[registry], [said, ids.clone(), vec![], vec![]]));
            out.push(ask(&[registry], [moved, vec![], vec![], ids.clone()]));
            if !contracts.status.is_empty() {
                let of = vec![registry.into_word()];
                let spoken = topics::OF_STATUS.to_vec();
                out.push(ask(&contracts.status, [spoken, of, ids, vec![]]));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: &str = "0x8004A169FB4a3325136EB29fA0ceB6D2e539a432";
    const AGENT: &str = "eip155:1:0x8004a169fb4a3325136eb29fa0ceb6d2e539a432/22";
    const DID: &str = "did:nft:eip155:1_erc721:0x8004A169FB4a3325136EB29fA0ceB6D2e539a432_22";

    fn config(scope: Scope, names: &[&str]) -> SyncConfig {
        SyncConfig {
            scope,
            watch: names.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    #[test]
    fn owners_and_agents_are_watched_by_any_of_their_names() {
        let watch = config(Scope::Watched, &[OWNER, AGENT, DID, OWNER]).watch();
        let watch = watch.expect("names").expect("somebody");
        let (owner, agent) = (OWNER.parse(), AGENT.parse());
        assert_eq!(watch.owners, [owner.expect("an address")].into());
        assert_eq!(watch.tokens, [agent.expect("a name")].into());
        assert_eq!(config(Scope::All, &[]).watch(), Ok(None));
    }

    #[test]
    fn a_scope_that_nobody_can_mean_is_refused() {
        let zero = format!("0x{}", "0".repeat(40));
        for (scope, names, why) in [
            (Scope::All, vec![OWNER], "sync.scope is \"all\""),
            (Scope::Watched, vec![], "at least one"),
            (Scope::Watched, vec![OWNER, "alice"], "`alice` is neither"),
            (Scope::Watched, vec!["did:key:z6Mk"], "is neither"),
            (Scope::Watched, vec![&OWNER[2..]], "is neither"),
            (Scope::Watched, vec![&zero], "is neither"),
            (Scope::Watched, vec!["eip155:1:0x8004/22"], "is neither"),
        ] {
            let refused = config(scope, &names).watch().expect_err(why);
            assert!(refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn many_names_are_many_questions() {
        let registry = Address::repeat_byte(1);
        let contracts = Registries {
            identity: vec![registry],
            status: vec![Address::repeat_byte(2)],
            vexel: Vec::new(),
        };
        let token = |id: usize| Token {
            chain: 1,
            registry,
            id: kernel::U256::from(id),
        };
        let tokens: Vec<Token> = (0..=CHUNK).map(token).collect();
        let asked = questions(&contracts, &[Address::repeat_byte(3)], &tokens);
        assert_eq!(asked.len(), 2 + 2 * 3);
        let most = asked.iter().flat_map(|one| &one.topics).map(Vec::len).max();
        assert_eq!(most, Some(CHUNK));
        assert!(questions(&contracts, [], []).is_empty());
    }
}
