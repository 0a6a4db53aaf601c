//! The contracts as state machines: what `IdentityRegistry.sol` and `AgentStatus.sol` do with storage and
//! logs, call by call, re-entrancy included. Nothing here knows the code under test.

use std::collections::BTreeMap;

use chain::contracts::topics;
use kernel::{Address, B256, keccak256};

use super::{
    storage::{self, Storage, word},
    vexel::{Heard, Whose, Word},
};

/// The key under which the wallet is kept.
const WALLET: &[u8] = b"agentWallet";

/// A log as a contract emits it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emitted {
    pub address: Address,
    pub topics: Vec<B256>,
    pub data: Vec<u8>,
}

/// Which agent a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Id {
    Is(u64),
    /// The one that is being minted or received: only inside of a callback.
    Own,
}

/// What can be asked of the contracts. Registries are named by their ordinal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Register {
        uri: Option<Vec<u8>>,
        metadata: Vec<(Vec<u8>, Vec<u8>)>,
        /// What a contract does in `onERC721Received`.
        callback: Vec<Call>,
    },
    SetUri(Id, Vec<u8>),
    SetMetadata(Id, Vec<u8>, Vec<u8>),
    /// The wallet's consent is taken for granted.
    SetWallet(Id, Address),
    UnsetWallet(Id),
    Transfer {
        id: Id,
        from: Address,
        to: Address,
        /// Of `safeTransferFrom`, by the receiver; empty: `transferFrom`.
        callback: Vec<Call>,
    },
    Approve(Id, Address),
    ApproveAll(Address, bool),
    /// A later version of the registry might burn and mint again; the indexer is ready for that.
    Burn(Id),
    Remint(Id, Address),
    SetStatus(Id, u8, Vec<u8>),
    Heartbeat(Id),
    /// Logs that anybody's contract emits.
    Strange(Vec<Emitted>),
    /// Logs of the registry's own address that are not what their signature promises.
    Broken(Vec<Emitted>),
    /// Somebody has VEXEL's contracts say something of a DID.
    Vexel(Whose, Word),
    /// The rest goes to another registry.
    At(usize),
    Revert,
}

/// What a call did to an agent, in order: for the times of things, which storage does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Minted(Address),
    /// Moved to another owner, or to the same one.
    Moved(Address),
    Burned,
    Uri(Vec<u8>),
    Status(u8, Vec<u8>),
    Beat,
}

/// What happened to which agent of which registry; the number is of the log that goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    pub registry: usize,
    pub id: u64,
    pub log: usize,
    pub told: Told,
}

/// What a transaction did.
#[derive(Debug, Default)]
pub struct Done {
    pub logs: Vec<Emitted>,
    pub happened: Vec<Happened>,
    pub heard: Vec<Heard>,
}

/// All contracts of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contracts {
    pub chain: u64,
    pub registries: Vec<(Address, Storage)>,
    pub status: Address,
    /// By DID, the address that VEXEL's heartbeat contract has for it.
    pub enrolled: BTreeMap<String, Address>,
}

/// One transaction on its way.
struct Run<'a> {
    state: &'a mut Contracts,
    /// Words that were overwritten, for a revert.
    undo: Vec<(usize, B256, B256)>,
    registry: usize,
    done: Done,
}

/// A transaction that reverts leaves nothing.
struct Reverted;

impl Contracts {
    pub fn new(chain: u64, registries: &[Address], status: Address) -> Self {
        let empty = |address: &Address| (*address, Storage::default());
        Self {
            chain,
            registries: registries.iter().map(empty).collect(),
            status,
            enrolled: BTreeMap::new(),
        }
    }

    /// Executes calls of one transaction; `None` where it reverts.
    pub fn execute(&mut self, sender: Address, calls: &[Call]) -> Option<Done> {
        let enrolled = self.enrolled.clone();
        let mut run = Run {
            state: self,
            undo: Vec::new(),
            registry: 0,
            done: Done::default(),
        };
        let mut each = calls.iter();
        if each.all(|call| run.call(sender, call, None).is_ok()) {
            return Some(run.done);
        }
        for (registry, slot, before) in run.undo.into_iter().rev() {
            self.registries[registry].1.set_word(slot, before);
        }
        self.enrolled = enrolled;
        None
    }

