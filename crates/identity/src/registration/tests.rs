//! The parser against hand-made faults, and against every real file that we have
//! (`tests/corpus/erc8004`, its README names the origins).

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use serde_json::json;

use super::{
    WarningCode::{AgentIdMissing, Converted, WrongShape},
    *,
};

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/corpus/erc8004")
        .join(name)
}

/// Codes and pointers of a document's warnings.
fn faults(bytes: &[u8]) -> (State, Vec<(String, String)>) {
    let parsed = parse(bytes);
    let faults = parsed
        .warnings
        .into_iter()
        .map(|fault| (fault.code.to_string(), fault.pointer));
    (parsed.state, faults.collect())
}

/// A sound file with `key` set to `value`, read.
fn with(key: &str, value: Value) -> Parsed {
    let mut file =
        json!({"type": TYPE, "name": "A", "description": "B", "image": "https://i.example"});
    file[key] = value;
    parse(file.to_string().as_bytes())
}

fn codes(parsed: &Parsed) -> Vec<WarningCode> {
    parsed.warnings.iter().map(|warning| warning.code).collect()
}

#[test]
fn a_file_of_the_standard_has_no_warnings() {
    let text = json!({
        "type": TYPE, "name": " Agent ", "description": "What it does", "image": "ipfs://i",
        "services": [
            {"name": "web", "endpoint": "https://a.example/"},
            {"name": "A2A", "endpoint": "https://a.example/card.json", "version": "0.3.0", "a2aSkills": ["chat"]},
            {"name": "OASF", "endpoint": "ipfs://x", "version": "0.8.0", "skills": ["s/1"], "domains": ["d/1"]},
            {"name": "MCP", "endpoint": "https://a.example/mcp", "mcpTools": ["t"]},
        ],
        "x402Support": false, "active": true,
        "registrations": [{"agentId": 22, "agentRegistry": "eip155:1:0x8004A169FB4a3325136EB29fA0ceB6D2e539a432"}],
        "supportedTrust": ["reputation"],
    });
    let parsed = parse(text.to_string().as_bytes());
    assert_eq!((parsed.state, parsed.warnings), (State::Fetched, vec![]));
    let file = parsed.file;
    assert_eq!(file.name.as_deref(), Some("Agent"));
    assert_eq!(
        file.registrations[0]
            .token()
            .map(|token| token.to_string())
            .as_deref(),
        Some("eip155:1:0x8004a169fb4a3325136eb29fa0ceb6d2e539a432/22")
    );
    let names: Vec<String> = capabilities(&file)
        .into_iter()
        .map(|row| row.name)
        .collect();
    assert_eq!(
        names,
        [
            "domain:d/1",
            "service:A2A",
            "service:MCP",
            "service:OASF",
            "service:web",
            "skill:chat",
            "skill:s/1",
            "tool:t"
        ]
    );
    let fields = fields(&file);
    assert_eq!(fields["endpoint_url"], "https://a.example/");
    assert_eq!(fields["avatar_url"], "ipfs://i");
    assert_eq!(fields["registrations"][0]["agent_id"], "22");
    assert_eq!(
        fields["capabilities"]["skill:chat"],
        json!({"source": "A2A", "endpoint": "https://a.example/card.json", "version": "0.3.0"})
    );
    assert!(!fields.contains_key("metadata") && !fields.contains_key("category"));
}

