//! An owner who watches her agents at the prompt, while the chain takes back what it said.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::{
    instance::Place,
    journal::Journal,
    kit::anvil::Chain,
    prompt::{ADA, Cli, KEY, OTHER, OWNER},
};

/// More blocks than may still be taken back.
const SETTLED: u64 = 80;

#[tokio::test]
async fn an_owner_watches_a_reorganisation_take_a_transfer_back() {
    // Somebody else's chain: of one that the instance started nothing is taken back.
    let chain = Chain::start().await;
    let registry = chain.registry.to_string();
    let place = Place::new("data");
    let instance = place.up_with(&["--rpc", chain.url(), "--registry", &registry]);
    let cli = Cli(&place);
    let key = cli.key("key", KEY, 0o600);
    let by_owner = ["--key", &key];
    let is_read = |_| {
        let sync: Value = serde_json::from_str(&instance.get("/v1/sync").1).unwrap();
        sync["chains"][0]["head"].is_i64()
    };
    assert!((0..20_000).any(is_read), "{}", instance.log());
    cli.ok(&[&["watch", "add", OWNER][..], &by_owner].concat());
    let ada = cli.json(&[&ADA[..], &by_owner].concat());
    let id = ada["id"].as_str().unwrap();

    let follow = ["changes", "--follow", "--watch", "mine", "--after", "start"];
    let mut follower = place
        .command(&[&follow[..], &by_owner].concat())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    let mut tells = |what: &str| {
        let line = lines.find(|line| line.contains(what));
        assert!(line.is_some(), "it ended without: {what}");
    };
    let owned = format!("[new agent]: owner_address = {}", OWNER.to_lowercase());
    tells(&owned);

    let transfer = ["agent", "transfer", "31337:0", "--to", OTHER];
    let sold = cli.json(&[&transfer[..], &by_owner].concat());
    assert_eq!(sold["owner_address"], OTHER);
    let moved = format!("owner_address = {}", OTHER.to_lowercase());
    tells(&format!("Ada [transfer]: {moved}"));
    chain.reorg(1, &[]).await;
    tells(&format!("Ada undone: {moved}"));
    let shown = cli.json(&["agent", "show", "31337:0"]);
    assert_eq!(shown["owner_address"], OWNER);

    // The journal waited until nothing of it could be taken back: it says nothing of a sale.
    chain.mine(SETTLED).await;
    let journal = Journal::of(&cli, &instance);
    journal.proves_value(id, "owner_address", &json!(OWNER.to_lowercase()));
    let entries = json!(journal.entries(id)).to_string();
    assert!(!entries.contains(&OTHER.to_lowercase()), "{entries}");
    let record = journal.whole_record("31337:0");
    assert!(record.contains("verified  eip155:31337:"), "{record}");

    let pid = Pid::from_raw(follower.id().try_into().unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    follower.wait().unwrap();
}
