//! Bundles of a log that lies: it signs whatever it likes, but has nobody's key but its own.

use ::journal::{
    Change, Entry, EntryKind,
    checkpoint::Checkpoint,
    note::{Note, SignatureLine},
    tree::{leaf_hash, node_hash},
    vkey::VerifierKey,
};
use chrono::DateTime;
use did::ed25519::{self, SecretKey};
use ed25519_dalek::{Signer as _, SigningKey};
use identity::statement::{Action, COLUMN, Nonce, Right, Statement, canonical};
use kernel::{AgentId, Bytes};
use serde_json::{Value, json};

use super::{
    super::{
        file::{self, File, Wrong},
        parts::{EntryProof, Journal, Row, RowField, Subject},
    },
    Report, check,
};

const LOG: &str = "example.com/log";

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn did(seed: u8) -> String {
    key(seed).public().did()
}

/// The agent that the first key founds.
fn agent() -> AgentId {
    AgentId::of_did(&did(1))
}

/// What the key of this seed signs about the agent.
fn evidence(action: Action, sequence: u64, content: &Value, seed: u8, origin: &str) -> Value {
    let statement = Statement {
        action,
        agent: did(1),
        content: canonical::write(content),
        sequence,
        nonce: Nonce([7; 16]),
        issued: 1_790_000_000,
        expires: 1_790_003_600,
        origin: origin.to_owned(),
    };
    let signature = key(seed).sign(&statement.key_bytes());
    let signature = json!({ "by": did(seed), "signature": ed25519::signature_wire(&signature) });
    json!({ "statement": statement.json(), "signatures": [signature] })
}

fn update(seed: u8) -> Value {
    evidence(Action::Update, 2, &json!({ "summary": "files" }), seed, LOG)
}

/// The bytes of an entry that holds a statement and says one column because of it.
fn entry(serial: u64, evidence: Value, column: &str, value: &str) -> Vec<u8> {
    let change = |column: &str, value: Value| Change {
        column: column.to_owned(),
        value,
        cause: format!("statement:{serial}"),
        time: DateTime::UNIX_EPOCH,
    };
    let entry = Entry {
        kind: EntryKind::Agent,
        agent: Some(agent()),
        time: DateTime::UNIX_EPOCH,
        changes: vec![change(COLUMN, evidence), change(column, json!(value))],
        said: Vec::new(),
        prev: None,
    };
    entry.encode().expect("encodes")
}

/// A bundle whose log holds the agent's founding and this entry, and the row that follows.
fn bundle(second: Vec<u8>, summary: &str) -> Vec<u8> {
    let name = json!({ "name": "Ada" });
    let founding = evidence(Action::Register, 1, &name, 1, LOG);
    let bodies = [entry(1, founding, "name", "Ada"), second];
    let leaves = [leaf_hash(&bodies[0]), leaf_hash(&bodies[1])];
    let signer = SigningKey::from_bytes(&[7; 32]);
    let vkey = VerifierKey::new(LOG, signer.verifying_key()).expect("a name");
    let head = Checkpoint {
        origin: LOG.to_owned(),
        size: 2,
        root: node_hash(&leaves[0], &leaves[1]),
        extensions: Vec::new(),
    };
    let text = head.to_string();
    let line = SignatureLine {
        name: LOG.to_owned(),
        id: vkey.id(),
        signature: signer.sign(text.as_bytes()).to_bytes().to_vec(),
    };
    let note = Note::new(text, vec![line]).expect("a note");
    let proof = |index: usize| EntryProof {
        index: index as u64,
        body: bodies[index].clone().into(),
        path: vec![Bytes::copy_from_slice(&leaves[1 - index])],
    };
    let journal = Journal {
        vkey: vkey.to_string(),
        checkpoint: note.to_string(),
        entries: vec![proof(0), proof(1)],
        manifest: None,
    };
    let id = agent().to_string();
    let subject = Subject {
        agent: id.clone(),
        token: None,
    };
    let by_journal = vec!["journal".to_owned()];
    let field = |name: &str, value: &str, rests_on: &[String]| {
        RowField(name.to_owned(), Some(value.to_owned()), rests_on.to_vec())
    };
    let row = Row {
        fields: vec![
            field("id", &id, &[]),
            field("name", "Ada", &by_journal),
            field("summary", summary, &by_journal),
        ],
    };
    let mut file = File::default();
    file.put(file::SUBJECT, &subject);
    file.put(file::JOURNAL, &journal);
    file.put(file::ROW, &row);
    file.encode()
}

