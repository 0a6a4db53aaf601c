//! Signatures of a statement: who has to sign what, and whether he did.

use std::collections::BTreeMap;

use chain::{
    Rpc,
    contract_signature::{self, Checked, SignatureError},
};
use chrono::{DateTime, Utc};
use did::{ed25519, methods::key::PublicKey};
use kernel::{Address, Principal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Action, Content, Owner, Statement,
    content::{key_columns, owner_columns},
};
use crate::{Error, Result};

/// A statement and its signatures, as somebody brings them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// What was signed.
    pub statement: Statement,
    /// By whom; at most two.
    pub signatures: Vec<Offered>,
}

/// One signature that somebody brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offered {
    /// `did:key:z…`, or `eip155:<chain>:<address>`.
    pub by: String,
    /// Of a key base64 or hex, `ed25519:` before it or not; of an account `0x`-hex.
    pub signature: String,
}

/// Who signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// An Ed25519 key.
    Key(PublicKey),
    /// An Ethereum account, on this chain.
    Account {
        /// EIP-155 id.
        chain: u64,
        /// The account.
        address: Address,
    },
}

impl Signer {
    /// Reads `did:key:z…` or `eip155:<chain>:<address>`.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some((chain, address)) = account(text) {
            return Ok(Self::Account { chain, address });
        }
        if text.starts_with("did:key:") {
            return ed25519::parse(text)
                .map(Self::Key)
                .map_err(|why| Error::Invalid(format!("signatures: by: {why}")));
        }
        Err(Error::Invalid(
            "signatures: by: it is did:key:z… or eip155:<chain>:<address>".to_owned(),
        ))
    }

    /// The principal that he is.
    pub fn principal(&self) -> Principal {
        match self {
            Self::Key(key) => Principal::Key(key.did()),
            Self::Account { address, .. } => Principal::Account(*address),
        }
    }
}

/// The chain and the address of `eip155:<chain>:<address>`.
fn account(text: &str) -> Option<(u64, Address)> {
    let owner = Owner::parse(text)?;
    Some((owner.chain?, owner.address))
}

/// The form that [`Signer::parse`] reads, addresses in lower case.
impl std::fmt::Display for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(key) => f.write_str(&key.did()),
            Self::Account { chain, address } => write!(f, "eip155:{chain}:{address:#x}"),
        }
    }
}

/// A statement whose signatures are right, of those who have to sign it. Whether they may speak for
/// the agent is decided where it is recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Signed {
    pub(super) statement: Statement,
    pub(super) content: Content,
    /// One or two; the first one's nonce is used up.
    pub(super) signatures: Vec<Signature>,
}

/// A signature that is right.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Signature {
    pub by: Signer,
    pub bytes: Vec<u8>,
    pub checked: Checked,
}

impl Signed {
    /// What was signed.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Who signed first.
    pub fn signer(&self) -> &Signer {
        &self.signatures[0].by
    }

    /// The keys among the signers.
    pub(super) fn keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.signatures
            .iter()
            .filter_map(|signature| match &signature.by {
                Signer::Key(key) => Some(key),
                Signer::Account { .. } => None,
            })
    }

    /// The key among the signers, where it is one.
    pub(super) fn key(&self) -> Option<&PublicKey> {
        self.keys().next()
    }

    /// The account among the signers.
    pub(super) fn account(&self) -> Option<Account> {
        self.signatures
            .iter()
            .find_map(|signature| match signature.by {
                Signer::Key(_) => None,
                Signer::Account { chain, address } => Some(Account {
                    chain,
                    address,
                    by_key: signature.checked == Checked::ByKey,
                }),
            })
    }

    /// What it sets, by column; reasons and the like beside it. In a registration also whose the agent is, which its
    /// signatures say.
    pub(super) fn changes(&self) -> BTreeMap<String, Value> {
        let mut changes = self.content.changes();
        if self.statement.action == Action::Register
            && let Some(key) = self.key()
        {
            let owner = self.account().map(|account| Owner {
                chain: Some(account.chain),
                address: account.address,
            });
            changes.extend(key_columns(key));
            changes.extend(owner_columns(owner));
        }
        changes
    }

    /// How accounts' signatures were checked, by signer.
    pub(super) fn checked(&self) -> Value {
        let accounts = self
            .signatures
            .iter()
            .filter(|signature| matches!(signature.by, Signer::Account { .. }));
        accounts
            .map(|signature| (signature.by.to_string(), shown(&signature.checked)))
            .collect()
    }
}

/// An account that signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub chain: u64,
    pub address: Address,
    /// Whether its key signed, which counts on every chain; else its contract, which counts on its own.
    pub by_key: bool,
}

fn shown(checked: &Checked) -> Value {
    let contract = |by: &str, block: u64, hash: kernel::B256| json!({ "by": by, "block": block, "block_hash": hash });
    match checked {
        Checked::ByKey => json!({ "by": "key" }),
        Checked::ByContract { block, hash } => contract("contract", *block, *hash),
        Checked::BeforeDeployment { block, hash } => contract("before_deployment", *block, *hash),
    }
}

