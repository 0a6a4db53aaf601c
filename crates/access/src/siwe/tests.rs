use std::collections::BTreeMap;

use chain::{contract_signature, typed};
use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn vectors(text: &str) -> BTreeMap<String, Value> {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_published_messages_are_read() {
    let vectors = vectors(include_str!(
        "../../../../tests/vectors/siwe/parsing_positive.json"
    ));
    assert_eq!(vectors.len(), 8);
    for (name, vector) in vectors {
        let read = Message::parse(vector["message"].as_str().unwrap())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let fields = &vector["fields"];
        assert_eq!(fields["domain"], read.domain, "{name}");
        assert_eq!(fields["address"], read.address.to_string(), "{name}");
        assert_eq!(
            fields["statement"].as_str(),
            read.statement.as_deref(),
            "{name}"
        );
        assert_eq!(fields["uri"], read.uri, "{name}");
        assert_eq!(fields["chainId"], read.chain.to_string(), "{name}");
        assert_eq!(fields["nonce"], read.nonce, "{name}");
        let issued: DateTime<Utc> = fields["issuedAt"].as_str().unwrap().parse().unwrap();
        assert_eq!(issued, read.issued_at, "{name}");
        let resources = fields["resources"].as_array().cloned().unwrap_or_default();
        assert_eq!(resources.len(), read.resources.len(), "{name}");
    }
}

#[test]
fn the_published_wrong_messages_are_refused() {
    let vectors = vectors(include_str!(
        "../../../../tests/vectors/siwe/parsing_negative.json"
    ));
    assert!(vectors.len() > 20);
    for (name, message) in vectors {
        let refused = Message::parse(message.as_str().unwrap());
        assert!(matches!(refused, Err(Error::Invalid(_))), "{name}");
    }
}

/// A message's text, of the fields that the vectors have.
fn text(fields: &Value) -> String {
    let of = |name: &str| fields[name].as_str().unwrap();
    let optional = |label: &str, name: &str| {
        fields[name]
            .as_str()
            .map_or_else(String::new, |value| format!("\n{label}: {value}"))
    };
    format!(
        "{}{GREETING}\n{}\n\n{}\n\nURI: {}\nVersion: {}\nChain ID: {}\nNonce: {}\nIssued At: {}{}{}",
        of("domain"),
        of("address"),
        of("statement"),
        of("uri"),
        of("version"),
        fields["chainId"],
        of("nonce"),
        of("issuedAt"),
        optional("Expiration Time", "expirationTime"),
        optional("Not Before", "notBefore"),
    )
}

fn signer(fields: &Value) -> Option<Address> {
    let digest = typed::personal(text(fields).as_bytes());
    let signature = hex::decode(fields["signature"].as_str()?.trim_start_matches("0x")).ok()?;
    contract_signature::recover(digest, &signature).ok()
}

#[test]
fn the_published_signatures_are_their_accounts() {
    let vectors = vectors(include_str!(
        "../../../../tests/vectors/siwe/verification_positive.json"
    ));
    assert_eq!(vectors.len(), 4);
    for (name, fields) in vectors {
        let read = Message::parse(&text(&fields)).unwrap();
        assert_eq!(signer(&fields), Some(read.address), "{name}");
    }
}

#[test]
fn the_published_wrong_signatures_are_not() {
    let vectors = vectors(include_str!(
        "../../../../tests/vectors/siwe/verification_negative.json"
    ));
    for name in ["malformed signature", "wrong signature"] {
        let fields = &vectors[name];
        let read = Message::parse(&text(fields)).unwrap();
        assert_ne!(signer(fields), Some(read.address), "{name}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "(.|\n)*") {
        let _ = Message::parse(&text);
    }

    #[test]
    fn no_line_is_left_out_or_moved(first in 0_usize..9, second in 0_usize..9) {
        let message = "a.example wants you to sign in with your Ethereum account:\n0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2\n\nYes.\n\nURI: https://a.example\nVersion: 1\nChain ID: 1\nNonce: 32891757\nIssued At: 2021-09-30T16:25:24Z";
        let mut lines: Vec<&str> = message.split('\n').collect();
        prop_assert!(Message::parse(message).is_ok());
        lines.swap(first, second);
        let is_same = lines.join("\n") == message;
        prop_assert_eq!(Message::parse(&lines.join("\n")).is_ok(), is_same);
        lines.swap(first, second);
        lines.remove(first);
        // Without its statement it is a message that has none.
        prop_assert_eq!(Message::parse(&lines.join("\n")).is_ok(), first == 3);
    }
}
