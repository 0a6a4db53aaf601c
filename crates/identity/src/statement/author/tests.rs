use chain::{PrivateKeySigner, key as wallet};
use chrono::DateTime;
use did::ed25519::{self, SecretKey};
use serde_json::json;

use super::*;
use crate::statement::{Nonce, canonical};

const ORIGIN: &str = "chancery.local/0123456789abcdef";

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn did(seed: u8) -> String {
    key(seed).public().did()
}

fn wallet_of(seed: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_slice(&[seed; 32]).expect("a key")
}

fn account(seed: u8) -> String {
    format!("eip155:1:{:#x}", wallet_of(seed).address())
}

/// Who signs.
#[derive(Clone, Copy)]
enum By {
    Key(u8),
    Wallet(u8),
}

impl By {
    fn sign(self, statement: &Statement) -> Value {
        match self {
            Self::Key(seed) => {
                let signature = key(seed).sign(&statement.key_bytes());
                json!({ "by": did(seed), "signature": ed25519::signature_wire(&signature) })
            }
            Self::Wallet(seed) => {
                let signature = wallet::sign(&wallet_of(seed), statement.digest(1));
                let signature = kernel::hex_0x(&signature.expect("signed"));
                json!({ "by": account(seed), "signature": signature, "checked": { "by": "key" } })
            }
        }
    }
}

/// A statement about the agent of the first key.
fn statement(action: Action, sequence: u64, content: &Value) -> Statement {
    Statement {
        action,
        agent: did(1),
        content: canonical::write(content),
        sequence,
        nonce: Nonce([7; 16]),
        issued: 1_790_000_000,
        expires: 1_790_003_600,
        origin: ORIGIN.to_owned(),
    }
}

fn evidence(statement: &Statement, by: &[By]) -> Value {
    let signatures: Vec<Value> = by.iter().map(|by| by.sign(statement)).collect();
    json!({ "statement": statement.json(), "signatures": signatures })
}

/// An entry that says these columns because of a statement.
fn entry(serial: u64, evidence: Value, said: &[(&str, Value)]) -> Entry {
    let change = |column: &str, value: Value| Change {
        column: column.to_owned(),
        value,
        cause: format!("statement:{serial}"),
        time: DateTime::UNIX_EPOCH,
    };
    let mut changes = vec![change(COLUMN, evidence)];
    let said = said.iter();
    changes.extend(said.map(|(column, value)| change(column, value.clone())));
    Entry {
        kind: EntryKind::Agent,
        agent: Some(AgentId::of_did(&did(1))),
        time: DateTime::UNIX_EPOCH,
        changes,
        said: Vec::new(),
        prev: None,
    }
}

fn authors() -> Authors {
    Authors::new(AgentId::of_did(&did(1)), ORIGIN, None)
}

fn rights(spoken: &[Spoken]) -> Vec<Option<Right>> {
    let speakers = spoken.iter().flat_map(|one| &one.by);
    speakers.map(|one| one.right).collect()
}

