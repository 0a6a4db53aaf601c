//! anvil, as npm brings it, and who sends transactions to it.

use std::{
    io::{BufRead, BufReader},
    num::NonZeroU32,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use chain::{Limits, PrivateKeySigner, Rpc, Sender, SenderConfig};

/// The first of anvil's well-known accounts.
pub const ALICE: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
/// The second.
pub const BOB: &str = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

/// A chain of our own, which ends with the value.
pub struct Anvil {
    child: Child,
    pub url: String,
}

impl Anvil {
    pub fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .args(["--port", "0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("anvil: run `npm ci` in contracts/");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("Listening on ").map(str::to_owned))
            .expect("anvil says where it listens");
        // Nobody reads on, and a full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            url: format!("http://{address}"),
        }
    }

    pub async fn rpc(&self) -> Rpc {
        self.rpc_within(Limits::default()).await
    }

    pub async fn rpc_within(&self, limits: Limits) -> Rpc {
        Rpc::connect(self.url.parse().expect("url"), limits)
            .await
            .expect("anvil answers")
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn binary() -> PathBuf {
    let os = if cfg!(target_os = "macos") {
        "darwin"
    } else {
        "linux"
    };
    let machine = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../contracts/node_modules/@foundry-rs")
        .join(format!("anvil-{os}-{machine}/bin/anvil"))
}

pub fn signer(key: &str) -> PrivateKeySigner {
    key.parse().expect("a key")
}

pub fn config() -> SenderConfig {
    SenderConfig {
        answer_within: Duration::from_secs(30),
        poll: Duration::from_millis(20),
        replace_after: NonZeroU32::new(500).expect("positive"),
        most_replacements: 3,
        gas_margin: 20,
        most_fee: None,
    }
}

pub fn sender(rpc: &Rpc, key: &str) -> Sender {
    Sender::new(rpc.clone(), signer(key), config())
}
