//! The owner of a wallet, on a chain: his key lies in a keystore, and its password is typed.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    process::{Output, Stdio},
    thread,
};

use nix::{
    pty::openpty,
    sys::termios::{LocalFlags, tcgetattr},
};
use serde_json::{Value, json};

use crate::{
    instance::Place,
    journal::Journal,
    prompt::{ADA, Cli, OTHER, OTHERS_KEY, OWNER, failed},
};

/// The key of anvil's first account, as wallets keep it (Web3 Secret Storage), with fewer rounds than they take.
const KEYSTORE: &str = r#"{"crypto": {"cipher": "aes-128-ctr",
    "cipherparams": {"iv": "d33dd6b5cf8030acd2bfab11ff566e4f"},
    "ciphertext": "7e970d1855b02d0c3246e6ffbf05e45e976b095def31b1ff64bfda074ba0aaa6",
    "kdf": "pbkdf2", "kdfparams": {"c": 1024, "dklen": 32, "prf": "hmac-sha256",
        "salt": "efb5ed54d41b63663fbd9e30c1cfb44a58e23e4f6bbed19190dad1ec5131c928"},
    "mac": "26b76d82a5a62bd7756146498572465ad9a0832c57f7d6c5557e105e3cae3715"},
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6", "version": 3}"#;
const PASSWORD: &str = "walks at night";

/// Runs a command at a terminal, and types the password when it is asked for.
fn typed(place: &Place, args: &[&str], password: &str) -> Output {
    let terminal = openpty(None, None).unwrap();
    let mut child = place
        .command(args)
        .stdin(terminal.slave.try_clone().unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut talk = BufReader::new(child.stderr.take().unwrap());
    let mut said = Vec::new();
    while !said.ends_with(b"Password of ") {
        let read = talk.read_until(b' ', &mut said).unwrap();
        assert_ne!(read, 0, "{args:?}: {}", String::from_utf8_lossy(&said));
    }
    // What is typed before nothing is shown any more is thrown away.
    let shows = || tcgetattr(&terminal.slave).unwrap().local_flags;
    while shows().contains(LocalFlags::ECHO) {
        assert!(child.try_wait().unwrap().is_none(), "it did not wait");
        thread::yield_now();
    }
    let mut keyboard = File::from(terminal.master);
    writeln!(keyboard, "{password}").unwrap();
    talk.read_to_end(&mut said).unwrap();
    let output = child.wait_with_output().unwrap();
    Output {
        stderr: said,
        ..output
    }
}

/// A command that the owner of this key signs for.
fn signed<'a>(args: &[&'a str], key: &'a str) -> Vec<&'a str> {
    [args, &["--key", key]].concat()
}

#[test]
fn a_wallet_owner_registers_edits_and_sells_and_the_buyer_ends_it() {
    let place = Place::new("data");
    let instance = place.up();
    let cli = Cli(&place);
    let journal = Journal::of(&cli, &instance);
    let keystore = cli.key("keystore.json", KEYSTORE, 0o600);
    let other = cli.key("other", OTHERS_KEY, 0o600);
    let owner = |args: &[&str]| -> Value {
        let args = [args, &["--wait", "journaled", "-o", "json"]].concat();
        let output = typed(&place, &signed(&args, &keystore), PASSWORD);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let address = |address: &str| json!(address.to_lowercase());

    failed(&typed(&place, &signed(&ADA, &keystore), "guessed"), 4);
    assert_eq!(cli.json(&["agent", "list"]), json!([]), "nothing was sent");
    let ada = owner(&ADA);
    assert_eq!(ada["agent"], "31337:0");
    let id = ada["id"].as_str().unwrap();
    journal.proves_value(id, "owner_address", &address(OWNER));

    let words = ["--name", "Ada", "--description", "Reads reports out."];
    let edited = owner(&[&["agent", "edit", "31337:0"][..], &words].concat());
    assert_eq!(edited["description"], "Reads reports out.");
    assert_ne!(edited["agent_uri"], ada["uri"]);
    // A long URI stands in the journal by its hash.
    let uri = edited["agent_uri"].as_str().unwrap();
    let digest = format!("sha256:{}", hex::encode(kernel::sha256(uri.as_bytes())));
    journal.proves(id, "agent_uri", |said| said == uri || *said == digest);

    let wallet = ["agent", "wallet", "31337:0"];
    let set = owner(&[&wallet[..], &["--wallet-key", &other]].concat());
    assert_eq!(set["agent_wallet"], OTHER);
    assert!(cli.ok(&wallet).contains(&format!("wallet  {OTHER}")));
    journal.proves_value(id, "agent_wallet", &address(OTHER));
    let unset = owner(&[&wallet[..], &["--unset"]].concat());
    assert_eq!(unset["agent_wallet"], Value::Null);
    journal.proves_value(id, "agent_wallet", &Value::Null);

    let sleep = ["agent", "status", "31337:0", "SLEEP"];
    owner(&[&sleep[..], &["--reason", "night", "--on-chain"]].concat());
    let status = cli.json(&["agent", "status", "31337:0"]);
    assert_eq!(
        (&status["runtime_status"], &status["last_change"]["reason"]),
        (&json!("SLEEP"), &json!("night"))
    );
    journal.proves_value(id, "runtime_status", &json!("SLEEP"));

    let transfer = ["agent", "transfer", "31337:0", "--to"];
    let slip = OTHER.replacen('C', "c", 1);
    let error = cli.fails(2, &signed(&[&transfer[..], &[&slip]].concat(), &keystore));
    assert!(error.contains("EIP-55"), "{error}");
    cli.fails(5, &[&transfer[..], &[OTHER, "--key", &other]].concat());
    let sold = owner(&[&transfer[..], &[OTHER]].concat());
    assert_eq!(sold["owner_address"], OTHER);
    journal.proves_value(id, "owner_address", &address(OTHER));

    let end = ["agent", "deregister", "31337:0", "--reason", "retired"];
    failed(&typed(&place, &signed(&end, &keystore), PASSWORD), 5);
    let ended = cli.json(&[&end[..], &["--key", &other]].concat());
    assert_eq!(ended["runtime_status"], "TERMINATED");
    assert!(cli.ok(&["agent", "history", "31337:0"]).contains("retired"));
    journal.proves_value(id, "runtime_status", &json!("TERMINATED"));
    let record = journal.whole_record("31337:0");
    assert!(record.contains("verified  eip155:31337:"), "{record}");
}
