//! Who may say what of whom. Pure: it decides by what is stored of the agent, under the agent's lock.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use did::methods::key::PublicKey;
use kernel::{Address, Token};
use serde_json::Value;
use uuid::Uuid;

use super::{Action, Content, MOST_GAP, Signed, facts::StatementRow, signed::Account};
use crate::{Error, Result, claim::NewClaim, key::KeyRow};

/// What is stored of an agent that somebody speaks of.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    /// Its DID now.
    pub did: String,
    /// Whether it has rows: it was registered, and nobody deleted it.
    pub exists: bool,
    /// Whether nothing but a new registration lifts its end.
    pub ended: bool,
    /// Its owner, where it has no token.
    pub owner: Option<Address>,
    /// The chain that the owner's wallet lives on, as far as he said.
    pub owner_chain: Option<u64>,
    /// Its token.
    pub token: Option<TokenStanding>,
    /// Sequence of its last statement; 0: none.
    pub sequence: i64,
    /// Time of its last statement, or of its chain's newest block.
    pub not_before: Option<DateTime<Utc>>,
}

impl Standing {
    /// Whether it shows whose the agent is by all that was signed of it, ascending, and whether it ended.
    pub fn shows(&self, said: &[StatementRow]) -> bool {
        let last = |of: [Action; 2]| {
            let mut facts = said.iter().rev().map(|row| &row.fact);
            facts.find(|fact| of.contains(&fact.action))
        };
        let owner = last([Action::Register, Action::Transfer]).map(|fact| {
            let owner = fact.changes.get("owner_address").and_then(Value::as_str);
            owner.and_then(|owner| owner.parse::<Address>().ok())
        });
        let keyed = said.iter().any(|row| row.fact.action == Action::Register);
        let ended = last([Action::Register, Action::Deregister])
            .is_some_and(|fact| fact.action == Action::Deregister);
        owner.is_none_or(|owner| owner == self.owner) && (!keyed || ended == self.ended)
    }
}

/// What the chain says of a token.
#[derive(Debug, Clone)]
pub(super) struct TokenStanding {
    pub chain: u64,
    pub owner: Option<Address>,
    /// `<tx hash>/<first owner>`.
    pub founding: Option<String>,
    /// `<tx hash>/<owner>` of the log that made the owner.
    pub transfer: Option<String>,
    pub burned: bool,
}

/// What a statement changes, once it is allowed.
#[derive(Debug, Clone)]
pub(super) struct Allowed {
    pub at: DateTime<Utc>,
    pub changes: BTreeMap<String, Value>,
    pub founding: Option<String>,
    pub transfer: Option<String>,
    /// The key that the agent gets.
    pub key: Option<PublicKey>,
    /// The link that it makes; its statement's serial is told when there is one.
    pub claim: Option<NewClaim>,
}

/// Everything that a decision needs.
pub(super) struct Case<'a> {
    pub signed: &'a Signed,
    pub agent: Uuid,
    pub standing: &'a Standing,
    /// Of the keys that signed.
    pub keys: &'a HashMap<Vec<u8>, KeyRow>,
    /// Of the token that is claimed.
    pub claimed: Option<(Uuid, &'a Standing)>,
    pub now: DateTime<Utc>,
}

