//! Transactions that are brought to a chain's node.

use axum::http::StatusCode;
use chain::{Call, PrivateKeySigner, sender};
use chancery::config::Flag;
use kernel::{Address, Bytes, hex_0x};
use serde_json::json;
use sqlx::PgPool;

use super::{Cell, Trick, Way, cell, is_refused, other_s_of};
use crate::{
    kit::{Instance, TOKEN},
    world::anvil::Chain,
};

/// The first account of every anvil, whose money is none.
const RICH: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// A signed transaction, as the trick has it.
fn attempt(trick: Trick, signer: &PrivateKeySigner, good: &sender::Prepared) -> Bytes {
    let mut prepared = good.clone();
    match trick {
        Trick::WrongChain => prepared.chain_id = 1,
        // It deployed the contracts with it.
        Trick::ReusedNonce => prepared.nonce = 0,
        _ => {}
    }
    let (_, raw) = prepared.sign(signer).unwrap();
    let mut raw = raw.to_vec();
    match trick {
        Trick::CutSignature => raw.truncate(raw.len() - 1),
        Trick::PaddedSignature => raw.push(0),
        Trick::OtherS => {
            // The last field; a smaller one is shorter, and so would its transaction be.
            let s = raw.len() - 32;
            assert_eq!(raw[s - 1], 0xa0, "32 bytes (RLP)");
            let other = other_s_of(&raw[s..]);
            raw[s..].copy_from_slice(&other);
        }
        _ => {}
    }
    raw.into()
}

#[sqlx::test]
async fn no_trick_relays_a_transaction(pool: PgPool) {
    let chain = Chain::start().await;
    let nodes = Flag::new("indexer.chains", json!([{ "rpc": [chain.url()] }]));
    let instance = Instance::with(&pool, &[nodes]).await;
    let wish = json!({ "name": "no relay", "scopes": ["keys:read"] });
    let bare = instance.send("POST", "/v1/keys", TOKEN, &wish).await.json();
    let bare = bare["key"].as_str().unwrap();
    let signer: PrivateKeySigner = RICH.parse().unwrap();
    let call = Call::new(Address::repeat_byte(0xbb), Bytes::new());
    let prepare = async || {
        let prepared = sender::prepare(&chain.rpc, signer.address(), &call, 20).await;
        let mut prepared = prepared.unwrap();
        // One whose `s` has all its 32 bytes.
        while prepared.sign(&signer).unwrap().1.iter().rev().nth(32) != Some(&0xa0) {
            prepared.gas += 1;
        }
        prepared
    };
    let relay = async |token: &str, raw: &Bytes| {
        let body = json!({ "chain": chain.rpc.chain(), "raw": raw });
        instance
            .send("POST", "/v1/transactions", token, &body)
            .await
    };
    for trick in Trick::ALL {
        let what = format!("{trick:?}");
        match cell(Way::Relay, trick) {
            Cell::Never(_) => {}
            Cell::One(_) => panic!("nothing plays {what}"),
            Cell::Refused(code) => {
                let raw = attempt(trick, &signer, &prepare().await);
                let token = if trick == Trick::ScopeMissing {
                    bare
                } else {
                    TOKEN
                };
                let answer = relay(token, &raw).await;
                is_refused(
                    &instance,
                    &what,
                    &answer,
                    code,
                    &[hex_0x(&raw), bare.to_owned()],
                );
            }
        }
    }
    let (_, raw) = prepare().await.sign(&signer).unwrap();
    let answer = relay(TOKEN, &raw).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}
