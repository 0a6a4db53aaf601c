//! Bad input against the real binary: a clear error or state, and nothing else is lost.
//!
//! | bad input | where it is tried |
//! |---|---|
//! | wrong chain id, RPC that is no RPC, no registry, replay file that is missing | `cli_index.rs`, `what_is_wrong_for_good_is_told_at_once` |
//! | RPC down at start | here (heals); `cli_index.rs` (told, the rest goes on) |
//! | RPC whose answers are web pages or cut, from one moment to the next | here |
//! | replay file that is no recording | here |
//! | malformed log data, unknown topic | here |
//! | 10 MB URI, wrong bytes for a CID, https to a private address, invalid UTF-8, NUL, deep JSON | here; what servers and files say: `mainnet.rs`, crate `net`, crate `identity` |
//! | DID that is none | here; `cli_agent.rs` |
//! | unknown configuration key, wrong value | `cli_config.rs` |
//! | port taken, second process on the data directory, path too long, Postgres missing or too new | `cli_up.rs` |
//! | Postgres killed when nothing happens | `cli_up.rs` |
//! | Postgres killed under load | here |
//! | we killed under load | `kill.rs` |
//! | flipped bits in a proof | `cli_audit.rs` |
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;
#[path = "bad_input/tape.rs"]
mod tape;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use instance::{Instance, Place};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tape::{CHAIN, Tape, event, strings, word};

/// Waits this long at most for what takes a few seconds.
const PATIENCE: Duration = Duration::from_mins(2);

/// Asks until there is an answer; each attempt asks a process, so it takes its time.
#[track_caller]
fn wait<T>(what: &str, up: &Instance, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "no {what} in {PATIENCE:?}:\n{:#?}\n{}",
            up.get("/v1/sync"),
            up.log()
        );
    }
}

fn json_of(up: &Instance, path: &str) -> Value {
    let (status, body) = up.get(path);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// The one chain of an instance, as it is shown.
fn chain(up: &Instance) -> Value {
    json_of(up, "/v1/sync")["chains"][0].clone()
}

/// A place with a configuration, and where files can lie beside its data.
fn configured(config: &str) -> (Place, PathBuf) {
    let place = Place::new("data");
    fs::create_dir(place.dir()).unwrap();
    fs::write(place.dir().join("chancery.toml"), config).unwrap();
    let beside = place.dir().parent().unwrap().join("tape.json");
    (place, beside)
}

/// Answers every request with these bytes as its body, until the process ends.
fn serve(body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines();
            let _ = lines.find(|line| line.as_ref().is_ok_and(String::is_empty));
            let length = body.len();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            let _ = (&stream).write_all(format!("{head}{body}").as_bytes());
        }
    });
    url
}

