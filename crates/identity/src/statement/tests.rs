//! Bytes, form, time and signatures; what is recorded is tested where there is a database
//! (`indexer/tests/sequences`, `tests/http`).

use std::collections::{BTreeMap, HashMap};

use chain::{PrivateKeySigner, key as wallet};
use did::ed25519::{self, SecretKey};
use kernel::Kind;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    authority::{Case, Standing},
    *,
};
use crate::key::KeyRow;

const ORIGIN: &str = "chancery.local/0123456789abcdef";
const NOW: i64 = 1_790_000_100;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn alice() -> PrivateKeySigner {
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
        .parse()
        .expect("a key")
}

fn account(chain: u64) -> String {
    format!("eip155:{chain}:{:#x}", alice().address())
}

fn statement(action: Action, content: &str) -> Statement {
    Statement {
        action,
        agent: key(1).public().did(),
        content: content.to_owned(),
        sequence: 1,
        nonce: Nonce([7; 16]),
        issued: 1_790_000_000,
        expires: 1_790_003_600,
        origin: ORIGIN.to_owned(),
    }
}

fn by_key(statement: &Statement, seed: u8) -> Offered {
    let key = key(seed);
    Offered {
        by: key.public().did(),
        signature: ed25519::signature_wire(&key.sign(&statement.key_bytes())),
    }
}

fn by_alice(statement: &Statement, chain: u64) -> Offered {
    let signature = wallet::sign(&alice(), statement.digest(chain)).expect("signed");
    Offered {
        by: account(chain),
        signature: kernel::hex_0x(&signature),
    }
}

async fn judged(statement: Statement, signatures: Vec<Offered>) -> Result<Signed> {
    let now = DateTime::from_timestamp(NOW, 0).expect("a time");
    let submission = Submission {
        statement,
        signatures,
    };
    verify(submission, ORIGIN, now, &BTreeMap::new()).await
}

/// What is refused, and how.
async fn refused(statement: Statement, signatures: Vec<Offered>) -> (Kind, String) {
    let error = judged(statement, signatures).await.expect_err("refused");
    (error.kind(), error.to_string())
}

#[test]
fn a_statement_has_these_bytes() {
    let text = include_str!("../../../../tests/vectors/chain/typed-statement.json");
    let vector: Value = serde_json::from_str(text).expect("json");
    let message = &vector["message"];
    let statement: Statement = serde_json::from_value(json!({
        "action": message["action"],
        "agent": message["agent"],
        "content": message["content"],
        "sequence": message["sequence"],
        "nonce": message["nonce"].as_str().expect("text")[2..],
        "issued": message["issued"].as_str().expect("text").parse::<i64>().expect("a number"),
        "expires": message["expires"].as_str().expect("text").parse::<i64>().expect("a number"),
        "origin": vector["origin"],
    }))
    .expect("a statement");
    assert_eq!(statement.digest(31_337).to_string(), vector["digest"]);
    assert_eq!(
        String::from_utf8(statement.key_bytes()).expect("text"),
        "chancery statement v1\n\
         {\"action\":\"register\",\"agent\":\"did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH\",\
         \"content\":\"{\\\"name\\\":\\\"Käthe\\\"}\",\"expires\":1790003600,\"issued\":1790000000,\
         \"nonce\":\"000102030405060708090a0b0c0d0e0f\",\"origin\":\"chancery.local/0123456789abcdef\",\
         \"sequence\":\"1\"}"
    );
    let back = Statement::from_key_bytes(&statement.key_bytes());
    assert_eq!(back.as_ref(), Some(&statement));
    assert_eq!(
        serde_json::to_value(&statement).expect("json"),
        statement.json()
    );
}

