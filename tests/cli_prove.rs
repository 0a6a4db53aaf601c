//! `chancery prove` and `chancery verify`: one file shows an agent's record, to strangers and offline.
//!
//! Taking the network away needs a right that root has; without it these tests fail and say so.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    process::{Command, Output, Stdio},
    thread,
};

use chancery::bundle::{File, Report, TARGET_BYTES, check};
use instance::{Instance, Place};
use kernel::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A right key, but of another log.
const OTHER: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

/// anvil's first account.
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// The part `anchor`, as `docs/proofs.md` describes it.
#[derive(Serialize, Deserialize)]
struct Anchor {
    chain: u64,
    contract: Bytes,
    keeper: Bytes,
    tx: Bytes,
    size: u64,
    root: Bytes,
    proof: Vec<Bytes>,
}

/// What a forger does to it.
type Forge<'a> = &'a dyn Fn(&mut Anchor);

/// `chancery verify` of a stranger: in an empty folder, with no home, no data directory and no instance; and with no
/// network, unless a node is to be asked.
fn verify(bytes: &[u8], args: &[&str]) -> Output {
    let mut program = vec![env!("CARGO_BIN_EXE_chancery")];
    if !args.contains(&"--rpc") {
        program = [&["unshare", "--net", "--"], &*program].concat();
    }
    run(&program, bytes, args)
}

/// The same with no network at all.
fn offline(bytes: &[u8], args: &[&str]) -> Output {
    let program = ["unshare", "--net", "--", env!("CARGO_BIN_EXE_chancery")];
    run(&program, bytes, args)
}

fn run(program: &[&str], bytes: &[u8], args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(program[0])
        .args([&program[1..], &["verify", "-"], args].concat())
        .env_clear()
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who refuses its arguments may have ended before this was written.
    let _ = child.stdin.take().unwrap().write_all(bytes);
    child.wait_with_output().unwrap()
}

/// What it printed, where it found nothing wrong.
fn shown(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What it said, where it failed with this code.
#[track_caller]
fn refused(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty(), "{said}");
    said
}

/// An instance on whose chain the demo's agents have done everything that they do, and whose journal says all of it.
fn demo(place: &Place) -> Instance {
    let instance = place.up_with(&["--demo"]);
    let ready = (0..20_000).any(|_| {
        let is_read = instance.has_read_the_demo(place);
        let sync: Value = serde_json::from_str(&instance.get("/v1/sync").1).unwrap();
        let said = is_read && sync["chains"][0]["synced"] == true;
        said && sync["journal"]["queued"] == 0 && judged(&instance)
    });
    assert!(ready, "{}", instance.log());
    instance
}

fn agents(instance: &Instance) -> Vec<Value> {
    let page: Value = serde_json::from_str(&instance.get("/v1/agents?limit=200").1).unwrap();
    page["items"].as_array().unwrap().clone()
}

/// Whether every registration file that is to be had was had.
fn judged(instance: &Instance) -> bool {
    let mut agents = agents(instance).into_iter();
    !agents.any(|agent| agent["metadata_state"] == "pending")
}

