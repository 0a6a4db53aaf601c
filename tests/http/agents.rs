//! Agents and what is kept of them.

use std::{collections::BTreeSet, time::Duration};

use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::kit::{Instance, MAINNET_REGISTRY, TOKEN};

#[sqlx::test]
async fn pages_walk_all_92_agents_once(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    for limit in [7, 50, 200] {
        let mut seen = BTreeSet::new();
        let mut pages = 0;
        let mut next = Some(format!("/v1/agents?chain=1&limit={limit}"));
        while let Some(path) = next {
            let answer = instance.get(&path).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            let page = answer.json();
            for agent in page["items"].as_array().unwrap() {
                assert!(
                    seen.insert(agent["id"].as_str().unwrap().to_owned()),
                    "twice: {agent}"
                );
            }
            let link = answer.header(header::LINK);
            assert_eq!(link.is_empty(), page["next_cursor"].is_null());
            next = link
                .strip_prefix('<')
                .and_then(|link| link.strip_suffix(">; rel=\"next\""))
                .map(str::to_owned);
            pages += 1;
        }
        assert_eq!((seen.len(), pages), (92, 92_usize.div_ceil(limit)));
    }
}

#[sqlx::test]
async fn lists_are_filtered_by_each_status_and_leave_out_whom_the_operator_suspended(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    for (agent, column, wish) in [
        (
            "1:1",
            "admin_status",
            json!({ "admin_status": "SUSPENDED", "reason": "spam" }),
        ),
        (
            "1:100",
            "admin_status",
            json!({ "admin_status": "INACTIVE" }),
        ),
        ("1:100", "load", json!({ "load": "BUSY" })),
    ] {
        let path = format!("/v1/agents/{agent}/{column}");
        let answer = instance.send("PUT", &path, TOKEN, &wish).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    for (query, agents) in [
        ("", 91),
        ("chain=1", 91),
        ("admin_status=ACTIVE", 90),
        ("admin_status=inactive", 1),
        ("admin_status=SUSPENDED", 1),
        ("admin_status=any", 92),
        ("liveness=unknown", 91),
        ("liveness=active", 0),
        ("load=BUSY", 1),
        ("load=available&admin_status=any", 91),
        ("load=BUSY&admin_status=ACTIVE", 0),
    ] {
        let path = format!("/v1/agents?limit=200&{query}");
        assert_eq!(instance.items(&path).await.len(), agents, "{query}");
    }
    // Whom somebody names is answered, also in the list, and whose he is is told of all that he has.
    let suspended = instance.get("/v1/agents/1:1").await.json();
    assert_eq!(suspended["admin_status"], "SUSPENDED");
    let owner = suspended["owner_address"].as_str().unwrap();
    for path in [
        format!("/v1/owners/{owner}/agents?limit=200"),
        format!("/v1/agents?limit=200&owner={owner}"),
    ] {
        let owned = instance.items(&path).await;
        let mut standings = owned.iter().filter(|one| one["id"] == suspended["id"]);
        assert!(
            standings.any(|one| one["admin_status"] == "SUSPENDED"),
            "{path}"
        );
    }
    let did = suspended["did"].as_str().unwrap();
    for (query, agents) in [("", 1), ("&admin_status=ACTIVE", 0)] {
        let path = format!("/v1/agents?identifier={did}{query}");
        assert_eq!(instance.items(&path).await.len(), agents, "{query}");
    }
    let resolved = instance.get(&format!("/1.0/identifiers/{did}")).await;
    assert_eq!(resolved.status, StatusCode::OK, "{}", resolved.text());
    for wrong in ["admin_status=GONE", "liveness=dead", "load=", "load=any"] {
        let answer = instance.get(&format!("/v1/agents?{wrong}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}");
        assert!(
            answer.text().contains("expected one of"),
            "{}",
            answer.text()
        );
    }
}

/// They are read together (`http/lookups.rs`): nobody gets another's answer, or fails by another's name.
#[sqlx::test]
async fn who_asks_while_many_do_gets_his_own_agent(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    let agents = instance.items("/v1/agents?chain=1&limit=200").await;
    let mut paths = Vec::new();
    for agent in &agents {
        let id = agent["id"].as_str().unwrap();
        paths.push((id.to_owned(), Some(id)));
        paths.push((agent["did"].as_str().unwrap().to_owned(), Some(id)));
        paths.push(("n".repeat(5000), None));
        paths.push((format!("no-{id}"), None));
    }
    let asked = paths.iter().map(|(name, id)| {
        let instance = &instance;
        async move {
            let path = format!("/v1/agents/{name}");
            // Some hang up, at once or while a round is read.
            let hung_up = tokio::time::timeout(Duration::from_micros(200), instance.get(&path));
            let _ = hung_up.await;
            (instance.get(&path).await, id)
        }
    });
    let answers = futures::future::join_all(asked).await;
    assert_eq!(answers.len(), 4 * 92);
    for (answer, id) in answers {
        match id {
            Some(id) => assert_eq!(answer.json()["id"], *id),
            None => assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text()),
        }
    }
}

#[sqlx::test]
async fn an_agent_is_found_under_every_name(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    let agent = instance.get("/v1/agents/1:1").await.json();
    let id = agent["id"].as_str().unwrap();
    let names = [
        id.to_owned(),
        id.to_uppercase(),
        "1%3A1".to_owned(),
        format!("eip155:1:{MAINNET_REGISTRY}%2F1"),
        format!("eip155:1:{}%2F1", MAINNET_REGISTRY.to_uppercase()),
        format!("did:nft:eip155:1_erc721:{MAINNET_REGISTRY}_1"),
        format!("did%3Anft%3Aeip155%3A1_erc721%3A{MAINNET_REGISTRY}_1"),
        "did:nft:eip155:1_erc721:0x8004A169FB4a3325136EB29fA0ceB6D2e539a432_1".to_owned(),
    ];
    for name in names {
        let answer = instance.get(&format!("/v1/agents/{name}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{name}");
        assert_eq!(answer.json()["id"], *id, "{name}");
    }
    assert_eq!(
        agent["registry"],
        "0x8004A169FB4a3325136EB29fA0ceB6D2e539a432"
    );
    let kinds: Vec<_> = agent["identifiers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["kind"].clone())
        .collect();
    assert_eq!(kinds, ["caip", "did", "short"]);
    for nobody in [
        "1:99999999",
        "did:nft:x",
        "00000000-0000-0000-0000-000000000000",
        "%20",
        "é",
    ] {
        for below in [
            "",
            "/history",
            "/capabilities",
            "/metadata",
            "/events",
            "/entries",
        ] {
            let answer = instance.get(&format!("/v1/agents/{nobody}{below}")).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{nobody}{below}");
            assert_eq!(answer.json()["code"], "not_found");
        }
    }
}

#[sqlx::test]
async fn what_is_known_already_is_not_sent_again(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    for path in [
        "/v1/agents/1:1",
        "/v1/agents?limit=3",
        "/openapi.json",
        "/",
        "/assets/app.js",
    ] {
        let answer = instance.get(path).await;
        let tag = answer.header(header::ETAG).to_owned();
        assert!(tag.starts_with('"'), "{path}: {tag}");
        let again = instance.get_as(path, "if-none-match", &tag).await;
        assert_eq!(
            (again.status, again.body.len()),
            (StatusCode::NOT_MODIFIED, 0),
            "{path}"
        );
        let other = instance.get_as(path, "if-none-match", "\"other\"").await;
        assert_eq!(other.status, StatusCode::OK, "{path}");
    }
}

#[sqlx::test]
async fn filters_narrow_the_list(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    instance.judge().await;
    let all = instance.items("/v1/agents?limit=200").await;
    let owner = all
        .iter()
        .find_map(|agent| agent["owner_address"].as_str())
        .unwrap();
    let owned = |list: &[Value]| list.iter().all(|agent| agent["owner_address"] == *owner);
    let of_owner = instance
        .items(&format!("/v1/owners/{}/agents", owner.to_lowercase()))
        .await;
    assert!(!of_owner.is_empty() && owned(&of_owner));
    assert_eq!(
        instance.items(&format!("/v1/agents?owner={owner}")).await,
        of_owner
    );
    assert_eq!(instance.items("/v1/agents?chain=2").await, [] as [Value; 0]);
    assert_eq!(
        instance.items("/v1/agents?status=terminated").await,
        [] as [Value; 0]
    );
    let named = all
        .iter()
        .find(|agent| agent["name_source"] == "document")
        .unwrap();
    let name = named["name"].as_str().unwrap();
    let query: String = name
        .chars()
        .take(4)
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let found = instance
        .items(&format!("/v1/agents?limit=200&q={query}"))
        .await;
    assert!(
        found.iter().any(|agent| agent["id"] == named["id"]),
        "{query}"
    );
    assert_eq!(
        instance.items("/v1/agents?q=%25no%5Fsuch").await,
        [] as [Value; 0]
    );
}

#[sqlx::test]
async fn a_name_that_a_file_claims_filters_the_list_and_finds_nobody(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    instance.judge().await;
    let claiming = instance
        .items("/v1/agents?identifier=ClawdBotAtg.eth")
        .await;
    let ids: Vec<_> = claiming.iter().map(|agent| &agent["agent_id"]).collect();
    assert_eq!(ids, ["21548"]);
    let answer = instance.get("/v1/agents/1:21548").await.json();
    let claim = json!({ "kind": "ens", "value": "clawdbotatg.eth", "standing": "claimed" });
    let names = answer["identifiers"].as_array().unwrap();
    assert!(names.contains(&claim), "{names:?}");

    let nobody = instance.get("/v1/agents/clawdbotatg.eth").await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    assert_eq!(nobody.json()["code"], "not_found");
    let detail = nobody.json()["detail"].to_string();
    assert!(detail.contains("registration files claim it"), "{detail}");
    for (name, agents) in [("1:21548", 1), ("nobody.eth", 0), ("%C3%A9", 0), ("", 0)] {
        let path = format!("/v1/agents?identifier={name}");
        assert_eq!(instance.items(&path).await.len(), agents, "{name}");
    }
}

#[sqlx::test]
async fn history_capabilities_metadata_and_events(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    instance.judge().await;
    let all = instance.items("/v1/agents?limit=200").await;
    let fetched = all
        .iter()
        .find(|agent| agent["metadata_state"] == "fetched")
        .unwrap();
    let id = fetched["id"].as_str().unwrap();

    let history = instance.items(&format!("/v1/agents/{id}/history")).await;
    assert_eq!(history.last().unwrap()["previous_status"], Value::Null);
    assert_eq!(history[0]["new_status"], fetched["runtime_status"]);

    let metadata = instance
        .get(&format!("/v1/agents/{id}/metadata"))
        .await
        .json();
    assert_eq!(
        metadata["verification"], "verified",
        "a data: URI is its own proof"
    );
    assert_eq!(metadata["document"]["name"], fetched["name"]);

    let events = instance.items(&format!("/v1/agents/{id}/events")).await;
    assert_eq!(events[0]["block"], fetched["last_block"]);
    assert_eq!(events[0]["tx"], fetched["last_tx"]);
    let tx = fetched["last_tx"].as_str().unwrap();
    let outcome = instance
        .get(&format!("/v1/transactions/1/{tx}"))
        .await
        .json();
    assert_eq!(outcome["state"], "mined");
    assert_eq!(outcome["indexed"], true);
    assert_eq!(outcome["agents"][0]["id"], *id);
    assert_eq!(outcome["entries"][0]["state"], "queued");

    let mut walked = 0;
    for agent in &all {
        let path = format!("/v1/agents/{}/capabilities", agent["id"].as_str().unwrap());
        let names: Vec<_> = instance
            .items(&format!("{path}?limit=200"))
            .await
            .iter()
            .map(|one| one["capability_name"].as_str().unwrap().to_owned())
            .collect();
        if names.len() < 2 {
            continue;
        }
        let first = instance.get(&format!("{path}?limit=1")).await.json();
        let cursor = first["next_cursor"].as_str().unwrap();
        let cursor =
            percent_encoding::utf8_percent_encode(cursor, percent_encoding::NON_ALPHANUMERIC);
        let rest = instance
            .items(&format!("{path}?limit=200&cursor={cursor}"))
            .await;
        assert_eq!(rest.len(), names.len() - 1);
        walked += 1;
    }
    assert!(walked > 0, "some agent has capabilities");
}

/// A transaction is as final as its chain's word for it; a dev chain of our own has none, and what is settled stays.
#[sqlx::test]
async fn what_is_final_is_told_and_nothing_before(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    let agent = instance.items("/v1/agents?limit=1").await.remove(0);
    let block = agent["last_block"].as_i64().unwrap();
    let path = format!("/v1/transactions/1/{}", agent["last_tx"].as_str().unwrap());
    for (origin, finalized, settled, told) in [
        ("rpc", None, block, Value::Null),
        ("rpc", Some(block - 1), block, false.into()),
        ("rpc", Some(block), block - 1, true.into()),
        ("started", None, block - 1, false.into()),
        ("started", None, block, true.into()),
    ] {
        let set = "UPDATE chain.chains SET origin = $1, finalized_number = $2, settled_number = $3";
        let set = sqlx::query(set).bind(origin).bind(finalized).bind(settled);
        set.execute(&pool).await.unwrap();
        let outcome = instance.get(&path).await.json();
        assert_eq!(outcome["finalized"], told, "{origin} {finalized:?}");
        assert_eq!(outcome["indexed"], true);
    }
}

#[sqlx::test]
async fn sync_and_changes_tell_how_far_everything_is(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    let sync = instance.get("/v1/sync").await.json();
    let chain = &sync["chains"][0];
    assert_eq!(chain["chain"], 1);
    assert_eq!(chain["origin"], "replay");
    assert_eq!(chain["head"], chain["settled"]);
    assert_eq!(
        chain["contracts"]["identity"][0],
        "0x8004A169FB4a3325136EB29fA0ceB6D2e539a432"
    );
    assert_eq!(chain["state"], Value::Null, "nobody follows it now");
    assert_eq!(sync["agents"], 92);
    assert_eq!(sync["public_pin"], false);
    assert_eq!(sync["journal"]["size"], 0);
    let queued = sync["journal"]["queued"].as_i64().unwrap();
    assert!(queued >= 92);
    instance.seal().await;
    let sync = instance.get("/v1/sync").await.json();
    assert_eq!(
        (&sync["journal"]["size"], &sync["journal"]["queued"]),
        (&queued.into(), &0.into())
    );
    assert_eq!(
        instance.get("/v1/changes?level=head&limit=5").await.status,
        StatusCode::OK
    );
}
