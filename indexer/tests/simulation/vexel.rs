//! VEXEL's contracts as people use them. `AgentHeartbeat` knows a DID by its hash alone, lets anybody register any
//! address for it, once, and takes its beats from then on. `AgentRegistry` writes what it is told.

use chain::vexel::topics;
use kernel::{Address, B256, keccak256};

use super::{
    contract::{Contracts, Emitted, encoded},
    dice::Dice,
    kit,
    storage::word,
    words::{FOUNDED, SIGNERS, VEXEL, WALLETS, founded, inserted},
};

/// Whose DID it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// A token's, by registry and id; it may come later.
    Token(usize, u64),
    /// That of a key; it may be registered, or rotated to, later.
    Key(u8),
    /// One that plain SQL makes, now or later.
    Inserted(u64),
    /// One that only a registry of VEXEL's makes.
    Founded(u64),
}

/// What the contracts say of a DID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// An address is registered to beat.
    Enrolled(Address),
    Beat,
    Inactive,
    Deactivated,
    /// By the registry: owner and name.
    Registered(Address, String),
    Updated(String),
    Status(u8),
    Capability(String, String),
}

/// A word in a transaction, and whose the token was by its registry's storage, if the DID is one's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub did: String,
    /// The log that says it.
    pub log: usize,
    pub word: Word,
    pub owner: Option<Address>,
    pub wallet: Option<Address>,
}

impl Whose {
    pub fn did(self, state: &Contracts) -> String {
        match self {
            Self::Token(registry, id) => {
                let address = state.registries[registry].0;
                format!("did:nft:eip155:{}_erc721:{address:#x}_{id}", state.chain)
            }
            Self::Key(seed) => kit::did(seed),
            Self::Inserted(number) => inserted(number),
            Self::Founded(number) => founded(number),
        }
    }
}

impl Word {
    /// Whether the contract says it now; it remembers who was registered.
    pub fn happens(&self, did: &str, state: &mut Contracts) -> bool {
        match self {
            Self::Enrolled(account) => {
                let is_first = !state.enrolled.contains_key(did);
                state.enrolled.entry(did.to_owned()).or_insert(*account);
                is_first
            }
            Self::Beat | Self::Inactive | Self::Deactivated => state.enrolled.contains_key(did),
            _ => true,
        }
    }

    /// The log; `account` is the one that is registered.
    pub fn log(&self, did: &str, account: Option<Address>) -> Emitted {
        let hash = keccak256(did.as_bytes());
        let of_hash = |topic: B256, data: Vec<u8>| (vec![topic, hash], data);
        let (topics, data) = match self {
            Self::Enrolled(account) => (
                vec![topics::REGISTERED, hash, account.into_word()],
                word(86_400).to_vec(),
            ),
            Self::Beat => of_hash(topics::RECORDED, word(0).to_vec()),
            Self::Inactive => of_hash(topics::INACTIVE, [word(0), word(1)].concat()),
            Self::Deactivated => (
                vec![
                    topics::DEACTIVATED,
                    hash,
                    account.unwrap_or_default().into_word(),
                ],
                Vec::new(),
            ),
            Self::Registered(owner, name) => (
                vec![topics::DID_REGISTERED, owner.into_word(), keccak256(b"Qm")],
                encoded(&[did.as_bytes(), name.as_bytes(), b"of VEXEL"]),
            ),
            Self::Updated(name) => (
                vec![topics::DID_UPDATED],
                encoded(&[did.as_bytes(), name.as_bytes(), b"Qm"]),
            ),
            Self::Status(code) => {
                let mut data = [word(96), word(0), word(u64::from(*code))].concat();
                data.extend(word(did.len() as u64));
                data.extend(did.as_bytes());
                data.resize(data.len().next_multiple_of(32), 0);
                (vec![topics::DID_STATUS], data)
            }
            Self::Capability(name, value) => (
                vec![topics::DID_CAPABILITY],
                encoded(&[did.as_bytes(), name.as_bytes(), value.as_bytes()]),
            ),
        };
        Emitted {
            address: VEXEL,
            topics,
            data,
        }
    }
}

/// What somebody has the contracts say: of whom, and in what order.
pub fn wish(dice: &mut Dice, state: &Contracts, registry: usize) -> (Whose, Vec<Word>) {
    let whose = match dice.roll(8) {
        // The first ones, or one that comes next.
        0 | 1 => Whose::Token(registry, dice.roll(2)),
        2 => Whose::Token(registry, state.count(registry) + dice.roll(2)),
        3 | 4 => Whose::Key(*dice.pick(&SIGNERS[..3])),
        5 | 6 => Whose::Inserted(dice.roll(2)),
        _ => Whose::Founded(dice.roll(FOUNDED)),
    };
    let usual = match whose {
        Whose::Token(registry, id) => state.owner(registry, id).unwrap_or(WALLETS[0]),
        Whose::Key(seed) => usual_owner(u64::from(seed)),
        Whose::Inserted(number) | Whose::Founded(number) => usual_owner(number),
    };
    let account = if dice.chance(80) {
        usual
    } else {
        *dice.pick(&WALLETS)
    };
    if matches!(whose, Whose::Founded(_)) && dice.chance(70) {
        let name = format!("VEXEL {}", dice.roll(3));
        let word = match dice.roll(7) {
            0..=2 => Word::Registered(account, name),
            3 => Word::Updated(name),
            // The last one is no status.
            4 | 5 => Word::Status(u8::try_from(dice.roll(4)).expect("small")),
            _ => Word::Capability(format!("v{}", dice.roll(2)), name),
        };
        return (whose, vec![word]);
    }
    let words = if state.enrolled.contains_key(&whose.did(state)) {
        match dice.roll(10) {
            0..=4 => vec![Word::Beat],
            5 | 6 => vec![Word::Inactive],
            7 => vec![Word::Beat, Word::Inactive, Word::Beat],
            _ => vec![Word::Deactivated],
        }
    } else if dice.chance(60) {
        vec![Word::Enrolled(account), Word::Beat]
    } else {
        vec![Word::Enrolled(account)]
    };
    (whose, words)
}

/// Who owns an agent that has no token, unless somebody else was faster.
pub fn usual_owner(number: u64) -> Address {
    WALLETS[usize::try_from(number % 3).expect("small")]
}
