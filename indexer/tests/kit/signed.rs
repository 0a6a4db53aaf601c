//! What keys and wallets sign about agents.

use std::collections::BTreeMap;

use chain::{PrivateKeySigner, key as wallet};
use did::ed25519::{self, SecretKey};
use identity::statement::{
    self, Action, Nonce, Offered, Receipt, Statement, Submission, canonical,
};
use kernel::{Address, sha256};
use serde_json::Value;
use store::Cause;

use super::world::World;

/// The journal that statements are for.
pub const ORIGIN: &str = "chancery.local/test";

/// An Ed25519 key.
pub fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// The DID of a key.
pub fn did(seed: u8) -> String {
    key(seed).public().did()
}

/// A wallet.
pub fn wallet_of(seed: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_slice(&[seed; 32]).expect("a key")
}

/// The account of a wallet.
pub fn owner(seed: u8) -> Address {
    wallet_of(seed).address()
}

/// Who signs.
#[derive(Clone, Copy)]
pub enum By {
    Key(u8),
    Wallet(u8),
}

impl By {
    pub fn sign(self, statement: &Statement) -> Offered {
        match self {
            Self::Key(seed) => Offered {
                by: did(seed),
                signature: ed25519::signature_wire(&key(seed).sign(&statement.key_bytes())),
            },
            Self::Wallet(seed) => {
                let signature =
                    wallet::sign(&wallet_of(seed), statement.digest(1)).expect("signed");
                Offered {
                    by: format!("eip155:1:{:#x}", owner(seed)),
                    signature: kernel::hex_0x(&signature),
                }
            }
        }
    }
}

/// Signs and records a statement, as somebody who knows the agent's last sequence.
pub async fn say(
    world: &World,
    action: Action,
    agent: &str,
    content: Value,
    by: &[By],
) -> identity::Result<Receipt> {
    let last = "SELECT coalesce(max(sequence), 0) FROM identity.statements";
    let sequence = world.one(last).await.parse::<u64>().expect("a number") + 1;
    let now = world.clock.now();
    let content = canonical::write(&content);
    let digest = sha256(format!("{agent}{content}{sequence}").as_bytes());
    let mut nonce = [0; 16];
    nonce.copy_from_slice(&digest[..16]);
    let statement = Statement {
        action,
        agent: agent.to_owned(),
        content,
        sequence,
        nonce: Nonce(nonce),
        issued: now.timestamp(),
        expires: now.timestamp() + 60,
        origin: ORIGIN.to_owned(),
    };
    let submission = Submission {
        signatures: by.iter().map(|by| by.sign(&statement)).collect(),
        statement,
    };
    let signed = statement::verify(submission, ORIGIN, now, &BTreeMap::new()).await?;
    let mut tx = world.db.begin(Cause::Job("test")).await?;
    let outcome = statement::record(&mut tx, &[signed]).await?.remove(0);
    tx.commit().await?;
    outcome
}