/// A line of the table of URIs: its bytes, the state that they lead to, and a word of the reason.
type Case = (&'static str, Vec<u8>, &'static str, &'static str);

fn hostile_uris() -> Vec<Case> {
    let deep = |depth: usize| {
        format!(
            "data:application/json,{}1{}",
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    let fine = r#"data:application/json,{"type":"https://eips.ethereum.org/EIPS/eip-8004#registration-v1","name":"NAME","description":"d","image":"https://a.example/i.png"}"#;
    let mut huge = b"https://example.com/".to_vec();
    huge.resize(10_000_000, b'x');
    let mut huge_data = b"data:application/json,".to_vec();
    huge_data.resize(1_000_000, b' ');
    vec![
        ("a file", fine.replace("NAME", "Fine").into(), "fetched", ""),
        ("10 MB", huge, "too_large", "too_large"),
        ("1 MB of data", huge_data, "too_large", "too_large"),
        (
            "loopback",
            b"https://127.0.0.1/a.json".to_vec(),
            "blocked",
            "not on the public internet",
        ),
        (
            "loopback in disguise",
            b"https://0x7f.1/a.json".to_vec(),
            "blocked",
            "not on the public internet",
        ),
        (
            "loopback by name",
            b"https://localhost/a.json".to_vec(),
            "blocked",
            "not on the public internet",
        ),
        (
            "the cloud's metadata",
            b"https://169.254.169.254/latest/".to_vec(),
            "blocked",
            "not on the public internet",
        ),
        (
            "loopback of IPv6",
            b"https://[::ffff:127.0.0.1]/".to_vec(),
            "blocked",
            "not on the public internet",
        ),
        (
            "another port",
            b"https://example.com:22/".to_vec(),
            "blocked",
            "ports",
        ),
        (
            "a password",
            b"https://u:p@example.com/".to_vec(),
            "blocked",
            "credentials",
        ),
        (
            "plain http",
            b"http://example.com/a.json".to_vec(),
            "blocked",
            "plain http",
        ),
        (
            "a local file",
            b"file:///etc/passwd".to_vec(),
            "unsupported",
            "file",
        ),
        (
            "a CID, wrong bytes",
            b"ipfs://bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4".to_vec(),
            "unavailable",
            "are not bafk",
        ),
        ("no CID", b"ipfs://nonsense".to_vec(), "malformed", "no CID"),
        (
            "UTF-8 broken in a URI",
            b"ipfs://\xff\xfe".to_vec(),
            "malformed",
            "",
        ),
        (
            "UTF-8 broken in a name",
            fine.replace("NAME", "Caf%E9").into(),
            "malformed",
            "invalid-utf8",
        ),
        (
            "NUL in a name",
            fine.replace("NAME", "a\\u0000b").into(),
            "fetched",
            "nul-replaced",
        ),
        (
            "a raw byte that is no UTF-8 in a name",
            fine.replace("NAME", "Caf\u{1}")
                .into_bytes()
                .iter()
                .map(|b| if *b == 1 { 0xe9 } else { *b })
                .collect(),
            "malformed",
            "invalid-utf8",
        ),
        (
            "no base64",
            b"data:application/json;base64,####".to_vec(),
            "malformed",
            "base64",
        ),
        (
            "no gzip",
            b"data:application/json;enc=gzip;base64,AAAA".to_vec(),
            "malformed",
            "gzip",
        ),
        ("100 deep", deep(100).into(), "malformed", "too-deep"),
        ("30,000 deep", deep(30_000).into(), "malformed", "too-deep"),
    ]
}

/// Logs that are not what their topic promises. The last two speak of no token at all.
fn malformed_logs(tape: &mut Tape, agent: u128) -> Vec<String> {
    let registered = event("Registered(uint256,string,address)");
    let updated = event("URIUpdated(uint256,string,address)");
    let (agent, owner) = (word(agent), word(0xb0b));
    let beyond = [[0; 31].as_slice(), &[255], &strings(&[b"x"])[32..]].concat();
    let dirty = format!("0x{}", "f".repeat(64));
    vec![
        tape.log(&[registered.clone(), agent.clone(), owner.clone()], b""),
        tape.log(&[registered.clone(), agent.clone(), owner.clone()], &beyond),
        tape.log(
            &[registered.clone(), agent.clone(), dirty],
            &strings(&[b"x"]),
        ),
        tape.log(&[updated.clone(), agent.clone()], &strings(&[b"x"])),
        tape.log(
            &[updated, agent, owner.clone()],
            &strings(&[b"0123456789"])[..70],
        ),
        tape.log(&[registered], &strings(&[b"x"])),
        tape.log(
            &[
                event("ApprovalForAll(address,address,bool)"),
                owner.clone(),
                owner,
            ],
            &[7; 32],
        ),
    ]
}

#[test]
fn hostile_logs_are_judged_one_by_one() {
    let gateway = serve("other bytes");
    let (place, file) = configured(&format!("[content]\ngateways = [\"{gateway}\"]\n"));
    let (mut tape, cases) = (Tape::default(), hostile_uris());
    for (agent, (_, uri, _, _)) in cases.iter().enumerate() {
        tape.registered(agent as u128, uri);
    }
    let malformed = malformed_logs(&mut tape, 500);
    tape.log(&[event("SomethingElse(uint256)"), word(0)], b"whatever");
    tape.log(&[], b"");
    tape.metadata(0, b"\xff\0key", b"\0\xff\xfe");
    tape.metadata(0, b"plain", b"\0");
    let last = cases.len() as u128;
    tape.registered(last, b"");
    tape.write(&file);

    let up = place.up_with(&["--replay", file.to_str().unwrap()]);
    for (agent, (what, _, state, reason)) in cases.iter().enumerate() {
        let path = format!("/v1/agents/{CHAIN}:{agent}/metadata");
        let metadata = wait(what, &up, || {
            let (status, body) = up.get(&path);
            let metadata: Value = serde_json::from_str(&body).unwrap();
            let without =
                ["none", "unavailable"].contains(&metadata["state"].as_str().unwrap_or_default());
            (status == 200 && (without || metadata["version"].is_number())).then_some(metadata)
        });
        let said = format!("{} {}", metadata["warnings"], metadata["error"]);
        assert!(
            metadata["state"] == *state && said.contains(reason),
            "{what}: {metadata}"
        );
        let private = ["127.0.0.1/", "169.254", "u:p@", "passwd"];
        assert!(
            !private.iter().any(|part| said.contains(part)),
            "{what}: {said}"
        );
    }
    let wrong = json_of(&up, &format!("/v1/agents/{CHAIN}:12/metadata"));
    assert_eq!(wrong["verification"], "mismatch", "{wrong}");

    // All logs are kept, each honest one has its agent, the last one too.
    assert_eq!(
        place.sql("SELECT count(*) FROM chain.logs").unwrap(),
        tape.len().to_string()
    );
    let listed = json_of(&up, "/v1/agents?limit=200");
    let listed = listed["items"].as_array().unwrap();
    let mut ids: Vec<u128> = listed
        .iter()
        .map(|agent| agent["agent_id"].as_str().unwrap().parse().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..=last).collect::<Vec<_>>());
    let onchain = place
        .sql("SELECT onchain FROM identity.tokens WHERE token_id = 0")
        .unwrap();
    assert!(onchain.contains("plain"), "{onchain}");

    // Each malformed log is told once; a topic that we do not know is none of our business.
    let entries = json_of(&up, "/v1/entries?limit=200");
    let entries = entries["items"].as_array().unwrap();
    let incidents: Vec<&Value> = entries
        .iter()
        .filter(|entry| entry["kind"] == "incident")
        .collect();
    let told = |cause: &String| {
        incidents
            .iter()
            .filter(|entry| entry["entry"].to_string().contains(cause))
            .count()
    };
    assert!(
        malformed.iter().all(|cause| told(cause) == 1),
        "{incidents:#?}"
    );
    assert_eq!(incidents.len(), malformed.len(), "{incidents:#?}");
    assert!(up.stop(Signal::SIGTERM).success());
}

#[test]
fn a_replay_file_that_is_no_recording_is_named_with_its_fault() {
    let (place, file) = configured("");
    let log = |number: u64, hash: u8, index: u64| {
        json!({
            "blockNumber": number, "blockHash": word(hash.into()), "transactionHash": word(9),
            "transactionIndex": 0, "logIndex": index, "address": tape::REGISTRY,
            "topics": [event("Registered(uint256,string,address)"), word(1), word(2)], "data": "0x",
        })
    };
    let with = |key: &str, value: Value| {
        let mut log = log(1, 1, 0);
        log[key] = value;
        json!({ "chainId": CHAIN, "logs": [log] }).to_string()
    };
    let logs = |logs: Vec<Value>| json!({ "chainId": CHAIN, "logs": logs }).to_string();
    for (content, expected) in [
        ("<!DOCTYPE html>".to_owned(), "no recorded chain"),
        ("[".repeat(100_000), "no recorded chain"),
        (logs(Vec::new()), "holds no logs"),
        (with("data", json!("0xzz")), "no recorded chain"),
        (
            with("blockNumber", json!("0x1ffffffffffffffffff")),
            "no recorded chain",
        ),
        (with("topics", json!(vec![word(1); 5])), "four topics"),
        (with("topics", json!([word(1)])), "--registry"),
        (with("removed", json!(true)), "marked as removed"),
        (logs(vec![log(1, 1, 0), log(1, 2, 1)]), "told twice"),
        (logs(vec![log(1, 1, 0), log(1, 1, 0)]), "have index 0"),
    ] {
        fs::write(&file, &content).unwrap();
        let output = place.run(&[
            "up",
            "--listen",
            "127.0.0.1:0",
            "--replay",
            file.to_str().unwrap(),
        ]);
        let text = String::from_utf8(output.stderr).unwrap();
        let what = &content[..content.len().min(60)];
        assert_eq!(output.status.code(), Some(2), "{what}: {text}");
        assert!(text.contains(expected), "{what}: {text}");
        assert!(!text.contains("panicked"), "{what}: {text}");
    }
    assert_eq!(place.sql("SELECT count(*) FROM chain.logs").unwrap(), "0");
}

/// What stands between an instance and its node.
#[derive(Clone, Copy, PartialEq)]
enum Wire {
    /// The node.
    Through,
    /// A web page, as captive portals and dead load balancers send them.
    Page,
    /// The connection breaks in the middle of the answer.
    Cut,
    /// JSON, but none of JSON-RPC.
    Junk,
}

/// Stands at `listener` for the node at `node`, as `wire` says at that moment.
fn stand_between(listener: TcpListener, node: String, wire: Arc<Mutex<Wire>>) {
    let answer = move |client: TcpStream, wire: Wire| -> std::io::Result<()> {
        let mut reader = BufReader::new(&client);
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let at = head.len();
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
            if let Some(value) = head[at..].to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let answer = match wire {
            Wire::Page => {
                b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<html>Sign in</html>".to_vec()
            }
            Wire::Cut => {
                b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{\"jsonrpc\":\"2.0\"".to_vec()
            }
            Wire::Junk => b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n[null,{}]".to_vec(),
            Wire::Through => {
                let mut upstream = TcpStream::connect(&node)?;
                let head = "POST / HTTP/1.0\r\ncontent-type: application/json\r\n";
                write!(upstream, "{head}content-length: {length}\r\n\r\n")?;
                upstream.write_all(&body)?;
                let mut answer = Vec::new();
                upstream.read_to_end(&mut answer)?;
                answer
            }
        };
        (&client).write_all(&answer)
    };
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let wire = *wire.lock().unwrap();
            let _ = answer(client, wire);
        }
    });
}

