//! Heartbeats that agents sign, by request and over sockets.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use ed25519_dalek::{Signer as _, SigningKey};
use futures::{StreamExt as _, stream::FuturesUnordered};
use net::{Socket, SocketLimits};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use super::kit::{Instance, TOKEN};

/// An agent with a key of its own.
pub struct Agent {
    pub did: String,
    key: SigningKey,
}

impl Agent {
    pub async fn new(instance: &Instance, name: &str, seed: u8) -> Self {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let did = format!("did:vexel:{name}");
        let pool = instance.app.db.pool();
        let insert =
            "WITH made AS (INSERT INTO identity.agents (did, name) VALUES ($1, $1) RETURNING id)
             INSERT INTO identity.keys (public_key, agent_id, since) SELECT $2, id, now() FROM made";
        let insert = sqlx::query(insert)
            .bind(&did)
            .bind(key.verifying_key().to_bytes().to_vec());
        insert.execute(pool).await.unwrap();
        while identity::dirty::sweep(&instance.app.db).await.unwrap() == store::Outcome::Busy {}
        Self { did, key }
    }

    /// A beat `ms` milliseconds from now, in Zynd's form.
    fn beat(&self, instance: &Instance, ms: i64) -> Value {
        self.beat_at(instance.app.db.clock().now() + TimeDelta::milliseconds(ms))
    }

    /// The same, of a time.
    pub fn beat_at(&self, at: DateTime<Utc>) -> Value {
        let timestamp = at.to_rfc3339_opts(SecondsFormat::Micros, true);
        let signature = self.sign(&timestamp);
        json!({ "timestamp": timestamp, "signature": signature })
    }

    /// The same in our own form.
    fn own(&self, instance: &Instance, ms: i64) -> Value {
        let mut beat = self.beat(instance, ms);
        let office = instance.app.sealer.vkey().name();
        let timestamp = beat["timestamp"].as_str().unwrap();
        let message = format!("chancery heartbeat v1\n{office}\n{}\n{timestamp}", self.did);
        beat["signature"] = json!(self.sign(&message));
        beat["form"] = json!("chancery");
        beat
    }

    fn sign(&self, message: &str) -> String {
        format!(
            "ed25519:{}",
            STANDARD.encode(self.key.sign(message.as_bytes()).to_bytes())
        )
    }

    pub fn named(&self, mut beat: Value) -> Value {
        beat["agent"] = json!(self.did);
        beat
    }

    fn path(&self) -> String {
        format!("/v1/agents/{}/heartbeat", self.did)
    }
}

#[sqlx::test]
async fn a_beat_is_seen_at_once_and_counts_once(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let (agent, other) = (
        Agent::new(&instance, "a", 1).await,
        Agent::new(&instance, "b", 2).await,
    );
    let beat = agent.beat(&instance, 0);
    let answer = instance.send("POST", &agent.path(), "", &beat).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let due: DateTime<Utc> = serde_json::from_value(answer.json()["next_due"].clone()).unwrap();
    let at: DateTime<Utc> = serde_json::from_value(beat["timestamp"].clone()).unwrap();
    assert_eq!(due - at, TimeDelta::seconds(300));
    let shown = instance
        .get(&format!("/v1/agents/{}", agent.did))
        .await
        .json();
    let shown: DateTime<Utc> = serde_json::from_value(shown["last_heartbeat"].clone()).unwrap();
    assert_eq!(shown, at);

    let mut altered = agent.own(&instance, 50);
    altered["timestamp"] = agent.beat(&instance, 60)["timestamp"].clone();
    for (path, beat, status, why) in [
        (agent.path(), beat.clone(), StatusCode::CONFLICT, "again"),
        (other.path(), beat, StatusCode::FORBIDDEN, "another agent's"),
        (
            other.path(),
            agent.own(&instance, 40),
            StatusCode::FORBIDDEN,
            "another agent's own form",
        ),
        (
            agent.path(),
            altered,
            StatusCode::FORBIDDEN,
            "another time than the signed one",
        ),
        (
            agent.path(),
            agent.beat(&instance, -70_000),
            StatusCode::BAD_REQUEST,
            "old",
        ),
        (
            agent.path(),
            agent.beat(&instance, 70_000),
            StatusCode::BAD_REQUEST,
            "of the future",
        ),
        (
            agent.path(),
            json!({"timestamp": "now", "signature": "x"}),
            StatusCode::BAD_REQUEST,
            "no beat",
        ),
        (
            agent.path(),
            json!({"timestamp": 5}),
            StatusCode::BAD_REQUEST,
            "no beat at all",
        ),
        (
            "/v1/agents/did:vexel:x/heartbeat".to_owned(),
            agent.beat(&instance, 30),
            StatusCode::NOT_FOUND,
            "nobody's",
        ),
    ] {
        let answer = instance.send("POST", &path, "", &beat).await;
        assert_eq!(answer.status, status, "{why}: {}", answer.text());
    }
    identity::heartbeat::transit(&instance.app.db)
        .await
        .unwrap();
    let changes = format!("/v1/agents/{}/status-changes?dimension=liveness", agent.did);
    let changes = instance.items(&changes).await;
    assert_eq!(changes.len(), 1);
    for (liveness, who) in [("active", &agent), ("unknown", &other)] {
        let path = format!("/v1/agents?liveness={liveness}");
        let found = instance.items(&path).await;
        assert_eq!(found.len(), 1, "{liveness}");
        assert_eq!(found[0]["did"], who.did);
    }
    let (new, who) = (&changes[0]["new"], &changes[0]["who"]);
    assert_eq!((new, who), (&json!("active"), &json!("liveness")));
    let (late, soon) = (agent.own(&instance, 15_000), agent.own(&instance, 15_300));
    let answer = instance.send("POST", &agent.path(), "", &late).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let answer = instance.send("POST", &agent.path(), "", &soon).await;
    let told = (answer.status, answer.text());
    assert_eq!(told.0, StatusCode::TOO_MANY_REQUESTS, "{}", told.1);
    assert!(told.1.contains("at most once in a second"), "{}", told.1);
}