#[test]
fn what_is_malformed_is_named_and_not_read() {
    let deep = format!("{}1{}", "[".repeat(33), "]".repeat(33));
    let hostile = "[".repeat(1_000_000);
    let closed = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (bytes, code, pointer) in [
        (b"".as_slice(), "empty", ""),
        (b" \n", "empty", ""),
        (b"\xef\xbb\xbf", "empty", ""),
        (b"{\"name\": \"\xff\"}", "invalid-utf8", ""),
        (b"<!DOCTYPE html>", "html-page", ""),
        (b"{\"name\": ", "invalid-json", ""),
        (b"{} x", "invalid-json", ""),
        (b"nope", "invalid-json", ""),
        (b"{\"a\": [0, \"\\ud800\"]}", "invalid-json", "/a/1"),
        (b"{\"name\": 1, \"name\": 2}", "duplicate-key", "/name"),
        (
            b"{\"a\": [{\"b/c\": 1, \"b\\u002fc\": 2}]}",
            "duplicate-key",
            "/a/0/b~1c",
        ),
        (deep.as_bytes(), "too-deep", &"/0".repeat(32)),
        (hostile.as_bytes(), "invalid-json", ""),
        (closed.as_bytes(), "too-deep", &"/0".repeat(32)),
    ] {
        let (state, faults) = faults(bytes);
        let last = faults.last().expect("a warning");
        assert_eq!(
            (state, last.0.as_str(), last.1.as_str()),
            (State::Malformed, code, pointer)
        );
        let file = parse(bytes).file;
        assert_eq!(file, RegistrationFile::default());
        assert!(fields(&file).is_empty());
    }
    let allowed = format!("{}1{}", "[".repeat(32), "]".repeat(32));
    assert_eq!(parse(allowed.as_bytes()).state, State::Nonconformant);
}

#[test]
fn what_is_no_registration_file_is_named_and_sets_nothing() {
    for (text, code) in [
        (r#"{"detail": "Agent not found"}"#, WarningCode::ErrorBody),
        (
            r#"{"status": "error", "code": 404, "message": "Application not found"}"#,
            WarningCode::ErrorBody,
        ),
        (
            r#"{"v": 1, "iv": "86", "ciphertext": "28"}"#,
            WarningCode::Encrypted,
        ),
        ("[1]", WarningCode::NotAnObject),
        ("null", WarningCode::NotAnObject),
    ] {
        let parsed = parse(text.as_bytes());
        assert_eq!(
            (parsed.state, codes(&parsed)),
            (State::Nonconformant, vec![code])
        );
        assert!(fields(&parsed.file).is_empty());
        assert_eq!(
            parsed.file.raw,
            serde_json::from_str::<Value>(text).expect("JSON")
        );
    }
}

#[test]
fn missing_and_wrong_types_are_told() {
    let (state, faults) = faults(b"\xef\xbb\xbf{\"description\": [], \"image\": null}");
    assert_eq!(state, State::Nonconformant);
    let expected = [
        ("byte-order-mark", ""),
        ("missing-type", "/type"),
        ("missing-name", "/name"),
        ("wrong-shape", "/description"),
        ("missing-description", "/description"),
        ("missing-image", "/image"),
    ];
    assert_eq!(
        faults,
        expected.map(|(code, place)| (code.to_owned(), place.to_owned()))
    );
    let variant = with(
        "type",
        json!("https://eips.ethereum.org/EIPS/eip-8004#registration"),
    );
    assert_eq!(
        (variant.state, codes(&variant)),
        (State::Fetched, vec![WarningCode::TypeVariant])
    );
    let other = with("type", json!("Person"));
    assert_eq!(
        (other.state, codes(&other)),
        (State::Nonconformant, vec![WarningCode::UnknownType])
    );
}

#[test]
fn texts_are_cut_converted_and_cleaned() {
    let long = with("name", json!("ä".repeat(300)));
    assert_eq!(
        long.file.name.as_deref().map(|name| name.chars().count()),
        Some(255)
    );
    assert_eq!(codes(&long), [WarningCode::TooLong]);
    let url = with("image", json!("x".repeat(9_000)));
    assert_eq!(
        (url.file.image.as_deref(), codes(&url)),
        (None, vec![WarningCode::TooLong, WarningCode::MissingImage])
    );
    let number = with("version", json!(1.5));
    assert_eq!(
        (number.file.version.as_deref(), codes(&number)),
        (Some("1.5"), vec![WarningCode::Converted])
    );
    let nul = with("name", json!("a\0b"));
    assert_eq!(
        (nul.file.name.as_deref(), codes(&nul)),
        (Some("a\u{fffd}b"), vec![WarningCode::NulReplaced])
    );
    assert_eq!(nul.warnings[0].pointer, "/name");
}

#[test]
fn numbers_are_never_rounded() {
    let text = br#"{"name":"A","description":"B","type":"8004","image":"i","big":340282366920938463463374607431768211456,
        "small":-9223372036854775809,"huge":1e400,"half":0.5,"zero":-0,"u64":18446744073709551615}"#;
    let parsed = parse(text);
    let out_of_range = codes(&parsed)
        .iter()
        .filter(|code| **code == WarningCode::NumberOutOfRange)
        .count();
    assert_eq!(out_of_range, 3);
    assert_eq!(parsed.file.raw["half"], 0.5);
    assert_eq!(
        fields(&parsed.file)["metadata"],
        json!({
            "big": "340282366920938463463374607431768211456", "small": "-9223372036854775809",
            "huge": "1e400", "half": "0.5", "zero": 0, "u64": u64::MAX,
        })
    );
}