fn checked(second: Vec<u8>, summary: &str) -> Result<Report, Wrong> {
    check(&bundle(second, summary), None)
}

/// Which fields are signed by whoever may.
fn signed(report: &Report) -> Vec<&str> {
    let fields = report.fields.iter().filter(|field| field.signed);
    fields.map(|field| field.name.as_str()).collect()
}

#[test]
fn what_an_agents_key_signed_is_told_from_what_the_log_says() {
    let report = checked(entry(2, update(1), "summary", "files"), "files");
    let report = report.expect("verifies");
    assert_eq!(signed(&report), ["name", "summary"]);
    let rights = report.statements.iter().flat_map(|one| &one.by);
    let rights: Vec<_> = rights.map(|one| one.right).collect();
    assert_eq!(rights, [Some(Right::Key); 2]);
    let mut steps = report.steps.iter().map(|step| step.says.as_str());
    let says = format!(
        "statement:2, update, is signed by {}, the agent's key",
        did(1)
    );
    assert!(steps.any(|step| step == says), "{:?}", report.steps);
    // Another key says who it is, and nobody else.
    let report = checked(entry(2, update(2), "summary", "files"), "files");
    let report = report.expect("verifies");
    assert_eq!(signed(&report), ["name"]);
    assert_eq!(report.statements[1].by[0].by, did(2));
    assert_eq!(report.statements[1].by[0].right, None);
    // Nor is anything signed that no statement says.
    let report = checked(entry(2, update(1), "category", "files"), "files");
    assert!(report.is_err(), "the row's summary rests on nothing then");
}

#[test]
fn a_log_puts_no_words_into_anybodys_mouth() {
    let mut altered = update(1);
    altered["statement"]["content"] = json!(r#"{"summary":"bribes"}"#);
    let content = json!({ "summary": "files" });
    let elsewhere = evidence(Action::Update, 2, &content, 1, "another.office");
    let again = evidence(Action::Register, 1, &json!({ "name": "Ada" }), 1, LOG);
    for (second, why) in [
        (entry(2, altered, "summary", "bribes"), "is not did:key:"),
        (
            entry(2, update(1), "summary", "bribes"),
            "something else than the entry",
        ),
        (entry(2, elsewhere, "summary", "bribes"), "another.office"),
        (entry(2, again, "summary", "bribes"), "statement:1, too"),
        (
            entry(2, json!("signed"), "summary", "bribes"),
            "no statement",
        ),
    ] {
        let wrong = checked(second, "bribes").expect_err(why);
        assert_eq!(wrong.part, file::JOURNAL);
        assert!(
            wrong.why.starts_with("entry 2 of 2: ") && wrong.why.contains(why),
            "{wrong}"
        );
    }
    // Not a byte of what was signed, or of the signature.
    let body = entry(2, update(1), "summary", "files");
    let said = kernel::to_dag_cbor(&update(1)).expect("encodes");
    let mut places = body.windows(said.len());
    let start = places.position(|window| window == said).expect("there");
    for at in start..start + said.len() {
        let mut flipped = body.clone();
        flipped[at] ^= 1 << (at % 8);
        let wrong = checked(flipped, "files").expect_err("flipped");
        assert_eq!(wrong.part, file::JOURNAL, "byte {at}");
    }
}
