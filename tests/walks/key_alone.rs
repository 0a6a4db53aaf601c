//! An agent that has a key, and nobody who owns it.

use std::iter;

use serde_json::{Value, json};

use crate::{
    instance::Place,
    journal::Journal,
    prompt::{ADA, Cli, failed},
};

#[test]
fn an_agent_with_only_a_key_registers_beats_rotates_it_and_ends() {
    let place = Place::new("data");
    let instance = place.up();
    let cli = Cli(&place);
    let journal = Journal::of(&cli, &instance);
    let (key, next) = (cli.beside("ada.key"), cli.beside("next.key"));
    let ada = cli.json(&[&ADA[..], &["--gasless", "--key", &key]].concat());
    let id = ada["agent"].as_str().unwrap();
    let founded = cli.json(&["agent", "show", id]);
    assert_eq!(founded["owner_address"], Value::Null);
    let authors = journal.proves_statement(id, "register");
    assert_eq!(authors.len(), 1, "{authors:?}");
    assert_eq!(authors[0]["by"], founded["did"]);

    cli.ok(&["agent", "beat", id, "--key", &key]);
    journal.proves_value(id, "liveness", &json!("active"));
    assert_eq!(cli.json(&["agent", "status", id])["liveness"], "active");

    let rotate = ["agent", "say", "rotate", id, "--key", &key, "--new-key"];
    cli.ok(&[&rotate[..], &[&next]].concat());
    let authors = journal.proves_statement(id, "rotate");
    assert_eq!(authors.len(), 2, "both keys: {authors:?}");
    let shown = cli.json(&["agent", "show", id]);
    assert_ne!(shown["did"], founded["did"]);
    assert_eq!(shown["id"], founded["id"], "it is the same agent");
    let by = |action: &str, rest: &[&str], key: &str| {
        let said = [&["agent", "say", action, id][..], rest, &["--key", key]].concat();
        place.run(&said)
    };
    let sleep = ["SLEEP", "--reason", "night"];
    let error = failed(&by("status", &sleep, &key), 4);
    assert!(error.contains("rotated away"), "{error}");
    let error = cli.fails(4, &["agent", "beat", id, "--key", &key]);
    assert!(error.contains("not that of the agent's key"), "{error}");
    // At most once in a second.
    let mut beats = iter::repeat_with(|| place.run(&["agent", "beat", id, "--key", &next]));
    let counted = beats.by_ref().take(500).find(|beat| beat.status.success());
    assert!(counted.is_some(), "{:?}", beats.next());

    let slept = by("status", &sleep, &next);
    assert!(slept.status.success(), "{slept:?}");
    let status = cli.json(&["agent", "status", id]);
    assert_eq!(
        (&status["runtime_status"], &status["last_change"]["reason"]),
        (&json!("SLEEP"), &json!("night"))
    );
    let authors = journal.proves_statement(id, "status");
    assert_eq!(authors[0]["by"], shown["did"]);

    let gone = by("deregister", &["--reason", "done"], &next);
    assert!(gone.status.success(), "{gone:?}");
    let shown = cli.json(&["agent", "show", id]);
    assert_eq!(
        (&shown["runtime_status"], &shown["ended"]),
        (&json!("TERMINATED"), &json!(true))
    );
    journal.proves_statement(id, "deregister");
    let error = failed(&by("status", &sleep, &next), 5);
    assert!(error.contains("ended for good"), "{error}");
    let record = journal.whole_record(id);
    for words in [
        "register, is signed by did:key:z6Mk",
        "rotate, is signed by did:key:z6Mk",
        ", the key that takes its place",
        "deregister, is signed by did:key:z6Mk",
    ] {
        assert!(record.contains(words), "{words}: {record}");
    }
}
