//! An owner who pays nothing: what he says of his agent he signs, with a key at the prompt, or as a wallet that is a
//! contract, deployed or not yet.

use std::{fs, os::unix::fs::PermissionsExt};

use chain::Registries;
use did::ed25519::{self, SecretKey};
use kernel::{Address, Bytes};
use serde_json::{Value, json};

use crate::{
    instance::{Instance, Place},
    journal::Journal,
    kit::{anvil::Chain, contract_wallet::Wallets},
    prompt::{ADA, Cli, KEY, OWNER, POOR},
};

#[test]
fn an_owner_without_gas_says_everything_by_signatures() {
    let place = Place::new("data");
    let instance = place.up();
    let cli = Cli(&place);
    let journal = Journal::of(&cli, &instance);
    let owner = cli.key("owner", KEY, 0o600);
    let (key, next) = (cli.beside("ada.key"), cli.beside("next.key"));
    let signed = ["--gasless", "--key", &key, "--owner-key", &owner];
    let ada = cli.json(&[&ADA[..], &signed].concat());
    assert_eq!(ada["sequence"], "1");
    let mode = fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the new key is its owner's alone");
    let id = ada["agent"].as_str().unwrap();
    let shown = cli.json(&["agent", "show", id]);
    assert_eq!(
        (&shown["name"], &shown["owner_address"]),
        (&json!("Ada"), &json!(OWNER))
    );
    assert_eq!(shown["endpoint_url"], "https://ada.example/agent-card.json");
    let authors = journal.proves_statement(id, "register");
    assert_eq!(authors.len(), 2, "key and owner: {authors:?}");
    let error = cli.fails(5, &[&ADA[..], &signed].concat());
    assert!(error.contains("registered already"), "{error}");

    let say = |action: &str, rest: &[&str]| cli.ok(&said(action, id, rest));
    let set = ["--set", r#"{"summary": "Reports, now in PDF."}"#];
    let refused = |code: i32, by: [&str; 2]| {
        let update = [&set[..], &by].concat();
        cli.fails(code, &said("update", id, &update))
    };
    say("update", &[&set[..], &["--owner-key", &owner]].concat());
    let authors = journal.proves_statement(id, "update");
    let account = format!("eip155:1:{}", OWNER.to_lowercase());
    assert_eq!(authors[0]["by"], account);
    let poor = cli.key("poor", POOR, 0o600);
    let error = refused(4, ["--owner-key", &poor]);
    assert!(error.contains("not the owner"), "{error}");
    say("rotate", &["--key", &key, "--new-key", &next]);
    journal.proves_statement(id, "rotate");
    let error = refused(4, ["--key", &key]);
    assert!(error.contains("rotated away"), "{error}");

    // The same one's token, and the link.
    let token = cli.json(&[&ADA[..], &["--again", "--key", &owner]].concat());
    let token = token["agent"].as_str().unwrap();
    say("claim", &[token, "--key", &next, "--owner-key", &owner]);
    journal.proves_statement(id, "claim");
    let shown = cli.json(&["agent", "show", id]);
    let mut names = shown["identifiers"].as_array().unwrap().iter();
    let linked = names.find(|name| name["standing"] == "linked").unwrap();
    assert!(linked["value"].as_str().unwrap().starts_with("did:nft:"));
    assert_eq!(shown["summary"], "Reports, now in PDF.");

    say("transfer", &["none", "--owner-key", &owner]);
    journal.proves_statement(id, "transfer");
    say("deregister", &["--reason", "done", "--key", &next]);
    journal.proves_statement(id, "deregister");
    ended(&cli, id, "done");
    let error = refused(5, ["--key", &next]);
    assert!(error.contains("ended for good"), "{error}");
    let record = journal.whole_record(id);
    assert!(
        record.contains("transfer, is signed by eip155:"),
        "{record}"
    );
}

/// A statement at the prompt.
fn said<'a>(action: &'a str, agent: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&["agent", "say", action, agent][..], rest].concat()
}

/// It ended, and why; its record stays.
fn ended(cli: &Cli<'_>, agent: &str, reason: &str) {
    let status = cli.json(&["agent", "status", agent]);
    assert_eq!(
        (&status["runtime_status"], &status["last_change"]["reason"]),
        (&json!("TERMINATED"), &json!(reason))
    );
    assert_eq!(cli.json(&["agent", "show", agent])["ended"], true);
}

/// Whose wallet is a contract: what he wants to say is prepared, shown to the wallet's keeper, signed and brought, as a
/// page does it.
struct Owner<'a> {
    instance: &'a Instance,
    account: Address,
    keeper: Address,
    /// Where the wallet is not deployed yet.
    undeployed: Option<&'a Wallets>,
}