/// Registers an agent without a URI on the dev chain of an instance.
fn register(up: &Instance, registry: &str) {
    let call = json!([{
        "from": "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        "to": registry,
        "data": format!("0x{}", hex::encode(&kernel::keccak256(b"register()")[..4])),
    }]);
    assert!(up.rpc("eth_sendTransaction", &call).is_string());
}

#[test]
fn a_node_that_is_down_or_talks_nonsense_is_followed_when_it_comes_to_itself() {
    let home = Place::new("data");
    let owner = home.up();
    let registry = chain(&owner)["contracts"]["identity"][0]
        .as_str()
        .unwrap()
        .to_owned();
    register(&owner, &registry);
    let node = owner.ready["rpc"].as_str().unwrap().replace("http://", "");

    // A port that nobody listens on, until the node comes up there.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let place = Place::new("data");
    let rpc = format!("http://{address}");
    let up = place.up_with(&["--rpc", &rpc, "--registry", &registry]);
    let shown = chain(&up);
    assert_eq!(shown["state"], "retrying", "{shown}");
    assert!(
        shown["error"]
            .as_str()
            .unwrap()
            .contains("the node does not answer"),
        "{shown}"
    );
    assert_eq!(up.get("/readyz").0, 200, "it serves all the same");
    assert_eq!(json_of(&up, "/v1/agents")["items"], json!([]));

    let wire = Arc::new(Mutex::new(Wire::Through));
    stand_between(TcpListener::bind(address).unwrap(), node, Arc::clone(&wire));
    let agents = |wanted: usize| {
        wait(&format!("agent {wanted}"), &up, || {
            (json_of(&up, "/v1/agents")["items"]
                .as_array()
                .unwrap()
                .len()
                == wanted)
                .then_some(())
        });
    };
    agents(1);
    let healed = wait("head", &up, || {
        Some(chain(&up)).filter(|chain| chain["state"] == "following")
    });
    assert!(healed["error"].is_null(), "{healed}");

    for (known, nonsense) in [Wire::Page, Wire::Cut, Wire::Junk].into_iter().enumerate() {
        *wire.lock().unwrap() = nonsense;
        register(&owner, &registry);
        let told = wait("trouble", &up, || {
            Some(chain(&up)).filter(|chain| chain["state"] == "retrying")
        });
        assert!(told["error"].is_string(), "{told}");
        assert_eq!(
            json_of(&up, "/v1/agents")["items"]
                .as_array()
                .unwrap()
                .len(),
            known + 1
        );
        *wire.lock().unwrap() = Wire::Through;
        agents(known + 2);
    }
    let incidents = "SELECT count(*) FROM journal.entries WHERE kind IN ('incident', 'retracted')";
    assert_eq!(
        place.sql(incidents).unwrap(),
        "0",
        "nobody was blamed and nothing taken back"
    );
    assert!(up.stop(Signal::SIGTERM).success());
}