#[test]
fn services_are_read_from_every_form() {
    let legacy = with(
        "endpoints",
        json!([{"name": "MCP", "endpoint": "https://a.example"}]),
    );
    assert_eq!(
        (legacy.file.services.len(), codes(&legacy)),
        (1, vec![WarningCode::LegacyEndpoints])
    );
    let object = with(
        "services",
        json!({"mcp": "https://a.example", "a2a": {"url": "https://b.example"}}),
    );
    let names: Vec<_> = object
        .file
        .services
        .iter()
        .map(|service| (service.name.as_str(), service.web_url()))
        .collect();
    assert_eq!(
        names,
        [
            ("a2a", Some("https://b.example")),
            ("mcp", Some("https://a.example"))
        ]
    );
    assert_eq!(
        codes(&object),
        [WarningCode::ServicesObject, WarningCode::MisspeltKey]
    );
    assert_eq!(object.warnings[1].pointer, "/services/a2a/url");
    let bare = with(
        "services",
        json!(["https://a.example", "chat", 5, {}, {"name": "ENS"}]),
    );
    let names: Vec<_> = bare
        .file
        .services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    assert_eq!(names, ["web", "chat", "ENS"]);
    assert_eq!(bare.state, State::Nonconformant);
    let named = with(
        "services",
        json!([
            {"name": "ENS", "endpoint": "Ada.eth"}, {"name": "ens", "endpoint": "https://ada.eth"},
            {"name": "DID", "endpoint": "did:web:a.example"}, {"name": "DID", "endpoint": "a.example"},
        ]),
    );
    assert_eq!(codes(&named), [WarningCode::NameNotRead; 2]);
    assert_eq!(named.warnings[0].pointer, "/services/1/endpoint");
    assert_eq!(named.state, State::Fetched);
    let many = with(
        "services",
        json!(vec![json!({"name": "x", "endpoint": "y"}); 300]),
    );
    assert_eq!(
        (many.file.services.len(), codes(&many)),
        (256, vec![WarningCode::TooMany])
    );
    assert_eq!(
        capabilities(&many.file).len(),
        1,
        "equal services are one capability"
    );
    let none = with("services", json!("none"));
    assert_eq!(
        codes(&none),
        [WarningCode::Converted, WarningCode::BareService]
    );
}