impl Case<'_> {
    /// Whether the statement may be recorded, and what it changes.
    pub fn decide(&self) -> Result<Allowed> {
        let statement = &self.signed.statement;
        let action = statement.action;
        if action == Action::Register {
            self.may_register()?;
        } else {
            self.may_be_spoken_of()?;
        }
        self.goes_on()?;
        let mut allowed = Allowed {
            at: self
                .standing
                .not_before
                .map_or(self.now, |time| time.max(self.now)),
            changes: self.signed.changes(),
            founding: None,
            transfer: None,
            key: None,
            claim: None,
        };
        match action {
            Action::Register => self.register(&mut allowed),
            Action::Rotate => self.rotate(&mut allowed)?,
            Action::Transfer => self.transfer()?,
            Action::Claim => self.claim(&mut allowed)?,
            Action::Update | Action::Status | Action::Deregister => {
                self.speaks()?;
            }
        }
        // A token's agent is spoken of by its owner: while that mint and that transfer stand.
        if let Some(token) = &self.standing.token {
            allowed.founding.clone_from(&token.founding);
            allowed.transfer.clone_from(&token.transfer);
        }
        Ok(allowed)
    }

    fn may_register(&self) -> Result<()> {
        let key = self.signed.key().map(PublicKey::to_bytes);
        let known = key.and_then(|key| self.keys.get(&key));
        let (did, sequence) = (&self.signed.statement.agent, self.standing.sequence);
        match known {
            Some(KeyRow { until: Some(_), .. }) => Err(Error::Conflict(format!(
                "{did} was rotated away: it can never be an agent's key again"
            ))),
            Some(_) if !self.standing.ended => Err(Error::Conflict(format!(
                "{did} is registered already; its last sequence is {sequence}: update it instead"
            ))),
            None if self.standing.exists => Err(Error::Conflict(format!(
                "{did} belongs to an agent that no key founded"
            ))),
            _ => Ok(()),
        }
    }

    fn may_be_spoken_of(&self) -> Result<()> {
        let (standing, statement) = (self.standing, &self.signed.statement);
        if !standing.exists {
            return Err(Error::NotFound(statement.agent.clone()));
        }
        let burned = standing.token.as_ref().is_some_and(|token| token.burned);
        if standing.ended || burned {
            return Err(Error::Conflict(format!(
                "{} ended for good: only a new {} makes it begin anew",
                standing.did,
                if burned {
                    "mint of its token"
                } else {
                    "registration by its key"
                }
            )));
        }
        let by_key_alone = matches!(
            statement.action,
            Action::Rotate | Action::Transfer | Action::Claim
        );
        if standing.token.is_some() && by_key_alone {
            let what = statement.action.as_str();
            let instead = match statement.action {
                Action::Transfer => "transfer the token on its chain",
                Action::Rotate => "it has no key of its own; set its wallet on its chain",
                _ => "name the agent of the key, and the token in the content",
            };
            return Err(Error::Invalid(format!(
                "{what}: {} is a token's agent: {instead}",
                standing.did
            )));
        }
        Ok(())
    }

    /// The sequence rises, and leaves room for those after it.
    fn goes_on(&self) -> Result<()> {
        let given = self.signed.statement.sequence;
        let last = self.standing.sequence.unsigned_abs();
        let how = match given.checked_sub(last) {
            Some(1..=MOST_GAP) => return Ok(()),
            None | Some(0) => "is not above",
            Some(_) => "is more than 2^32 above",
        };
        Err(Error::Conflict(format!(
            "sequence {given} {how} the last one of this agent, {last}"
        )))
    }

    fn register(&self, allowed: &mut Allowed) {
        let Some(key) = self.signed.key() else { return };
        // One that begins anew has its key already.
        if !self.keys.contains_key(&key.to_bytes()) {
            allowed.key = Some(key.clone());
        }
    }

    fn rotate(&self, allowed: &mut Allowed) -> Result<()> {
        let Content::Rotate(new) = &self.signed.content else {
            return Ok(());
        };
        if self.keys.contains_key(&new.to_bytes()) {
            let why = format!("{} was used before: take a new key", new.did());
            return Err(Error::Conflict(why));
        }
        let old = self.signed.keys().find(|key| *key != new);
        self.speaks_key(old)?;
        allowed.key = Some(new.clone());
        Ok(())
    }

    fn transfer(&self) -> Result<()> {
        match (self.standing.owner, self.signed.account()) {
            (Some(_), Some(account)) => self.speaks_account(account),
            (None, None) => self.speaks_key(self.signed.key()),
            (Some(owner), None) => Err(Error::Denied(format!(
                "{} belongs to {owner}, who signs its transfer",
                self.standing.did
            ))),
            (None, Some(_)) => Err(Error::Denied(format!(
                "{} has no owner: its key signs its transfer",
                self.standing.did
            ))),
        }
    }

    fn claim(&self, allowed: &mut Allowed) -> Result<()> {
        self.speaks_key(self.signed.key())?;
        let Content::Claim(token) = &self.signed.content else {
            return Ok(());
        };
        let unknown = || Error::NotFound(token.to_string());
        let (token_agent, standing) = self.claimed.ok_or_else(unknown)?;
        let held = standing.token.as_ref().ok_or_else(unknown)?;
        let account = self.signed.account();
        let is_owner = account.is_some_and(|account| held.is_spoken_for_by(account));
        let (true, Some(owner), Some(founding)) = (is_owner, held.owner, &held.founding) else {
            return Err(not_the_owner(&standing.did));
        };
        allowed.claim = Some(NewClaim {
            key_agent: self.agent,
            token_agent,
            at: allowed.at,
            founding: founding.clone(),
            owner,
            transfer: held.transfer.clone(),
            statement: 0,
        });
        Ok(())
    }

    /// The key or the owner.
    fn speaks(&self) -> Result<()> {
        match self.signed.account() {
            Some(account) => self.speaks_account(account),
            None => self.speaks_key(self.signed.key()),
        }
    }

    fn speaks_key(&self, key: Option<&PublicKey>) -> Result<()> {
        let did = &self.standing.did;
        let row = key.and_then(|key| self.keys.get(&key.to_bytes()));
        match row {
            Some(row) if row.agent == self.agent && row.until.is_none() => Ok(()),
            Some(row) if row.agent == self.agent => {
                let why = format!("this key of {did} was rotated away");
                Err(Error::Denied(why))
            }
            _ => Err(Error::Denied(format!("this is not the key of {did}"))),
        }
    }

    fn speaks_account(&self, account: Account) -> Result<()> {
        let standing = self.standing;
        let speaks = if let Some(token) = &standing.token {
            token.is_spoken_for_by(account)
        } else {
            let lives_there = account.by_key || standing.owner_chain == Some(account.chain);
            standing.owner == Some(account.address) && lives_there
        };
        if speaks {
            Ok(())
        } else {
            Err(not_the_owner(&standing.did))
        }
    }
}

impl TokenStanding {
    /// A contract at the owner's address on another chain may be somebody else's.
    fn is_spoken_for_by(&self, account: Account) -> bool {
        self.owner == Some(account.address) && (account.by_key || account.chain == self.chain)
    }
}

fn not_the_owner(did: &str) -> Error {
    Error::Denied(format!(
        "this account is not the owner of {did}, or its contract lives on another chain"
    ))
}

/// The token that a statement claims.
pub(super) fn claimed(signed: &Signed) -> Option<&Token> {
    match &signed.content {
        Content::Claim(token) => Some(token),
        _ => None,
    }
}
