//! What proves nothing is refused, on every route: each way of proving who speaks, tried with each trick.
//!
//! The table ([`cell`]) says what becomes of a trick, or why there is none. The compiler holds it complete, the tests
//! of `refusals/` play each cell, and [`every_signed_route_has_its_row`] holds the routes of the table of grants
//! against the ways.

#[path = "refusals/beats.rs"]
mod beats;
#[path = "refusals/relay.rs"]
mod relay;
#[path = "refusals/requests.rs"]
pub mod requests;
#[path = "refusals/secrets.rs"]
mod secrets;
#[path = "refusals/sign_in.rs"]
mod sign_in;
#[path = "refusals/statements.rs"]
mod statements;

use axum::http::header;
use base64::{Engine, engine::general_purpose::STANDARD};
use chancery::http::{GRANTS, Grant, Who};
use kernel::U256;
use serde_json::Value;

use super::kit::{Answer, Instance, TOKEN};

/// A way to prove who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// An API key, on every route that asks for a proof.
    ApiKey,
    /// A session's token, on the same routes.
    Session,
    /// A request that a wallet signed (EIP-712), on the same routes.
    WalletRequest,
    /// A request that an agent's key signed (RFC 9421), on the same routes.
    KeyRequest,
    /// A message of EIP-4361.
    SignIn,
    /// A registration, by its key.
    Registration,
    /// The owner's signature beside it.
    RegistrationOwner,
    /// Another statement, by the agent's key.
    Statement,
    /// The same by the owner's account.
    StatementOwner,
    /// One heartbeat in a request.
    Beat,
    /// Heartbeats of many agents in one.
    Beats,
    /// A heartbeat over the socket of one agent.
    Socket,
    /// A heartbeat over a socket for many.
    Sockets,
    /// A transaction for a chain.
    Relay,
}

/// What somebody tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trick {
    /// The same once more.
    Replay,
    /// The same several times at once.
    DoubleSubmit,
    /// Something else, with the nonce of what was sent.
    ReusedNonce,
    /// It was signed for another office.
    WrongDomain,
    /// It was signed for another chain.
    WrongChain,
    /// It was signed for another route, agent or place.
    AnotherTarget,
    /// What was signed is not what is sent.
    Altered,
    /// Its time is over.
    Expired,
    /// Its time is still to come.
    Future,
    /// It wants to be believed for too long.
    TooLong,
    /// Somebody else signed it.
    OthersKey,
    /// A key signed it that was the agent's once.
    RotatedKey,
    /// The key is of small order, and signs everything.
    WeakKey,
    /// The end of the key, or of the account, is missing.
    CutKey,
    /// Something stands behind the key, or the account.
    PaddedKey,
    /// The end of the signature is missing.
    CutSignature,
    /// Something stands behind the signature.
    PaddedSignature,
    /// The other `s` that fits the same signature.
    OtherS,
    /// It opens other things.
    ScopeMissing,
}

impl Trick {
    const ALL: [Self; 19] = [
        Self::Replay,
        Self::DoubleSubmit,
        Self::ReusedNonce,
        Self::WrongDomain,
        Self::WrongChain,
        Self::AnotherTarget,
        Self::Altered,
        Self::Expired,
        Self::Future,
        Self::TooLong,
        Self::OthersKey,
        Self::RotatedKey,
        Self::WeakKey,
        Self::CutKey,
        Self::PaddedKey,
        Self::CutSignature,
        Self::PaddedSignature,
        Self::OtherS,
        Self::ScopeMissing,
    ];
}