#[sqlx::test]
async fn many_beats_are_answered_each_by_itself(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let (a, b) = (
        Agent::new(&instance, "a", 1).await,
        Agent::new(&instance, "b", 2).await,
    );
    let mut forged = b.named(a.beat(&instance, 1));
    forged["agent_id"] = forged["agent"].take();
    forged.as_object_mut().unwrap().remove("agent");
    let items = json!({ "items": [
        a.named(a.beat(&instance, 0)), b.named(b.own(&instance, 0)), forged,
        { "agent": "did:vexel:x", "timestamp": "x", "signature": "x" }, a.named(a.own(&instance, 300)),
    ] });
    let answer = instance.send("POST", "/v1/heartbeats", "", &items).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let told = answer.json();
    assert_eq!(told["accepted"], 2);
    let codes: Vec<&Value> = told["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["code"])
        .collect();
    assert_eq!(
        codes,
        [
            &Value::Null,
            &Value::Null,
            &json!("denied"),
            &json!("invalid"),
            &json!("limited"),
        ]
    );
    let too_many = json!({ "items": vec![a.named(a.beat(&instance, 5)); 1_001] });
    let answer = instance.send("POST", "/v1/heartbeats", "", &too_many).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let none = instance
        .send("POST", "/v1/heartbeats", "", &json!({ "items": [] }))
        .await;
    assert_eq!(none.json(), json!({ "items": [], "accepted": 0 }));
}

/// What waits is bounded, and who comes then is told at once.
#[sqlx::test]
async fn more_beats_than_may_wait_are_refused_and_the_others_are_answered(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let held = "LOCK TABLE identity.heartbeats IN ACCESS EXCLUSIVE MODE";
    let mut held_by = pool.begin().await.unwrap();
    sqlx::query(held).execute(&mut *held_by).await.unwrap();
    let none = json!({ "agent": "did:vexel:x", "timestamp": "x", "signature": "x" });
    let thousand = json!({ "items": vec![none; 1_000] });
    let asked = (0..80).map(|_| instance.send("POST", "/v1/heartbeats", "", &thousand));
    let mut asked: FuturesUnordered<_> = asked.collect();
    let first = tokio::time::timeout(Duration::from_mins(1), asked.next()).await;
    let first = first
        .expect("who comes too late is answered at once")
        .unwrap();
    assert_eq!(
        first.status,
        StatusCode::TOO_MANY_REQUESTS,
        "{}",
        first.text()
    );
    assert!(
        first.text().contains("65536 heartbeats wait already"),
        "{}",
        first.text()
    );
    held_by.rollback().await.unwrap();
    let mut answered = 0;
    while let Some(answer) = asked.next().await {
        if answer.status != StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
            answered += 1;
        }
    }
    assert!(answered >= 65, "{answered}");
}

pub async fn socket(address: &str, path: &str) -> Socket {
    let limits = SocketLimits {
        max_bytes: 64 << 10,
        timeout: Duration::from_secs(30),
        idle: Duration::from_secs(30),
    };
    let url = format!("ws://{address}{path}").parse().unwrap();
    Socket::connect(&url, limits).await.unwrap()
}

pub async fn say(socket: &mut Socket, message: &Value) -> Value {
    socket.send(message.to_string()).await.unwrap();
    serde_json::from_slice(&socket.receive().await.unwrap()).unwrap()
}

