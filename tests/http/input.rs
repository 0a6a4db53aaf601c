//! What nobody should send is refused as the sender's mistake, never as ours.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::kit::{Answer, Instance, TOKEN};

fn is_problem(answer: &Answer, status: StatusCode, what: &str) {
    assert_eq!(
        answer.status,
        status,
        "{what}: {}",
        String::from_utf8_lossy(&answer.body)
    );
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{what}"
    );
    let problem = answer.json();
    assert_eq!(problem["status"], status.as_u16(), "{what}");
    for member in ["type", "title", "detail", "code", "instance", "request_id"] {
        assert!(problem[member].is_string(), "{what}: {member}");
    }
}

#[sqlx::test]
async fn questions_that_are_none(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    let far = "00000000-0000-0000-0000-000000000000";
    let huge = "99999999999999999999999999";
    let long = "x".repeat(5000);
    let mut table: Vec<String> = [
        "/v1/agents/%00",
        "/v1/agents/1:1%00",
        "/v1/agents/%ff",
        "/v1/agents/%c3%28/history",
        "/v1/agents?limit=0",
        "/v1/agents?limit=201",
        "/v1/agents?limit=-1",
        "/v1/agents?limit=x",
        "/v1/agents?limit=4294967297",
        "/v1/agents?q=%00",
        "/v1/agents?q=%ff",
        "/v1/agents?cursor=x",
        "/v1/agents?cursor=%00",
        "/v1/agents?owner=x",
        "/v1/agents?owner=0x12",
        "/v1/agents?status=AWAKE",
        "/v1/agents?chain=-1",
        "/v1/agents?chain=18446744073709551615",
        "/v1/agents?capability=%00",
        "/v1/agents?page=2",
        "/v1/agents?limit=1&limit=2",
        "/v1/owners/nobody/agents",
        "/v1/owners/0x00/agents",
        "/v1/owners/%00/agents",
        "/v1/agents/1:1/history?cursor=x",
        "/v1/agents/1:1/history?cursor=99999999999",
        "/v1/agents/1:1/history?limit=0",
        "/v1/agents/1:1/capabilities?limit=201",
        "/v1/agents/1:1/capabilities?cursor=%00",
        "/v1/agents/1:1/events?cursor=1",
        "/v1/agents/1:1/events?cursor=1_99999999999",
        "/v1/agents/1:1/entries?cursor=x",
        "/v1/entries?cursor=x",
        "/v1/entries?limit=0",
        "/v1/entries/%00",
        "/v1/entries/%ff/proof",
        "/v1/changes?level=deep",
        "/v1/changes?limit=0",
        "/v1/changes?since=1",
        "/v1/changes?after=x",
        "/v1/changes?after=%00",
        "/v1/changes?after=s18446744073709551616",
        "/v1/changes?level=head&after=h9223372036854775808",
        "/v1/changes?agent=%00",
        "/v1/changes?level=head&column=%ff",
        "/v1/changes?owner=x",
        "/v1/changes?kind=x",
        "/v1/changes.atom?limit=0",
        "/v1/changes.atom?before=x",
        "/v1/changes.atom?after=s1",
        "/v1/transactions/1/0x00",
        "/v1/transactions/x/0x00",
        "/v1/ipfs/zzz",
        "/v1/ipfs/%00",
        "/ipfs/zzz",
        "/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy/%00",
        "/audit/tile/%ff",
    ]
    .map(str::to_owned)
    .into();
    table.extend([
        format!("/v1/agents?cursor=-9000000000000000000_{far}"),
        // Years that chrono knows and Postgres does not.
        format!("/v1/agents?cursor=-6311347200000000000_{far}"),
        format!("/v1/agents?cursor={huge}_{far}"),
        format!("/v1/agents?chain={huge}"),
        format!("/v1/agents?limit={huge}"),
        format!("/v1/agents?cursor={long}"),
        format!("/v1/entries?cursor={huge}"),
        format!("/v1/agents/1:1/events?cursor={huge}_1"),
        format!("/v1/transactions/{huge}/0x{}", "0".repeat(64)),
    ]);
    for path in table {
        is_problem(&instance.get(&path).await, StatusCode::BAD_REQUEST, &path);
    }
    for path in [
        "/v1/nothing",
        "/v1/entries/zzz",
        "/v1/entries/zzz/proof",
        "/audit/tile/0/999",
        "/audit/tile/x",
        "/audit/checkpoint",
        "/v1/transactions/1/0x0000000000000000000000000000000000000000000000000000000000000000",
        "/v1/transactions/18446744073709551615/0x0000000000000000000000000000000000000000000000000000000000000000",
        "/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
        "/1.0/identifiers/",
    ] {
        is_problem(&instance.get(path).await, StatusCode::NOT_FOUND, path);
    }
}