/// What becomes of a trick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    /// It is refused with this code.
    Refused(&'static str),
    /// Of several at once one counts, and the others are refused with this code.
    One(&'static str),
    /// There is no such trick, for this reason.
    Never(&'static str),
}

use Cell::{Never, One, Refused};

const NO_CHAIN: &str = "a key is the same on all chains";
const NO_OFFICE: &str = "a secret is known at the office that gave it away, and nowhere else";
const NO_SIGNATURE: &str = "nothing is signed: the secret is the proof";
const NO_ROTATION: &str = "an account has one key for ever";
const NO_WEAK_ACCOUNT: &str = "no point of secp256k1 is of small order";
const NO_SCOPE: &str = "whoever signs may all that is his; scopes bound API keys";

/// The table.
fn cell(way: Way, trick: Trick) -> Cell {
    match way {
        Way::ApiKey => of_api_key(trick),
        Way::Session => of_session(trick),
        Way::WalletRequest => of_wallet_request(trick),
        Way::KeyRequest => of_key_request(trick),
        Way::SignIn => of_sign_in(trick),
        Way::Registration => of_registration(trick),
        Way::RegistrationOwner => of_registration_owner(trick),
        Way::Statement => of_statement(trick),
        Way::StatementOwner => of_statement_owner(trick),
        Way::Beat | Way::Beats | Way::Socket | Way::Sockets => of_beat(trick),
        Way::Relay => of_relay(trick),
    }
}

fn of_api_key(trick: Trick) -> Cell {
    match trick {
        Trick::Expired | Trick::RotatedKey | Trick::CutKey | Trick::PaddedKey => {
            Refused("unauthorized")
        }
        Trick::ScopeMissing => Refused("denied"),
        Trick::Replay | Trick::DoubleSubmit => Never("a key is sent with each request"),
        Trick::WrongDomain => Never(NO_OFFICE),
        Trick::Future => Never("a key holds from when it was made"),
        Trick::TooLong => Never("whoever made the key said when it ends"),
        Trick::OthersKey => Never("whoever has a key acts for whom it acts"),
        Trick::ReusedNonce
        | Trick::WrongChain
        | Trick::AnotherTarget
        | Trick::Altered
        | Trick::WeakKey
        | Trick::CutSignature
        | Trick::PaddedSignature
        | Trick::OtherS => Never(NO_SIGNATURE),
    }
}

fn of_session(trick: Trick) -> Cell {
    match trick {
        // Of a session that was signed out of.
        Trick::Replay | Trick::Expired | Trick::CutKey | Trick::PaddedKey => {
            Refused("unauthorized")
        }
        Trick::WrongDomain => Never(NO_OFFICE),
        Trick::DoubleSubmit => Never("a session is for many requests"),
        Trick::Future => Never("a session begins when it is given"),
        Trick::TooLong => Never("a session lasts as long as the office says"),
        Trick::OthersKey => Never("whoever has a session's token has the session"),
        Trick::RotatedKey => Never(NO_ROTATION),
        Trick::ScopeMissing => Never(NO_SCOPE),
        Trick::ReusedNonce
        | Trick::WrongChain
        | Trick::AnotherTarget
        | Trick::Altered
        | Trick::WeakKey
        | Trick::CutSignature
        | Trick::PaddedSignature
        | Trick::OtherS => Never(NO_SIGNATURE),
    }
}

fn of_wallet_request(trick: Trick) -> Cell {
    match trick {
        Trick::DoubleSubmit => One("unauthorized"),
        Trick::RotatedKey => Never(NO_ROTATION),
        Trick::WeakKey => Never(NO_WEAK_ACCOUNT),
        Trick::ScopeMissing => Never(NO_SCOPE),
        Trick::Replay
        | Trick::ReusedNonce
        | Trick::WrongDomain
        | Trick::WrongChain
        | Trick::AnotherTarget
        | Trick::Altered
        | Trick::Expired
        | Trick::Future
        | Trick::TooLong
        | Trick::OthersKey
        | Trick::CutKey
        | Trick::PaddedKey
        | Trick::CutSignature
        | Trick::PaddedSignature
        | Trick::OtherS => Refused("unauthorized"),
    }
}

fn of_key_request(trick: Trick) -> Cell {
    match trick {
        Trick::DoubleSubmit => One("unauthorized"),
        Trick::WrongChain => Never(NO_CHAIN),
        Trick::ScopeMissing => Never(NO_SCOPE),
        Trick::Replay
        | Trick::ReusedNonce
        | Trick::WrongDomain
        | Trick::AnotherTarget
        | Trick::Altered
        | Trick::Expired
        | Trick::Future
        | Trick::TooLong
        | Trick::OthersKey
        | Trick::RotatedKey
        | Trick::WeakKey
        | Trick::CutKey
        | Trick::PaddedKey
        | Trick::CutSignature
        | Trick::PaddedSignature
        | Trick::OtherS => Refused("unauthorized"),
    }
}

fn of_sign_in(trick: Trick) -> Cell {
    match trick {
        Trick::DoubleSubmit => One("unauthorized"),
        // No message of EIP-4361 has such an address.
        Trick::CutKey | Trick::PaddedKey => Refused("invalid"),
        Trick::TooLong => Never("a session lasts as long as the office says, or shorter"),
        Trick::RotatedKey => Never(NO_ROTATION),
        Trick::WeakKey => Never(NO_WEAK_ACCOUNT),
        Trick::ScopeMissing => Never(NO_SCOPE),
        Trick::Replay
        | Trick::ReusedNonce
        | Trick::WrongDomain
        | Trick::WrongChain
        | Trick::AnotherTarget
        | Trick::Altered
        | Trick::Expired
        | Trick::Future
        | Trick::OthersKey
        | Trick::CutSignature
        | Trick::PaddedSignature
        | Trick::OtherS => Refused("unauthorized"),
    }
}

fn of_registration(trick: Trick) -> Cell {
    match trick {
        // A key that was rotated away founds no agent.
        Trick::RotatedKey => Refused("conflict"),
        _ => of_statement(trick),
    }
}

fn of_registration_owner(trick: Trick) -> Cell {
    match trick {
        Trick::ReusedNonce => Never("the nonce of a registration is its key's"),
        _ => of_statement_owner(trick),
    }
}

fn of_statement(trick: Trick) -> Cell {
    match trick {
        Trick::DoubleSubmit => One("conflict"),
        Trick::Replay | Trick::ReusedNonce => Refused("conflict"),
        Trick::Altered | Trick::OthersKey | Trick::RotatedKey | Trick::OtherS => Refused("denied"),
        Trick::WrongDomain
        | Trick::AnotherTarget
        | Trick::Expired
        | Trick::Future
        | Trick::TooLong
        | Trick::WeakKey
        | Trick::CutKey
        | Trick::PaddedKey
        | Trick::CutSignature
        | Trick::PaddedSignature => Refused("invalid"),
        Trick::WrongChain => Never(NO_CHAIN),
        Trick::ScopeMissing => Never(NO_SCOPE),
    }
}

fn of_statement_owner(trick: Trick) -> Cell {
    match trick {
        Trick::DoubleSubmit => One("conflict"),
        Trick::Replay | Trick::ReusedNonce => Refused("conflict"),
        // Bytes of another length may be a contract's, of whom nobody can be asked here.
        Trick::WrongChain
        | Trick::Altered
        | Trick::OthersKey
        | Trick::CutSignature
        | Trick::PaddedSignature => Refused("denied"),
        Trick::WrongDomain
        | Trick::AnotherTarget
        | Trick::Expired
        | Trick::Future
        | Trick::TooLong
        | Trick::CutKey
        | Trick::PaddedKey
        | Trick::OtherS => Refused("invalid"),
        Trick::RotatedKey => Never(NO_ROTATION),
        Trick::WeakKey => Never(NO_WEAK_ACCOUNT),
        Trick::ScopeMissing => Never(NO_SCOPE),
    }
}

fn of_beat(trick: Trick) -> Cell {
    match trick {
        Trick::DoubleSubmit => One("conflict"),
        Trick::Replay => Refused("conflict"),
        Trick::Expired | Trick::Future | Trick::CutSignature | Trick::PaddedSignature => {
            Refused("invalid")
        }
        Trick::WrongDomain
        | Trick::AnotherTarget
        | Trick::Altered
        | Trick::OthersKey
        | Trick::RotatedKey
        | Trick::WeakKey
        | Trick::OtherS => Refused("denied"),
        // A beat names an agent, whose name is its key.
        Trick::CutKey | Trick::PaddedKey => Refused("not_found"),
        Trick::ReusedNonce => Never("a beat's time is its nonce"),
        Trick::TooLong => Never("a beat says when, and not until when"),
        Trick::WrongChain => Never(NO_CHAIN),
        Trick::ScopeMissing => Never(NO_SCOPE),
    }
}

/// The door reads what a transaction says of itself; the rest is its chain's to judge.
fn of_relay(trick: Trick) -> Cell {
    match trick {
        Trick::WrongChain | Trick::CutSignature | Trick::PaddedSignature | Trick::OtherS => {
            Refused("invalid")
        }
        Trick::ReusedNonce => Refused("conflict"),
        Trick::ScopeMissing => Refused("denied"),
        Trick::Replay | Trick::DoubleSubmit => Never(
            "the same transaction is the same however often it comes: its chain counts it once",
        ),
        Trick::WrongDomain | Trick::AnotherTarget => Never("a transaction is for a chain alone"),
        Trick::Altered | Trick::OthersKey => {
            Never("whoever signed a transaction is its sender, and pays for it")
        }
        Trick::Expired | Trick::Future | Trick::TooLong => Never("a transaction says no time"),
        Trick::CutKey | Trick::PaddedKey => Never("a transaction names no key"),
        Trick::RotatedKey => Never(NO_ROTATION),
        Trick::WeakKey => Never(NO_WEAK_ACCOUNT),
    }
}

/// Routes where what is brought is signed itself.
const SIGNED: [(&str, &str, &[Way]); 8] = [
    ("POST", "/v1/sessions", &[Way::SignIn]),
    (
        "POST",
        "/v1/agents",
        &[Way::Registration, Way::RegistrationOwner],
    ),
    (
        "POST",
        "/v1/agents/{agent}/statements",
        &[Way::Statement, Way::StatementOwner],
    ),
    ("POST", "/v1/agents/{agent}/heartbeat", &[Way::Beat]),
    ("POST", "/v1/heartbeats", &[Way::Beats]),
    ("GET", "/v1/agents/{agent}/ws", &[Way::Socket]),
    ("GET", "/v1/heartbeat", &[Way::Sockets]),
    ("POST", "/v1/transactions", &[Way::Relay]),
];

/// Routes that leave something behind, are everybody's, and where nothing is signed.
const UNSIGNED: [(&str, &str, &str); 1] = [(
    "POST",
    "/v1/sessions/nonce",
    "it gives what is to be signed",
)];

/// Routes that ask for a proof of the request itself: [`Way::ApiKey`] to [`Way::KeyRequest`] are tried on all of them.
fn proven() -> impl Iterator<Item = &'static Grant> {
    GRANTS.iter().filter(|grant| grant.who != Who::Everybody)
}

#[test]
fn every_signed_route_has_its_row() {
    let is_of =
        |grant: &Grant, method: &str, route: &str| grant.method == method && grant.route == route;
    for grant in GRANTS {
        if grant.who != Who::Everybody || grant.is_harmless() {
            continue;
        }
        let signed = SIGNED.iter().filter(|row| is_of(grant, row.0, row.1));
        let unsigned = UNSIGNED.iter().filter(|row| is_of(grant, row.0, row.1));
        let rows = signed.count() + unsigned.count();
        assert_eq!(rows, 1, "{} {}: who signs it?", grant.method, grant.route);
    }
    let rows = SIGNED.iter().map(|row| (row.0, row.1));
    for (method, route) in rows.chain(UNSIGNED.iter().map(|row| (row.0, row.1))) {
        let is_there = GRANTS.iter().any(|grant| is_of(grant, method, route));
        assert!(is_there, "{method} {route} is no route");
    }
    assert!(proven().count() > 10, "and those that ask for a proof");
    for (place, trick) in Trick::ALL.into_iter().enumerate() {
        assert_eq!(trick as usize, place, "each trick once: {trick:?}");
    }
    let ways = SIGNED.iter().flat_map(|(_, _, ways)| ways.iter().copied());
    for way in ways {
        let played = Trick::ALL.into_iter().map(|trick| cell(way, trick));
        let refused = played.filter(|cell| !matches!(cell, Never(_))).count();
        assert!(refused > 5, "{way:?}");
    }
}

/// The status of a code (RFC 9457 problems).
fn status_of(code: &str) -> u16 {
    match code {
        "invalid" => 400,
        "unauthorized" => 401,
        "denied" => 403,
        "not_found" => 404,
        "conflict" => 409,
        other => panic!("no refusal has the code {other}"),
    }
}

/// What no refusal holds: the database's words, and places in the sources or on the disk.
const INNER: [&str; 15] = [
    "SELECT ",
    "INSERT ",
    "UPDATE ",
    "DELETE FROM",
    "duplicate key",
    "violates",
    "relation \"",
    "sqlx",
    "ostgres",
    "identity.",
    "access.",
    "panicked",
    ".rs:",
    "/home/",
    "/src/",
];

/// Asserts that a text gives nothing away: nothing of what is inside, and no secret of `sent`.
fn leaks_nothing(instance: &Instance, what: &str, text: &str, sent: &[String]) {
    let dir = instance.app.data_dir.path().to_str().unwrap();
    let inner = INNER.into_iter().chain([dir, TOKEN]);
    let secrets = sent.iter().map(String::as_str);
    for word in inner.chain(secrets.filter(|secret| secret.len() > 8)) {
        assert!(!text.contains(word), "{what} tells of `{word}`: {text}");
    }
}

/// Asserts that an answer is a problem of this code, in its typed form, which gives nothing away.
fn is_refused(instance: &Instance, what: &str, answer: &Answer, code: &str, sent: &[String]) {
    let text = answer.text();
    assert_eq!(answer.status.as_u16(), status_of(code), "{what}: {text}");
    let kind = answer.header(header::CONTENT_TYPE);
    assert_eq!(kind, "application/problem+json", "{what}: {text}");
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-store", "{what}");
    let problem = answer.json();
    assert_eq!(problem["code"], code, "{what}: {text}");
    assert_eq!(problem["status"], status_of(code), "{what}: {text}");
    let kind = format!("urn:chancery:problem:{code}");
    assert_eq!(problem["type"], kind, "{what}: {text}");
    let fields = [
        "type",
        "title",
        "status",
        "detail",
        "code",
        "instance",
        "request_id",
    ];
    for field in problem.as_object().unwrap().keys() {
        assert!(fields.contains(&field.as_str()), "{what}: {field}");
    }
    for field in ["title", "detail"] {
        let words = problem[field].as_str().unwrap_or_default();
        assert!(words.len() > 5, "{what} says what is wrong: {text}");
    }
    leaks_nothing(instance, what, text, sent);
}

/// The same of one answer among many, or over a socket.
fn is_told_off(instance: &Instance, what: &str, told: &Value, code: &str, sent: &[String]) {
    assert_eq!(told["accepted"], false, "{what}: {told}");
    assert_eq!(told["code"], code, "{what}: {told}");
    let detail = told["detail"].as_str().unwrap_or_default();
    assert!(detail.len() > 5, "{what} says what is wrong: {told}");
    for field in told.as_object().unwrap().keys() {
        let fields = ["agent", "accepted", "code", "detail"];
        assert!(fields.contains(&field.as_str()), "{what}: {field}");
    }
    leaks_nothing(instance, what, &told.to_string(), sent);
}

/// The neutral point of Ed25519, as did:key: a key of small order.
const WEAK: &str = "did:key:z6MkeXATEjyXENzBXBxgC5EHk2JE5aqd7qMGGtDpLUH1e2Sj";

/// That key's bytes.
fn weak_key() -> [u8; 32] {
    let mut key = [0; 32];
    key[0] = 1;
    key
}

/// What lax libraries take for its signature, of whatever.
fn weak_signature() -> [u8; 64] {
    let mut signature = [0; 64];
    signature[0] = 1;
    signature
}

/// An Ed25519 signature with `s` and the group's order for `s`: lax libraries take both.
fn other_s(mut signature: [u8; 64]) -> [u8; 64] {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    signature
}

/// The order of secp256k1 less `s`.
fn other_s_of(s: &[u8]) -> [u8; 32] {
    let order = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let order: U256 = order.parse().unwrap();
    (order - U256::from_be_slice(s)).to_be_bytes::<32>()
}

/// A wallet's signature with its higher `s`: lax libraries find the same signer.
fn higher_s(signature: &[u8]) -> Vec<u8> {
    let [r, s] = [&signature[..32], &signature[32..64]];
    let parity = 27 + 28 - signature[64];
    [r, &other_s_of(s), &[parity]].concat()
}

/// An Ed25519 signature, changed as the trick has it.
fn changed(trick: Option<Trick>, signature: [u8; 64]) -> Vec<u8> {
    match trick {
        Some(Trick::CutSignature) => signature[..63].to_vec(),
        Some(Trick::PaddedSignature) => [&signature[..], &[0]].concat(),
        Some(Trick::OtherS) => other_s(signature).to_vec(),
        Some(Trick::WeakKey) => weak_signature().to_vec(),
        _ => signature.to_vec(),
    }
}

/// A wallet's, changed as the trick has it.
fn changed_of_wallet(trick: Option<Trick>, signature: &[u8]) -> Vec<u8> {
    match trick {
        Some(Trick::CutSignature) => signature[..64].to_vec(),
        Some(Trick::PaddedSignature) => [signature, &[0]].concat(),
        Some(Trick::OtherS) => higher_s(signature),
        _ => signature.to_vec(),
    }
}

/// `ed25519:` and base64, as agents write signatures.
fn wire(signature: &[u8]) -> String {
    format!("ed25519:{}", STANDARD.encode(signature))
}

/// A key or an account, changed as the trick has it.
fn named(trick: Option<Trick>, name: &str) -> String {
    match trick {
        Some(Trick::CutKey) => name[..name.len() - 1].to_owned(),
        Some(Trick::PaddedKey) => format!("{name}1"),
        Some(Trick::WeakKey) => WEAK.to_owned(),
        _ => name.to_owned(),
    }
}
