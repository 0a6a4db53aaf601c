//! The command line against a running instance: an owner registers agents, looks at them, and takes
//! away a proof that stands without us.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Output},
    sync::{Arc, Mutex},
};

use instance::{Instance, Place};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// anvil's first account.
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const OWNER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
/// An account that nobody gave anything.
const POOR: &str = "0x00000000000000000000000000000000000000000000000000000000000000aa";

/// Commands against one place.
struct Cli<'a>(&'a Place);

impl Cli<'_> {
    /// Runs a command that must succeed: its stdout.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.0.run(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same, as JSON.
    fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[args, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap()
    }

    /// Runs a command that must fail with this code: its stderr.
    fn fails(&self, code: i32, args: &[&str]) -> String {
        failed(&self.0.run(args), code)
    }

    /// A key file beside the data directory.
    fn key(&self, name: &str, key: &str, mode: u32) -> String {
        let path = self.0.dir().with_file_name(name);
        fs::write(&path, format!("{key}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_string_lossy().into_owned()
    }
}

fn failed(output: &Output, code: i32) -> String {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(output.stdout.is_empty(), "data of a failure");
    error
}

const ADA: [&str; 12] = [
    "agent",
    "register",
    "--name",
    "Ada",
    "--description",
    "Files reports.",
    "--service",
    "A2A=https://ada.example/agent-card.json",
    "--skill",
    "files/reports",
    "--image",
    "https://ada.example/ada.png",
];

/// No line of a table or list is wider than a terminal, but for values that people copy.
fn fits(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

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

    // As IPFS, for people.
    let text = cli.ok(&[
        &ADA[..],
        &[
            "--active", "false", "--key", &key, "--as", "ipfs", "--again",
        ],
    ]
    .concat());
    fits(&text);
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

/// anvil's second account.
const OTHER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const OTHERS_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

#[test]
fn an_owner_edits_names_a_wallet_sells_and_the_buyer_ends_it() {
    let place = Place::new("data");
    let _instance = place.up();
    let cli = Cli(&place);
    let (key, other) = (
        cli.key("key", KEY, 0o600),
        cli.key("other", OTHERS_KEY, 0o600),
    );
    cli.json(&[&ADA[..], &["--key", &key]].concat());

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

    let words = ["--name", "Ada", "--description", "Reads reports out."];
    let edit = ["agent", "edit", "31337:0"];
    let edited = cli.json(&[&edit[..], &words, &["--key", &key, "--wait", "journaled"]].concat());
    assert_eq!(edited["description"], "Reads reports out.");
    assert_ne!(edited["entry"]["state"], "queued");

    let wallet = ["agent", "wallet", "31337:0"];
    let set = cli.json(&[&wallet[..], &["--wallet-key", &other, "--key", &key]].concat());
    assert_eq!(set["agent_wallet"], OTHER);
    assert!(cli.ok(&wallet).contains(&format!("wallet  {OTHER}")));
    let unset = cli.json(&[&wallet[..], &["--unset", "--key", &key]].concat());
    assert_eq!(unset["agent_wallet"], Value::Null);

    let transfer = ["agent", "transfer", "31337:0", "--to"];
    let slip = OTHER.replacen('C', "c", 1);
    let error = cli.fails(2, &[&transfer[..], &[&slip, "--key", &key]].concat());
    assert!(error.contains("EIP-55"), "{error}");
    cli.fails(5, &[&transfer[..], &[OTHER, "--key", &other]].concat());
    let sold = cli.json(&[&transfer[..], &[OTHER, "--key", &key]].concat());
    assert_eq!(sold["owner_address"], OTHER);

    let end = [
        "agent",
        "deregister",
        "31337:0",
        "--reason",
        "retired",
        "--key",
    ];
    cli.fails(5, &[&end[..], &[&key]].concat());
    let ended = cli.json(&[&end[..], &[&other]].concat());
    assert_eq!(ended["runtime_status"], "TERMINATED");
    assert!(cli.ok(&["agent", "history", "31337:0"]).contains("retired"));
}

#[test]
fn another_transaction_than_was_asked_for_is_not_signed() {
    let place = Place::new("data");
    fs::create_dir(place.dir()).unwrap();
    let cli = Cli(&place);
    let key = cli.key("key", KEY, 0o600);
    // A transfer of everything instead of a registration.
    let transaction = json!({
        "chainId": "0x1", "from": OWNER, "nonce": "0x0", "data": "0x", "gas": "0x5208",
        "to": "0x00000000000000000000000000000000000000aa", "value": "0xde0b6b3a7640000",
        "maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x1",
    });
    let body = json!({"chain": 1, "transaction": transaction}).to_string();
    let liar = Liar::saying(vec![("/v1/transactions/prepare", body)]);
    let args = [&["--url", &liar.url][..], &ADA, &["--key", &key]].concat();
    let error = cli.fails(6, &args);
    assert!(error.contains("nothing was signed"), "{error}");
    assert!(liar.asked("/v1/transactions/prepare") && !liar.asked("POST /v1/transactions "));
}

#[test]
fn an_owner_keeps_an_agent_without_gas() {
    let place = Place::new("data");
    let instance = place.up();
    let cli = Cli(&place);
    let owner = cli.key("owner", KEY, 0o600);
    let beside = |name: &str| {
        let path = place.dir().with_file_name(name);
        path.to_string_lossy().into_owned()
    };
    let (key, next) = (beside("ada.key"), beside("next.key"));
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
    let error = cli.fails(5, &[&ADA[..], &signed].concat());
    assert!(error.contains("registered already"), "{error}");

    let set = r#"{"summary": "Reports, now in PDF."}"#;
    cli.ok(&[
        "agent",
        "say",
        "update",
        id,
        "--set",
        set,
        "--owner-key",
        &owner,
    ]);
    let error = cli.fails(
        4,
        &[
            "agent",
            "say",
            "update",
            id,
            "--set",
            set,
            "--owner-key",
            &cli.key("poor", POOR, 0o600),
        ],
    );
    assert!(error.contains("not the owner"), "{error}");
    cli.ok(&[
        "agent",
        "say",
        "rotate",
        id,
        "--key",
        &key,
        "--new-key",
        &next,
    ]);
    let error = cli.fails(
        4,
        &["agent", "say", "update", id, "--set", set, "--key", &key],
    );
    assert!(error.contains("rotated away"), "{error}");

    // The same one's token, and the link.
    let token = cli.json(&[&ADA[..], &["--again", "--key", &owner]].concat());
    let token = token["agent"].as_str().unwrap();
    cli.ok(&[
        "agent",
        "say",
        "claim",
        id,
        token,
        "--key",
        &next,
        "--owner-key",
        &owner,
    ]);
    let shown = cli.json(&["agent", "show", id]);
    let names = shown["identifiers"].as_array().unwrap();
    let linked = names
        .iter()
        .find(|name| name["standing"] == "linked")
        .unwrap();
    assert!(linked["value"].as_str().unwrap().starts_with("did:nft:"));
    assert_eq!(shown["summary"], "Reports, now in PDF.");

    cli.ok(&[
        "agent",
        "say",
        "transfer",
        id,
        "none",
        "--owner-key",
        &owner,
    ]);
    cli.ok(&[
        "agent",
        "say",
        "deregister",
        id,
        "--reason",
        "done",
        "--key",
        &next,
    ]);
    let status = cli.json(&["agent", "status", id]);
    assert_eq!(status["runtime_status"], "TERMINATED");
    assert_eq!(status["last_change"]["reason"], "done");
    let error = cli.fails(
        5,
        &["agent", "say", "update", id, "--set", set, "--key", &next],
    );
    assert!(error.contains("ended for good"), "{error}");
    assert!(instance.stop(Signal::SIGTERM).success());
}

#[test]
fn an_operator_suspends_an_agent_and_lifts_it() {
    let place = Place::new("data");
    let instance = place.up();
    let cli = Cli(&place);
    let key = beside(&place, "ada.key");
    let ada = cli.json(&[&ADA[..], &["--gasless", "--key", &key]].concat());
    let id = ada["agent"].as_str().unwrap();
    let last = |dimension: &str| -> Value {
        let path = format!("/v1/agents/{id}/status-changes?dimension={dimension}");
        let changes: Value = serde_json::from_str(&instance.get(&path).1).unwrap();
        let last = &changes["items"][0];
        json!([last["new"], last["reason"], last["who"]])
    };

    let suspend = ["agent", "suspend", id, "--reason"];
    let text = cli.ok(&[&suspend[..], &["spam"]].concat());
    fits(&text);
    assert!(
        text.contains("admin  SUSPENDED") && text.contains("entry  bafyrei"),
        "{text}"
    );
    let said = json!(["SUSPENDED", "spam", "operator"]);
    assert_eq!(last("admin_status"), said);
    let status = cli.json(&["agent", "status", id]);
    assert_eq!(status["admin_status"], "SUSPENDED");
    let admit = ["agent", "admit", id];
    let away = ["--as", "inactive", "--reason", "away"];
    let away = cli.json(&[&admit[..], &away].concat());
    assert_eq!(away["admin_status"], "INACTIVE");
    assert_eq!(
        last("admin_status"),
        json!(["INACTIVE", "away", "operator"])
    );
    assert_eq!(cli.json(&admit)["admin_status"], "ACTIVE");
    assert_eq!(cli.json(&admit)["entry"], Value::Null, "it is so already");
    let busy = ["agent", "load", id, "busy", "--reason", "rush"];
    assert_eq!(cli.json(&busy)["load"], "BUSY");
    assert_eq!(last("load"), json!(["BUSY", "rush", "operator"]));

    let error = cli.fails(2, &["agent", "suspend", id]);
    assert!(error.contains("--reason"), "{error}");
    let error = cli.fails(2, &[&suspend[..], &[""]].concat());
    assert!(error.contains("told why"), "{error}");
    cli.fails(2, &["agent", "admit", id, "--as", "SUSPENDED"]);
    let error = cli.fails(2, &["agent", "load", id, "idle"]);
    assert!(error.contains("AVAILABLE"), "{error}");
    for verb in [
        &["suspend", "31337:77", "--reason", "x"][..],
        &["admit", "31337:77"],
    ] {
        let error = cli.fails(3, &[&["agent"][..], verb].concat());
        assert!(error.contains("no agent 31337:77 is known here"), "{error}");
    }
    let wrong = cli.key("token", "wrong", 0o600);
    for verb in [&["suspend", id, "--reason", "x"][..], &["load", id, "BUSY"]] {
        let error = cli.fails(
            4,
            &[&["agent"][..], verb, &["--token-file", &wrong]].concat(),
        );
        assert!(error.contains("token"), "{error}");
    }
}

/// A file beside the data directory.
fn beside(place: &Place, name: &str) -> String {
    let path = place.dir().with_file_name(name);
    path.to_string_lossy().into_owned()
}

#[test]
fn an_agent_says_that_it_lives() {
    let place = Place::new("data");
    let instance = place.up();
    let cli = Cli(&place);
    let (key, next) = (beside(&place, "ada.key"), beside(&place, "next.key"));
    let ada = cli.json(&[&ADA[..], &["--gasless", "--key", &key]].concat());
    let id = ada["agent"].as_str().unwrap();

    let beat = ["agent", "beat", id, "--key"];
    let counted = cli.json(&[&beat[..], &[&key]].concat());
    assert_eq!(counted["agent"], id);
    let shown = cli.json(&["agent", "show", id]);
    assert_eq!(shown["last_heartbeat"], counted["timestamp"]);
    let text = cli.ok(&[&beat[..], &[&key]].concat());
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