#[sqlx::test]
async fn bodies_that_are_none(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    let from = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
    let deep = (0..500).fold(json!(1), |inner, _| json!([inner]));
    let status = "/v1/agents/1:1/status";
    let (prepare, relay) = ("/v1/transactions/prepare", "/v1/transactions");
    let consent = "/v1/transactions/wallet-consent";
    let table: Vec<(&str, &str, Value)> = vec![
        ("PUT", status, json!({})),
        ("PUT", status, json!({"status": "AWAKE"})),
        ("PUT", status, json!({"status": "SLEEP", "because": "x"})),
        (
            "PUT",
            status,
            json!({"status": "SLEEP", "reason": "a\u{0}b"}),
        ),
        (
            "PUT",
            status,
            json!({"status": "SLEEP", "reason": "x".repeat(1001)}),
        ),
        ("PUT", status, json!({"status": 7})),
        ("PUT", status, json!([])),
        ("PUT", status, json!(["SLEEP", "night"])),
        ("PUT", status, deep.clone()),
        ("PUT", "/v1/agents/%00/status", json!({"status": "SLEEP"})),
        ("POST", prepare, json!({})),
        (
            "POST",
            prepare,
            json!({"from": "me", "action": {"kind": "register"}}),
        ),
        (
            "POST",
            prepare,
            json!({"from": from, "action": {"kind": "destroy"}}),
        ),
        (
            "POST",
            prepare,
            json!({"from": from, "action": {"kind": "register", "url": "x"}}),
        ),
        (
            "POST",
            prepare,
            json!({"from": from, "action": {"kind": "register"}, "to": from}),
        ),
        (
            "POST",
            prepare,
            json!({"from": from, "chain": -1, "action": {"kind": "register"}}),
        ),
        (
            "POST",
            prepare,
            json!({"from": from, "chain": 2, "action": {"kind": "heartbeat", "agent": "1:1"}}),
        ),
        (
            "POST",
            prepare,
            json!({"from": from, "action": {"kind": "heartbeat", "agent": "\u{0}"}}),
        ),
        ("POST", prepare, deep),
        ("POST", consent, json!({"agent": "1:1"})),
        ("POST", consent, json!({"agent": "1:1", "wallet": "0x12"})),
        // A slip in one letter's case: the checksum of EIP-55 does not hold.
        (
            "POST",
            consent,
            json!({"agent": "1:1", "wallet": from.replacen('f', "F", 1)}),
        ),
        (
            "POST",
            prepare,
            json!({"from": from, "action": {"kind": "set_wallet", "agent": "1:1", "wallet": from}}),
        ),
        ("POST", relay, json!({"chain": 1, "raw": "no hex"})),
        ("POST", relay, json!({"chain": 1.5, "raw": "0x"})),
    ];
    for (method, path, body) in table {
        let what = format!(
            "{method} {path} {}",
            &body.to_string()[..body.to_string().len().min(120)]
        );
        is_problem(
            &instance.send(method, path, TOKEN, &body).await,
            StatusCode::BAD_REQUEST,
            &what,
        );
    }
    let not_there = json!({"from": from, "action": {"kind": "heartbeat", "agent": "1:99999999"}});
    is_problem(
        &instance.send("POST", prepare, "", &not_there).await,
        StatusCode::NOT_FOUND,
        "nobody",
    );
    let not_there = json!({"agent": "1:99999999", "wallet": from});
    is_problem(
        &instance.send("POST", consent, "", &not_there).await,
        StatusCode::NOT_FOUND,
        "nobody's wallet",
    );
    let wallet = json!({"agent": "1:1", "wallet": from});
    is_problem(
        &instance.send("POST", consent, "", &wallet).await,
        StatusCode::CONFLICT,
        "a consent without a node",
    );
    // A recorded chain has no node.
    let wish = json!({"from": from, "action": {"kind": "heartbeat", "agent": "1:1"}});
    is_problem(
        &instance.send("POST", prepare, "", &wish).await,
        StatusCode::CONFLICT,
        "no node",
    );
    let large = json!({"status": "SLEEP", "reason": "x".repeat(3 << 20)});
    is_problem(
        &instance.send("PUT", status, TOKEN, &large).await,
        StatusCode::PAYLOAD_TOO_LARGE,
        "3 MiB",
    );
    is_problem(
        &instance
            .send("DELETE", "/v1/agents/1:1", TOKEN, &json!({}))
            .await,
        StatusCode::METHOD_NOT_ALLOWED,
        "DELETE",
    );
}
