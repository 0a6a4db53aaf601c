//! Authors: what an entry of the journal shows of who said it, to somebody who has nothing but entries.
//!
//! An entry holds each statement whole, with its signatures. A key's signature is verified here, and what the entry
//! says because of the statement is held against it. Who may speak for an agent follows from its statements, too: its
//! id is made from the key that founded it, and who signs a rotation or a transfer says who comes next.

use std::collections::BTreeMap;

use chain::contract_signature::{self, Checked, SignatureError};
use did::{methods::key::PublicKey, zynd};
use journal::{Change, Entry, EntryKind};
use kernel::{Address, AgentId, B256, Token};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Action, Content, Signed, Signer, Statement,
    signed::{Offered, Signature},
};
use crate::{Error, Result};

/// The column under which an entry holds a statement.
pub const COLUMN: &str = "statement";

/// By what right somebody speaks for an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// It is the agent's key: that of which its id is made, or one that a rotation put in its place.
    Key,
    /// It becomes the agent's key by this.
    NewKey,
    /// He is the agent's owner: by a registration or a transfer, or by the chain.
    Owner,
}

impl Right {
    /// Who he is, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Key => "the agent's key",
            Self::NewKey => "the key that takes its place",
            Self::Owner => "the agent's owner",
        }
    }
}

/// The block at which a wallet that is a contract is said to have said yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AskedAt {
    /// Its height.
    pub block: u64,
    /// Its hash.
    pub hash: B256,
}

/// Who signed a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Speaker {
    /// `did:key:z…`, or `eip155:<chain>:<address>`.
    pub by: String,
    /// `None`: his key signed, which was verified. Else only his contract can tell, and this is the log's word.
    pub contract: Option<AskedAt>,
    /// By what right he speaks, as far as the entries show it.
    pub right: Option<Right>,
}

/// A statement in an entry, its keys' signatures verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spoken {
    /// Its name among causes: `statement:<serial>`.
    pub cause: String,
    /// What it does.
    pub action: Action,
    /// Who signed.
    pub by: Vec<Speaker>,
}

/// What an agent's entries show of their authors.
#[derive(Debug)]
pub struct Authors {
    agent: AgentId,
    /// The log's name.
    origin: String,
    /// The key that a registration or a rotation showed; `None`: the one that the agent's id is made of.
    key: Option<PublicKey>,
    owner: Option<Owned>,
    /// By cause.
    said: BTreeMap<String, Said>,
}

/// Whose the agent is.
#[derive(Debug, Clone, Copy)]
struct Owned {
    address: Address,
    /// Whether that was shown, and is not the log's word.
    shown: bool,
}

#[derive(Debug)]
struct Said {
    statement: Statement,
    changes: BTreeMap<String, Value>,
    spoken: Spoken,
}

impl Authors {
    /// Of an agent, in the log of this name. `owner` is whom the chain was shown to name as the owner of its token.
    pub fn new(agent: AgentId, origin: &str, owner: Option<Address>) -> Self {
        Self {
            agent,
            origin: origin.to_owned(),
            key: None,
            owner: owner.map(|address| Owned {
                address,
                shown: true,
            }),
            said: BTreeMap::new(),
        }
    }

    /// Takes the agent's next entry, in the order of leaves, and gives the statements in it.
    ///
    /// Errors where a statement has not its form, is for another office, is not what its keys signed, or where the
    /// entry says something else because of it.
    pub fn take(&mut self, entry: &Entry) -> Result<Vec<Spoken>> {
        let mut spoken = Vec::new();
        if entry.kind != EntryKind::Agent {
            return Ok(spoken);
        }
        // In whatever order an entry has them, what follows from a statement is held against it.
        let changes = entry.changes.iter();
        let (said, rest): (Vec<_>, Vec<_>) = changes.partition(|change| change.column == COLUMN);
        for change in said {
            spoken.push(self.hear(change)?);
        }
        for change in rest {
            if let Some(said) = self.said.get(&change.cause)
                && let Some(meant) = said.says(&change.column)
                && meant != change.value
            {
                return Err(Error::Invalid(format!(
                    "{} says of {} something else than the entry does",
                    change.cause, change.column
                )));
            }
        }
        Ok(spoken)
    }