#[test]
fn misspelt_keys_and_ids_are_understood() {
    let parsed = with("x402support", json!("true"));
    assert_eq!(parsed.file.x402_support, Some(true));
    assert_eq!(
        codes(&parsed),
        [WarningCode::MisspeltKey, WarningCode::Converted]
    );
    let parsed = with("supportedTrusts", json!(["reputation", "reputation"]));
    assert_eq!(parsed.file.supported_trust, ["reputation"]);
    let registry = "eip155:1:0x8004A169FB4a3325136EB29fA0ceB6D2e539a432";
    let parsed = with(
        "registrations",
        json!([
            {"agentId": "7", "agentRegistry": registry},
            {"agentId": null, "agentRegistry": registry},
            {"agentId": -1, "agentRegistry": registry},
            {"agentId": U256::MAX.to_string(), "agentRegistry": registry},
            "x",
            {"agentId": 1, "agentRegistry": "erc8004:1:0x8004A169FB4a3325136EB29fA0ceB6D2e539a432"},
        ]),
    );
    let ids: Vec<_> = parsed
        .file
        .registrations
        .iter()
        .map(|entry| entry.agent_id)
        .collect();
    assert_eq!(
        ids,
        [
            Some(U256::from(7)),
            None,
            None,
            Some(U256::MAX),
            Some(U256::ONE)
        ]
    );
    assert_eq!(
        codes(&parsed),
        [
            Converted,
            AgentIdMissing,
            WrongShape,
            Converted,
            WrongShape,
            WrongShape
        ]
    );
}

#[test]
fn capabilities_of_the_file_itself_keep_their_names() {
    let parsed = with(
        "capabilities",
        json!([{"name": "math", "value": {"level": 0.5}}, "chat", {"x": 1}]),
    );
    let capabilities = capabilities(&parsed.file);
    assert_eq!(
        capabilities[0],
        Capability {
            name: "chat".to_owned(),
            value: json!({"source": "capabilities"})
        }
    );
    assert_eq!(
        capabilities[1],
        Capability {
            name: "math".to_owned(),
            value: json!({"level": "0.5"})
        }
    );
    assert_eq!(capabilities.len(), 2);
    let long = ["a".repeat(250) + "1", "a".repeat(250) + "2"];
    let parsed = with("skills", json!(long));
    let names: Vec<String> = super::capabilities(&parsed.file)
        .into_iter()
        .map(|row| row.name)
        .collect();
    assert_eq!(names.len(), 2);
    assert!(names.iter().all(|name| name.chars().count() == 255));
    let two = with(
        "services",
        json!([{"name": "web", "endpoint": "a"}, {"name": "web", "endpoint": "b"}]),
    );
    let names: Vec<String> = super::capabilities(&two.file)
        .into_iter()
        .map(|row| row.name)
        .collect();
    assert_eq!(names, ["service:web", "service:web#2"]);
}

#[test]
fn a_version_says_what_changed() {
    let before = fields(&with("active", json!(true)).file);
    let mut next = with("skills", json!(["a", "b"])).file;
    next.description = None;
    let after = fields(&next);
    let says = diff(&before, &after);
    assert_eq!(
        json!(says),
        json!({
            "description": null,
            "capabilities": {"skill:a": {"source": "file"}, "skill:b": {"source": "file"}},
        }),
        "the removed `active` says nothing"
    );
    next.skills = vec!["b".to_owned(), "c".to_owned()];
    assert_eq!(
        json!(diff(&after, &fields(&next))),
        json!({"capabilities": {"skill:a": null, "skill:c": {"source": "file"}}})
    );
    assert_eq!(
        json!(diff(&after, &BTreeMap::new()))["capabilities"],
        json!({"skill:a": null, "skill:b": null})
    );
    assert!(diff(&after, &after).is_empty());
}

