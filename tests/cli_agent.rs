//! The command line against a running instance: an owner registers agents, looks at them, and takes
//! away a proof that stands without us.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;
#[path = "cli/prompt.rs"]
mod prompt;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::PathBuf,
    process::Child,
    sync::{Arc, Mutex},
};

use instance::{Instance, Place};
use nix::sys::signal::Signal;
use prompt::{ADA, Cli, KEY, OTHER, OWNER, POOR, failed, fits};
use serde_json::{Value, json};

#[test]
fn an_owner_registers_looks_and_proves() {
    let place = Place::new("data");
    let instance = place.up();
    let cli = Cli(&place);
    let key = cli.key("key", KEY, 0o600);
    assert_eq!(cli.json(&["agent", "list"]), json!([]));

    // As data, with what the journal says of it.
    let ada = cli.json(&[&ADA[..], &["--key", &key, "--wait", "journaled"]].concat());
    assert_eq!(
        (&ada["agent"], &ada["name"]),
        (&json!("31337:0"), &json!("Ada"))
    );
    assert_eq!(ada["metadata_verification"], "verified");
    assert!(
        ada["uri"]
            .as_str()
            .unwrap()
            .starts_with("data:application/json;base64,")
    );
    assert!(
        ada["did"]
            .as_str()
            .unwrap()
            .starts_with("did:nft:eip155:31337_erc721:0x")
    );
    assert_ne!(ada["entry"]["state"], "queued");

    // Nobody pays twice by mistake.
    let error = cli.fails(5, &[&ADA[..], &["--key", &key]].concat());
    assert!(
        error.contains("31337:0 (Ada) has the same file and name and endpoint")
            && error.contains("--again"),
        "{error}"
    );

    // As IPFS, for people: nothing is paid for a file that nobody else would keep, unless one wants that.
    let on_ipfs = [
        "--active", "false", "--key", &key, "--as", "ipfs", "--again",
    ];
    let error = cli.fails(5, &[&ADA[..], &on_ipfs].concat());
    assert!(
        error.contains("Nothing was paid") && error.contains("--unpinned"),
        "{error}"
    );
    assert!(!error.contains("sent 0x"), "{error}");
    let text = cli.ok(&[&ADA[..], &on_ipfs, &["--unpinned"]].concat());
    fits(&text);
    assert!(
        text.contains("kept   by this instance alone\nread   /ipfs/bafkrei"),
        "{text}"
    );
    assert!(
        text.contains("agent  31337:1\nname   Ada\nDID    did:nft:"),
        "{text}"
    );
    assert!(text.contains("URI    ipfs://bafkrei"), "{text}");
    assert!(text.contains("file   fetched, verified"), "{text}");

    shows(&cli, &ada);
    changes_status(&cli, &key);
    refuses(&cli, &key);

    let proof = cli.ok(&["audit", "prove", "31337:0"]);
    let head = cli.json(&["audit", "head"]);
    let cid = ada["entry"]["cid"].as_str().unwrap();
    let entry = cli.json(&["audit", "entry", cid]);
    assert_eq!(
        (&entry["cid"], &entry["kind"]),
        (&json!(cid), &json!("agent"))
    );
    let first = cli.ok(&["audit", "prove", cid]);
    assert!(instance.stop(Signal::SIGTERM).success());

    let file = place.dir().with_file_name("p");
    for proof in [proof, first] {
        fs::write(&file, proof).unwrap();
        let file = file.to_string_lossy();
        let vkey = head["vkey"].as_str().unwrap();
        let verified = cli.json(&["audit", "verify", &file, "--vkey", vkey]);
        assert_eq!(
            (&verified["entry"]["agent"], &verified["trusted"]),
            (&ada["id"], &json!(true))
        );
    }
    let error = cli.fails(1, &["agent", "list"]);
    assert!(
        error.contains("no instance runs on") && error.contains("chancery up"),
        "{error}"
    );
}