    /// Whether a change is what was signed by a key whose right to it the entries show, up to the last one that was
    /// taken.
    pub fn signed(&self, change: &Change) -> bool {
        let Some(said) = self.said.get(&change.cause) else {
            return false;
        };
        // Whose a new agent is, his own signature says, and not its key's.
        let by_owner = said.spoken.action == Action::Register && change.column == "owner_address";
        let mut speakers = said.spoken.by.iter();
        let authorised = speakers.any(|one| {
            let may = if by_owner {
                one.right == Some(Right::Owner)
            } else {
                one.right.is_some()
            };
            may && one.contract.is_none()
        });
        authorised && said.says(&change.column).as_ref() == Some(&change.value)
    }

    fn hear(&mut self, change: &Change) -> Result<Spoken> {
        let cause = &change.cause;
        let wrong = |why: &dyn std::fmt::Display| Error::Invalid(format!("{cause}: {why}"));
        let signed = Signed::of_evidence(&change.value).map_err(|error| wrong(&error))?;
        let statement = signed.statement();
        if statement.origin != self.origin {
            return Err(wrong(&format_args!(
                "it was signed for the office {}",
                statement.origin
            )));
        }
        let twice = self.said.iter().find(|(other, said)| {
            if *other == cause {
                said.statement != *statement
            } else {
                said.statement.sequence == statement.sequence
            }
        });
        if let Some((other, _)) = twice {
            let why = format_args!("its name or its sequence is that of {other}, too");
            return Err(wrong(&why));
        }
        // What is told again behind later ones says who said it, and changes nobody's rights.
        let newest = self.said.values().map(|said| said.statement.sequence).max();
        let rights = if newest.is_some_and(|newest| newest > statement.sequence) {
            vec![None; signed.signatures.len()]
        } else {
            self.rights(&signed)
        };
        let speakers = signed.signatures.iter().zip(rights);
        let spoken = Spoken {
            cause: cause.clone(),
            action: statement.action,
            by: speakers
                .map(|(signature, right)| Speaker {
                    by: signature.by.to_string(),
                    contract: asked(&signature.checked),
                    right,
                })
                .collect(),
        };
        let said = Said {
            statement: statement.clone(),
            changes: signed.changes(),
            spoken: spoken.clone(),
        };
        self.said.insert(cause.clone(), said);
        Ok(spoken)
    }

    /// By what right each signer speaks; and who may speak after this statement.
    fn rights(&mut self, signed: &Signed) -> Vec<Option<Right>> {
        let statement = signed.statement();
        let named = self.is_named(&statement.agent);
        let right = |signature: &Signature| match &signature.by {
            _ if !named => None,
            Signer::Key(key) => self.is_key(key).then_some(Right::Key),
            Signer::Account { address, .. } => {
                let owner = self.owner.filter(|owner| owner.shown);
                owner
                    .is_some_and(|owner| owner.address == *address)
                    .then_some(Right::Owner)
            }
        };
        let mut rights: Vec<Option<Right>> = signed.signatures.iter().map(right).collect();
        let by_key = rights.contains(&Some(Right::Key));
        match &signed.content {
            Content::Profile(_) if statement.action == Action::Register && by_key => {
                self.key = signed.key().cloned();
                self.owner = signed.account().map(|account| Owned {
                    address: account.address,
                    shown: account.by_key,
                });
                let shown = self.owner.is_some_and(|owner| owner.shown);
                for right in rights.iter_mut().filter(|right| right.is_none() && shown) {
                    *right = Some(Right::Owner);
                }
            }
            Content::Rotate(new) if by_key => {
                self.key = Some(new.clone());
                for right in rights.iter_mut().filter(|right| right.is_none()) {
                    *right = Some(Right::NewKey);
                }
            }
            Content::Transfer(to) => {
                // The key gives nobody's agent away.
                if by_key && self.owner.is_some() {
                    rights.fill(None);
                }
                let mut speakers = rights.iter().zip(&signed.signatures);
                let shown = speakers.any(|(right, signature)| {
                    right.is_some() && signature.checked == Checked::ByKey
                });
                self.owner = to.map(|to| Owned {
                    address: to.address,
                    shown,
                });
            }
            _ => {}
        }
        rights
    }

