//! A keystore at the prompt: its password is asked for on a terminal, which shows nothing of it.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    process::{Child, Stdio},
};

use instance::Place;
use nix::{
    errno::Errno,
    pty::openpty,
    sys::termios::{LocalFlags, tcgetattr},
};
use serde_json::{Value, json};

/// Web3 Secret Storage's own PBKDF2 test vector.
const KEYSTORE: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":
    "6087dab2f9fdbbfaddc31a909735c1e6"},"ciphertext":
    "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2",
    "kdfparams":{"c":262144,"dklen":32,"prf":"hmac-sha256","salt":
    "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},"mac":
    "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},
    "id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;
const PASSWORD: &str = "testpassword";
/// The account of its key.
const OWNER: &str = "0x008aeeda4d805471df9b2a5b0f38a0c3bcba786b";

/// A terminal with a command before it: what somebody types is its stdin, and its stderr is what he sees.
struct Terminal {
    ours: File,
    shown: String,
    command: Child,
}

impl Terminal {
    fn open(place: &Place, args: &[&str]) -> Self {
        let pair = openpty(None, None).unwrap();
        let side = || Stdio::from(pair.slave.try_clone().unwrap());
        let mut command = place.command(args);
        command.stdin(side()).stdout(Stdio::piped()).stderr(side());
        // Then the command alone holds its side: the terminal ends with it.
        Self {
            command: command.spawn().unwrap(),
            ours: File::from(pair.master),
            shown: String::new(),
        }
    }

    /// Whether what is typed is shown.
    fn echoes(&self) -> bool {
        let settings = tcgetattr(&self.ours).unwrap();
        settings.local_flags.contains(LocalFlags::ECHO)
    }

    /// Reads more of what is shown; `false`: the command has ended.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 1024];
        let read = match self.ours.read(&mut bytes) {
            // So Linux says that nobody holds the other side.
            Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => 0,
            read => read.unwrap(),
        };
        let text = String::from_utf8_lossy(&bytes[..read]);
        self.shown.push_str(&text);
        read > 0
    }

    /// Waits for the question, and answers it.
    fn give(&mut self, password: &str) {
        while !self.shown.contains("Password of ") {
            assert!(self.read(), "it asks for no password: {}", self.shown);
        }
        assert!(!self.echoes(), "what is typed now is shown");
        writeln!(self.ours, "{password}").unwrap();
    }

    /// Waits for the end: exit code, stdout, and all that was shown.
    fn end(mut self) -> (Option<i32>, String, String) {
        while self.read() {}
        assert!(self.echoes(), "what is typed afterwards is not shown");
        let mut out = String::new();
        let mut stdout = self.command.stdout.take().unwrap();
        stdout.read_to_string(&mut out).unwrap();
        (self.command.wait().unwrap().code(), out, self.shown)
    }
}

fn keystore(place: &Place) -> String {
    let path = place.dir().with_file_name("wallet.json");
    fs::write(&path, KEYSTORE).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn a_password_is_asked_for_and_not_shown() {
    let place = Place::new("data");
    let instance = place.up();
    instance.rpc("anvil_setBalance", &json!([OWNER, "0xde0b6b3a7640000"]));
    let key = keystore(&place);
    let register = [
        "agent",
        "register",
        "--name",
        "Ada",
        "--description",
        "Files reports.",
        "--service",
        "A2A=https://ada.example/agent-card.json",
        "--key",
        &key,
        "-o",
        "json",
    ];

    let mut terminal = Terminal::open(&place, &register);
    terminal.give("mistaken");
    let (code, out, shown) = terminal.end();
    assert_eq!((code, out.as_str()), (Some(4), ""), "{shown}");
    assert!(shown.contains("--key: wrong password for "), "{shown}");
    assert!(!shown.contains("mistaken"), "{shown}");
    let (_, agents) = instance.get("/v1/agents");
    let agents: Value = serde_json::from_str(&agents).unwrap();
    assert_eq!(agents["items"], json!([]), "nothing was sent");

    let mut terminal = Terminal::open(&place, &register);
    terminal.give(PASSWORD);
    let (code, out, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains(PASSWORD), "{shown}");
    let registered: Value = serde_json::from_str(&out).unwrap();
    let agent = registered["agent"].as_str().unwrap();
    let (_, agent) = instance.get(&format!("/v1/agents/{agent}"));
    let agent: Value = serde_json::from_str(&agent).unwrap();
    let owner = agent["owner_address"].as_str().unwrap();
    assert_eq!(owner.to_lowercase(), OWNER);

    // Where nobody could type it, nobody is asked.
    let refused = place.run(&register);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{why}");
    assert!(why.contains("asked for on a terminal"), "{why}");
    assert!(!why.contains("Password of "), "{why}");
}