fn shows(cli: &Cli<'_>, ada: &Value) {
    let text = cli.ok(&["agent", "show", "31337:0"]);
    fits(&text);
    for part in [
        "name    Ada",
        "status  ACTIVE",
        OWNER,
        "file    fetched, verified",
        "proof   proven",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let did = ada["did"].as_str().unwrap();
    assert_eq!(cli.json(&["agent", "show", did])["id"], ada["id"]);

    let table = cli.ok(&["agent", "list"]);
    fits(&table);
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.starts_with("AGENT"), "{table}");
    let count = |args: &[&str]| {
        cli.json(&[&["agent", "list"][..], args].concat())
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(count(&["--owner", &OWNER.to_lowercase()]), 2);
    assert_eq!(count(&["--capability", "service:A2A", "--query", "ada"]), 2);
    assert_eq!(
        count(&["--status", "sleep"]),
        1,
        "its file says that it is not active"
    );
    assert_eq!(count(&["--chain", "1"]), 0);
    assert_eq!(count(&["--identifier", did]), 1);
    assert_eq!(count(&["--identifier", "nobody.eth"]), 0);
    assert_eq!(count(&["--limit", "1"]), 1);
    assert_eq!(count(&["--all"]), 2);

    let document: Value = serde_json::from_str(&cli.ok(&["did", "resolve", did])).unwrap();
    assert_eq!(document["id"], did);
    let result = cli.json(&["did", "resolve", did]);
    assert_eq!(result["didDocument"], document);

    let text = cli.ok(&["ipfs", "verify", "31337:0"]);
    assert!(text.contains("stands in the URI itself"), "{text}");
    let verified = cli.json(&["ipfs", "verify", "31337:1"]);
    let cid = verified["cid"].as_str().unwrap();
    assert!(
        verified["checked"].as_str().unwrap().contains(cid),
        "{verified}"
    );
    let bytes = cli.ok(&["ipfs", "get", cid]);
    assert_eq!(
        serde_json::from_str::<Value>(&bytes).unwrap()["name"],
        "Ada"
    );
    assert_eq!(cli.json(&["ipfs", "verify", cid])["size"], bytes.len());

    let file = cli.0.dir().with_file_name("again");
    let file = file.to_string_lossy();
    assert_eq!(cli.ok(&["ipfs", "get", cid, "--to", &file]), "");
    assert_eq!(cli.ok(&["ipfs", "add", &file]).trim(), cid);

    let text = cli.ok(&["sync", "status"]);
    fits(&text);
    assert!(
        text.contains("31337") && text.contains("2 agents"),
        "{text}"
    );
}

fn changes_status(cli: &Cli<'_>, key: &str) {
    assert_eq!(
        cli.json(&["agent", "status", "31337:0"])["runtime_status"],
        "ACTIVE"
    );
    let on_chain = ["sleep", "--reason", "night", "--on-chain", "--key", key];
    let said = cli.json(&[&["agent", "status", "31337:0"][..], &on_chain].concat());
    assert_eq!(said["runtime_status"], "SLEEP");
    assert!(said["tx"].as_str().unwrap().starts_with("0x"), "{said}");

    let text = cli.ok(&[
        "agent", "status", "31337:0", "ACTIVE", "--reason", "morning",
    ]);
    assert!(
        text.contains("status  ACTIVE") && text.contains("entry   bafyrei"),
        "{text}"
    );
    let now = cli.json(&["agent", "status", "31337:0"]);
    assert_eq!(now["runtime_status"], "ACTIVE");
    assert_eq!(
        (&now["last_change"]["reason"], &now["last_change"]["who"]),
        (&json!("morning"), &json!("operator"))
    );
    let text = cli.ok(&["agent", "history", "31337:0"]);
    fits(&text);
    let whys: Vec<&str> = text
        .lines()
        .filter_map(|line| line.rsplit("  ").next())
        .collect();
    assert_eq!(
        whys,
        ["WHY", "morning", "night", "Agent registered"],
        "{text}"
    );
    assert!(text.contains("0xf39F…2266"), "{text}");
}

fn refuses(cli: &Cli<'_>, key: &str) {
    let open = cli.key("open (1)", KEY, 0o644);
    let error = cli.fails(4, &[&ADA[..], &["--key", &open]].concat());
    let remedy = format!("run chmod 600 '{open}'");
    assert!(error.contains("0644") && error.contains(&remedy), "{error}");
    let error = cli.fails(2, &ADA);
    assert!(
        error.contains("--key FILE") && error.contains(KEY),
        "a dev chain: {error}"
    );
    let poor = cli.key("poor", POOR, 0o600);
    let error = cli.fails(5, &[&ADA[..], &["--key", &poor]].concat());
    assert!(error.contains("cannot pay"), "{error}");
    let on_chain = [
        "agent",
        "status",
        "31337:0",
        "SLEEP",
        "--on-chain",
        "--key",
        &poor,
    ];
    let error = cli.fails(5, &on_chain);
    assert!(error.contains("may not speak for agent 0"), "{error}");
    let uri = [
        "agent",
        "register",
        "--uri",
        "ipfs://nonsense",
        "--key",
        key,
    ];
    cli.fails(2, &uri);
    cli.fails(2, &["agent", "register", "--name", "only"]);
    for unknown in [
        "31337:77",
        "did:nft:eip155:1_erc721:0x0_1",
        "../../livez",
        "%2e",
    ] {
        let error = cli.fails(3, &["agent", "show", unknown]);
        assert!(error.contains("no agent"), "{error}");
        cli.fails(3, &["agent", "history", unknown]);
        cli.fails(3, &["audit", "prove", unknown]);
    }
    cli.fails(2, &["did", "resolve", "nonsense"]);
    let gone = "did:nft:eip155:31337_erc721:0x0000000000000000000000000000000000000001_9";
    cli.fails(3, &["did", "resolve", gone]);
    let wrong = cli.key("token", "wrong", 0o600);
    let error = cli.fails(
        4,
        &[
            "agent",
            "status",
            "31337:0",
            "SLEEP",
            "--token-file",
            &wrong,
        ],
    );
    assert!(error.contains("token"), "{error}");
}

#[test]
fn a_dry_run_needs_nobody() {
    let place = Place::new("data");
    let cli = Cli(&place);
    let shown = cli.json(&[&ADA[..], &["--dry-run", "--as", "ipfs"]].concat());
    assert_eq!(
        shown["file"]["services"][1]["skills"],
        json!(["files/reports"])
    );
    let cid = shown["cid"].as_str().unwrap();
    assert_eq!(shown["uri"], format!("ipfs://{cid}"));
    assert!(!place.dir().exists(), "nothing was made");
    let error = cli.fails(1, &["--url", "http://127.0.0.1:1", "sync", "status"]);
    assert!(
        error.contains("no instance answers at http://127.0.0.1:1"),
        "{error}"
    );
    assert!(error.contains("chancery up"), "{error}");
}

/// An instance that lies, and what it was asked.
struct Liar {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Liar {
    /// Answers every request whose first line contains a word with its body.
    fn saying(answers: Vec<(&'static str, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut first, mut length) = (String::new(), 0);
                reader.read_line(&mut first).unwrap();
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    let line = line.trim().to_lowercase();
                    if let Some(value) = line.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    if line.is_empty() {
                        break;
                    }
                }
                reader.read_exact(&mut vec![0; length]).unwrap();
                let answer = answers.iter().find(|(word, _)| first.contains(word));
                let (status, body) = answer.map_or((404, "{}"), |(_, body)| (200, body.as_str()));
                log.lock().unwrap().push(first);
                let head = "content-type: application/json\r\nconnection: close";
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { url, asked }
    }

    fn asked(&self, word: &str) -> bool {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains(word))
    }
}

#[test]
fn an_instance_that_lies_is_not_believed() {
    let place = Place::new("data");
    let cli = Cli(&place);
    let cid = "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am";
    let liar = Liar::saying(vec![
        ("/ipfs/bafk", "hello, world\n".to_owned()),
        (
            "/v1/agents/",
            json!({"agent_uri": format!("ipfs://{cid}"), "sha256": "00"}).to_string(),
        ),
        (
            "/proof",
            include_str!("vectors/audit/agent.tlog-proof").to_owned(),
        ),
    ]);
    let to = PathBuf::from(place.dir()).with_file_name("got");
    let to = to.to_string_lossy();
    for args in [
        &["ipfs", "verify", cid][..],
        &["ipfs", "verify", "1:1"],
        &["ipfs", "get", cid],
        &["ipfs", "get", cid, "--to", &to],
    ] {
        let error = cli.fails(6, &[&["--url", &liar.url], args].concat());
        assert!(error.contains("NOT verified"), "{error}");
    }
    assert!(!PathBuf::from(&*to).exists());
    let error = cli.fails(6, &["--url", &liar.url, "audit", "prove", cid]);
    assert!(error.contains("the instance's proof is wrong"), "{error}");
}

#[test]
fn files_go_to_ipfs_by_themselves_where_the_world_reads_them() {
    let place = Place::new("data");
    let cli = Cli(&place);
    let uri = |sync: Value, more: &[&str]| {
        let instance = Liar::saying(vec![("/v1/sync", sync.to_string())]);
        let args = [&["--url", &instance.url][..], &ADA, &["--dry-run"], more].concat();
        cli.json(&args)["uri"].as_str().unwrap().to_owned()
    };
    let public = || json!({"public_pin": true});
    assert!(uri(public(), &[]).starts_with("ipfs://bafk"));
    assert!(uri(public(), &["--as", "data"]).starts_with("data:"));
    assert!(uri(json!({"public_pin": false}), &[]).starts_with("data:"));
    assert!(
        uri(json!({}), &[]).starts_with("data:"),
        "an older instance"
    );
}

#[test]
fn an_owner_serves_the_file_himself() {
    let place = Place::new("data");
    let _instance = place.up();
    let cli = Cli(&place);
    let key = cli.key("key", KEY, 0o600);
    let ada = cli.json(&[&ADA[..], &["--key", &key, "--wait", "finalized"]].concat());
    assert_eq!(
        (&ada["state"], &ada["finalized"]),
        (&json!("indexed"), &json!(true))
    );

    // On a web server: the file first, then what shows that the domain is the agent's.
    let folder = place.dir().with_file_name("www");
    let hosted = [
        "--as",
        "https",
        "--at",
        "https://ada.example/agents/ada.json",
        "--folder",
        folder.to_str().unwrap(),
    ];
    let told = cli.json(&[&ADA[..], &hosted, &["--again", "--key", &key]].concat());
    assert_eq!(told["uri"], "https://ada.example/agents/ada.json");
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
    };
    assert_eq!(read("agents/ada.json")["name"], "Ada");
    let shown = read(".well-known/agent-registration.json");
    assert_eq!(shown["registrations"][0]["agentId"], 1);
    cli.fails(2, &[&ADA[..], &["--as", "https", "--key", &key]].concat());
    let unseen = ["--again", "--key", &key, "--wait", "seen"];
    let error = cli.fails(2, &[&ADA[..], &hosted, &unseen].concat());
    assert!(error.contains("--wait indexed"), "{error}");
    let uri = ["agent", "register", "--key", &key, "--uri"];
    let error = cli.fails(
        5,
        &[&uri[..], &["https://ada.example/agents/ada.json"]].concat(),
    );
    assert!(
        error.contains("31337:1") && error.contains("has the same file"),
        "{error}"
    );
    assert_eq!(cli.json(&["agent", "list"]).as_array().unwrap().len(), 2);

    // An edit is served, and shown to be the domain's, as well.
    let words = ["--name", "Ada", "--description", "Hosted."];
    let edit = ["agent", "edit", "31337:1", "--key", &key];
    let edited = cli.json(&[&edit[..], &words, &hosted].concat());
    assert_eq!(edited["agent_uri"], "https://ada.example/agents/ada.json");
    assert_eq!(read("agents/ada.json")["description"], "Hosted.");
    let shown = read(".well-known/agent-registration.json");
    assert_eq!(
        (&shown["description"], &shown["registrations"][0]["agentId"]),
        (&json!("Hosted."), &json!(1))
    );
}