/// The agent's bundle, as soon as the newest of what is known of it is sealed, and anchored where that is done.
fn prove(place: &Place, agent: &str) -> Vec<u8> {
    let made = (0..600).find_map(|_| {
        let output = place.run(&["prove", agent]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let is_whole =
            !said.contains("not sealed") && (!place.anchors() || !said.contains("without anchor"));
        // What the head says already is journaled once its block is settled.
        let is_settled = || {
            let report = check(&output.stdout, None).unwrap();
            rests_on(&report, "runtime_status").contains("journal")
        };
        (output.status.success() && is_whole && is_settled()).then_some(output.stdout)
    });
    made.unwrap_or_else(|| panic!("{agent}: {:?}", place.run(&["prove", agent])))
}

fn rests_on(report: &Report, field: &str) -> String {
    let field = report.fields.iter().find(|one| one.name == field);
    let basis = field.unwrap().rests_on.iter().map(|basis| basis.as_str());
    basis.collect::<Vec<_>>().join(" ")
}

/// What somebody may rely on: what is proven, and what of it the record says.
fn relied_on(report: &Report) -> (Value, Value) {
    let fields = report.fields.iter();
    let fields: Vec<_> = fields.filter(|field| !field.rests_on.is_empty()).collect();
    (json!(report.blocks), json!(fields))
}

/// One bit of each byte, and by the binary one of each part.
fn flipped_bytes_fail(bytes: &[u8], agent: &str) {
    let mut flipped = bytes.to_vec();
    for at in 0..bytes.len() {
        flipped[at] ^= 1 << (at % 8);
        assert!(check(&flipped, None).is_err(), "byte {at} of {agent}");
        flipped[at] = bytes[at];
    }
    for (name, data) in File::parse(bytes).unwrap().parts() {
        let mut places = bytes.windows(data.len());
        let at = places.position(|window| window == &data[..]).unwrap() + data.len() / 2;
        flipped[at] ^= 1 << (at % 8);
        let said = refused(&verify(&flipped, &[]), 6);
        assert!(said.contains(&format!("`{name}`")), "{agent}: {said}");
        flipped[at] = bytes[at];
    }
}

#[test]
fn every_agent_of_the_demo_is_shown_by_a_small_file() {
    let place = Place::that_anchors("data");
    let instance = demo(&place);
    let vkey = instance.get("/audit/vkey").1;
    let mut documents = 0;
    let agents = agents(&instance);
    assert!(agents.len() > 30, "{}", agents.len());
    let mut sizes = BTreeMap::new();
    for agent in &agents {
        let name = agent["id"].as_str().unwrap();
        let bytes = prove(&place, name);
        sizes.insert(bytes.len(), name);
        let text = shown(&verify(&bytes, &["--vkey", &vkey]));
        for words in [
            "verified  eip155:31337:",
            "hashes to 0x",
            "it is the one that you gave",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        let report = check(&bytes, Some(vkey.trim())).unwrap();
        for part in ["header", "receipt", "state", "journal", "anchor"] {
            let there = report.steps.iter().any(|step| step.part == part);
            assert!(there, "{part} of {name}: {:?}", report.missing);
        }
        let mut missing = report.missing.iter();
        let too_long = missing.any(|one| one.what == "the URI's storage");
        for field in ["owner_address", "agent_wallet", "agent_uri"] {
            let basis = rests_on(&report, field);
            let left_out = too_long && field == "agent_uri" && basis.contains("journal");
            assert!(
                left_out || basis.contains("storage"),
                "{field} of {name}: {basis}"
            );
        }
        assert!(rests_on(&report, "id").contains("log"), "{name}");
        assert!(
            rests_on(&report, "runtime_status").contains("journal"),
            "{name}"
        );
        documents += usize::from(report.steps.iter().any(|step| step.part == "document"));
        flipped_bytes_fail(&bytes, name);
    }
    assert!(documents > 10, "{documents} of {}", agents.len());
    let (largest, name) = sizes.last_key_value().unwrap();
    println!(
        "bundles of {:?} to {largest} bytes",
        sizes.first_key_value()
    );
    assert!(*largest <= TARGET_BYTES, "{name} has {largest} bytes");
}

#[test]
fn every_flipped_byte_is_found_and_its_part_is_named() {
    let place = Place::that_anchors("data");
    let instance = demo(&place);
    let vkey = instance.get("/audit/vkey").1;
    let vkey = vkey.trim();
    for (agent, bits) in [("31337:2", 0..8), ("31337:7", 3..4), ("31337:20", 6..7)] {
        let bytes = prove(&place, agent);
        let file = File::parse(&bytes).unwrap();
        let report = check(&bytes, Some(vkey)).unwrap();
        let range = |data: &Bytes| {
            let mut places = bytes.windows(data.len());
            let start = places.position(|window| window == &data[..]).unwrap();
            start..start + data.len()
        };
        let parts = file.parts().iter();
        let parts: Vec<_> = parts.map(|(name, data)| (*name, range(data))).collect();
        for at in 0..bytes.len() {
            for bit in bits.clone() {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                let wrong = check(&flipped, None).expect_err("flipped");
                if let Some((name, _)) = parts.iter().find(|(_, range)| range.contains(&at)) {
                    assert_eq!(wrong.part, *name, "byte {at}");
                }
            }
        }
        let mut flipped = bytes.clone();
        let header = parts.iter().find(|(name, _)| *name == "header").unwrap();
        flipped[header.1.start + 40] ^= 1;
        let said = refused(&verify(&flipped, &[]), 6);
        assert!(said.contains("NOT verified: the part `header`"), "{said}");

        // Who also makes the digest fit gets no further: what is relied on stays as it is.
        for (name, data) in file.parts() {
            for at in 0..data.len() {
                let mut forged = file.clone();
                let mut other = data.to_vec();
                other[at] ^= 1 << (at % 8);
                forged.replace(name, &other.into());
                match check(&forged.encode(), Some(vkey)) {
                    Ok(other) => assert_eq!(relied_on(&other), relied_on(&report), "{name} {at}"),
                    Err(wrong) => assert!(!wrong.why.is_empty()),
                }
            }
        }
    }
}

/// Answers as a node of the demo's chain would, but for what `bend` changes in blocks.
fn lying_node(instance: &Instance, bend: impl Fn(&mut Value) + Send + 'static) -> String {
    let true_block = |number: &Value| instance.rpc("eth_getBlockByNumber", &json!([number, false]));
    let head = u64::from_str_radix(
        instance
            .rpc("eth_blockNumber", &json!([]))
            .as_str()
            .unwrap()
            .trim_start_matches("0x"),
        16,
    );
    let blocks: BTreeMap<String, Value> = (0..=head.unwrap())
        .map(|number| format!("{number:#x}"))
        .map(|number| (number.clone(), true_block(&json!(number))))
        .collect();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            let body = loop {
                let read = stream.read(&mut buffer).unwrap();
                request.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
                if let Some(Ok(body)) = body.map(|body| serde_json::from_str::<Value>(&body)) {
                    break body;
                }
            };
            let result = if body["method"] == "eth_chainId" {
                json!("0x7a69")
            } else {
                let number = body["params"][0].as_str().unwrap();
                let mut block = blocks.get(number).cloned().unwrap_or_default();
                if !block.is_null() {
                    bend(&mut block);
                }
                block
            };
            let answer =
                json!({ "jsonrpc": "2.0", "id": body["id"], "result": result }).to_string();
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n";
            let length = answer.len();
            write!(stream, "{head}content-length: {length}\r\n\r\n{answer}").unwrap();
        }
    });
    url
}