#[test]
fn a_did_that_is_none_is_refused_at_both_doors() {
    let (place, file) = configured("");
    let mut tape = Tape::default();
    tape.registered(1, b"");
    tape.write(&file);
    let up = place.up_with(&["--replay", file.to_str().unwrap()]);
    let long = format!("did:web:{}", "x".repeat(5_000));
    for did in [
        "did",
        "did:",
        "did:key",
        "did:key:",
        "did:key:zzz",
        "did:KEY:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
        "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doJ%00",
        "did:pkh:eip155:1:0x12",
        "did:pkh:eip155:1",
        "did:nft:eip155:x_erc721:0x0_1",
        "did:nft:eip155:1_erc721:0x8004a169fb4a3325136eb29fa0ceb6d2e539a432_-1",
        "did:web:",
        "did:web:..%2F..%2Fetc",
        "nonsense",
        " did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
        &long,
    ] {
        let path =
            percent_encoding::percent_encode(did.as_bytes(), percent_encoding::NON_ALPHANUMERIC);
        let (status, body) = up.get(&format!("/1.0/identifiers/{path}"));
        assert_eq!(status, 400, "{did}: {body}");
        let answer: Value = serde_json::from_str(&body).expect(did);
        assert!(
            answer["didDocument"].is_null() && body.to_lowercase().contains("did"),
            "{did}: {body}"
        );
        let output = place.run(&["did", "resolve", "--", did]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{did}: {text}");
        assert!(
            !text.contains("panicked") && !text.trim().is_empty(),
            "{did}: {text}"
        );
    }
    assert_eq!(up.get("/livez").0, 200);
    assert!(up.stop(Signal::SIGTERM).success());
}

/// What a replay must come to, however it came there.
fn outcome(place: &Place) -> String {
    let digest = |table: &str, without: &str| {
        let query = format!(
            "SELECT count(*) || ' ' || md5(string_agg(v, ' ' ORDER BY v COLLATE \"C\"))
               FROM (SELECT (to_jsonb(t) - '{without}'::text[])::text AS v FROM {table} t) AS x"
        );
        format!("{table} {}", place.sql(&query).unwrap())
    };
    let said = "(SELECT agent_id, digest, sum(sign) AS net
                   FROM journal.said, unnest(digests) AS digest GROUP BY 1, 2)";
    let rows = [
        ("identity.agents", "{}"),
        ("identity.tokens", "{}"),
        ("identity.agent_identifiers", "{}"),
        ("identity.agent_status_history", "{}"),
        ("chain.blocks", "{}"),
        ("chain.logs", "{}"),
        (said, "{}"),
    ];
    rows.map(|(table, without)| digest(table, without))
        .join("\n")
}