/// No registry.
const STRANGER: &str = "0x00000000000000000000000000000000000000aa";

#[test]
fn another_transaction_than_was_asked_for_is_not_signed() {
    let place = Place::new("data");
    fs::create_dir(place.dir()).unwrap();
    let cli = Cli(&place);
    let key = cli.key("key", KEY, 0o600);
    // A transfer of everything instead of a registration.
    let transaction = json!({
        "chainId": "0x1", "from": OWNER, "nonce": "0x0", "data": "0x", "gas": "0x5208",
        "to": STRANGER, "value": "0xde0b6b3a7640000",
        "maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x1",
    });
    let answers = |transaction: &Value| {
        let body = json!({"chain": 1, "transaction": transaction}).to_string();
        Liar::saying(vec![("/v1/transactions/prepare", body)])
    };
    let refused = |transaction: &Value, code: i32| {
        let liar = answers(transaction);
        let args = ["--as", "data", "--key", &key];
        let error = cli.fails(code, &[&["--url", &liar.url][..], &ADA, &args].concat());
        assert!(error.contains("nothing was signed"), "{error}");
        assert!(liar.asked("/v1/transactions/prepare") && !liar.asked("POST /v1/transactions "));
        error
    };
    refused(&transaction, 6);

    // What was asked for, of another contract.
    let uri = cli.json(&[&ADA[..], &["--as", "data", "--dry-run"]].concat());
    let data = chain::registry::register_with_uri(uri["uri"].as_str().unwrap());
    let mut transaction = transaction;
    transaction["data"] = json!(data.to_string());
    transaction["value"] = json!("0x0");
    let error = refused(&transaction, 6);
    let canonical = chain::preset::MAINNET_REGISTRY.to_string();
    assert!(
        error.contains(&canonical) && error.to_lowercase().contains(STRANGER),
        "{error}"
    );

    // Of the registry, for a hundred ether.
    transaction["to"] = json!(canonical);
    transaction["gas"] = json!("0x3b9aca00");
    transaction["maxFeePerGas"] = json!("0x174876e800");
    let error = refused(&transaction, 5);
    assert!(
        error.contains("may cost 100 of") && error.contains("--max-fee allows 0.05"),
        "{error}"
    );
    let liar = answers(&transaction);
    let token = cli.key("token", "any", 0o600);
    let agreed = [
        "--as",
        "data",
        "--key",
        &key,
        "--max-fee",
        "100",
        "--token-file",
        &token,
    ];
    cli.fails(3, &[&["--url", &liar.url][..], &ADA, &agreed].concat());
    assert!(liar.asked("POST /v1/transactions "), "it was signed");
    let agreed = ["--key", &key, "--max-fee", "1e2"];
    let error = cli.fails(2, &[&ADA[..], &agreed].concat());
    assert!(error.contains("500000gwei"), "{error}");
}

