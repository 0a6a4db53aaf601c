//! VEXEL's contracts: which of their words speak for an agent (`model.md` §4).
//!
//! `AgentHeartbeat` lets anybody register any address for any DID. So an address counts if it was the agent's owner or
//! wallet when it was registered, or is the one that its DID names; where the agent was not known then, its first owner
//! is asked. That the agent accepts the contract, shows in a beat after the registration: only then the contract may say
//! that it sleeps or ended, for a stranger can register the right address, and a threshold of a day. Each word is asked
//! anew whose the address is where the word stands: whoever sold an agent speaks for it no more.

use std::collections::BTreeMap;

use chrono::DateTime;
use kernel::{Address, B256, hex_0x};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{At, Run, State, is_default, status::Class};
use crate::fact::{RuntimeStatus, VexelSaid, VexelWord};

/// VEXEL's column holds so many characters.
const LONGEST_HASH: usize = 64;

/// VEXEL's column for a capability's name.
const LONGEST_NAME: usize = 255;

/// What their words so far let later ones do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VexelState {
    /// By heartbeat contract.
    #[serde(skip_serializing_if = "is_default")]
    enrolled: BTreeMap<Address, Enrolled>,
    /// The registry that founded the agent, and whom that has as its owner.
    #[serde(skip_serializing_if = "is_default")]
    registry: Option<(Address, Address)>,
}

/// An agent's place in a heartbeat contract. The contract gives it once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "none of them follows from others"
)]
struct Enrolled {
    account: Address,
    at: At,
    tx: B256,
    /// Whether the agent's own DID is of the address, which no sale changes.
    named: bool,
    /// Whether the address was the agent's when it was registered.
    ours: bool,
    /// Whether the agent was not known yet.
    waits: bool,
    /// Whether it beat in a later transaction.
    beaten: bool,
    /// The last beat: where, and its time in microseconds.
    last: Option<(At, i64)>,
}

impl VexelState {
    /// What was said of an agent before it was known.
    pub(super) fn waiting(mut self) -> Self {
        self.enrolled.retain(|_, enrolled| enrolled.waits);
        Self {
            registry: None,
            ..self
        }
    }
}

impl State {
    pub(super) fn apply_vexel(&mut self, word: &VexelWord, tx: B256, run: &mut Run<'_>) {
        let speaks = match &word.said {
            VexelSaid::Enrolled { account, is_named } => {
                self.enrol(word.contract, *account, *is_named, tx, run)
            }
            VexelSaid::Beat => self.heard_beat(word.contract, tx, run),
            VexelSaid::Inactive => {
                let accepted = self.accepted(word.contract).is_some();
                if accepted {
                    self.fall_asleep(run);
                }
                accepted
            }
            VexelSaid::Deactivated { account } => {
                let accepted = self.accepted(word.contract) == Some(*account);
                if accepted && !self.status.fixed {
                    self.end_for_good("Deactivated in its heartbeat contract", run);
                }
                accepted
            }
            VexelSaid::Threshold => self.place_in(word.contract).is_some(),
            VexelSaid::Registered {
                owner,
                name,
                description,
            } => self.register(word.contract, *owner, name, description, run),
            said => {
                let speaks = self.exists && self.is_founded_by(word.contract);
                if speaks {
                    self.apply_registry(said, run);
                }
                speaks
            }
        };
        run.delta.heard.push((run.at(), speaks));
    }

    fn enrol(
        &mut self,
        contract: Address,
        account: Address,
        is_named: bool,
        tx: B256,
        run: &Run<'_>,
    ) -> bool {
        let ours = is_named || (self.exists && self.is_ours(account));
        let (at, waits) = (run.at(), !self.exists);
        let enrolled = Enrolled {
            account,
            at,
            tx,
            named: is_named,
            ours,
            waits,
            beaten: false,
            last: None,
        };
        self.vexel.enrolled.entry(contract).or_insert(enrolled);
        ours && !waits
    }

    fn heard_beat(&mut self, contract: Address, tx: B256, run: &mut Run<'_>) -> bool {
        let (at, time) = (run.at(), run.fact.place.time);
        let Some(enrolled) = self.vexel.enrolled.get_mut(&contract) else {
            return false;
        };
        enrolled.beaten |= enrolled.tx != tx;
        enrolled.last = Some((at, time));
        let speaks = self.place_in(contract).is_some();
        if speaks {
            self.beat(run);
            if self.status.runtime != Some(RuntimeStatus::Active) {
                let reason = Some("heartbeat on chain".to_owned());
                self.set_status(RuntimeStatus::Active, Class::Weak, reason, run);
            }
        }
        speaks
    }

