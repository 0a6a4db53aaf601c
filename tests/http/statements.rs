//! Agents without gas: registered and changed by what keys and wallets sign, without a token.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use chain::{PrivateKeySigner, key as wallet};
use chancery::{bundle, config::Flag};
use did::ed25519::{self, SecretKey};
use futures::future::join_all;
use identity::statement::{Right, Statement};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{
    kit::{Answer, Instance, TOKEN, until},
    world::{anvil::Chain, contract_wallet::Wallets},
};

pub fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

pub fn did(seed: u8) -> String {
    key(seed).public().did()
}

pub fn owner(seed: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_slice(&[seed; 32]).unwrap()
}

pub fn by_key(seed: u8, statement: &Value) -> Value {
    let statement: Statement = serde_json::from_value(statement.clone()).unwrap();
    let signature = key(seed).sign(&statement.key_bytes());
    json!({ "by": did(seed), "signature": ed25519::signature_wire(&signature) })
}

pub fn by_owner(seed: u8, statement: &Value) -> Value {
    let statement: Statement = serde_json::from_value(statement.clone()).unwrap();
    let signature = wallet::sign(&owner(seed), statement.digest(1)).unwrap();
    json!({
        "by": format!("eip155:1:{:#x}", owner(seed).address()),
        "signature": kernel::hex_0x(&signature),
    })
}

/// A statement as the instance prepares it.
pub async fn prepared(instance: &Instance, action: &str, agent: &str, content: Value) -> Value {
    let wish = json!({ "action": action, "agent": agent, "content": content, "account": "eip155:1:0x00000000000000000000000000000000000000aa" });
    let answer = instance
        .send("POST", "/v1/statements/prepare", "", &wish)
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let answer = answer.json();
    let statement: Statement = serde_json::from_value(answer["statement"].clone()).unwrap();
    assert_eq!(
        answer["key_text"].as_str().unwrap().as_bytes(),
        statement.key_bytes()
    );
    assert_eq!(
        answer["typed_data"]["message"]["content"],
        statement.content
    );
    answer["statement"].clone()
}

pub async fn bring(
    instance: &Instance,
    path: &str,
    body: &Value,
    idempotency: Option<&str>,
) -> Answer {
    let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    if let Some(key) = idempotency {
        request = request.header("idempotency-key", key);
    }
    instance
        .ask(request.body(Body::from(body.to_string())).unwrap())
        .await
}