    pub fn count(&self, registry: usize) -> u64 {
        self.registries[registry].1.number(storage::last_id())
    }

    pub fn owner(&self, registry: usize, id: u64) -> Option<Address> {
        self.registries[registry].1.address(storage::owner_of(id))
    }

    pub fn approved(&self, registry: usize, id: u64) -> Option<Address> {
        self.registries[registry]
            .1
            .address(storage::approved_of(id))
    }

    pub fn wallet(&self, registry: usize, id: u64) -> Option<Address> {
        let bytes = self.metadata(registry, id, WALLET);
        (bytes.len() == 20).then(|| Address::from_slice(&bytes))
    }

    pub fn uri(&self, registry: usize, id: u64) -> Vec<u8> {
        self.registries[registry].1.bytes(storage::uri_of(id))
    }

    pub fn metadata(&self, registry: usize, id: u64, key: &[u8]) -> Vec<u8> {
        self.registries[registry]
            .1
            .bytes(storage::metadata_of(id, key))
    }

    pub fn operator(&self, registry: usize, owner: Address, operator: Address) -> bool {
        self.registries[registry]
            .1
            .number(storage::operator_of(owner, operator))
            == 1
    }
}

impl Run<'_> {
    fn storage(&self) -> &Storage {
        &self.state.registries[self.registry].1
    }

    fn set_word(&mut self, slot: B256, value: B256) {
        let storage = &mut self.state.registries[self.registry].1;
        let before = storage.set_word(slot, value);
        self.undo.push((self.registry, slot, before));
    }

    fn set_bytes(&mut self, slot: B256, value: &[u8]) {
        for (slot, word) in self.storage().writes_of(slot, value) {
            self.set_word(slot, word);
        }
    }

    fn emit(&mut self, topics: Vec<B256>, data: Vec<u8>) {
        let address = self.state.registries[self.registry].0;
        self.done.logs.push(Emitted {
            address,
            topics,
            data,
        });
    }

    fn tell(&mut self, id: u64, told: Told) {
        self.done.happened.push(Happened {
            registry: self.registry,
            id,
            log: self.done.logs.len() - 1,
            told,
        });
    }

    fn authorized(&mut self, sender: Address, id: u64) -> Result<Address, Reverted> {
        let registry = self.registry;
        let owner = self.state.owner(registry, id).ok_or(Reverted)?;
        let may = sender == owner
            || self.state.approved(registry, id) == Some(sender)
            || self.state.operator(registry, owner, sender);
        may.then_some(owner).ok_or(Reverted)
    }

    fn call(&mut self, sender: Address, call: &Call, own: Option<u64>) -> Result<(), Reverted> {
        let of = |id: &Id| match id {
            Id::Is(id) => Ok(*id),
            Id::Own => own.ok_or(Reverted),
        };
        match call {
            Call::Register {
                uri,
                metadata,
                callback,
            } => self.register(sender, uri.as_deref(), metadata, callback)?,
            Call::SetUri(id, uri) => {
                let id = of(id)?;
                self.authorized(sender, id)?;
                self.write_uri(id, uri);
                let topics = vec![topics::URI_UPDATED, word(id), sender.into_word()];
                self.emit(topics, encoded(&[uri]));
                self.tell(id, Told::Uri(uri.clone()));
            }
            Call::SetMetadata(id, key, value) => {
                let id = of(id)?;
                self.authorized(sender, id)?;
                free(key)?;
                self.write_metadata(id, key, value);
            }
            Call::SetWallet(id, wallet) => {
                let id = of(id)?;
                self.authorized(sender, id)?;
                self.write_metadata(id, WALLET, wallet.as_slice());
            }
            Call::UnsetWallet(id) => {
                let id = of(id)?;
                self.authorized(sender, id)?;
                self.write_metadata(id, WALLET, &[]);
            }
            Call::Transfer {
                id,
                from,
                to,
                callback,
            } => {
                let id = of(id)?;
                if self.authorized(sender, id)? != *from || to.is_zero() {
                    return Err(Reverted);
                }
                self.write_metadata(id, WALLET, &[]);
                self.update(id, *to);
                self.tell(id, Told::Moved(*to));
                self.calls(*to, callback, id)?;
            }
            Call::Approve(id, to) => {
                let id = of(id)?;
                let owner = self.state.owner(self.registry, id).ok_or(Reverted)?;
                if sender != owner && !self.state.operator(self.registry, owner, sender) {
                    return Err(Reverted);
                }
                self.set_word(storage::approved_of(id), to.into_word());
                let topics = vec![
                    topics::APPROVAL,
                    owner.into_word(),
                    to.into_word(),
                    word(id),
                ];
                self.emit(topics, vec![]);
            }
            Call::ApproveAll(operator, approved) => {
                let slot = storage::operator_of(sender, *operator);
                self.set_word(slot, word(u64::from(*approved)));
                let topics = vec![
                    topics::APPROVAL_FOR_ALL,
                    sender.into_word(),
                    operator.into_word(),
                ];
                self.emit(topics, word(u64::from(*approved)).to_vec());
            }
            Call::Burn(id) => {
                let id = of(id)?;
                self.authorized(sender, id)?;
                self.update(id, Address::ZERO);
                self.tell(id, Told::Burned);
            }
            Call::Remint(id, to) => self.remint(of(id)?, *to)?,
            Call::SetStatus(id, code, reason) => {
                let id = of(id)?;
                self.voice(sender, id)?;
                if *code > 2 || reason.len() > 1024 {
                    return Err(Reverted);
                }
                self.say_status(sender, id, *code, reason);
            }
            Call::Heartbeat(id) => {
                let id = of(id)?;
                self.voice(sender, id)?;
                let registry = self.state.registries[self.registry].0;
                self.done.logs.push(Emitted {
                    address: self.state.status,
                    topics: vec![topics::HEARTBEAT, registry.into_word(), word(id)],
                    data: vec![],
                });
                self.tell(id, Told::Beat);
            }
            Call::Strange(logs) => {
                let ours = |log: &Emitted| {
                    self.state.status == log.address
                        || self.state.registries.iter().any(|(a, _)| *a == log.address)
                };
                assert!(!logs.iter().any(ours), "a stranger is another address");
                self.done.logs.extend(logs.iter().cloned());
            }
            Call::Broken(logs) => self.done.logs.extend(logs.iter().cloned()),
            Call::Vexel(whose, word) => self.say_of_did(*whose, word)?,
            Call::At(registry) => self.registry = *registry,
            Call::Revert => return Err(Reverted),
        }
        Ok(())
    }

    fn calls(&mut self, sender: Address, calls: &[Call], own: u64) -> Result<(), Reverted> {
        calls
            .iter()
            .try_for_each(|call| self.call(sender, call, Some(own)))
    }

    fn register(
        &mut self,
        sender: Address,
        uri: Option<&[u8]>,
        metadata: &[(Vec<u8>, Vec<u8>)],
        callback: &[Call],
    ) -> Result<(), Reverted> {
        let id = self.storage().number(storage::last_id());
        self.set_word(storage::last_id(), word(id + 1));
        self.set_bytes(storage::metadata_of(id, WALLET), sender.as_slice());
        self.update(id, sender);
        self.tell(id, Told::Minted(sender));
        self.calls(sender, callback, id)?;
        if let Some(uri) = uri {
            self.write_uri(id, uri);
        }
        let topics = vec![topics::REGISTERED, word(id), sender.into_word()];
        self.emit(topics, encoded(&[uri.unwrap_or_default()]));
        if let Some(uri) = uri {
            self.tell(id, Told::Uri(uri.to_vec()));
        }
        // Announced, not written: the callback may have taken the wallet away.
        self.emit_metadata(id, WALLET, sender.as_slice());
        for (key, value) in metadata {
            free(key)?;
            self.write_metadata(id, key, value);
        }
        Ok(())
    }

    /// Everything that the token's life before left behind is gone.
    fn remint(&mut self, id: u64, to: Address) -> Result<(), Reverted> {
        let known = id < self.storage().number(storage::last_id());
        if !known || to.is_zero() || self.state.owner(self.registry, id).is_some() {
            return Err(Reverted);
        }
        for key in super::words::KEYS {
            self.set_bytes(storage::metadata_of(id, key), &[]);
        }
        self.set_bytes(storage::uri_of(id), &[]);
        self.set_bytes(storage::metadata_of(id, WALLET), to.as_slice());
        self.update(id, to);
        self.tell(id, Told::Minted(to));
        self.emit(
            vec![topics::REGISTERED, word(id), to.into_word()],
            encoded(&[b""]),
        );
        self.emit_metadata(id, WALLET, to.as_slice());
        Ok(())
    }

    /// ERC-721's `_update`: owner, balances, approval, and the log.
    fn update(&mut self, id: u64, to: Address) {
        let from = self.state.owner(self.registry, id).unwrap_or_default();
        for (account, more) in [(from, false), (to, true)] {
            if !account.is_zero() {
                let slot = storage::balance_of(account);
                let balance = self.storage().number(slot);
                let balance = if more { balance + 1 } else { balance - 1 };
                self.set_word(slot, word(balance));
            }
        }
        self.set_word(storage::approved_of(id), B256::ZERO);
        self.set_word(storage::owner_of(id), to.into_word());
        let topics = vec![topics::TRANSFER, from.into_word(), to.into_word(), word(id)];
        self.emit(topics, vec![]);
    }

    fn write_uri(&mut self, id: u64, uri: &[u8]) {
        self.set_bytes(storage::uri_of(id), uri);
        self.emit(vec![topics::METADATA_UPDATE], word(id).to_vec());
    }

    fn write_metadata(&mut self, id: u64, key: &[u8], value: &[u8]) {
        self.set_bytes(storage::metadata_of(id, key), value);
        self.emit_metadata(id, key, value);
    }

    fn emit_metadata(&mut self, id: u64, key: &[u8], value: &[u8]) {
        let topics = vec![topics::METADATA_SET, word(id), keccak256(key)];
        self.emit(topics, encoded(&[key, value]));
    }

    /// `AgentStatus`: owner, operator, approved address or wallet may speak.
    fn voice(&mut self, sender: Address, id: u64) -> Result<(), Reverted> {
        if self.authorized(sender, id).is_ok() {
            return Ok(());
        }
        let wallet = self.state.wallet(self.registry, id);
        (wallet == Some(sender)).then_some(()).ok_or(Reverted)
    }

    /// VEXEL's contracts, which ask nobody who he is.
    fn say_of_did(&mut self, whose: Whose, word: &Word) -> Result<(), Reverted> {
        let did = whose.did(self.state);
        if !word.happens(&did, self.state) {
            return Err(Reverted);
        }
        let (owner, wallet) = match whose {
            Whose::Token(registry, id) => (
                self.state.owner(registry, id),
                self.state.wallet(registry, id),
            ),
            _ => (None, None),
        };
        let account = self.state.enrolled.get(&did).copied();
        self.done.logs.push(word.log(&did, account));
        self.done.heard.push(Heard {
            did,
            log: self.done.logs.len() - 1,
            word: word.clone(),
            owner,
            wallet,
        });
        Ok(())
    }

    fn say_status(&mut self, sender: Address, id: u64, code: u8, reason: &[u8]) {
        let registry = self.state.registries[self.registry].0;
        let mut data = word(u64::from(code)).to_vec();
        data.extend(word(96));
        data.extend(sender.into_word());
        data.extend(word(reason.len() as u64));
        data.extend(reason);
        data.resize(data.len().next_multiple_of(32), 0);
        self.done.logs.push(Emitted {
            address: self.state.status,
            topics: vec![topics::STATUS_SET, registry.into_word(), word(id)],
            data,
        });
        self.tell(id, Told::Status(code, reason.to_vec()));
    }
}

fn free(key: &[u8]) -> Result<(), Reverted> {
    (key != WALLET).then_some(()).ok_or(Reverted)
}

/// ABI encoding of dynamic values.
pub fn encoded(values: &[&[u8]]) -> Vec<u8> {
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    for value in values {
        head.extend(word((values.len() * 32 + tail.len()) as u64));
        tail.extend(word(value.len() as u64));
        tail.extend_from_slice(value);
        tail.resize(tail.len().next_multiple_of(32), 0);
    }
    head.extend(tail);
    head
}

/// Where each owner's tokens are, for who wants to make a call that does not revert.
pub fn owners(state: &Contracts, registry: usize) -> BTreeMap<u64, Address> {
    (0..state.count(registry))
        .filter_map(|id| Some((id, state.owner(registry, id)?)))
        .collect()
}