#[test]
fn another_agent_than_was_named_is_not_given_away() {
    let place = Place::new("data");
    fs::create_dir(place.dir()).unwrap();
    let cli = Cli(&place);
    let key = cli.key("key", KEY, 0o600);
    let agent = json!({
        "id": "b29284c6-ba90-5385-979c-867b535e883d", "did": "did:x", "name": "Ada",
        "name_source": "document", "created_at": "2026-01-02T03:04:05Z",
        "updated_at": "2026-01-02T03:04:05Z", "runtime_status": "ACTIVE", "liveness": "unknown",
        "admin_status": "ACTIVE", "load": "AVAILABLE", "complete": true, "burned": false,
        "chain": 1, "registry": chain::preset::MAINNET_REGISTRY.to_string(), "agent_id": "6",
        "owner_address": OWNER,
    });
    let liar = Liar::saying(vec![("/v1/agents/", agent.to_string())]);
    let give = ["agent", "transfer", "1:5", "--to", OTHER, "--key", &key];
    let error = cli.fails(6, &[&["--url", &liar.url][..], &give].concat());
    assert!(
        error.contains("answered with 1:6 where 1:5 was asked for"),
        "{error}"
    );
    assert!(!liar.asked("/v1/transactions/prepare"));
}

#[test]
fn an_agent_says_that_it_lives() {
    let place = Place::new("data");
    let instance = place.up();
    let cli = Cli(&place);
    let (key, next) = (cli.beside("ada.key"), cli.beside("next.key"));
    let ada = cli.json(&[&ADA[..], &["--gasless", "--key", &key]].concat());
    let id = ada["agent"].as_str().unwrap();

    let beat = ["agent", "beat", id, "--key"];
    let counted = cli.json(&[&beat[..], &[&key]].concat());
    assert_eq!(counted["agent"], id);
    let shown = cli.json(&["agent", "show", id]);
    assert_eq!(shown["last_heartbeat"], counted["timestamp"]);
    // Within a second of the last one it is refused.
    let text = loop {
        let output = cli.0.run(&[&beat[..], &[&key]].concat());
        if output.status.success() {
            break String::from_utf8(output.stdout).unwrap();
        }
        let error = failed(&output, 1);
        assert!(error.contains("at most once in a second"), "{error}");
    };
    fits(&text);
    assert!(text.contains("  alive until 20"), "{text}");

    // anvil's key is an Ed25519 key as well, and nobody's.
    let nobodys = cli.key("nobodys", KEY, 0o600);
    let error = cli.fails(4, &[&beat[..], &[&nobodys]].concat());
    assert!(error.contains("not that of the agent's key"), "{error}");
    let error = cli.fails(3, &["agent", "beat", "31337:77", "--key", &key]);
    assert!(error.contains("no agent 31337:77 is known here"), "{error}");
    let error = cli.fails(2, &[&beat[..], &[&next]].concat());
    assert!(error.contains("next.key"), "{error}");
    let open = cli.key("open", KEY, 0o644);
    let error = cli.fails(4, &[&beat[..], &[&open]].concat());
    assert!(error.contains("chmod 600"), "{error}");
    cli.fails(2, &["agent", "beat", id]);
    // A token's agent has no key of its own: its wallet signs.
    let wallet = cli.key("wallet", KEY, 0o600);
    let of_token = ["agent", "beat", "31337:0"];
    cli.ok(&[&ADA[..], &["--key", &wallet, "--wait", "journaled"]].concat());
    let error = cli.fails(4, &[&of_token[..], &["--key", &key]].concat());
    assert!(error.contains("its wallet or its owner signs"), "{error}");
    let counted = cli.json(&[&of_token[..], &["--wallet-key", &wallet]].concat());
    let shown = cli.json(&["agent", "show", "31337:0"]);
    assert_eq!(shown["last_heartbeat"], counted["timestamp"]);
    let both = ["--wallet-key", &wallet, "--key", &key];
    cli.fails(2, &[&of_token[..], &both].concat());
    cli.fails(2, &[&beat[..], &[&key, "--every", "0"]].concat());

    goes_on(&cli, instance, id, (&key, &next));
}