impl Owner<'_> {
    /// As statements name him.
    fn name(&self) -> String {
        format!("eip155:31337:{:#x}", self.account)
    }

    /// What becomes of a statement that he signs, and with him the agent's key where it is given.
    fn says(
        &self,
        action: &str,
        agent: &str,
        content: &Value,
        key: Option<&SecretKey>,
    ) -> (u16, Value) {
        let wish = json!({
            "action": action, "agent": agent, "content": content, "account": self.name(),
        });
        let (status, prepared) = self.instance.post("/v1/statements/prepare", &wish);
        assert_eq!(status, 200, "{prepared}");
        let mut signatures = Vec::new();
        if let Some(key) = key {
            let signature = key.sign(prepared["key_text"].as_str().unwrap().as_bytes());
            let signature = ed25519::signature_wire(&signature);
            signatures.push(json!({ "by": agent, "signature": signature }));
        }
        let asked = json!([self.keeper, prepared["typed_data"]]);
        let signature = self.instance.rpc("eth_signTypedData_v4", &asked);
        let signature: Bytes = serde_json::from_value(signature).unwrap();
        let signature = match self.undeployed {
            Some(wallets) => wallets.before_deployment(&signature),
            None => signature.to_vec(),
        };
        let signature = kernel::hex_0x(&signature);
        signatures.push(json!({ "by": self.name(), "signature": signature }));
        let body = json!({ "statement": prepared["statement"], "signatures": signatures });
        let path = match action {
            "register" => "/v1/agents".to_owned(),
            _ => format!("/v1/agents/{agent}/statements"),
        };
        self.instance.post(&path, &body)
    }
}

#[tokio::test]
async fn owners_without_gas_sign_as_contract_wallets_deployed_or_not_yet() {
    let place = Place::new("data");
    let instance = place.up();
    let cli = Cli(&place);
    let sync: Value = serde_json::from_str(&instance.get("/v1/sync").1).unwrap();
    let known = |sort: &str| -> Vec<Address> {
        let contract = &sync["chains"][0]["contracts"][sort][0];
        vec![contract.as_str().unwrap().parse().unwrap()]
    };
    let contracts = Registries {
        identity: known("identity"),
        status: known("status"),
        vexel: Vec::new(),
    };
    let url = instance.ready["rpc"].as_str().unwrap();
    let chain = Chain::of_instance(url, &contracts).await;
    let keeper = chain.people[1];
    let wallets = Wallets::of(&chain, keeper).await;
    let owner = |account: Address| Owner {
        instance: &instance,
        account,
        keeper,
        undeployed: (account == wallets.future).then_some(&wallets),
    };
    let (deployed, future) = (owner(wallets.deployed), owner(wallets.future));
    let journal = Journal::of(&cli, &instance);
    for (seed, seller, buyer) in [(1, &deployed, &future), (2, &future, &deployed)] {
        walks(&cli, &journal, seed, (seller, buyer));
    }
}

/// One registers, updates and hands over, and the other ends it.
fn walks(
    cli: &Cli<'_>,
    journal: &Journal<'_>,
    seed: u8,
    (seller, buyer): (&Owner<'_>, &Owner<'_>),
) {
    let key = SecretKey::from_seed(&[seed; 32]);
    let did = key.public().did();
    let name = json!({ "name": "Of a contract" });
    let (status, registered) = seller.says("register", &did, &name, Some(&key));
    assert_eq!(status, 200, "{registered}");
    let id = registered["agent"].as_str().unwrap();
    let owner = || cli.json(&["agent", "show", id])["owner_address"].clone();
    assert_eq!(owner(), seller.account.to_string());

    let summary = json!({ "summary": "Reports, now in PDF." });
    let (status, problem) = buyer.says("update", &did, &summary, None);
    assert_eq!(status, 403, "it is not his yet: {problem}");
    let (status, updated) = seller.says("update", &did, &summary, None);
    assert_eq!(status, 200, "{updated}");
    let shown = cli.json(&["agent", "show", id]);
    assert_eq!(shown["summary"], summary["summary"]);

    let to = json!({ "owner": buyer.name() });
    let (status, sold) = seller.says("transfer", &did, &to, None);
    assert_eq!(status, 200, "{sold}");
    assert_eq!(owner(), buyer.account.to_string());
    let (status, problem) = seller.says("update", &did, &summary, None);
    assert_eq!(status, 403, "it was his: {problem}");

    let why = json!({ "reason": "done" });
    let (status, gone) = buyer.says("deregister", &did, &why, None);
    assert_eq!(status, 200, "{gone}");
    ended(cli, id, "done");
    let (status, problem) = buyer.says("update", &did, &summary, None);
    assert_eq!(status, 409, "it ended: {problem}");

    // That his contract agreed, and at which block, the journal says; only the chain can tell.
    for (action, owner) in [
        ("register", seller),
        ("update", seller),
        ("transfer", seller),
        ("deregister", buyer),
    ] {
        let authors = journal.proves_statement(id, action);
        let author = authors.last().unwrap();
        assert_eq!(author["by"], owner.name(), "{action}");
        assert!(author["contract"]["block"].is_u64(), "{action}: {author}");
    }
    let record = journal.whole_record(id);
    assert!(
        record.contains("register, is signed by did:key:z6Mk"),
        "{record}"
    );
}