pub async fn registered(instance: &Instance, seed: u8) -> Value {
    let content =
        json!({ "name": format!("Agent {seed}"), "endpoint_url": "https://a.example/a2a" });
    let statement = prepared(instance, "register", &did(seed), content).await;
    let signatures = [by_key(seed, &statement), by_owner(seed, &statement)];
    let body = json!({ "statement": statement, "signatures": signatures });
    let answer = bring(instance, "/v1/agents", &body, None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let id = answer.json()["agent"].as_str().unwrap().to_owned();
    assert_eq!(answer.header(header::LOCATION), format!("/v1/agents/{id}"));
    answer.json()
}

#[sqlx::test]
async fn an_owner_registers_without_gas_and_without_a_token(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let recorded = registered(&instance, 1).await;
    assert_eq!(recorded["sequence"], "1");
    assert_eq!(recorded["entry"]["state"], "queued");
    let agent = instance.get(&format!("/v1/agents/{}", did(1))).await.json();
    assert_eq!(agent["id"], recorded["agent"]);
    assert_eq!(agent["name"], "Agent 1");
    assert_eq!(agent["name_source"], "statement");
    assert_eq!(agent["owner_address"], owner(1).address().to_string());
    assert_eq!(agent["public_key"], ed25519::wire(&key(1).public()));
    assert_eq!(agent["runtime_status"], "ACTIVE");
    // It is found under Zynd's and DukeNET's names, too.
    let [agdns, zns] = did::zynd::agent_ids(&key(1).public());
    for name in [agdns, zns, did::zynd::key_hash(&key(1).public())] {
        let found = instance.get(&format!("/v1/agents/{name}")).await;
        assert_eq!(found.json()["id"], recorded["agent"], "{name}");
        let names = agent["identifiers"].as_array().unwrap();
        assert!(names.iter().any(|known| known["value"] == name), "{name}");
        let list = format!("/v1/agents?identifier={name}");
        let listed = instance.items(&list).await;
        assert_eq!(listed[0]["id"], recorded["agent"], "{name}");
        let no_more = &name[..name.len() - 1];
        let nobody = instance.get(&format!("/v1/agents/{no_more}")).await;
        assert_eq!(nobody.status, StatusCode::NOT_FOUND, "{no_more}");
        let list = format!("/v1/agents?identifier={no_more}");
        assert_eq!(instance.items(&list).await.len(), 0, "{no_more}");
    }
    let of_owner = format!("/v1/owners/{}/agents", owner(1).address());
    assert_eq!(instance.items(&of_owner).await.len(), 1);

    // The entry holds what was signed, and whoever reads it verifies the author.
    let cid = recorded["entry"]["cid"].as_str().unwrap();
    let entry = instance.get(&format!("/v1/entries/{cid}")).await.json();
    let said = &entry["entry"]["changes"][0];
    assert_eq!(said[0], "statement");
    let statement: Statement = serde_json::from_value(said[1]["statement"].clone()).unwrap();
    let signatures = said[1]["signatures"].as_array().unwrap();
    let signature = ed25519::parse_signature(signatures[0]["signature"].as_str().unwrap()).unwrap();
    assert!(ed25519::verify(
        &key(1).public(),
        &statement.key_bytes(),
        &signature
    ));
    assert_eq!(signatures[1]["checked"]["by"], "key");

    let statement = prepared(&instance, "update", &did(1), json!({"summary": "writes"})).await;
    assert_eq!(statement["sequence"], "2");
    let body = json!({ "statement": statement, "signatures": [by_owner(1, &statement)] });
    let path = format!("/v1/agents/{}/statements", did(1));
    let answer = bring(&instance, &path, &body, None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let listed = instance.items(&path).await;
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0]["statement"]["action"], "update");
    assert_eq!(listed[0]["statement"], body["statement"]);
    let document = instance.get(&format!("/1.0/identifiers/{}", did(1))).await;
    assert_eq!(document.status, StatusCode::OK);

    // The operator sees who registered here, as soon as it is registered: it was not written behind.
    let seen = "/v1/audit-logs?event_type=agent_registered";
    let token = format!("Bearer {TOKEN}");
    let seen = instance.get_as(seen, "authorization", &token).await.json();
    assert_eq!(seen["items"].as_array().unwrap().len(), 1);
    assert_eq!(seen["items"][0]["client_id"], did(1));
    assert_eq!(seen["items"][0]["resource_id"], agent["id"]);
    assert_eq!(seen["items"][0]["action"], "POST /v1/agents");
}

