//! The key that signs. It is read here, used here, and goes nowhere.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
};

use chain::{
    PrivateKeySigner,
    key::{self, KeyError},
};
use kernel::Kind;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use super::{client::Client, exit::Failure};

/// What `--key` takes.
const FORMS: &str = "a keystore (JSON) or a file of 0x and 64 hex digits, mode 0600";

/// anvil's first account: known to everybody, rich on dev chains and nowhere else.
const DEV_KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// Reads the key file.
pub fn read(path: &Path) -> Result<PrivateKeySigner, Failure> {
    key::read(path, || ask(path)).map_err(|error| {
        let kind = match &error {
            KeyError::Open { .. } | KeyError::Password { .. } => Kind::Denied,
            KeyError::Io { .. } | KeyError::NoKey { .. } => Kind::Invalid,
        };
        Failure::Of(kind, format!("--key: {error}"))
    })
}

/// Says that a key is needed, and where to get one on a dev chain that the instance started.
pub async fn missing(client: &Client<'_>, chain: Option<u64>, doing: &str) -> Failure {
    let mut why = format!("{doing} needs a key: give --key FILE, {FORMS}");
    let sync = client.get("v1/sync").await.unwrap_or_default();
    let chains = sync["chains"].as_array().map(Vec::as_slice);
    let chains = chains.unwrap_or_default();
    let meant = match chain {
        Some(id) => chains.iter().find(|known| known["chain"] == id),
        None => chains.first(),
    };
    if meant.is_some_and(|known| known["origin"] == "started") {
        why = format!(
            "{why}\nThis dev chain has accounts that everybody knows. For the first of them:\n  \
             (umask 077 && echo {DEV_KEY} > dev.key)\nand then --key dev.key"
        );
    }
    Failure::invalid(why)
}

/// Asks for a keystore's password on the terminal.
fn ask(path: &Path) -> io::Result<String> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(io::Error::other(
            "it is a keystore, whose password is asked for on a terminal, and this is none",
        ));
    }
    // Before anybody is asked: what is typed at the prompt is neither shown nor thrown away.
    let silence = Silence::over(&stdin)?;
    eprint!("Password of {}: ", path.display());
    io::stderr().flush()?;
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    drop(silence);
    eprintln!();
    read?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The terminal shows nothing of what is typed while this lives.
struct Silence<'a> {
    terminal: &'a io::Stdin,
    before: Termios,
}

impl<'a> Silence<'a> {
    fn over(terminal: &'a io::Stdin) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(terminal, SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = tcsetattr(self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}