/// With `--every` it waits for an instance that is not there yet, and goes on over a restart, until a beat is refused.
fn goes_on(cli: &Cli<'_>, instance: Instance, id: &str, (key, next): (&str, &str)) {
    assert!(instance.stop(Signal::SIGTERM).success());
    let error = cli.fails(1, &["agent", "beat", id, "--key", key]);
    assert!(error.contains("chancery up"), "once is once: {error}");
    let args = [
        "agent", "beat", id, "--key", key, "--every", "1", "-o", "jsonl",
    ];
    let (mut beating, mut lines) = both_streams(cli.0, &args);
    let mut told = |what: &str| {
        let mut told = lines.by_ref().map(Result::unwrap);
        told.find(|line| line.contains(what)).unwrap()
    };
    told("trying again in 1 s");
    let instance = cli.0.up();
    let did = told("signing for chancery.local/");
    assert!(did.contains("did:key:z6Mk"), "{did}");
    let counted = |line: String| -> Value { serde_json::from_str(&line).unwrap() };
    let time = |beat: &Value| beat["timestamp"].as_str().unwrap().to_owned();
    let (one, two) = (counted(told("next_due")), counted(told("next_due")));
    assert!(time(&one) < time(&two), "{one} {two}");

    assert!(instance.stop(Signal::SIGTERM).success());
    told("trying again in 1 s");
    let _instance = cli.0.up();
    told("next_due");

    let rotate = [
        "agent",
        "say",
        "rotate",
        id,
        "--key",
        key,
        "--new-key",
        next,
    ];
    cli.ok(&rotate);
    told("not that of the agent's key");
    assert_eq!(beating.wait().unwrap().code(), Some(4));
    cli.ok(&["agent", "beat", id, "--key", next]);
}