/// Verifies a statement: form, time, office, signatures, and that those signed who have to.
/// `nodes` are those of [`Submission::contract_chains`], as far as there are any.
pub async fn verify(
    submission: Submission,
    origin: &str,
    now: DateTime<Utc>,
    nodes: &BTreeMap<u64, Rpc>,
) -> Result<Signed> {
    let content = submission.content(origin, now)?;
    let Submission {
        statement,
        signatures,
    } = submission;
    let mut verified = Vec::with_capacity(signatures.len());
    for offered in signatures {
        verified.push(offered.verify(&statement, nodes).await?);
    }
    // The agent's own key stands first: its nonce is used up.
    verified.sort_by_key(|signature| match (&signature.by, &content) {
        (Signer::Account { .. }, _) => true,
        (Signer::Key(key), Content::Rotate(new)) => key == new,
        (Signer::Key(_), _) => false,
    });
    let signed = Signed {
        statement,
        content,
        signatures: verified,
    };
    signed.check_signers()?;
    Ok(signed)
}

impl Submission {
    /// Checks office, time, form and the number of signatures: all that needs no node.
    pub fn check(&self, origin: &str, now: DateTime<Utc>) -> Result<()> {
        self.content(origin, now).map(drop)
    }

    fn content(&self, origin: &str, now: DateTime<Utc>) -> Result<Content> {
        if self.statement.origin != origin {
            let why = format!("origin: this journal is {origin}");
            return Err(Error::Invalid(why));
        }
        self.statement.check_time(now)?;
        let content = self.statement.check_new()?;
        if self.signatures.is_empty() || self.signatures.len() > 2 {
            return Err(Error::Invalid("signatures: one or two".to_owned()));
        }
        Ok(content)
    }

    /// The chains of accounts whose keys did not sign: their contracts have to be asked.
    pub fn contract_chains(&self) -> Vec<u64> {
        let chains = self.signatures.iter().filter_map(|offered| {
            let (chain, address) = account(&offered.by)?;
            let bytes = offered.account_bytes().ok()?;
            let signer = contract_signature::recover(self.statement.digest(chain), &bytes);
            (!signer.is_ok_and(|signer| signer == address)).then_some(chain)
        });
        chains.collect()
    }
}

impl Offered {
    /// An account's signature.
    pub(super) fn account_bytes(&self) -> Result<Vec<u8>> {
        let digits = self.signature.strip_prefix("0x").unwrap_or_default();
        if digits.len() > 2 * contract_signature::MOST_BYTES {
            return Err(SignatureError::Malformed("it has more than 16384 bytes").into());
        }
        let bytes = hex::decode(digits).unwrap_or_default();
        if bytes.is_empty() {
            let why = "signatures: an account's signature is 0x and hex digits";
            return Err(Error::Invalid(why.to_owned()));
        }
        Ok(bytes)
    }

    /// A key's signature, if it is one of this statement.
    pub(super) fn key_bytes(&self, key: &PublicKey, statement: &Statement) -> Result<Vec<u8>> {
        let signature = ed25519::parse_signature(&self.signature)
            .map_err(|why| Error::Invalid(format!("signatures: {why}")))?;
        if ed25519::verify(key, &statement.key_bytes(), &signature) {
            return Ok(signature.to_vec());
        }
        let why = format!("the signature is not {}'s for this", key.did());
        Err(Error::Denied(why))
    }

    async fn verify(self, statement: &Statement, nodes: &BTreeMap<u64, Rpc>) -> Result<Signature> {
        let by = Signer::parse(&self.by)?;
        let (bytes, checked) = match &by {
            Signer::Key(key) => (self.key_bytes(key, statement)?, Checked::ByKey),
            Signer::Account { chain, address } => {
                let bytes = self.account_bytes()?;
                let (rpc, digest) = (nodes.get(chain), statement.digest(*chain));
                let checked = contract_signature::verify(rpc, *address, digest, &bytes).await?;
                (bytes, checked)
            }
        };
        Ok(Signature { by, bytes, checked })
    }
}

impl Signed {
    /// Checks who signed by what was said: how many, and that a founding or new key is among them.
    pub(super) fn check_signers(&self) -> Result<()> {
        let keys: Vec<&PublicKey> = self.keys().collect();
        let accounts = self.signatures.len() - keys.len();
        let (fits, who) = match self.statement.action {
            Action::Register => (
                keys.len() == 1 && accounts <= 1,
                "the agent's key, and its owner's account where it has one",
            ),
            Action::Rotate => (
                keys.len() == 2 && keys[0] != keys[1] && accounts == 0,
                "the old key and the new one",
            ),
            Action::Claim => (
                keys.len() == 1 && accounts == 1,
                "the agent's key and the token owner's account",
            ),
            Action::Update | Action::Status | Action::Transfer | Action::Deregister => (
                self.signatures.len() == 1,
                "either the agent's key or its owner's account",
            ),
        };
        if !fits {
            let what = self.statement.action.as_str();
            return Err(Error::Invalid(format!(
                "signatures: {what} is signed by {who}"
            )));
        }
        match &self.content {
            Content::Profile(_) if self.statement.action == Action::Register => {
                let named = keys[0].did();
                if named != self.statement.agent {
                    return Err(Error::Invalid(format!(
                        "agent: a registration names the key that signs it, {named}"
                    )));
                }
            }
            Content::Rotate(new) if !keys.contains(&new) => {
                return Err(Error::Denied(format!(
                    "the new key, {}, did not sign",
                    new.did()
                )));
            }
            _ => {}
        }
        Ok(())
    }
}
