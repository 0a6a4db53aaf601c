//! `chancery up` from start to end: what it starts, finds again, survives and leaves behind.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;

use std::{fs, net::TcpListener};

use instance::Place;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

#[test]
fn everything_is_found_again_and_nothing_is_left_running() {
    let place = Place::new("data");
    let first = place.up();
    assert_eq!(first.get("/readyz").0, 200);
    let genesis = first.rpc("eth_getBlockByNumber", &json!(["0x0", false]))["hash"].clone();
    place.sql("CREATE TABLE kept (word text)").unwrap();
    place.sql("INSERT INTO kept VALUES ('here')").unwrap();
    let token = fs::read_to_string(place.dir().join("token")).unwrap();
    assert!(first.stop(Signal::SIGTERM).success());
    assert_eq!(place.processes(), Vec::<String>::new());
    assert!(!place.dir().join("address").exists());

    // Without an instance psql brings the database up for itself.
    assert_eq!(place.sql("SELECT word FROM kept").unwrap(), "here");
    assert_eq!(place.processes(), Vec::<String>::new());

    let second = place.up();
    assert_eq!(
        second.rpc("eth_getBlockByNumber", &json!(["0x0", false]))["hash"],
        genesis
    );
    assert_eq!(place.sql("SELECT word FROM kept").unwrap(), "here");
    assert_eq!(
        fs::read_to_string(place.dir().join("token")).unwrap(),
        token
    );
    assert!(second.stop(Signal::SIGINT).success());
    assert_eq!(place.processes(), Vec::<String>::new());
}

#[test]
fn an_instance_that_was_killed_is_followed_by_one_that_works() {
    let place = Place::new("data");
    let killed = place.up();
    let transfer = json!([{
        "from": "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        "to": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        "value": "0x1",
    }]);
    let hash = killed.rpc("eth_sendTransaction", &transfer);
    // anvil answers before it mines.
    while killed
        .rpc("eth_getTransactionReceipt", &json!([hash]))
        .is_null()
    {}
    let height = killed.rpc("eth_blockNumber", &json!([]));
    place.sql("CREATE TABLE kept (word text)").unwrap();
    let old = place.pid("postgres/data/postmaster.pid");
    killed.stop(Signal::SIGKILL);
    assert!(
        !place.processes().is_empty(),
        "a killed instance cannot stop its children"
    );

    let next = place.up();
    assert_ne!(place.pid("postgres/data/postmaster.pid"), old);
    assert_eq!(
        next.rpc("eth_blockNumber", &json!([])),
        height,
        "anvil was stopped politely"
    );
    place.sql("SELECT word FROM kept").unwrap();
    assert!(next.stop(Signal::SIGTERM).success());
    assert_eq!(place.processes(), Vec::<String>::new());
}

#[test]
fn a_lock_file_with_a_strangers_process_does_not_stop_the_start() {
    let place = Place::new("data");
    place.sql("SELECT 1").unwrap();
    let pid_file = place.dir().join("postgres/data/postmaster.pid");
    let run = place.dir().join("postgres/run");
    let stranger = std::process::id();
    let left = format!(
        "{stranger}\n{}\n1\n5432\n{}\n\n1 1\nready\n",
        place.dir().display(),
        run.display()
    );
    fs::write(&pid_file, &left).unwrap();
    fs::write(run.join(".s.PGSQL.5432.lock"), &left).unwrap();
    assert_eq!(place.sql("SELECT 1").unwrap(), "1");
}

#[test]
fn a_killed_postgres_comes_back_and_so_does_a_killed_anvil() {
    let place = Place::new("data");
    let instance = place.up();
    for file in ["postgres/data/postmaster.pid", "anvil/pid"] {
        kill(Pid::from_raw(place.pid(file)), Signal::SIGKILL).unwrap();
    }
    // Each attempt fails at once or waits for the server: no more of them are needed than that.
    let back = (0..500).any(|_| place.sql("SELECT 1").is_ok());
    assert!(back, "{}", instance.log());
    assert!(
        (0..100).any(|_| instance.get("/readyz").0 == 200),
        "{}",
        instance.log()
    );
    assert!(
        (0..1_000_000).any(|_| instance.chain_listens()),
        "{}",
        instance.log()
    );
    assert!(instance.log().contains("postgres died") && instance.log().contains("anvil died"));
    assert!(instance.stop(Signal::SIGTERM).success());
    assert_eq!(place.processes(), Vec::<String>::new());
}

#[test]
fn a_second_process_on_one_directory_is_told_who_has_it() {
    let place = Place::new("data");
    let first = place.up();
    let second = place.run(&["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(5));
    let text = String::from_utf8(second.stderr).unwrap();
    assert!(
        text.contains(&format!("in use by process {}", first.pid())),
        "{text}"
    );
    assert!(text.contains("--data-dir"), "{text}");
    assert_eq!(first.get("/livez"), (200, "ok\n".to_owned()));
}

#[test]
fn a_taken_port_is_named_with_the_way_out() {
    let place = Place::new("data");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = place.run(&["up", "--listen", &address]);
    assert_eq!(output.status.code(), Some(5));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains(&address) && text.contains("--listen"),
        "{text}"
    );
    assert!(
        !place.dir().join("postgres").exists(),
        "nothing was started"
    );
}

#[test]
fn a_path_that_is_too_long_for_a_socket_works() {
    let place = Place::new(&"a-long-name/".repeat(12));
    let instance = place.up();
    assert_eq!(place.sql("SELECT 1").unwrap(), "1");
    assert!(instance.stop(Signal::SIGTERM).success());
}

#[test]
fn an_ordinary_user_needs_nothing_more() {
    let place = Place::of_an_ordinary_user();
    let instance = place.up();
    assert_eq!(instance.get("/readyz").0, 200);
    assert_eq!(place.sql("SELECT current_user").unwrap(), "chancery_owner");
    assert!(instance.stop(Signal::SIGTERM).success());
    assert_eq!(place.processes(), Vec::<String>::new());
}

#[test]
fn a_missing_server_is_named_with_the_line_that_installs_it() {
    let place = Place::new("data");
    let output = place
        .command(&["up", "--listen", "127.0.0.1:0"])
        .env("CHANCERY__POSTGRES__BIN_DIR", "/nonexistent")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("/nonexistent") && text.contains("apt-get install postgresql"),
        "{text}"
    );
}

#[test]
fn data_of_another_version_is_refused_with_both_versions() {
    let place = Place::new("data");
    place.sql("SELECT 1").unwrap();
    fs::write(place.dir().join("postgres/data/PG_VERSION"), "9\n").unwrap();
    let output = place.run(&["psql", "--", "-c", "SELECT 1"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("written by Postgres 9"), "{text}");
}
