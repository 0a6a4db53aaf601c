//! Accounts that are contracts sign in: their chain says whether they did (ERC-1271, ERC-6492).

use axum::http::StatusCode;
use chain::{At, Call};
use chancery::config::Flag;
use kernel::{Address, Bytes};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{
    kit::Instance,
    proofs::{Wallet, nonce, sign_in},
    world::{
        anvil::Chain,
        calls::{Arg, call},
    },
};

const WALLET: &str = include_str!("../../contracts/artifacts/ContractWallet.json");
const FACTORY: &str = include_str!("../../contracts/artifacts/ContractWalletFactory.json");

fn code(artifact: &str) -> Bytes {
    let artifact: Value = serde_json::from_str(artifact).unwrap();
    serde_json::from_value(artifact["bytecode"].clone()).unwrap()
}

/// A signature of a wallet that is not deployed: who deploys it, by which call, and what it will accept.
fn before_deployment(factory: Address, creation: &[u8], inner: &[u8]) -> Vec<u8> {
    let word = |number: usize| {
        let mut word = [0; 32];
        word[24..].copy_from_slice(&(number as u64).to_be_bytes());
        word
    };
    let padded = |bytes: &[u8]| {
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len().next_multiple_of(32), 0);
        padded
    };
    let creation_bytes = padded(creation);
    let mut all = factory.into_word().to_vec();
    all.extend(word(96));
    all.extend(word(96 + 32 + creation_bytes.len()));
    all.extend(word(creation.len()));
    all.extend(creation_bytes);
    all.extend(word(inner.len()));
    all.extend(padded(inner));
    all.extend([0x64, 0x92].repeat(16));
    all
}

#[sqlx::test]
async fn a_contract_wallet_signs_in_before_and_after_it_is_deployed(pool: PgPool) {
    let chain = Chain::start().await;
    let nodes = json!([{ "rpc": [chain.url()] }]);
    let instance = Instance::with(&pool, &[Flag::new("indexer.chains", nodes)]).await;
    let (keeper, stranger) = (Wallet::new(5), Wallet::new(6));
    let keepers = |function: &str| call(function, &[Arg::Account(keeper.address())]);
    let arguments = keeper.address().into_word();
    let deployed = [code(WALLET).as_ref(), arguments.as_slice()].concat();
    let deployed = chain.deploy(deployed.into()).await;
    let factory = chain.deploy(code(FACTORY)).await;
    let where_to = Call::new(factory, keepers("addressOf(address)"));
    let answer = chain.rpc.call(&where_to, At::Latest).await.unwrap();
    let counterfactual = Address::from_slice(&answer[12..]);
    let creation = keepers("create(address)");
    for account in [deployed, counterfactual] {
        let sign = async |signer: &Wallet, network: &str| {
            let own = signer.address().to_string();
            signer.message(&nonce(&instance).await, |text| {
                let text = text.replace(&own, &account.to_string());
                text.replace("Chain ID: 1", &format!("Chain ID: {network}"))
            })
        };
        let wrap = |mut signed: Value| {
            if account == counterfactual {
                let inner: Bytes = serde_json::from_value(signed["signature"].clone()).unwrap();
                let whole = before_deployment(factory, &creation, &inner);
                signed["signature"] = json!(kernel::hex_0x(&whole));
            }
            signed
        };
        let signed = wrap(sign(&keeper, "31337").await);
        let opened = sign_in(&instance, &[], &signed).await;
        assert_eq!(opened.status, StatusCode::OK, "{}", opened.text());
        assert_eq!(opened.json()["account"], account.to_string());
        let again = sign_in(&instance, &[], &signed).await;
        assert_eq!(again.status, StatusCode::UNAUTHORIZED, "used");
        for (who, network) in [(&stranger, "31337"), (&keeper, "1")] {
            let signed = wrap(sign(who, network).await);
            let refused = sign_in(&instance, &[], &signed).await;
            assert_eq!(
                refused.status,
                StatusCode::UNAUTHORIZED,
                "{}",
                refused.text()
            );
        }
    }
}