/// A running command, and the lines of its stdout and stderr in the order in which they were written.
fn both_streams(
    place: &Place,
    args: &[&str],
) -> (Child, std::io::Lines<BufReader<std::io::PipeReader>>) {
    let (lines, out) = std::io::pipe().unwrap();
    let err = out.try_clone().unwrap();
    let child = place.command(args).stdout(out).stderr(err).spawn().unwrap();
    (child, BufReader::new(lines).lines())
}

#[test]
fn keys_are_made_and_derived() {
    let place = Place::new("data");
    let cli = Cli(&place);
    // The developer of Zynd's vectors: bytes 0 to 31.
    let seed: Vec<u8> = (0..32).collect();
    let developer = cli.key("developer", &hex::encode(seed), 0o600);
    let out = place
        .dir()
        .with_file_name("child.key")
        .to_string_lossy()
        .into_owned();
    let derived = [
        "did", "create", "--out", &out, "--from", &developer, "--index", "0",
    ];
    let child = cli.json(&derived);
    assert_eq!(child["zns"], "zns:7f3214872296f48d652a365c9f637f72");
    assert_eq!(
        child["developer_proof"]["developer_signature"],
        "ed25519:rttB9VeultQ26r72v7iF7bQHyD1ofnU1nzLHu5grBL+QOHZhIx12S/+Eq1zZBwUTD2CLh++4MhQsSpHmP9fcBQ=="
    );
    let file: Value = serde_json::from_str(&fs::read_to_string(&out).unwrap()).unwrap();
    assert_eq!(file["derived_from"]["index"], 0);
    cli.fails(5, &derived);
    let other = place
        .dir()
        .with_file_name("other.key")
        .to_string_lossy()
        .into_owned();
    let made = cli.json(&["did", "create", "--out", &other]);
    assert!(made["did"].as_str().unwrap().starts_with("did:key:z6Mk"));
}