#[sqlx::test]
async fn agents_beat_over_sockets_of_their_own_or_over_one(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let (a, b) = (
        Agent::new(&instance, "a", 1).await,
        Agent::new(&instance, "b", 2).await,
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    let app = Arc::clone(&instance.app);
    let server = tokio::spawn(chancery::http::serve(app, listener, stop.clone()));

    let mut alone = socket(&address, &format!("/v1/agents/{}/ws", a.did)).await;
    let beat = a.beat(&instance, 0);
    let told = say(&mut alone, &beat).await;
    assert_eq!(told["accepted"], true, "{told}");
    let again = say(&mut alone, &beat).await;
    assert_eq!(
        (&again["accepted"], &again["code"]),
        (&json!(false), &json!("conflict"))
    );
    let others = say(&mut alone, &b.named(b.beat(&instance, 0))).await;
    assert_eq!(
        others["code"], "invalid",
        "the socket is one agent's: {others}"
    );

    let mut shared = socket(&address, "/v1/heartbeat").await;
    let replayed = say(&mut shared, &a.named(beat)).await;
    assert_eq!(
        replayed["code"], "conflict",
        "over another socket: {replayed}"
    );
    let soon = a.beat(&instance, 2_000);
    for message in [
        a.named(a.own(&instance, 1_500)),
        b.named(b.beat(&instance, 20)),
    ] {
        shared.send(message.to_string()).await.unwrap();
    }
    for agent in [&a, &b] {
        let told: Value = serde_json::from_slice(&shared.receive().await.unwrap()).unwrap();
        assert_eq!(
            (&told["agent"], &told["accepted"]),
            (&json!(agent.did), &json!(true)),
            "{told}"
        );
    }
    // Once in a second, over whatever it comes.
    let soon = say(&mut alone, &soon).await;
    assert_eq!(soon["code"], "limited", "{soon}");
    let nameless = say(&mut shared, &b.beat(&instance, 30)).await;
    assert_eq!(nameless["code"], "invalid");
    // Whoever sends nonsense is told so, and then disconnected.
    for _ in 0..63 {
        let told = say(&mut shared, &json!("nonsense")).await;
        assert_eq!(told["code"], "invalid");
    }
    assert!(shared.receive().await.is_err());

    let plain = instance.get("/v1/heartbeat").await;
    assert_eq!(plain.status, StatusCode::BAD_REQUEST, "{}", plain.text());
    let nobody = instance.get("/v1/agents/did:vexel:x/ws").await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    stop.cancel();
    drop(alone);
    server.await.unwrap().unwrap();
}

#[sqlx::test]
async fn pages_of_other_origins_open_no_sockets(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    // That none is asked for as it has to be, and that there is no such agent, is found after who asks.
    for (path, otherwise) in [("/v1/heartbeat", 400), ("/v1/agents/nobody/ws", 404)] {
        for (origin, wanted) in [
            (None, otherwise),
            (Some("http://localhost:8004"), otherwise),
            (Some("http://localhost:3000"), 403),
            (Some("https://evil.example"), 403),
            (Some("null"), 403),
            (Some(""), 403),
        ] {
            let mut request = Request::get(path).header(header::HOST, "localhost:8004");
            if let Some(origin) = origin {
                request = request.header(header::ORIGIN, origin);
            }
            let request = request.body(Body::empty()).unwrap();
            let answer = instance.ask(request).await;
            let text = answer.text();
            assert_eq!(answer.status.as_u16(), wanted, "{path} {origin:?}: {text}");
        }
    }
}

#[sqlx::test]
async fn a_socket_ends_with_the_key_that_opened_it(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let wish = json!({ "name": "beats" });
    let key = instance.send("POST", "/v1/keys", TOKEN, &wish).await.json();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let app = Arc::clone(&instance.app);
    let server = tokio::spawn(chancery::http::serve(app, listener, stop.clone()));
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /v1/heartbeat HTTP/1.1\r\nhost: {address}\r\nx-api-key: {}\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        key["key"].as_str().unwrap(),
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    client.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    let path = format!("/v1/keys/{}", key["key_id"].as_str().unwrap());
    let revoked = instance.send("DELETE", &path, TOKEN, &Value::Null).await;
    assert_eq!(revoked.status, StatusCode::OK, "{}", revoked.text());
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_mins(1), client.read_to_end(&mut rest));
    read.await.expect("it ends").unwrap();
    // RFC 6455, 7.4.1: 1008, and a reason.
    let why = b"\x03\xf0the API key that opened this was revoked, or is over";
    assert!(rest.ends_with(why), "{}", String::from_utf8_lossy(&rest));
    stop.cancel();
    server.await.unwrap().unwrap();
}