/// Waits until the whole tape is indexed and sealed.
fn played(place: &Place, up: &Instance, tape: &Tape) {
    let done = format!(
        "SELECT (SELECT count(*) FROM chain.logs) = {}
            AND (SELECT count(*) FROM journal.leaves) = (SELECT count(*) FROM journal.entries)
            AND NOT EXISTS (SELECT FROM identity.dirty)",
        tape.len()
    );
    wait("end of the replay", up, || {
        (place.sql(&done).as_deref() == Ok("t")).then_some(())
    });
}

#[test]
fn a_postgres_that_is_killed_under_load_costs_nothing() {
    let config = "[indexer]\nstep_logs = 4\n";
    let mut tape = Tape::default();
    for agent in 0..400 {
        tape.registered(agent, b"");
        tape.metadata(agent, b"kind", agent.to_string().as_bytes());
    }
    let (calm, file) = configured(config);
    tape.write(&file);
    let up = calm.up_with(&["--replay", file.to_str().unwrap()]);
    played(&calm, &up, &tape);
    assert!(up.stop(Signal::SIGTERM).success());

    let (place, file) = configured(config);
    tape.write(&file);
    let up = place.up_with(&["--replay", file.to_str().unwrap()]);
    let mut before = 0;
    for kills in 0..3 {
        // It is killed when something was written since the last time.
        let logs = wait("progress", &up, || {
            let logs = place
                .sql("SELECT count(*) FROM chain.logs")
                .ok()?
                .parse::<usize>()
                .ok();
            logs.filter(|logs| *logs > before)
        });
        assert!(logs < tape.len(), "{kills} kills came before the end");
        before = logs;
        kill(
            Pid::from_raw(place.pid("postgres/data/postmaster.pid")),
            Signal::SIGKILL,
        )
        .unwrap();
    }
    played(&place, &up, &tape);
    assert_eq!(up.log().matches("postgres died").count(), 3, "{}", up.log());
    assert_eq!(up.get("/readyz").0, 200);
    assert!(up.stop(Signal::SIGTERM).success());
    assert_eq!(outcome(&place), outcome(&calm));
    assert_eq!(place.processes(), Vec::<String>::new());
}