#[sqlx::test]
async fn an_agent_is_registered_and_seen_to_be_or_neither(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let unseen = "ALTER TABLE access.audit_logs ADD CONSTRAINT unseen CHECK (event_type <> 'agent_registered')";
    sqlx::query(unseen).execute(&pool).await.unwrap();
    let statement = prepared(&instance, "register", &did(1), json!({"name": "Unseen"})).await;
    let body = json!({ "statement": statement, "signatures": [by_key(1, &statement)] });
    let answer = bring(&instance, "/v1/agents", &body, None).await;
    assert_eq!(
        answer.status,
        StatusCode::INTERNAL_SERVER_ERROR,
        "{}",
        answer.text()
    );
    let found = instance.get(&format!("/v1/agents/{}", did(1))).await;
    assert_eq!(found.status, StatusCode::NOT_FOUND, "it is not registered");
    let seen = "ALTER TABLE access.audit_logs DROP CONSTRAINT unseen";
    sqlx::query(seen).execute(&pool).await.unwrap();
    let answer = bring(&instance, "/v1/agents", &body, None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

#[sqlx::test]
async fn what_is_wrong_is_named_and_nothing_is_written(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    registered(&instance, 1).await;
    let path = format!("/v1/agents/{}/statements", did(1));
    let content = json!({ "status": "SLEEP" });
    let valid = prepared(&instance, "status", &did(1), content).await;
    let with = |field: &str, value: Value| {
        let mut changed = valid.clone();
        changed[field] = value;
        changed
    };
    let now = valid["issued"].as_i64().unwrap();
    for (statement, signatures, status, why) in [
        (valid.clone(), vec![by_key(2, &valid)], 403, "not the key"),
        (
            valid.clone(),
            vec![by_owner(2, &valid)],
            403,
            "not the owner",
        ),
        (valid.clone(), vec![], 400, "one or two"),
        (
            with("origin", json!("another.office")),
            vec![],
            400,
            "origin",
        ),
        (with("expires", json!(now - 1)), vec![], 400, "expires"),
        (with("issued", json!(now + 3_000)), vec![], 400, "issued"),
        (with("sequence", json!("1")), vec![], 409, "above"),
        (with("agent", json!(did(9))), vec![], 404, "no agent"),
        (with("content", json!("{ }")), vec![], 400, "canonical"),
        (
            with("action", json!("register")),
            vec![],
            400,
            "registered at",
        ),
    ] {
        let signatures = if signatures.is_empty() && why != "one or two" {
            vec![by_key(1, &statement)]
        } else {
            signatures
        };
        let body = json!({ "statement": statement, "signatures": signatures });
        let answer = bring(&instance, &path, &body, None).await;
        assert_eq!(answer.status.as_u16(), status, "{why}: {}", answer.text());
        assert!(answer.text().contains(why), "{why}: {}", answer.text());
        assert!(answer.json()["code"].is_string());
    }
    // Changed after it was signed.
    let body = json!({ "statement": with("content", json!(r#"{"status":"TERMINATED"}"#)), "signatures": [by_key(1, &valid)] });
    let answer = bring(&instance, &path, &body, None).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text());
    // A wallet that is a contract, of a chain that has no node here.
    let mut contract = by_owner(1, &valid);
    contract["signature"] = json!("0x1234");
    let body = json!({ "statement": valid, "signatures": [contract] });
    let answer = bring(&instance, &path, &body, None).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text());
    for body in [
        json!(null),
        json!([]),
        json!({}),
        json!({"statement": {}, "signatures": []}),
    ] {
        let answer = bring(&instance, &path, &body, None).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
    }
    assert_eq!(instance.items(&path).await.len(), 1);
    let agent = instance.get(&format!("/v1/agents/{}", did(1))).await.json();
    assert_eq!(agent["runtime_status"], "ACTIVE");
}

#[sqlx::test]
async fn the_same_request_is_done_once(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let content = json!({ "name": "Once" });
    let statement = prepared(&instance, "register", &did(1), content).await;
    let body = json!({ "statement": statement, "signatures": [by_key(1, &statement)] });
    // In parallel: one is done, the others are told that, or that it is under way.
    let all = (0..8).map(|_| bring(&instance, "/v1/agents", &body, Some("k")));
    let answers = join_all(all).await;
    let done: Vec<&Answer> = answers
        .iter()
        .filter(|a| a.status == StatusCode::OK)
        .collect();
    assert!(!done.is_empty());
    assert!(
        answers
            .iter()
            .all(|a| [200, 409].contains(&a.status.as_u16()))
    );
    assert!(done.iter().all(|a| a.body == done[0].body));
    let again = bring(&instance, "/v1/agents", &body, Some("k")).await;
    assert_eq!((again.status, &again.body), (StatusCode::OK, &done[0].body));
    let location = header::LOCATION;
    assert_eq!(again.header(&location), done[0].header(&location));
    let without = bring(&instance, "/v1/agents", &body, None).await;
    assert_eq!(without.status, StatusCode::CONFLICT, "{}", without.text());

    let content = json!({ "summary": "another" });
    let other = prepared(&instance, "update", &did(1), content).await;
    let body = json!({ "statement": other, "signatures": [by_key(1, &other)] });
    let path = format!("/v1/agents/{}/statements", did(1));
    let answer = bring(&instance, &path, &body, Some("k")).await;
    assert_eq!(
        answer.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        answer.text()
    );
    assert_eq!(answer.json()["code"], "key_reused");
    let long = "k".repeat(256);
    let answer = bring(&instance, &path, &body, Some(&long)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(instance.items(&path).await.len(), 1);
    // A failure is not kept: the same key may try again.
    let mut wrong = body.clone();
    wrong["statement"]["sequence"] = json!("1");
    wrong["signatures"] = json!([by_key(1, &wrong["statement"])]);
    let answer = bring(&instance, &path, &wrong, Some("again")).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.text());
    let answer = bring(&instance, &path, &body, Some("again")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

/// Cuts the connection that keeps an answer, while it is there.
const CUT: &str = "
    CREATE FUNCTION public.cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_terminate_backend(pg_backend_pid());
        RETURN NEW;
    END $$;
    CREATE TRIGGER cut BEFORE INSERT OR UPDATE ON identity.requests
        FOR EACH ROW WHEN (NEW.status IS NOT NULL) EXECUTE FUNCTION public.cut()";

#[sqlx::test]
async fn a_statement_and_the_answer_to_its_request_are_kept_together_or_not_at_all(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    registered(&instance, 1).await;
    let statement = prepared(&instance, "update", &did(1), json!({"summary": "writes"})).await;
    let body = json!({ "statement": statement, "signatures": [by_key(1, &statement)] });
    let path = format!("/v1/agents/{}/statements", did(1));
    sqlx::raw_sql(CUT).execute(&pool).await.unwrap();
    let cut = bring(&instance, &path, &body, Some("k")).await;
    assert_eq!(
        cut.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        cut.text()
    );
    assert_eq!(instance.items(&path).await.len(), 1, "it is not recorded");

    let whole = "DROP TRIGGER cut ON identity.requests";
    sqlx::raw_sql(whole).execute(&pool).await.unwrap();
    let done = bring(&instance, &path, &body, Some("k")).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text());
    let again = bring(&instance, &path, &body, Some("k")).await;
    assert_eq!((again.status, &again.body), (StatusCode::OK, &done.body));
    assert_eq!(instance.items(&path).await.len(), 2);
}

#[sqlx::test]
async fn a_request_that_was_taken_over_is_answered_as_by_whoever_did_it(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let agent = registered(&instance, 1).await["agent"].clone();
    let statement = prepared(&instance, "update", &did(1), json!({"summary": "writes"})).await;
    let body = json!({ "statement": statement, "signatures": [by_key(1, &statement)] });
    let path = format!("/v1/agents/{}/statements", did(1));
    let mut held = pool.begin().await.unwrap();
    sqlx::query("SELECT id FROM identity.subjects WHERE id = $1::text::uuid FOR UPDATE")
        .bind(agent.as_str().unwrap())
        .fetch_one(&mut *held)
        .await
        .unwrap();
    let within = Duration::from_secs(30);
    // The first one waits for the agent. When it comes again, it is no longer taken for under way.
    let first = bring(&instance, &path, &body, Some("k"));
    let second = async {
        let grown_old = async || {
            let old = "UPDATE identity.requests SET begun_at = begun_at - interval '2 minutes'";
            let old = sqlx::query(old).execute(&pool).await.unwrap();
            (old.rows_affected() == 1).then_some(())
        };
        until("the first one is under way", within, grown_old).await;
        let taken = async || {
            let young =
                "SELECT bool_and(begun_at > now() - interval '1 minute') FROM identity.requests";
            let young: Option<bool> = sqlx::query_scalar(young).fetch_one(&pool).await.unwrap();
            young.filter(|young| *young)
        };
        let release = async {
            until("it is taken over", within, taken).await;
            held.rollback().await.unwrap();
        };
        tokio::join!(bring(&instance, &path, &body, Some("k")), release).0
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.status, StatusCode::OK, "{}", first.text());
    assert_eq!(second.status, StatusCode::OK, "{}", second.text());
    assert_eq!(first.body, second.body);
    assert_eq!(instance.items(&path).await.len(), 2);
}

#[sqlx::test]
async fn many_at_once_share_transactions_and_each_has_its_outcome(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let mut bodies = Vec::new();
    for seed in 1..=40 {
        let content = json!({ "name": format!("Agent {seed}") });
        let statement = prepared(&instance, "register", &did(seed), content).await;
        let signatures = [by_key(seed, &statement)];
        bodies.push(json!({ "statement": statement, "signatures": signatures }));
    }
    // Each is brought twice: one of the two is refused.
    let all = bodies.iter().chain(&bodies);
    let answers = join_all(all.map(|body| bring(&instance, "/v1/agents", body, None))).await;
    let count = |status| answers.iter().filter(|a| a.status == status).count();
    assert_eq!(
        (count(StatusCode::OK), count(StatusCode::CONFLICT)),
        (40, 40)
    );
    assert_eq!(instance.items("/v1/agents?limit=100").await.len(), 40);
    let mut cids: Vec<String> = answers
        .iter()
        .filter(|a| a.status == StatusCode::OK)
        .map(|a| a.json()["entry"]["cid"].as_str().unwrap().to_owned())
        .collect();
    cids.sort();
    cids.dedup();
    assert_eq!(cids.len(), 40, "each has an entry of its own");
}

#[sqlx::test]
async fn a_deregistered_agent_leaves_lists_and_keeps_its_record(pool: PgPool) {
    let days = [Flag::new("identity.tombstone_days", 0)];
    let instance = Instance::with(&pool, &days).await;
    registered(&instance, 1).await;
    registered(&instance, 2).await;
    let content = json!({ "reason": "done" });
    let statement = prepared(&instance, "deregister", &did(1), content).await;
    let body = json!({ "statement": statement, "signatures": [by_owner(1, &statement)] });
    let path = format!("/v1/agents/{}/statements", did(1));
    let answer = bring(&instance, &path, &body, None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let listed = instance.items("/v1/agents").await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["name"], "Agent 2");
    let agent = instance.get(&format!("/v1/agents/{}", did(1))).await.json();
    assert_eq!(agent["runtime_status"], "TERMINATED");
    assert_eq!(agent["ended"], true);
    let history = format!("/v1/agents/{}/history", did(1));
    assert_eq!(instance.items(&history).await[0]["reason"], "done");
    let again = bring(&instance, &path, &body, None).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    registered(&instance, 1).await;
    assert_eq!(
        instance.items("/v1/agents").await.len(),
        2,
        "by its key it begins anew"
    );
}

#[sqlx::test]
async fn the_operator_suspends_with_a_reason(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    registered(&instance, 1).await;
    let path = format!("/v1/agents/{}/admin_status", did(1));
    let suspend = |reason: Value| json!({ "admin_status": "SUSPENDED", "reason": reason });
    let nobody = instance
        .send("PUT", &path, "", &suspend(json!("spam")))
        .await;
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    let why = instance
        .send("PUT", &path, TOKEN, &suspend(Value::Null))
        .await;
    assert_eq!(why.status, StatusCode::BAD_REQUEST, "{}", why.text());
    let wrong = json!({ "admin_status": "GONE" });
    let wrong = instance.send("PUT", &path, TOKEN, &wrong).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{}", wrong.text());
    let answer = instance
        .send("PUT", &path, TOKEN, &suspend(json!("spam")))
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.json()["admin_status"], "SUSPENDED");
    let cid = answer.json()["entry"]["cid"].as_str().unwrap().to_owned();
    let entry = instance.get(&format!("/v1/entries/{cid}")).await.json();
    assert_eq!(entry["entry"]["changes"][0][0], "admin_status");
    let path = format!("/v1/agents/{}/load", did(1));
    let busy = json!({ "load": "BUSY" });
    let answer = instance.send("PUT", &path, TOKEN, &busy).await;
    assert_eq!(answer.json()["load"], "BUSY", "{}", answer.text());
    let again = instance.send("PUT", &path, TOKEN, &busy).await;
    assert_eq!(again.json()["entry"], Value::Null, "nothing changed");
}

#[sqlx::test]
async fn wallets_that_are_contracts_own_agents(pool: PgPool) {
    const CHAIN: u64 = 31_337;
    let chain = Chain::start().await;
    let nodes = Flag::new("indexer.chains", json!([{ "rpc": [chain.url()] }]));
    let instance = Instance::with(&pool, &[nodes]).await;
    let keeper = owner(1).address();
    let wallets = Wallets::of(&chain, keeper).await;

    let signed = |statement: &Value, chain: u64, wrap: bool| {
        let typed: Statement = serde_json::from_value(statement.clone()).unwrap();
        let signature = wallet::sign(&owner(1), typed.digest(chain)).unwrap();
        if !wrap {
            return kernel::hex_0x(&signature);
        }
        kernel::hex_0x(&wallets.before_deployment(&signature))
    };
    for (seed, account, wrap, how) in [
        (1, wallets.deployed, false, "contract"),
        (2, wallets.future, true, "before_deployment"),
    ] {
        let content = json!({ "name": "Of a contract" });
        let statement = prepared(&instance, "register", &did(seed), content).await;
        let by = format!("eip155:{CHAIN}:{account:#x}");
        let of_owner = json!({ "by": by, "signature": signed(&statement, CHAIN, wrap) });
        let body =
            json!({ "statement": statement, "signatures": [by_key(seed, &statement), of_owner] });
        let answer = bring(&instance, "/v1/agents", &body, None).await;
        assert_eq!(answer.status, StatusCode::OK, "{how}: {}", answer.text());
        let agent = instance
            .get(&format!("/v1/agents/{}", did(seed)))
            .await
            .json();
        assert_eq!(agent["owner_address"], account.to_string());
        let path = format!("/v1/agents/{}/statements", did(seed));
        let checked = &instance.items(&path).await[0]["signatures"][1]["checked"];
        assert_eq!(checked["by"], how);
        assert!(checked["block"].is_u64() && checked["block_hash"].is_string());

        let sleep = prepared(&instance, "status", &did(seed), json!({"status": "SLEEP"})).await;
        // Its keeper is not the wallet, nor is the wallet's address on another chain.
        let keepers = json!({ "statement": sleep, "signatures": [by_owner(1, &sleep)] });
        let answer = bring(&instance, &path, &keepers, None).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text());
        let elsewhere =
            json!({ "by": format!("eip155:1:{account:#x}"), "signature": signed(&sleep, 1, wrap) });
        let elsewhere = json!({ "statement": sleep, "signatures": [elsewhere] });
        let answer = bring(&instance, &path, &elsewhere, None).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text());
        let here = json!({ "by": by, "signature": signed(&sleep, CHAIN, wrap) });
        let here = json!({ "statement": sleep, "signatures": [here] });
        let answer = bring(&instance, &path, &here, None).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());

        // A stranger's reader verifies the key, and says that only the chain can tell of the wallet.
        instance.seal().await;
        let bundle = format!("/v1/agents/{}/proof", did(seed));
        let report = bundle::check(&instance.get(&bundle).await.body, None).unwrap();
        let speakers = report.statements.iter().flat_map(|one| &one.by);
        let speakers: Vec<_> = speakers
            .map(|one| (one.contract.is_some(), one.right))
            .collect();
        let by_key = (false, Some(Right::Key));
        assert_eq!(speakers, [by_key, (true, None), (true, None)], "{how}");
        let fields = report.fields.iter().filter(|field| field.signed);
        let fields: Vec<&str> = fields.map(|field| field.name.as_str()).collect();
        assert!(fields.contains(&"name"), "{fields:?}");
        assert!(!fields.contains(&"owner_address") && !fields.contains(&"runtime_status"));
    }
}