/// What the parser makes of a set of documents, for one look.
fn summary(documents: impl Iterator<Item = Vec<u8>>) -> Value {
    let (mut states, mut warnings) = (BTreeMap::new(), BTreeMap::new());
    let (mut files, mut named, mut services, mut rows, mut tokens) = (0, 0, 0, 0, 0);
    for bytes in documents {
        let parsed = parse(&bytes);
        files += 1;
        named += usize::from(parsed.file.name.is_some());
        services += parsed.file.services.len();
        rows += capabilities(&parsed.file).len();
        tokens += parsed
            .file
            .registrations
            .iter()
            .filter_map(Registration::token)
            .count();
        *states.entry(json!(parsed.state).to_string()).or_insert(0) += 1;
        for warning in &parsed.warnings {
            *warnings.entry(warning.code.to_string()).or_insert(0) += 1;
        }
        check_laws(&parsed);
    }
    let states: BTreeMap<String, i32> = states
        .into_iter()
        .map(|(state, count): (String, i32)| (state.trim_matches('"').to_owned(), count))
        .collect();
    let warnings: BTreeMap<String, i32> = warnings;
    json!({
        "files": files, "named": named, "services": services, "capabilities": rows,
        "tokens": tokens, "states": states, "warnings": warnings,
    })
}

/// What holds for every document.
fn check_laws(parsed: &Parsed) {
    assert!(!kernel::clean_json(parsed.file.raw.clone()).altered);
    let fields = fields(&parsed.file);
    assert!(kernel::to_dag_cbor(&fields).is_ok(), "no floats");
    assert!(diff(&fields, &fields).is_empty());
    for row in capabilities(&parsed.file) {
        assert!(row.name.chars().count() <= 255);
    }
    for warning in &parsed.warnings {
        assert!(warning.pointer.is_empty() || warning.pointer.starts_with('/'));
    }
    if parsed.state == State::Malformed {
        assert!(fields.is_empty());
    }
}

#[test]
fn all_real_files_are_read() {
    let gz = flate2::read::GzDecoder::new(
        File::open(corpus("registration-files.jsonl.gz")).expect("corpus"),
    );
    let catalog = BufReader::new(gz).lines().map(|line| {
        let line: Value = serde_json::from_str(&line.expect("line")).expect("JSON");
        line["rawMetadata"].to_string().into_bytes()
    });
    let fetched = BufReader::new(File::open(corpus("fetched-documents.jsonl")).expect("corpus"));
    let fetched = fetched.lines().map(|line| {
        let line: Value = serde_json::from_str(&line.expect("line")).expect("JSON");
        line["raw_text"]
            .as_str()
            .unwrap_or_default()
            .as_bytes()
            .to_vec()
    });
    let found =
        json!({"registration-files": summary(catalog), "fetched-documents": summary(fetched)});
    let expected = std::fs::read(corpus("registration-summary.json")).unwrap_or_default();
    let expected: Value = serde_json::from_slice(&expected).unwrap_or_default();
    let text = serde_json::to_string_pretty(&found).expect("JSON");
    assert_eq!(
        found, expected,
        "if this is better, write it to registration-summary.json:\n{text}"
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let keys = prop::sample::select(vec![
        "name",
        "type",
        "services",
        "endpoints",
        "registrations",
        "agentId",
        "agentRegistry",
        "skills",
        "capabilities",
        "endpoint",
        "url",
        "active",
        "x402support",
        "version",
        "tools",
        "image",
        "k\0",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[a\0]{0,300}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(keys.clone(), inner, 0..8).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check_laws(&parse(&bytes));
    }

    #[test]
    fn hostile_text_never_panics(text in "[\\[\\]{}\",:0-9eE.+\\-a\\\\ ]{0,80}") {
        check_laws(&parse(text.as_bytes()));
    }

    #[test]
    fn hostile_json_never_panics(before in any_json(), after in any_json()) {
        let before = parse(before.to_string().as_bytes());
        let after = parse(after.to_string().as_bytes());
        check_laws(&before);
        check_laws(&after);
        let (before, after) = (fields(&before.file), fields(&after.file));
        let says = diff(&before, &after);
        prop_assert_eq!(says.is_empty(), before == after || {
            let mut kept = after.clone();
            kept.extend(before.get("active").map(|active| ("active".to_owned(), active.clone())));
            !after.contains_key("active") && kept == before
        });
    }
}