    /// Whether a name is the agent's own, whoever says so: a DID that its id is made of, its token, or its key.
    fn is_named(&self, name: &str) -> bool {
        let token = || name.parse::<Token>().or_else(|_| Token::from_did(name));
        AgentId::of_did(name) == self.agent
            || token().is_ok_and(|token| AgentId::of_token(&token) == self.agent)
            || self.key.as_ref().is_some_and(|key| {
                key.did() == name
                    || zynd::key_hash(key) == name
                    || zynd::agent_ids(key).iter().any(|id| id == name)
            })
    }

    fn is_key(&self, key: &PublicKey) -> bool {
        match &self.key {
            Some(known) => known == key,
            None => AgentId::of_did(&key.did()) == self.agent,
        }
    }
}

impl Said {
    fn says(&self, column: &str) -> Option<Value> {
        self.spoken.action.says(&self.changes, column)
    }
}

fn asked(checked: &Checked) -> Option<AskedAt> {
    match *checked {
        Checked::ByKey => None,
        Checked::ByContract { block, hash } | Checked::BeforeDeployment { block, hash } => {
            Some(AskedAt { block, hash })
        }
    }
}

/// The value of the column [`COLUMN`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Evidence {
    statement: Statement,
    signatures: Vec<Shown>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    by: String,
    signature: String,
    checked: Option<Told>,
}

/// How an account's signature was checked, by the log's word.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    by: String,
    block: Option<u64>,
    block_hash: Option<B256>,
}

impl Signed {
    /// Reads what an entry holds of a statement, and verifies it without anything else: its form, that those signed who
    /// have to, and the signature of each key. What a contract said is taken over; its chain alone can tell.
    fn of_evidence(evidence: &Value) -> Result<Self> {
        let Evidence {
            statement,
            signatures,
        } = Evidence::deserialize(evidence)
            .map_err(|error| Error::Invalid(format!("it is no statement: {error}")))?;
        let content = statement.check()?;
        if signatures.is_empty() || signatures.len() > 2 {
            return Err(Error::Invalid("signatures: one or two".to_owned()));
        }
        let signatures = signatures.into_iter();
        let signatures: Result<Vec<_>> =
            signatures.map(|shown| shown.verified(&statement)).collect();
        let signed = Self {
            signatures: signatures?,
            statement,
            content,
        };
        signed.check_signers()?;
        Ok(signed)
    }
}

impl Shown {
    fn verified(self, statement: &Statement) -> Result<Signature> {
        let by = Signer::parse(&self.by)?;
        let offered = Offered {
            by: self.by,
            signature: self.signature,
        };
        let (bytes, checked) = match &by {
            Signer::Key(key) => (offered.key_bytes(key, statement)?, Checked::ByKey),
            Signer::Account { chain, address } => {
                let bytes = offered.account_bytes()?;
                let signer = contract_signature::recover(statement.digest(*chain), &bytes);
                let checked = if signer.is_ok_and(|signer| signer == *address) {
                    Checked::ByKey
                } else {
                    let told = self.checked.as_ref().and_then(Told::by_contract);
                    told.ok_or(SignatureError::NotBy { account: *address })?
                };
                (bytes, checked)
            }
        };
        Ok(Signature { by, bytes, checked })
    }
}

impl Told {
    fn by_contract(&self) -> Option<Checked> {
        let (block, hash) = self.block.zip(self.block_hash)?;
        match self.by.as_str() {
            "contract" => Some(Checked::ByContract { block, hash }),
            "before_deployment" => Some(Checked::BeforeDeployment { block, hash }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
