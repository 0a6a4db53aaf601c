//! Watches, and the alerts that the head feed tells of them.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::kit::{Answer, Instance, TOKEN};

const PATH: &str = "/v1/watches";

async fn known(instance: &Instance, method: &str, path: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
    instance.ask(request.body(Body::empty()).unwrap()).await
}

async fn add(instance: &Instance, target: &str, name: &str) -> Answer {
    let body = json!({ "target": target, "name": name });
    instance.send("POST", PATH, TOKEN, &body).await
}

async fn insert(instance: &Instance, name: &str, owner: &str) {
    sqlx::query("INSERT INTO identity.agents (did, name, owner_address) VALUES ($1, $2, $3)")
        .bind(format!("did:vexel:{name}"))
        .bind(name)
        .bind(owner)
        .execute(instance.app.db.pool())
        .await
        .unwrap();
    settle(instance).await;
}

async fn set(instance: &Instance, name: &str, column: &str, value: &str) {
    let update =
        format!("UPDATE identity.agents SET {column} = '{value}' WHERE did = 'did:vexel:{name}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(update))
        .execute(instance.app.db.pool())
        .await
        .unwrap();
    settle(instance).await;
}

async fn settle(instance: &Instance) {
    while identity::dirty::sweep(&instance.app.db).await.unwrap() == store::Outcome::Busy {}
    instance.order().await;
}

/// Alerts of a watch: what, of whom, to what.
async fn alerts(instance: &Instance, name: &str) -> Vec<(String, String, Value)> {
    let answer = known(
        instance,
        "GET",
        &format!("/v1/changes?level=head&watch={name}&limit=200"),
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let items = answer.json()["items"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    items
        .iter()
        .map(|item| {
            let value = item["changes"][0]["value"].clone();
            (text(&item["alert"]), text(&item["agent"]["name"]), value)
        })
        .collect()
}

#[sqlx::test]
async fn a_watch_tells_of_its_owners_and_agents_and_of_nobody_else(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let (alice, bob) = (
        "0x00000000000000000000000000000000000a11ce",
        "0x0000000000000000000000000000000000000b0b",
    );
    for (target, name) in [(alice, "mine"), ("did:vexel:far", "mine"), (bob, "his")] {
        let answer = add(&instance, target, name).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        assert_eq!(answer.json()["target"], target);
    }
    insert(&instance, "one", alice).await;
    insert(
        &instance,
        "other",
        "0x0000000000000000000000000000000000000ca1",
    )
    .await;
    insert(
        &instance,
        "far",
        "0x0000000000000000000000000000000000000ca1",
    )
    .await;
    set(&instance, "one", "runtime_status", "SLEEP").await;
    set(&instance, "one", "category", "of no concern").await;
    set(&instance, "other", "runtime_status", "SLEEP").await;
    set(&instance, "one", "owner_address", bob).await;
    set(&instance, "one", "load", "BUSY").await;
    set(&instance, "one", "runtime_status", "TERMINATED").await;

    let all = alerts(&instance, "mine").await;
    let shown: Vec<(&str, &str)> = all
        .iter()
        .map(|(alert, name, _)| (alert.as_str(), name.as_str()))
        .collect();
    for expected in [
        ("new_agent", "one"),
        ("new_agent", "far"),
        ("status", "one"),
        ("transfer", "one"),
    ] {
        assert!(shown.contains(&expected), "{expected:?} in {shown:?}");
    }
    assert!(!shown.iter().any(|(_, name)| *name == "other"), "{shown:?}");
    assert_eq!(
        all.last().unwrap().2,
        bob,
        "after the transfer it is not Alice's any more"
    );
    let his = alerts(&instance, "his").await;
    let kinds: Vec<&str> = his.iter().map(|(alert, _, _)| alert.as_str()).collect();
    assert_eq!(
        kinds,
        ["transfer", "status", "status"],
        "from the transfer on it is Bob's"
    );
    assert_eq!(his[1].2, "BUSY", "whether it takes work is a status, too");
    assert_eq!(his[2].2, "TERMINATED");
}

#[sqlx::test]
async fn watches_are_kept_listed_and_removed(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    for target in [
        "0x00000000000000000000000000000000000A11cE",
        "did:vexel:a",
        "did:vexel:b",
    ] {
        assert_eq!(
            add(&instance, target, "mine").await.status,
            StatusCode::CREATED
        );
        assert_eq!(
            add(&instance, target, "mine").await.status,
            StatusCode::CREATED,
            "again"
        );
    }
    let unnamed = json!({ "target": "did:vexel:a" });
    let answer = instance.send("POST", PATH, TOKEN, &unnamed).await;
    assert_eq!(answer.json()["name"], "mine", "where nobody says a name");
    let (mut found, mut path) = (Vec::new(), format!("{PATH}?limit=2"));
    loop {
        let page = known(&instance, "GET", &path).await.json();
        found.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("{PATH}?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(found.len(), 3);
    let owners: Vec<&Value> = found
        .iter()
        .filter(|watch| watch["agent"].is_null())
        .collect();
    let alice: kernel::Address = "0x00000000000000000000000000000000000a11ce"
        .parse()
        .unwrap();
    assert_eq!(owners.len(), 1);
    assert_eq!(owners[0]["owner"], alice.to_string(), "EIP-55");
    let gone = known(
        &instance,
        "DELETE",
        &format!("{PATH}/mine?target=did:vexel:a"),
    )
    .await;
    assert_eq!(gone.json(), json!({ "name": "mine", "removed": 1 }));
    let gone = known(&instance, "DELETE", &format!("{PATH}/mine")).await;
    assert_eq!(gone.json()["removed"], 2);
    for path in [format!("{PATH}/mine"), format!("{PATH}/none")] {
        assert_eq!(
            known(&instance, "DELETE", &path).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

/// A short name is a token's for as long as that is registered.
#[sqlx::test]
async fn a_target_that_is_gone_is_removed_by_what_it_was_watched_by(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    for agent in ["did:vexel:a", "did:vexel:b"] {
        let answer = add(&instance, agent, "mine").await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    }
    // As they stand where the token was there when it was watched, and where its name is another agent's now.
    for (agent, text) in [("a", "31337:7"), ("b", "did:vexel:a")] {
        let update = "UPDATE identity.watches SET target = $1 WHERE target = $2";
        let did = format!("did:vexel:{agent}");
        let update = sqlx::query(update).bind(text).bind(did);
        let done = update.execute(instance.app.db.pool()).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{agent}");
    }
    let mut removed = Vec::new();
    for target in ["did:vexel:a", "31337:7", "31337:7"] {
        let path = format!("{PATH}/mine?target={target}");
        let answer = known(&instance, "DELETE", &path).await;
        removed.push((answer.status.as_u16(), answer.json()["removed"].clone()));
    }
    assert_eq!(
        removed,
        [(200, json!(1)), (200, json!(1)), (404, Value::Null)]
    );
}

#[sqlx::test]
async fn what_is_wrong_with_a_watch_is_told_and_strangers_see_none(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    for (target, name, status) in [
        ("nobody", "mine", StatusCode::NOT_FOUND),
        ("", "mine", StatusCode::BAD_REQUEST),
        ("did:vexel:a", "two words", StatusCode::BAD_REQUEST),
        ("did:vexel:a", "", StatusCode::BAD_REQUEST),
        (&"x".repeat(2_000), "mine", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(
            add(&instance, target, name).await.status,
            status,
            "{target} {name}"
        );
    }
    assert_eq!(
        add(&instance, "did:vexel:a", "mine").await.status,
        StatusCode::CREATED
    );
    for path in [PATH, "/v1/changes?level=head&watch=mine"] {
        let answer = instance.get(path).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let answer = instance
        .send("POST", PATH, "", &json!({ "target": "did:vexel:a" }))
        .await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    // Nor does a key of whoever made it, without the scope.
    let wish = json!({ "name": "other", "scopes": ["keys:read"] });
    let made = instance.send("POST", "/v1/keys", TOKEN, &wish).await.json();
    for path in [PATH, "/v1/changes?level=head&watch=mine"] {
        let key = made["key"].as_str().unwrap();
        let answer = instance.get_as(path, "x-api-key", key).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
    }
    for (path, status) in [
        ("/v1/changes?level=head&watch=none", StatusCode::NOT_FOUND),
        ("/v1/changes?watch=mine", StatusCode::BAD_REQUEST),
        (
            "/v1/changes?level=head&watch=two+words",
            StatusCode::BAD_REQUEST,
        ),
        ("/v1/watches?cursor=x", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(known(&instance, "GET", path).await.status, status, "{path}");
    }
}

#[sqlx::test]
async fn a_client_keeps_its_watches_when_its_key_is_rotated(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let scopes = json!(["keys:write", "watches:read", "watches:write"]);
    let wish = json!({ "name": "client", "principal": "nobody", "scopes": scopes });
    let first = instance.send("POST", "/v1/keys", TOKEN, &wish).await.json();
    let secret = |key: &Value| key["key"].as_str().unwrap().to_owned();
    let target = json!({ "target": "did:vexel:far" });
    let answer = instance.send("POST", PATH, &secret(&first), &target).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    let turn = async |key: &Value, token: &str| {
        let path = format!("/v1/keys/{}/rotate", key["key_id"].as_str().unwrap());
        let answer = instance.send("POST", &path, token, &json!({})).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()
    };
    let second = turn(&first, TOKEN).await;
    // A client rotates its own key, too, and no other's.
    let third = turn(&second, &secret(&second)).await;
    for key in [&second, &third] {
        let listed = instance.send("GET", PATH, &secret(key), &Value::Null).await;
        assert_eq!(listed.json()["items"][0]["target"], "did:vexel:far");
        let path = "/v1/changes?level=head&watch=mine";
        let told = instance.send("GET", path, &secret(key), &Value::Null).await;
        assert_eq!(told.status, StatusCode::OK, "{}", told.text());
    }
    let other = instance.send("POST", "/v1/keys", TOKEN, &wish).await.json();
    let listed = instance
        .send("GET", PATH, &secret(&other), &Value::Null)
        .await;
    assert_eq!(listed.json()["items"], json!([]), "another client's");
    let path = format!("/v1/keys/{}/rotate", third["key_id"].as_str().unwrap());
    let stranger = instance
        .send("POST", &path, &secret(&other), &json!({}))
        .await;
    assert_eq!(stranger.status, StatusCode::NOT_FOUND);
}
