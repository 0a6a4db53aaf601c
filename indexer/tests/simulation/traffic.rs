//! What people do on the simulated chains: mostly what is allowed, sometimes what reverts, and what
//! strangers and broken contracts emit, and what is said of DIDs in VEXEL's contracts.

use chain::contracts::topics;
use kernel::{Address, B256};

use super::{
    contract::{Call, Contracts, Emitted, Id, encoded, owners},
    dice::Dice,
    storage::word,
    vexel,
    words::{IMPOSTOR, KEYS, MINTER, PEOPLE, STATUS, STRANGER, URIS, VEXEL_CHAIN, uri},
};

/// A sender and what he calls.
pub type Wish = (Address, Vec<Call>);

/// One transaction on top of `state`.
pub fn wish(dice: &mut Dice, state: &Contracts) -> Wish {
    let registry = dice.index(state.registries.len());
    let (from, mut calls) = match dice.weighted(&[
        (26, Kind::Register),
        (54, Kind::Owned),
        (5, Kind::Operators),
        (5, Kind::Remint),
        (4, Kind::Stranger),
        (3, Kind::Broken),
        (3, Kind::Reverts),
        (16, Kind::Vexel),
    ]) {
        Kind::Vexel if state.chain == VEXEL_CHAIN => {
            let (whose, words) = vexel::wish(dice, state, registry);
            let calls = words.into_iter().map(|word| Call::Vexel(whose, word));
            (STRANGER, calls.collect())
        }
        Kind::Register | Kind::Vexel => register(dice),
        Kind::Owned => owned(dice, state, registry),
        Kind::Operators => {
            let calls = vec![Call::ApproveAll(*dice.pick(&PEOPLE), dice.chance(60))];
            (*dice.pick(&PEOPLE), calls)
        }
        Kind::Remint => remint(dice, state, registry),
        Kind::Stranger => (
            STRANGER,
            vec![Call::Strange(strange(dice, state, registry))],
        ),
        Kind::Broken => (STRANGER, vec![Call::Broken(broken(dice, state, registry))]),
        Kind::Reverts => reverts(dice),
    };
    if registry > 0 {
        calls.insert(0, Call::At(registry));
    }
    (from, calls)
}

#[derive(Clone, Copy)]
enum Kind {
    Register,
    Owned,
    Operators,
    Remint,
    Stranger,
    Broken,
    Reverts,
    Vexel,
}

fn any_uri(dice: &mut Dice) -> Vec<u8> {
    if dice.chance(10) {
        return Vec::new();
    }
    uri(dice.roll(URIS))
}

fn value(dice: &mut Dice) -> Vec<u8> {
    match dice.roll(6) {
        0 => Vec::new(),
        1 => vec![0; 40],
        n => vec![u8::try_from(n).expect("small"); 3],
    }
}

/// `register`; by a contract with one of the three re-entrant callbacks of `erc-8004-and-1056.md` §1, or with
/// another one.
fn register(dice: &mut Dice) -> Wish {
    let from = if dice.chance(35) {
        MINTER
    } else {
        *dice.pick(&PEOPLE[..3])
    };
    let uri = dice.chance(75).then(|| any_uri(dice));
    let metadata = match dice.roll(4) {
        0 if uri.is_some() => vec![(dice.pick(&KEYS).to_vec(), value(dice))],
        _ => Vec::new(),
    };
    let callback = if from == MINTER && dice.chance(80) {
        callback(dice, 2)
    } else {
        Vec::new()
    };
    let call = Call::Register {
        uri,
        metadata,
        callback,
    };
    let mut calls = vec![call];
    if dice.chance(10) {
        calls.push(calls[0].clone());
    }
    (from, calls)
}

fn callback(dice: &mut Dice, depth: u8) -> Vec<Call> {
    let to = *dice.pick(&PEOPLE[..3]);
    match dice.roll(9) {
        // Case 1: the token is passed on while it is minted.
        0 | 1 => vec![Call::Transfer {
            id: Id::Own,
            from: MINTER,
            to,
            callback: Vec::new(),
        }],
        // Cases 2 and 3: the URI is set before the registration writes its own, or none.
        2 | 3 => vec![Call::SetUri(Id::Own, any_uri(dice))],
        4 => vec![Call::SetWallet(Id::Own, to)],
        5 => vec![
            Call::SetMetadata(Id::Own, dice.pick(&KEYS).to_vec(), value(dice)),
            Call::UnsetWallet(Id::Own),
        ],
        6 => vec![
            Call::SetStatus(Id::Own, 1, b"not ready".to_vec()),
            Call::Approve(Id::Own, to),
        ],
        7 => vec![Call::Burn(Id::Own)],
        // A registration inside of a registration.
        _ => vec![Call::Register {
            uri: dice.chance(50).then(|| any_uri(dice)),
            metadata: Vec::new(),
            callback: if depth > 0 {
                callback(dice, depth - 1)
            } else {
                Vec::new()
            },
        }],
    }
}

