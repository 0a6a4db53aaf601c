//! What keys and owners sign is carried to a fresh index, and says the same there.

use std::collections::BTreeMap;

use chain::{PrivateKeySigner, key as wallet, registry};
use did::ed25519::{self, SecretKey};
use identity::statement::{self, Action, Nonce, Offered, Statement, Submission, canonical};
use indexer::Settling;
use kernel::hex_0x;
use serde_json::{Value, json};
use sqlx::PgPool;
use store::Cause;

use crate::kit::{anvil::Chain, index::Index};

const ORIGIN: &str = "chancery.local/test";

/// Who signs.
#[derive(Clone, Copy)]
enum By<'a> {
    Key(&'a SecretKey),
    Wallet(&'a PrivateKeySigner),
}

impl By<'_> {
    fn sign(self, statement: &Statement) -> Offered {
        match self {
            Self::Key(key) => Offered {
                by: key.public().did(),
                signature: ed25519::signature_wire(&key.sign(&statement.key_bytes())),
            },
            Self::Wallet(wallet) => Offered {
                by: format!("eip155:1:{:#x}", wallet.address()),
                signature: hex_0x(&wallet::sign(wallet, statement.digest(1)).unwrap()),
            },
        }
    }
}

/// Records a statement with this sequence.
async fn say(
    index: &Index,
    sequence: u8,
    (action, agent, content): (Action, &str, Value),
    by: &[By<'_>],
) {
    let now = index.db.clock().now();
    let statement = Statement {
        action,
        agent: agent.to_owned(),
        content: canonical::write(&content),
        sequence: u64::from(sequence),
        nonce: Nonce([sequence; 16]),
        issued: now.timestamp(),
        expires: now.timestamp() + 60,
        origin: ORIGIN.to_owned(),
    };
    let submission = Submission {
        signatures: by.iter().map(|by| by.sign(&statement)).collect(),
        statement,
    };
    let signed = statement::verify(submission, ORIGIN, now, &BTreeMap::new()).await;
    let mut tx = index.db.begin(Cause::Job("test")).await.unwrap();
    let outcomes = statement::record(&mut tx, &[signed.unwrap()]).await;
    tx.commit().await.unwrap();
    outcomes.unwrap().remove(0).unwrap();
}

#[sqlx::test(migrations = "./migrations")]
async fn statements_keys_and_claims_are_carried_to_a_fresh_index(pool: PgPool) {
    let chain = Chain::start().await;
    let mut index = Index::open(&pool, &chain, Settling::Depth(0)).await;
    let owner = PrivateKeySigner::from_slice(&[1; 32]).unwrap();
    let (old, new) = (
        SecretKey::from_seed(&[2; 32]),
        SecretKey::from_seed(&[3; 32]),
    );
    let seller = chain.people[1];
    chain
        .send((seller, chain.registry, registry::register()))
        .await;
    let number = chain.owners().await[0].0;
    chain
        .send(chain.transfer(seller, owner.address(), number))
        .await;
    index.catch_up().await;

    let token = format!(
        "eip155:{}:{:#x}/{number}",
        chain.rpc.chain(),
        chain.registry
    );
    let (first, second) = (old.public().did(), new.public().did());
    let (key, next, wallet) = (By::Key(&old), By::Key(&new), By::Wallet(&owner));
    let named = (Action::Register, first.as_str(), json!({ "name": "Ada" }));
    say(&index, 1, named, &[key, wallet]).await;
    let claim = (Action::Claim, first.as_str(), json!({ "token": token }));
    say(&index, 2, claim, &[key, wallet]).await;
    let rotate = (Action::Rotate, first.as_str(), json!({ "key": second }));
    say(&index, 3, rotate, &[key, next]).await;
    let sleep = (Action::Status, token.as_str(), json!({ "status": "SLEEP" }));
    say(&index, 4, sleep, &[wallet]).await;

    let said = "SELECT concat_ws(' ', (SELECT count(*) FROM identity.statements),
                       (SELECT count(*) FROM identity.keys), (SELECT count(*) FROM identity.v_claims))";
    assert_eq!(index.list(said).await, ["4 2 1"]);
    index
        .assert_fresh(&chain, "with what keys and owners signed")
        .await;
}