#[test]
fn what_must_be_trusted_is_checked_where_the_reader_can() {
    let place = Place::new("data");
    let instance = demo(&place);
    let bytes = prove(&place, "31337:2");
    let text = shown(&verify(&bytes, &[]));
    for words in [
        "What must still be trusted",
        "check it with --rpc URL",
        "give it with --vkey",
        "claimed only",
        "that nothing more was said of the agent after block",
        "anchor: no checkpoint",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let rpc = instance.ready["rpc"].as_str().unwrap();
    let text = shown(&verify(&bytes, &["--rpc", rpc]));
    assert!(text.contains(rpc) && text.contains(" has it"), "{text}");
    // The same node cannot be asked where all the others were verified.
    refused(&offline(&bytes, &["--rpc", rpc]), 1);
    let json = shown(&verify(&bytes, &["-o", "json", "--rpc", rpc]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["verified"], true);
    assert!(json["rpc"][0]["place"].is_string() && json["report"]["blocks"][0]["number"].is_u64());

    let said = refused(&verify(&bytes, &["--vkey", OTHER]), 6);
    assert!(
        said.contains("the part `journal`: the key that you trust did not sign"),
        "{said}"
    );
    let other = format!("0x{}", "66".repeat(32));
    let liar = lying_node(&instance, move |block| block["hash"] = json!(other));
    let said = refused(&verify(&bytes, &["--rpc", &liar]), 6);
    assert!(said.contains("the header of block"), "{said}");
    refused(&verify(&bytes, &["--rpc", "nonsense"]), 2);
    refused(&verify(&bytes, &["--vkey", "nonsense"]), 2);
    refused(&verify(&bytes, &["--rpc", "http://127.0.0.1:1"]), 1);
    refused(&verify(b"", &[]), 6);
    refused(&verify(&bytes[1..], &[]), 6);
}

#[test]
fn an_anchor_is_shown_and_checked_where_the_reader_can() {
    let place = Place::that_anchors("data");
    let instance = demo(&place);
    let bytes = prove(&place, "31337:2");
    let text = shown(&verify(&bytes, &[]));
    assert!(text.contains("the checkpoint goes on from"), "{text}");
    let rpc = instance.ready["rpc"].as_str().unwrap();
    let json = shown(&verify(&bytes, &["-o", "json", "--rpc", rpc]));
    let json: Value = serde_json::from_str(&json).unwrap();
    let anchor = &json["report"]["anchor"];
    assert_eq!(anchor["chain"], 31337);
    let receipt = instance.rpc("eth_getTransactionReceipt", &json!([anchor["tx"]]));
    let mined = u64::from_str_radix(&receipt["blockNumber"].as_str().unwrap()[2..], 16).unwrap();
    assert_eq!(json["rpc"][0]["anchored_in"], mined);

    // Another log's head, and a transaction that anchored something else or nothing at all.
    let forged = |forge: &dyn Fn(&mut Anchor)| {
        let mut file = File::parse(&bytes).unwrap();
        let mut parts = file.parts().iter();
        let (_, part) = parts.find(|(name, _)| *name == "anchor").unwrap();
        let mut part: Anchor = kernel::from_dag_cbor(part).unwrap();
        forge(&mut part);
        file.replace("anchor", &kernel::to_dag_cbor(&part).unwrap().into());
        file.encode()
    };
    assert_eq!(forged(&|_| ()), bytes);
    let first = instance.rpc("eth_getBlockByNumber", &json!(["0x1", false]));
    let first = hex::decode(&first["transactions"][0].as_str().unwrap()[2..]).unwrap();
    let cases: [(&str, Forge, i32, &str); 5] = [
        (
            "root",
            &|part| part.root = vec![6; 32].into(),
            6,
            "the part `anchor`: the checkpoint of",
        ),
        (
            "size",
            &|part| part.size = 1,
            6,
            "the part `anchor`: it covers 1 entries",
        ),
        (
            "tx",
            &|part| part.tx = first.clone().into(),
            0,
            "did not make",
        ),
        (
            "keeper",
            &|part| part.keeper = vec![6; 20].into(),
            0,
            "did not make",
        ),
        (
            "contract",
            &|part| part.contract = vec![6; 20].into(),
            0,
            "did not make",
        ),
    ];
    for (name, forge, offline, words) in cases {
        let forged = forged(forge);
        assert_eq!(verify(&forged, &[]).status.code(), Some(offline), "{name}");
        let said = refused(&verify(&forged, &["--rpc", rpc]), 6);
        assert!(said.contains(words), "{name}: {said}");
    }
    let nobodys = forged(&|part| part.tx = vec![6; 32].into());
    let said = refused(&verify(&nobodys, &["--rpc", rpc]), 1);
    assert!(
        said.contains("does not know the anchor's transaction"),
        "{said}"
    );
    let elsewhere = forged(&|part| part.chain = 1);
    let text = shown(&verify(&elsewhere, &["--rpc", rpc]));
    let not_asked = text
        .lines()
        .find(|line| line.contains("on chain 1 anchored"));
    assert!(
        not_asked.unwrap().ends_with("check it with --rpc URL"),
        "{text}"
    );
}

#[test]
fn a_uri_that_is_too_long_leaves_owner_and_wallet_shown() {
    let place = Place::new("data");
    let instance = place.up();
    let key = place.dir().join("key");
    fs::write(&key, KEY).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let uri = format!(
        "data:application/json,{{\"name\":\"{}\"}}",
        "a".repeat(9_000)
    );
    let key = key.to_str().unwrap();
    let registered = place.run(&[
        "agent",
        "register",
        "--uri",
        &uri,
        "--key",
        key,
        "--wait",
        "journaled",
    ]);
    shown(&registered);
    let bytes = prove(&place, "31337:0");
    let report = check(&bytes, None).unwrap();
    assert!(bytes.len() <= TARGET_BYTES, "{}", bytes.len());
    for (field, basis) in [
        ("owner_address", "storage"),
        ("agent_wallet", "storage"),
        ("agent_uri", "journal"),
    ] {
        assert!(rests_on(&report, field).contains(basis), "{field}");
    }
    let missing = report
        .missing
        .iter()
        .find(|one| one.what == "the URI's storage");
    assert_eq!(missing.unwrap().why, "the URI has more than 8192 bytes");
    drop(instance);
}

#[test]
fn an_agent_without_gas_is_shown_by_what_its_key_and_its_owner_signed() {
    let place = Place::new("data");
    let instance = place.up();
    let file = |name: &str| place.dir().join(name).to_str().unwrap().to_owned();
    let (owner, key, next) = (file("owner"), file("ada.key"), file("next.key"));
    fs::write(&owner, KEY).unwrap();
    fs::set_permissions(&owner, fs::Permissions::from_mode(0o600)).unwrap();
    let signed = ["--key", &key, "--owner-key", &owner, "-o", "json"];
    let ada = ["--name", "Ada", "--description", "Files reports."];
    let ada = [&["agent", "register", "--gasless"][..], &ada, &signed].concat();
    let ada: Value = serde_json::from_str(&shown(&place.run(&ada))).unwrap();
    let id = ada["agent"].as_str().unwrap();
    let set = r#"{"summary": "In PDF.", "metadata": {"b": [1, null], "a": {"é": "2"}}}"#;
    for said in [
        &["update", id, "--set", set, "--owner-key", &owner][..],
        &["rotate", id, "--key", &key, "--new-key", &next],
        &["status", id, "SLEEP", "--key", &next],
    ] {
        shown(&place.run(&[&["agent", "say"][..], said].concat()));
    }
    let bytes = prove(&place, id);
    assert!(bytes.len() <= TARGET_BYTES, "{}", bytes.len());
    let vkey = instance.get("/audit/vkey").1;
    let text = shown(&verify(&bytes, &["--vkey", &vkey]));
    for words in [
        "register, is signed by did:key:z6Mk",
        "register, is signed by eip155:",
        "update, is signed by eip155:",
        "rotate, is signed by did:key:z6Mk",
        "status, is signed by did:key:z6Mk",
        ", the agent's key",
        ", the key that takes its place",
        ", the agent's owner",
        "journal, signed",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("may speak for the agent"), "{text}");
    let report = check(&bytes, Some(vkey.trim())).unwrap();
    let signed = report.fields.iter().filter(|field| field.signed);
    let names: Vec<&str> = signed.map(|field| field.name.as_str()).collect();
    for name in [
        "description",
        "did",
        "name",
        "owner_address",
        "public_key",
        "runtime_status",
        "summary",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    assert!(!names.contains(&"id") && !names.contains(&"admin_status"));
    flipped_bytes_fail(&bytes, id);

    // The proof of an entry and the log itself show who signed, too.
    let proof = file("status.tlog-proof");
    fs::write(&proof, shown(&place.run(&["audit", "prove", id]))).unwrap();
    let text = shown(&place.run(&["audit", "verify", &proof]));
    assert!(text.contains("status, is signed by did:key:z6Mk"), "{text}");
    let log = format!("{}/audit", instance.ready["url"].as_str().unwrap());
    let text = shown(&place.run(&["audit", "verify", &log]));
    assert!(text.contains("6 signatures of authors are right"), "{text}");
}

#[test]
fn what_is_not_to_be_had_is_told() {
    let place = Place::new("data");
    let instance = demo(&place);
    // Receipts that are kept no more are asked of a node; an agent without a token has none.
    place.sql("DELETE FROM chain.receipts").unwrap();
    let report = check(&prove(&place, "31337:2"), None).unwrap();
    assert!(report.steps.iter().any(|step| step.part == "receipt"));
    place
        .sql("INSERT INTO agents (did, name, owner_address) VALUES ('did:vexel:x', 'X', '0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266')")
        .unwrap();
    let bytes = prove(&place, "did:vexel:x");
    let text = shown(&verify(&bytes, &[]));
    for words in [
        "receipt: the agent has no token",
        "state: the agent has no token",
        "document: ",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let report = check(&bytes, None).unwrap();
    assert_eq!(
        (report.blocks.len(), rests_on(&report, "name")),
        (0, "journal".to_owned())
    );
    let said = refused(
        &verify(&bytes, &["--rpc", instance.ready["rpc"].as_str().unwrap()]),
        6,
    );
    assert!(said.contains("neither header nor anchor"), "{said}");
    let said = refused(&place.run(&["prove", "31337:9999"]), 3);
    assert!(said.contains("9999"), "{said}");
    let file = place.dir().join("bundle");
    let json = place.run(&[
        "prove",
        "31337:2",
        "-o",
        "json",
        "--to",
        file.to_str().unwrap(),
    ]);
    let json: Value = serde_json::from_str(&shown(&json)).unwrap();
    assert_eq!(json["report"]["size"], fs::read(&file).unwrap().len());
}