#[tokio::test]
async fn those_who_have_to_sign_do() {
    let register = statement(Action::Register, r#"{"name":"Ada"}"#);
    let signed = judged(register.clone(), vec![by_key(&register, 1)]).await;
    assert_eq!(
        signed.expect("by the key").signer().to_string(),
        key(1).public().did()
    );
    // The owner may be named first: the key's nonce is the one that is used up.
    let both = vec![by_alice(&register, 5), by_key(&register, 1)];
    let signed = judged(register.clone(), both).await.expect("by both");
    assert_eq!(signed.signer().to_string(), key(1).public().did());
    assert_eq!(signed.checked()[&account(5)], json!({ "by": "key" }));

    let rotate = statement(
        Action::Rotate,
        &format!(r#"{{"key":"{}"}}"#, key(2).public().did()),
    );
    for both in [
        vec![by_key(&rotate, 1), by_key(&rotate, 2)],
        vec![by_key(&rotate, 2), by_key(&rotate, 1)],
    ] {
        let signed = judged(rotate.clone(), both).await.expect("by both");
        assert_eq!(
            signed.signer().to_string(),
            key(1).public().did(),
            "the old key"
        );
    }
    let claim = statement(
        Action::Claim,
        r#"{"token":"eip155:1:0x8004a169fb4a3325136eb29fa0ceb6d2e539a432/7"}"#,
    );
    let both = vec![by_key(&claim, 1), by_alice(&claim, 1)];
    judged(claim, both).await.expect("by both");
    for (action, content) in [
        (Action::Update, r#"{"summary":null}"#),
        (Action::Status, r#"{"load":"BUSY","status":"SLEEP"}"#),
        (Action::Transfer, r#"{"owner":null}"#),
        (Action::Deregister, "{}"),
    ] {
        let one = statement(action, content);
        judged(one.clone(), vec![by_key(&one, 1)])
            .await
            .expect("by the key");
        judged(one.clone(), vec![by_alice(&one, 1)])
            .await
            .expect("by the owner");
    }
}

#[tokio::test]
async fn who_has_not_to_sign_or_did_not_is_refused() {
    let register = statement(Action::Register, r#"{"name":"Ada"}"#);
    let (kind, why) = refused(register.clone(), vec![]).await;
    assert_eq!(
        (kind, why.as_str()),
        (Kind::Invalid, "signatures: one or two")
    );
    let three = vec![by_key(&register, 1); 3];
    assert_eq!(refused(register.clone(), three).await.0, Kind::Invalid);
    let (kind, why) = refused(register.clone(), vec![by_alice(&register, 1)]).await;
    assert_eq!(kind, Kind::Invalid);
    assert!(
        why.contains("register is signed by the agent's key"),
        "{why}"
    );
    let (kind, why) = refused(register.clone(), vec![by_key(&register, 2)]).await;
    assert_eq!(kind, Kind::Invalid);
    assert!(why.contains("names the key that signs it"), "{why}");

    // Another key's signature under this key's name, and this key's over something else.
    let mut forged = by_key(&register, 2);
    forged.by = key(1).public().did();
    assert_eq!(
        refused(register.clone(), vec![forged]).await.0,
        Kind::Denied
    );
    let other = statement(Action::Register, r#"{"name":"Eve"}"#);
    let moved = by_key(&other, 1);
    assert_eq!(refused(register.clone(), vec![moved]).await.0, Kind::Denied);

    // Signed for another chain: as if somebody else had signed.
    let mut moved = by_alice(&register, 1);
    moved.by = account(5);
    let both = vec![by_key(&register, 1), moved];
    assert_eq!(refused(register.clone(), both).await.0, Kind::Denied);
    for signature in ["", "0x", "zz", "0x00", &"0x00".repeat(2)] {
        let offered = Offered {
            by: account(1),
            signature: signature.to_owned(),
        };
        let both = vec![by_key(&register, 1), offered];
        let (kind, _) = refused(register.clone(), both).await;
        assert!(matches!(kind, Kind::Invalid | Kind::Denied), "{signature}");
    }
    for by in [
        "",
        "did:key:",
        "did:web:example.com",
        "eip155:1:0x12",
        "0x12",
        "eip155:01:0x1",
    ] {
        let offered = Offered {
            by: by.to_owned(),
            signature: "0x00".to_owned(),
        };
        assert_eq!(
            refused(register.clone(), vec![offered]).await.0,
            Kind::Invalid,
            "{by}"
        );
    }
    // Truncated, padded, of small order.
    let padded = format!("{}=", by_key(&register, 1).signature);
    for signature in [padded.as_str(), &"00".repeat(63), &"00".repeat(65)] {
        let offered = Offered {
            by: key(1).public().did(),
            signature: signature.to_owned(),
        };
        assert_eq!(
            refused(register.clone(), vec![offered]).await.0,
            Kind::Invalid
        );
    }
    let rotate = statement(
        Action::Rotate,
        &format!(r#"{{"key":"{}"}}"#, key(2).public().did()),
    );
    let stranger = vec![by_key(&rotate, 1), by_key(&rotate, 3)];
    let (kind, why) = refused(rotate.clone(), stranger).await;
    assert_eq!(kind, Kind::Denied);
    assert!(why.contains("did not sign"), "{why}");
    let twice = vec![by_key(&rotate, 2), by_key(&rotate, 2)];
    assert_eq!(refused(rotate, twice).await.0, Kind::Invalid);
}

#[tokio::test]
async fn office_and_time_are_part_of_it() {
    type Change = fn(&mut Statement);
    let valid = statement(Action::Register, r#"{"name":"Ada"}"#);
    let cases: [(&str, Change); 6] = [
        ("origin", |s| s.origin = "chancery.local/another".to_owned()),
        ("expires", |s| s.expires = NOW),
        ("expires", |s| s.expires = s.issued),
        ("expires", |s| s.expires = s.issued + 3_601),
        ("issued", |s| {
            s.issued = NOW + 61;
            s.expires = NOW + 100;
        }),
        ("expires", |s| {
            s.issued = i64::MIN;
            s.expires = i64::MAX;
        }),
    ];
    for (field, change) in cases {
        let mut changed = valid.clone();
        change(&mut changed);
        let signatures = vec![by_key(&changed, 1)];
        let (kind, why) = refused(changed, signatures).await;
        assert_eq!(kind, Kind::Invalid);
        assert!(why.starts_with(field), "{field}: {why}");
    }
    let mut edge = valid;
    edge.issued = NOW + 60;
    edge.expires = NOW + 3_660;
    let signatures = vec![by_key(&edge, 1)];
    judged(edge, signatures).await.expect("clocks differ");
}

#[tokio::test]
async fn contents_are_read_strictly() {
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(256));
    for (action, content, why) in [
        (Action::Register, "{}", "name"),
        (Action::Register, "[]", "object"),
        (Action::Register, r#"{"description":"x"}"#, "name"),
        (Action::Register, r#"{"name":""}"#, "name"),
        (Action::Register, r#"{"name":null}"#, "name"),
        (Action::Register, long.as_str(), "name"),
        (Action::Register, r#"{"did":"did:key:z","name":"A"}"#, "did"),
        (
            Action::Register,
            r#"{"name":"A","owner_address":"0x"}"#,
            "owner_address",
        ),
        (Action::Register, r#"{"name":"A","ttl":0}"#, "ttl"),
        (Action::Register, r#"{"name":"A","ttl":1.5}"#, "float"),
        (
            Action::Register,
            r#"{"metadata":[],"name":"A"}"#,
            "metadata",
        ),
        (
            Action::Register,
            r#"{"capabilities":{"":1},"name":"A"}"#,
            "capabilities",
        ),
        (Action::Register, r#"{"name":"A","x":"\u0000"}"#, "U+0000"),
        (Action::Register, r#"{ "name":"A"}"#, r#"{"name":"A"}"#),
        (Action::Update, "{}", "says nothing"),
        (Action::Status, "{}", "status or load"),
        (Action::Status, r#"{"status":"sleep"}"#, "status"),
        (Action::Status, r#"{"load":"IDLE"}"#, "load"),
        (
            Action::Status,
            r#"{"reason":"","status":"SLEEP"}"#,
            "reason",
        ),
        (Action::Rotate, r#"{"key":"z"}"#, "key"),
        (Action::Rotate, "{}", "key"),
        (Action::Transfer, "{}", "owner"),
        (
            Action::Transfer,
            r#"{"owner":"0x0000000000000000000000000000000000000000"}"#,
            "zero",
        ),
        (Action::Transfer, r#"{"owner":"vitalik.eth"}"#, "owner"),
        (
            Action::Transfer,
            r#"{"owner":"0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"}"#,
            "EIP-55",
        ),
        (
            Action::Transfer,
            r#"{"owner":"eip155:1:0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"}"#,
            "EIP-55",
        ),
        (Action::Deregister, r#"{"why":"x"}"#, "why"),
        (Action::Claim, r#"{"token":"1:7"}"#, "token"),
    ] {
        let wrong = statement(action, content);
        let signatures = vec![by_key(&wrong, 1)];
        let (kind, said) = refused(wrong, signatures).await;
        assert_eq!(kind, Kind::Invalid, "{content}");
        assert!(said.contains(why), "{content}: {said}");
    }
    let mut wrong = statement(Action::Deregister, "{}");
    wrong.sequence = 0;
    assert!(
        refused(wrong.clone(), vec![by_key(&wrong, 1)])
            .await
            .1
            .starts_with("sequence")
    );
    wrong.sequence = u64::MAX;
    assert!(
        refused(wrong.clone(), vec![by_key(&wrong, 1)])
            .await
            .1
            .starts_with("sequence")
    );
    let mut wrong = statement(Action::Deregister, "{}");
    wrong.agent.push('\0');
    assert!(
        refused(wrong.clone(), vec![by_key(&wrong, 1)])
            .await
            .1
            .starts_with("agent")
    );
    let mut wrong = statement(Action::Deregister, "{}");
    wrong.content = format!("{{\"reason\":\"{}\"}}", "x".repeat(MOST_CONTENT));
    assert!(
        refused(wrong.clone(), vec![by_key(&wrong, 1)])
            .await
            .1
            .starts_with("content")
    );
}

#[test]
fn fields_have_one_form() {
    let valid = statement(Action::Deregister, "{}").json();
    for (field, value) in [
        ("sequence", json!(1)),
        ("sequence", json!("01")),
        ("sequence", json!("+1")),
        ("sequence", json!("")),
        ("nonce", json!("07")),
        ("nonce", json!("0A".repeat(16))),
        ("issued", json!("1")),
        ("action", json!("REGISTER")),
        ("more", json!(1)),
    ] {
        let mut wrong = valid.clone();
        wrong[field] = value;
        assert!(
            serde_json::from_value::<Statement>(wrong).is_err(),
            "{field}"
        );
    }
}

proptest! {
    #[test]
    fn no_content_makes_the_reader_panic(text in ".{0,200}", action in 0usize..7) {
        let mut any = statement(Action::ALL[action], "{}");
        any.content = text;
        let _ = any.check();
    }

    #[test]
    fn bytes_are_read_back(agent in "[^\0]{1,40}", sequence in 1u64.., nonce: [u8; 16], issued: i64) {
        let any = Statement {
            agent,
            sequence,
            nonce: Nonce(nonce),
            issued,
            ..statement(Action::Status, "{}")
        };
        prop_assert_eq!(Statement::from_key_bytes(&any.key_bytes()), Some(any));
    }
}

/// Else whoever has a key for an hour says the last number that there is, and nobody ever says more of that agent.
#[tokio::test]
async fn a_sequence_leaves_room_for_those_after_it() {
    let decided = async |last: i64, given: u64| {
        let mut said = statement(Action::Deregister, "{}");
        said.sequence = given;
        let by = vec![by_key(&said, 1)];
        let signed = judged(said, by).await.expect("signed");
        let agent = kernel::AgentId::of_did(&key(1).public().did()).0;
        let mine = KeyRow { agent, until: None };
        let keys = HashMap::from([(key(1).public().to_bytes(), mine)]);
        let standing = Standing {
            exists: true,
            sequence: last,
            ..Standing::default()
        };
        let case = Case {
            signed: &signed,
            agent,
            standing: &standing,
            keys: &keys,
            claimed: None,
            now: DateTime::from_timestamp(NOW, 0).expect("a time"),
        };
        case.decide().map(drop).map_err(|error| error.to_string())
    };
    let last = i64::MAX.unsigned_abs();
    for (before, given, why) in [
        (7, 7, "not above"),
        (7, 6, "not above"),
        (0, MOST_GAP + 1, "2^32"),
        (7, MOST_GAP + 8, "2^32"),
        (7, last, "2^32"),
    ] {
        let said = decided(before, given).await.expect_err("refused");
        assert!(
            said.contains(why) && said.contains(&format!(", {before}")),
            "{said}"
        );
    }
    for (before, given) in [
        (0, 1),
        (0, MOST_GAP),
        (7, 8),
        (7, MOST_GAP + 7),
        (i64::MAX - 1, last),
    ] {
        assert_eq!(decided(before, given).await, Ok(()), "{before} {given}");
    }
}