#[test]
fn who_may_speak_follows_from_the_key_that_founded_the_agent() {
    let mut authors = authors();
    let content = json!({ "name": "Ada", "metadata": { "b": 1, "a": [true] } });
    let register = statement(Action::Register, 1, &content);
    let metadata = kernel::sha256(br#"{"a":[true],"b":1}"#);
    let owner = format!("{:#x}", wallet_of(5).address());
    let founding = entry(
        1,
        evidence(&register, &[By::Key(1), By::Wallet(5)]),
        &[
            ("did", json!(did(1))),
            ("metadata", json!({ "sha256": hex::encode(metadata) })),
            ("name", json!("Ada")),
            ("owner_address", json!(owner)),
            ("runtime_status", json!("ACTIVE")),
        ],
    );
    let spoken = authors.take(&founding).expect("verifies");
    assert_eq!(rights(&spoken), [Some(Right::Key), Some(Right::Owner)]);
    let mut follow = founding.changes[1..].iter();
    assert!(follow.all(|change| authors.signed(change)));

    let (key, new, owner) = (Some(Right::Key), Some(Right::NewKey), Some(Right::Owner));
    let update = json!({ "summary": "a" });
    let to = |seed| json!({ "owner": account(seed) });
    let cases = [
        (
            Action::Update,
            update.clone(),
            vec![By::Wallet(5)],
            vec![owner],
        ),
        (
            Action::Update,
            update.clone(),
            vec![By::Wallet(6)],
            vec![None],
        ),
        (
            Action::Rotate,
            json!({ "key": did(2) }),
            vec![By::Key(1), By::Key(2)],
            vec![key, new],
        ),
        (Action::Update, update.clone(), vec![By::Key(1)], vec![None]),
        (Action::Update, update.clone(), vec![By::Key(2)], vec![key]),
        (Action::Transfer, to(6), vec![By::Wallet(5)], vec![owner]),
        (
            Action::Update,
            update.clone(),
            vec![By::Wallet(5)],
            vec![None],
        ),
        (
            Action::Update,
            update.clone(),
            vec![By::Wallet(6)],
            vec![owner],
        ),
        // Its key does not give away what has an owner.
        (Action::Transfer, to(7), vec![By::Key(2)], vec![None]),
        (Action::Update, update, vec![By::Wallet(7)], vec![None]),
    ];
    for (serial, (action, content, by, wanted)) in (2..).zip(cases) {
        let said = statement(action, serial, &content);
        let entry = entry(serial, evidence(&said, &by), &[("summary", json!("a"))]);
        let spoken = authors.take(&entry).expect("verifies");
        assert_eq!(rights(&spoken), wanted, "{serial}");
        let signed = authors.signed(&entry.changes[1]);
        let meant = action == Action::Update && wanted[0].is_some();
        assert_eq!(signed, meant, "{serial}");
    }
}

#[test]
fn what_was_not_signed_is_refused() {
    let update = statement(Action::Update, 2, &json!({ "summary": "a" }));
    let right = evidence(&update, &[By::Key(1)]);
    let altered = |place: &str, value: Value| {
        let mut altered = right.clone();
        *altered.pointer_mut(place).expect("there") = value;
        altered
    };
    let elsewhere = Statement {
        origin: "another.office".to_owned(),
        ..update.clone()
    };
    let rotate = statement(Action::Rotate, 2, &json!({ "key": did(2) }));
    let mut not_his = evidence(&update, &[By::Wallet(5)]);
    not_his["signatures"][0]["by"] = json!(account(6));
    for (evidence, why) in [
        (
            altered("/statement/content", json!(r#"{"summary":"b"}"#)),
            "is not did:key:",
        ),
        (
            altered("/statement/expires", json!(1_790_003_601)),
            "is not did:key:",
        ),
        (
            altered("/signatures/0/by", json!(did(2))),
            "is not did:key:",
        ),
        (altered("/signatures", json!([])), "one or two"),
        (altered("/statement", Value::Null), "no statement"),
        (altered("/statement/content", json!("{ }")), "canonical"),
        (not_his, "is not 0x"),
        (evidence(&elsewhere, &[By::Key(1)]), "another.office"),
        (evidence(&rotate, &[By::Key(1)]), "signed by"),
        (Value::Null, "no statement"),
    ] {
        let error = authors().take(&entry(2, evidence, &[])).expect_err(why);
        let error = error.to_string();
        assert!(
            error.starts_with("statement:2: ") && error.contains(why),
            "{error}"
        );
    }
    let signature = right["signatures"][0]["signature"].as_str().expect("text");
    let signature = ed25519::parse_signature(signature).expect("a signature");
    for bit in 0..8 * signature.len() {
        let mut flipped = signature;
        flipped[bit / 8] ^= 1 << (bit % 8);
        let flipped = json!(ed25519::signature_wire(&flipped));
        let entry = entry(2, altered("/signatures/0/signature", flipped), &[]);
        assert!(authors().take(&entry).is_err(), "bit {bit}");
    }
    // What the entry makes of it, and the same statement told twice.
    let other = entry(2, right.clone(), &[("summary", json!("b"))]);
    let error = authors().take(&other).expect_err("another value");
    assert!(error.to_string().contains("something else"), "{error}");
    let mut authors = authors();
    let beside = entry(2, right.clone(), &[("category", json!("b"))]);
    authors.take(&beside).expect("verifies");
    assert!(!authors.signed(&beside.changes[1]), "it says no such thing");
    authors.take(&beside).expect("the same entry's word again");
    let error = authors.take(&entry(3, right, &[])).expect_err("a replay");
    assert!(error.to_string().contains("statement:2"), "{error}");
}

#[test]
fn a_contracts_signature_is_the_logs_word() {
    let register = statement(Action::Register, 1, &json!({ "name": "Ada" }));
    let hash = B256::repeat_byte(9);
    let mut both = evidence(&register, &[By::Key(1), By::Wallet(5)]);
    both["signatures"][1]["signature"] = json!("0x1234");
    let owner = json!(format!("{:#x}", wallet_of(5).address()));
    let said = [("name", json!("Ada")), ("owner_address", owner)];
    let error = authors().take(&entry(1, both.clone(), &said));
    assert!(error.is_err(), "no key made it, and no contract is named");
    both["signatures"][1]["checked"] = json!({ "by": "contract", "block": 7, "block_hash": hash });
    let mut authors = authors();
    let founding = entry(1, both, &said);
    let spoken = authors.take(&founding).expect("verifies");
    assert_eq!(rights(&spoken), [Some(Right::Key), None]);
    assert_eq!(spoken[0].by[1].contract, Some(AskedAt { block: 7, hash }));
    assert!(
        authors.signed(&founding.changes[1]),
        "the key says the name"
    );
    assert!(!authors.signed(&founding.changes[2]), "and no owner");
    // Who is only said to be the owner does not become it by a signature of his own.
    let update = statement(Action::Update, 2, &json!({ "summary": "a" }));
    let update = entry(2, evidence(&update, &[By::Wallet(5)]), &[]);
    assert_eq!(rights(&authors.take(&update).expect("verifies")), [None]);
}

#[test]
fn a_statement_speaks_of_whom_it_names() {
    let mut of_another = statement(Action::Update, 1, &json!({ "summary": "a" }));
    of_another.agent = did(9);
    let entry_of = |statement: &Statement, by| entry(1, evidence(statement, &[by]), &[]);
    let entry = entry_of(&of_another, By::Key(1));
    let spoken = authors().take(&entry).expect("verifies");
    assert_eq!(rights(&spoken), [None], "of another agent of the same key");

    let token: Token = "eip155:1:0x8004a169fb4a3325136eb29fa0ceb6d2e539a432/7"
        .parse()
        .expect("a token");
    let mut of_token = of_another;
    for (name, by, right) in [
        (token.did(), By::Wallet(5), Some(Right::Owner)),
        (token.to_string(), By::Wallet(5), Some(Right::Owner)),
        (token.did(), By::Wallet(6), None),
        (token.did(), By::Key(1), None),
        (token.short(), By::Wallet(5), None),
    ] {
        of_token.agent = name;
        let owner = wallet_of(5).address();
        let mut authors = Authors::new(AgentId::of_token(&token), ORIGIN, Some(owner));
        let spoken = authors.take(&entry_of(&of_token, by)).expect("verifies");
        assert_eq!(rights(&spoken), [right], "{}", of_token.agent);
    }
}
