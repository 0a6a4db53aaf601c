//! The operator, who suspends an agent and lets it in again; and whoever asks about it meanwhile.

use serde_json::{Value, json};

use crate::{
    instance::{Instance, Place},
    journal::Journal,
    prompt::{ADA, Cli, fits},
};

/// What anybody is told of a dimension, newest first: the status, why, and who said it.
fn told(instance: &Instance, agent: &str, dimension: &str) -> Vec<Value> {
    let path = format!("/v1/agents/{agent}/status-changes?dimension={dimension}");
    let changes: Value = serde_json::from_str(&instance.get(&path).1).unwrap();
    let changes = changes["items"].as_array().unwrap().iter();
    let told = changes.map(|change| json!([change["new"], change["reason"], change["who"]]));
    told.collect()
}

#[test]
fn the_operator_suspends_an_agent_and_lifts_it() {
    let place = Place::new("data");
    let instance = place.up();
    let cli = Cli(&place);
    let journal = Journal::of(&cli, &instance);
    let key = cli.beside("ada.key");
    let ada = cli.json(&[&ADA[..], &["--gasless", "--key", &key]].concat());
    let id = ada["agent"].as_str().unwrap();
    let told = |dimension: &str| told(&instance, id, dimension);

    let suspend = ["agent", "suspend", id, "--reason"];
    let text = cli.ok(&[&suspend[..], &["spam"]].concat());
    fits(&text);
    assert!(
        text.contains("admin  SUSPENDED") && text.contains("entry  bafyrei"),
        "{text}"
    );
    journal.proves_value(id, "admin_status", &json!("SUSPENDED"));
    // Whoever asks sees that, and why.
    let said = json!(["SUSPENDED", "spam", "operator"]);
    assert_eq!(told("admin_status")[0], said);
    let seen: Value = serde_json::from_str(&instance.get(&format!("/v1/agents/{id}")).1).unwrap();
    assert_eq!(
        (&seen["admin_status"], &seen["runtime_status"]),
        (&json!("SUSPENDED"), &json!("ACTIVE"))
    );
    let shown = cli.ok(&["agent", "show", id]);
    assert!(shown.contains("status  ACTIVE, SUSPENDED"), "{shown}");
    let status = cli.json(&["agent", "status", id]);
    assert_eq!(status["admin_status"], "SUSPENDED");
    // Whoever looks for agents is not shown it, unless he asks for such.
    let listed = |args: &[&str]| cli.json(&[&["agent", "list"][..], args].concat());
    assert_eq!(listed(&[]), json!([]));
    assert_eq!(listed(&["--admin-status", "any"])[0]["id"], id);
    let table = cli.ok(&["agent", "list", "--admin-status", "suspended"]);
    assert!(table.contains("ACTIVE, SUSPENDED"), "{table}");

    let admit = ["agent", "admit", id];
    let away = ["--as", "inactive", "--reason", "away"];
    let away = cli.json(&[&admit[..], &away].concat());
    assert_eq!(away["admin_status"], "INACTIVE");
    journal.proves_value(id, "admin_status", &json!("INACTIVE"));
    assert_eq!(cli.json(&admit)["admin_status"], "ACTIVE");
    journal.proves_value(id, "admin_status", &json!("ACTIVE"));
    assert_eq!(cli.json(&admit)["entry"], Value::Null, "it is so already");
    let history = [
        json!(["ACTIVE", null, "operator"]),
        json!(["INACTIVE", "away", "operator"]),
        said,
    ];
    assert_eq!(told("admin_status")[..3], history);
    let busy = ["agent", "load", id, "busy", "--reason", "rush"];
    assert_eq!(cli.json(&busy)["load"], "BUSY");
    assert_eq!(told("load")[0], json!(["BUSY", "rush", "operator"]));
    journal.proves_value(id, "load", &json!("BUSY"));
    assert_eq!(listed(&["--load", "busy"])[0]["id"], id);
    assert_eq!(listed(&["--load", "available"]), json!([]));
    assert_eq!(listed(&["--liveness", "unknown"])[0]["id"], id);

    mistakes(&cli, id);
    let record = journal.whole_record(id);
    assert!(
        record.contains("register, is signed by did:key:z6Mk"),
        "{record}"
    );
}

/// What an operator may get wrong, and who is none.
fn mistakes(cli: &Cli<'_>, id: &str) {
    let suspend = ["agent", "suspend", id];
    let error = cli.fails(2, &suspend);
    assert!(error.contains("--reason"), "{error}");
    let error = cli.fails(2, &[&suspend[..], &["--reason", ""]].concat());
    assert!(error.contains("told why"), "{error}");
    cli.fails(2, &["agent", "admit", id, "--as", "SUSPENDED"]);
    let error = cli.fails(2, &["agent", "load", id, "idle"]);
    assert!(error.contains("AVAILABLE"), "{error}");
    let error = cli.fails(2, &["agent", "list", "--liveness", "dead"]);
    assert!(error.contains("inactive"), "{error}");
    for verb in [
        &["suspend", "31337:77", "--reason", "x"][..],
        &["admit", "31337:77"],
    ] {
        let error = cli.fails(3, &[&["agent"][..], verb].concat());
        assert!(error.contains("no agent 31337:77 is known here"), "{error}");
    }
    let wrong = cli.key("token", "wrong", 0o600);
    for verb in [&["suspend", id, "--reason", "x"][..], &["load", id, "BUSY"]] {
        let args = [&["agent"][..], verb, &["--token-file", &wrong]].concat();
        let error = cli.fails(4, &args);
        assert!(error.contains("token"), "{error}");
    }
}
