//! Accounts that are contracts sign in: their chain says whether they did (ERC-1271, ERC-6492).

use access::{origin::Origin, typed_request::TypedRequest};
use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use chancery::config::Flag;
use kernel::{Address, Bytes};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{
    kit::Instance,
    proofs::{HOST, Wallet, nonce, sign_in},
    world::{
        anvil::{Anvil, Chain},
        contract_wallet::{self, Wallets},
    },
};

#[sqlx::test]
async fn a_contract_wallet_signs_in_before_and_after_it_is_deployed(pool: PgPool) {
    let chain = Chain::start().await;
    let nodes = json!([{ "rpc": [chain.url()] }]);
    let instance = Instance::with(&pool, &[Flag::new("indexer.chains", nodes)]).await;
    let (keeper, stranger) = (Wallet::new(5), Wallet::new(6));
    let wallets = Wallets::of(&chain, keeper.address()).await;
    for account in [wallets.deployed, wallets.future] {
        let sign = async |signer: &Wallet, network: &str| {
            let own = signer.address().to_string();
            signer.message(&nonce(&instance).await, |text| {
                let text = text.replace(&own, &account.to_string());
                text.replace("Chain ID: 1", &format!("Chain ID: {network}"))
            })
        };
        let wrap = |mut signed: Value| {
            if account == wallets.future {
                let inner: Bytes = serde_json::from_value(signed["signature"].clone()).unwrap();
                let whole = wallets.before_deployment(&inner);
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

/// A request for the keys of whoever asks, as a contract wallet signs it.
fn keys_of(account: Address, chain: u64, signer: &Wallet) -> Request<Body> {
    let issued = store::Clock::System.now().timestamp();
    let header = |signature: &str| {
        format!(
            "account=\"{account}\", chain=\"{chain}\", nonce=\"{chain:032x}\", issued=\"{issued}\", expires=\"{}\", signature=\"{signature}\"",
            issued + 60,
        )
    };
    let here = Origin::parse(&format!("http://{HOST}")).unwrap();
    let draft = TypedRequest::parse(&header("0x")).unwrap();
    let signature = signer.sign(draft.digest(&here, "GET", "/v1/keys", b""));
    let proof = format!("EIP712 {}", header(&kernel::hex_0x(&signature)));
    let request = Request::get("/v1/keys").header(header::HOST, HOST);
    let request = request.header(header::AUTHORIZATION, proof);
    request.body(Body::empty()).unwrap()
}

#[sqlx::test]
async fn a_contract_is_its_account_on_its_own_chain_alone(pool: PgPool) {
    let here = Chain::start().await;
    let there = Chain::on(Anvil::start_with(&["--chain-id", "31338"])).await;
    let nodes = json!([{ "rpc": [here.url()] }, { "rpc": [there.url()] }]);
    let instance = Instance::with(&pool, &[Flag::new("indexer.chains", nodes)]).await;
    let (keeper, stranger) = (Wallet::new(5), Wallet::new(6));
    let wallet_of = |keeper: &Wallet| contract_wallet::creation(keeper.address());
    // Each chain's deployer did as much before: one address, and somebody else's contract.
    let account = here.deploy(wallet_of(&keeper)).await;
    assert_eq!(there.deploy(wallet_of(&stranger)).await, account);
    let signed_in = async |signer: &Wallet, chain: u64| {
        let own = signer.address().to_string();
        let signed = signer.message(&nonce(&instance).await, |text| {
            let text = text.replace(&own, &account.to_string());
            text.replace("Chain ID: 1", &format!("Chain ID: {chain}"))
        });
        let opened = sign_in(&instance, &[], &signed).await;
        assert_eq!(opened.status, StatusCode::OK, "{}", opened.text());
        assert_eq!(opened.json()["is_contract"], true);
        opened.json()["token"].as_str().unwrap().to_owned()
    };
    let mine = signed_in(&keeper, 31_337).await;
    let theirs = signed_in(&stranger, 31_338).await;
    let send = async |method: &str, path: &str, token: &str, body: &Value| {
        let answer = instance.send(method, path, token, body).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text());
        answer.json()
    };
    for (token, chain) in [(&mine, 31_337), (&theirs, 31_338)] {
        let who = send("GET", "/v1/sessions/current", token, &Value::Null).await;
        assert_eq!(who["kind"], "account");
        assert_eq!(who["id"], format!("eip155:{chain}:{account}"));
    }
    let wish = json!({"name": "mine", "scopes": ["keys:read"]});
    let key = send("POST", "/v1/keys", &mine, &wish).await;
    let principal = format!("eip155:31337:{account:#x}");
    assert_eq!(key["principal"], principal);
    let watch = json!({"target": account.to_string(), "name": "mine"});
    send("POST", "/v1/watches", &mine, &watch).await;
    let with_key = key["key"].as_str().unwrap();
    let is_mine = send("GET", "/v1/keys", with_key, &Value::Null).await;
    assert_eq!(is_mine["items"][0]["key_id"], key["key_id"]);
    for (path, token, count) in [
        ("/v1/keys", &mine, 1),
        ("/v1/watches", &mine, 1),
        ("/v1/keys", &theirs, 0),
        ("/v1/watches", &theirs, 0),
    ] {
        let list = send("GET", path, token, &Value::Null).await;
        assert_eq!(list["items"].as_array().unwrap().len(), count, "{list}");
    }
    let path = format!("/v1/keys/{}", key["key_id"].as_str().unwrap());
    let revoke = instance.send("DELETE", &path, &theirs, &Value::Null).await;
    assert_eq!(revoke.status, StatusCode::NOT_FOUND);
    // So it is with requests that they sign.
    for (chain, signer, count) in [(31_337, &keeper, 1), (31_338, &stranger, 0)] {
        let list = instance.ask(keys_of(account, chain, signer)).await;
        assert_eq!(list.status, StatusCode::OK, "{}", list.text());
        assert_eq!(list.json()["items"].as_array().unwrap().len(), count);
    }
    let refused = instance.ask(keys_of(account, 31_338, &keeper)).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
}