    /// The agent's place in a contract, as long as its address is the agent's.
    fn place_in(&self, contract: Address) -> Option<&Enrolled> {
        let enrolled = self.vexel.enrolled.get(&contract)?;
        let still = enrolled.named || self.is_ours(enrolled.account);
        (enrolled.ours && still && !enrolled.waits).then_some(enrolled)
    }

    /// The address of an agent that accepted the contract.
    fn accepted(&self, contract: Address) -> Option<Address> {
        let accepted = self.place_in(contract).filter(|enrolled| enrolled.beaten);
        accepted.map(|enrolled| enrolled.account)
    }

    /// Whether a registry founded the agent, and whom it has as its owner still is.
    fn is_founded_by(&self, contract: Address) -> bool {
        let founder = self.vexel.registry;
        founder.is_some_and(|(registry, owner)| registry == contract && self.is_ours(owner))
    }

    fn fall_asleep(&mut self, run: &mut Run<'_>) {
        run.delta.life.beat = None;
        let reason = || Some("no heartbeat on chain within its threshold".to_owned());
        if self.status.liveness.1.as_deref() == Some("active") {
            self.set_dimension("liveness", "inactive", reason(), run);
        }
        if self.status.runtime == Some(RuntimeStatus::Active) {
            self.set_status(RuntimeStatus::Sleep, Class::Weak, reason(), run);
        }
    }

    /// Whether an address is the agent's owner or wallet now.
    fn is_ours(&self, account: Address) -> bool {
        let owner = self.token.owner.map(|(owner, _)| owner);
        let wallet = self.token.wallet.and_then(|(wallet, _)| wallet);
        let of_row = self
            .columns
            .text("owner_address")
            .and_then(|text| text.parse().ok());
        [owner, wallet, of_row].contains(&Some(account))
    }

    /// An agent that contracts spoke of before it was known is asked now whether they speak for it.
    pub(super) fn judge_vexel(&mut self, run: &mut Run<'_>) {
        let mut enrolled = std::mem::take(&mut self.vexel.enrolled);
        for one in enrolled.values_mut().filter(|one| one.waits) {
            one.waits = false;
            one.ours |= self.is_ours(one.account);
            if !one.ours {
                continue;
            }
            run.delta.heard.push((one.at, true));
            if let Some((at, time)) = one.last {
                run.delta.heard.push((at, true));
                self.last_heartbeat =
                    DateTime::from_timestamp_micros(time).max(self.last_heartbeat);
                run.delta.life.beat = self.last_heartbeat;
                self.set_dimension(
                    "liveness",
                    "active",
                    Some("heartbeat on chain".to_owned()),
                    run,
                );
            }
        }
        self.vexel.enrolled = enrolled;
    }

    /// A registry founds an agent once, under a DID that nobody has.
    fn register(
        &mut self,
        contract: Address,
        owner: Address,
        name: &str,
        description: &str,
        run: &mut Run<'_>,
    ) -> bool {
        let founder = self.vexel.registry.map(|(registry, _)| registry);
        let again = founder == Some(contract) && self.is_ours(owner);
        if self.exists && !again {
            return false;
        }
        self.vexel.registry = Some((contract, owner));
        let owner = json!(hex_0x(owner.as_slice()));
        for (column, value) in [
            ("owner_address", owner),
            ("name", json!(name)),
            ("description", json!(description)),
        ] {
            self.set_column(column, value, run);
        }
        if !again {
            self.begin(run, "Agent registered");
        }
        true
    }

    fn apply_registry(&mut self, said: &VexelSaid, run: &mut Run<'_>) {
        match said {
            VexelSaid::Updated { name, ipfs_hash } => {
                self.set_column("name", json!(name), run);
                let fits = (1..=LONGEST_HASH).contains(&ipfs_hash.chars().count());
                let hash = if fits { json!(ipfs_hash) } else { Value::Null };
                self.set_column("ipfs_metadata_hash", hash, run);
            }
            VexelSaid::Status(Some(status)) => {
                self.set_status(
                    *status,
                    Class::Strong,
                    Some("set in its registry".to_owned()),
                    run,
                );
            }
            VexelSaid::Capability { name, value } => {
                let name: String = name.chars().take(LONGEST_NAME).collect();
                self.set_capability(&name, json!(value), run);
            }
            _ => {}
        }
    }

    fn set_column(&mut self, column: &str, value: Value, run: &mut Run<'_>) {
        self.columns.apply_chain(column, value.clone());
        run.change(self, column, super::columns::journal_value(value));
    }
}