/// One to three calls for one agent by somebody who may.
fn owned(dice: &mut Dice, state: &Contracts, registry: usize) -> Wish {
    let owners: Vec<(u64, Address)> = owners(state, registry).into_iter().collect();
    if owners.is_empty() {
        return register(dice);
    }
    let (number, owner) = *dice.pick(&owners);
    let id = Id::Is(number);
    let approved = state.approved(registry, number);
    let operator = PEOPLE
        .into_iter()
        .find(|person| state.operator(registry, owner, *person));
    let from = match (dice.roll(4), approved, operator) {
        (0, Some(approved), _) => approved,
        (1, _, Some(operator)) => operator,
        _ => owner,
    };
    let wallet = state.wallet(registry, number);
    let mut calls = Vec::new();
    for _ in 0..=dice.roll(2) {
        let call = match dice.roll(22) {
            0..=4 => Call::SetUri(id, any_uri(dice)),
            5..=7 => Call::SetMetadata(id, dice.pick(&KEYS).to_vec(), value(dice)),
            8 | 9 => Call::SetWallet(id, *dice.pick(&PEOPLE)),
            10 => Call::UnsetWallet(id),
            11 => Call::Approve(id, *dice.pick(&[PEOPLE[0], PEOPLE[1], Address::ZERO])),
            12..=14 => {
                calls.push(transfer(dice, id, owner));
                break;
            }
            15 | 16 => Call::Heartbeat(id),
            17 => {
                calls.push(Call::Burn(id));
                break;
            }
            n => {
                let call = Call::SetStatus(
                    id,
                    u8::try_from(dice.roll(3)).expect("small"),
                    b"because".to_vec(),
                );
                if let (21, Some(wallet), true) = (n, wallet, calls.is_empty()) {
                    return (wallet, vec![call]);
                }
                call
            }
        };
        calls.push(call);
    }
    (from, calls)
}

/// To somebody else, to oneself, or to a contract that passes the token on at once.
fn transfer(dice: &mut Dice, id: Id, from: Address) -> Call {
    let to = *dice.pick(&PEOPLE);
    let callback = if to == MINTER && dice.chance(50) {
        vec![Call::Transfer {
            id: Id::Own,
            from: MINTER,
            to: *dice.pick(&PEOPLE[..3]),
            callback: Vec::new(),
        }]
    } else {
        Vec::new()
    };
    Call::Transfer {
        id,
        from,
        to,
        callback,
    }
}

fn remint(dice: &mut Dice, state: &Contracts, registry: usize) -> Wish {
    let burned: Vec<u64> = (0..state.count(registry))
        .filter(|id| state.owner(registry, *id).is_none())
        .collect();
    if burned.is_empty() {
        return register(dice);
    }
    let id = Id::Is(*dice.pick(&burned));
    (ALL_MAY, vec![Call::Remint(id, *dice.pick(&PEOPLE))])
}

/// Who calls what anybody may.
const ALL_MAY: Address = STRANGER;

/// A stranger speaks for somebody's agent; a call fails behind one that worked.
fn reverts(dice: &mut Dice) -> Wish {
    let id = Id::Is(dice.roll(4));
    let call = match dice.roll(4) {
        0 => Call::SetStatus(id, 2, Vec::new()),
        1 => Call::SetUri(id, any_uri(dice)),
        2 => Call::Heartbeat(id),
        _ => Call::SetMetadata(id, b"agentWallet".to_vec(), vec![1; 20]),
    };
    (
        STRANGER,
        vec![Call::ApproveAll(PEOPLE[0], true), call, Call::Revert],
    )
}

/// The registry's and the status contract's words, from an address that nobody believes, or about a
/// registry that nobody reads.
fn strange(dice: &mut Dice, state: &Contracts, registry: usize) -> Vec<Emitted> {
    let id = word(dice.roll(state.count(registry) + 1));
    let someone = PEOPLE[0].into_word();
    let emitted = |topics: Vec<B256>, data: Vec<u8>| Emitted {
        address: IMPOSTOR,
        topics,
        data,
    };
    let registry = state.registries[registry].0.into_word();
    let mut status = word(2).to_vec();
    status.extend([word(96), someone, word(0)].concat());
    vec![
        emitted(vec![topics::TRANSFER, someone, someone, id], vec![]),
        emitted(
            vec![topics::URI_UPDATED, id, someone],
            encoded(&[b"https://evil"]),
        ),
        emitted(vec![topics::STATUS_SET, registry, id], status),
        emitted(Vec::new(), b"no topics at all".to_vec()),
    ]
}

/// Logs of the registry's own address that cannot be read: they say nothing, and are told.
fn broken(dice: &mut Dice, state: &Contracts, registry: usize) -> Vec<Emitted> {
    let id = word(dice.roll(state.count(registry).max(1)));
    let address = state.registries[registry].0;
    let (someone, registry) = (PEOPLE[0].into_word(), address.into_word());
    let by = |address: Address, topics: Vec<B256>, data: &[u8]| {
        vec![Emitted {
            address,
            topics,
            data: data.to_vec(),
        }]
    };
    match dice.roll(6) {
        0 => by(address, vec![topics::URI_UPDATED, id, someone], &[1, 2, 3]),
        1 => by(
            address,
            vec![topics::TRANSFER, B256::repeat_byte(0xff), someone, id],
            &[],
        ),
        2 => {
            let mut status = word(7).to_vec();
            status.extend([word(96), someone, word(0)].concat());
            by(STATUS, vec![topics::STATUS_SET, registry, id], &status)
        }
        3 => by(
            address,
            vec![topics::METADATA_SET, id, word(9)],
            &encoded(&[b"k", b"v"]),
        ),
        4 => by(
            address,
            vec![topics::APPROVAL_FOR_ALL, someone, someone],
            word(7).as_slice(),
        ),
        // ERC-20's form, which names no token.
        _ => by(address, vec![topics::TRANSFER, someone, someone], &[]),
    }
}
