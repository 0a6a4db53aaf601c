//! The feeds of changes: pages, streams, and Atom.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    body::{Body, BodyDataStream},
    http::{Request, StatusCode, request},
};
use chancery::config::Flag;
use futures::StreamExt as _;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use super::{
    kit::{Instance, TOKEN},
    proofs::{Wallet, nonce, sign_in},
};

const PATIENCE: Duration = Duration::from_mins(1);

const ALICE: &str = "0x00000000000000000000000000000000000a11ce";

/// An open stream.
struct Events {
    body: BodyDataStream,
    text: String,
}

#[derive(Debug, Default, PartialEq)]
struct Event {
    id: String,
    kind: String,
    data: Value,
}

impl Events {
    async fn open(instance: &Instance, path: &str, last: &str) -> Result<Self, StatusCode> {
        let request = Request::get(path).header("last-event-id", last);
        Self::of(instance, request).await
    }

    async fn of(instance: &Instance, request: request::Builder) -> Result<Self, StatusCode> {
        let request = request.header("accept", "text/event-stream");
        let response = instance.begin(request.body(Body::empty()).unwrap()).await;
        if response.status() != StatusCode::OK {
            return Err(response.status());
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["vary"], "accept");
        let mut events = Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        };
        let first = events.next().await.expect("a greeting");
        assert_eq!((first.kind.as_str(), first.data), ("", Value::Null));
        events.text = format!("id: {}\n\n{}", first.id, events.text);
        Ok(events)
    }

    /// The next one, the greeting first; none where the stream ends.
    async fn next(&mut self) -> Option<Event> {
        while !self.text.contains("\n\n") {
            let chunk = self.body.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        let (one, rest) = self.text.split_once("\n\n").unwrap();
        let mut event = Event::default();
        for (name, value) in one.lines().filter_map(|line| line.split_once(": ")) {
            match name {
                "id" => value.clone_into(&mut event.id),
                "event" => value.clone_into(&mut event.kind),
                "data" => event.data = serde_json::from_str(value).unwrap(),
                "" | "retry" => {}
                other => panic!("{other}"),
            }
        }
        let read = self.text.len() - rest.len();
        self.text.drain(..read);
        Some(event)
    }

    /// The next changes.
    async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut items = Vec::new();
        while items.len() < count {
            let event = self.next().await.expect("the stream goes on");
            if !event.data.is_null() {
                assert_eq!(event.data["cursor"], event.id);
                assert_eq!(event.data["kind"], event.kind);
                items.push(event.data);
            }
        }
        items
    }
}

impl Instance {
    /// Walks through pages from a cursor to the end; the items, and the last cursor.
    async fn walk(&self, query: &str, from: &str, limit: usize) -> (Vec<Value>, String) {
        let (mut items, mut after) = (Vec::new(), from.to_owned());
        loop {
            let path = format!("/v1/changes?{query}&limit={limit}&after={after}");
            let answer = self.get(&path).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
            let page = answer.json();
            let next = page["next_cursor"].as_str().unwrap();
            assert!(
                answer
                    .header("link")
                    .contains(&format!("after={next}>; rel=\"next\""))
            );
            let found = page["items"].as_array().unwrap();
            assert!(found.len() <= limit);
            items.extend(found.iter().cloned());
            if page["more"] == false {
                return (items, next.to_owned());
            }
            next.clone_into(&mut after);
        }
    }

    async fn sleep(&self, agent: &str, status: &str) {
        let path = format!("/v1/agents/{agent}/status");
        let answer = self
            .send("PUT", &path, TOKEN, &json!({ "status": status }))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
}

fn cursors(items: &[Value]) -> Vec<&str> {
    items
        .iter()
        .map(|item| item["cursor"].as_str().unwrap())
        .collect()
}

/// Which items of a page are meant.
type Chosen<'a> = &'a dyn Fn(&Value) -> bool;

#[sqlx::test]
async fn who_goes_on_from_a_cursor_misses_nothing_and_sees_nothing_twice(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    let (nothing, start) = instance.walk("level=settled", "start", 7).await;
    assert_eq!((nothing.len(), start.as_str()), (0, "s0"));
    instance.seal().await;
    let size = instance.get("/v1/sync").await.json()["journal"]["size"]
        .as_u64()
        .unwrap();
    let (all, end) = instance.walk("level=settled", &start, 40).await;
    let leaves: Vec<u64> = all
        .iter()
        .map(|item| item["leaf_index"].as_u64().unwrap())
        .collect();
    assert_eq!(leaves, (0..size).collect::<Vec<_>>());
    assert_eq!(end, format!("s{size}"));
    for limit in [1, 200] {
        assert_eq!(instance.walk("level=settled", "start", limit).await.0, all);
    }
    assert_eq!(instance.walk("", "now", 3).await, (vec![], end.clone()));

    instance.sleep("1:1", "SLEEP").await;
    assert!(
        instance.walk("", &end, 9).await.0.is_empty(),
        "it is not sealed"
    );
    instance.seal().await;
    let (news, _) = instance.walk("", &end, 9).await;
    let [item] = news.as_slice() else {
        panic!("{news:?}")
    };
    let agent = instance.get("/v1/agents/1:1").await.json();
    for (name, expected) in [
        ("cursor", json!(format!("s{}", size + 1))),
        ("level", json!("settled")),
        ("kind", json!("agent")),
        ("leaf_index", json!(size)),
        ("state", json!("sealed")),
    ] {
        assert_eq!(item[name], expected, "{name}");
    }
    for name in ["id", "did", "name", "owner_address"] {
        assert_eq!(item["agent"][name], agent[name], "{name}");
    }
    assert_eq!(item["changes"][0]["column"], "runtime_status");
    assert_eq!(item["changes"][0]["value"], "SLEEP");
    let entry = format!("/v1/entries/{}", item["cid"].as_str().unwrap());
    assert_eq!(
        instance.get(&entry).await.json()["entry"]["time"],
        item["time"].as_str().unwrap()
    );

    // Two ways to the newest ones, and back from there.
    let newest = instance
        .get("/v1/changes?after=newest&limit=2")
        .await
        .json();
    assert_eq!(
        cursors(newest["items"].as_array().unwrap()),
        [end.as_str(), &format!("s{}", size + 1)]
    );
    assert_eq!(newest["next_cursor"], format!("s{}", size + 1));
    assert_eq!(newest["prev_cursor"], end);
    let before = instance
        .items(&format!("/v1/changes?before={end}&limit=2"))
        .await;
    assert_eq!(
        cursors(&before),
        [format!("s{}", size - 2), format!("s{}", size - 1)]
    );
}

/// The feed of the head with three told changes of two agents, and the last one undone, which was ALICE's.
async fn told(instance: &Instance) {
    let other = other(instance).await;
    for (agent, status) in [
        ("1:1", "SLEEP"),
        (other.as_str(), "SLEEP"),
        ("1:1", "ACTIVE"),
    ] {
        instance.sleep(agent, status).await;
    }
    let undone = "INSERT INTO identity.head_steps (at, agent_id, columns, values, cause, owner, former_owner, undone)
         SELECT at, agent_id, columns, values, cause, $1, owner, true FROM identity.head_steps
          ORDER BY seq DESC LIMIT 1";
    let pool = instance.app.db.pool();
    sqlx::query(undone).bind(ALICE).execute(pool).await.unwrap();
    instance.order().await;
}

/// Another agent than 1:1, by its id.
async fn other(instance: &Instance) -> String {
    let newest = &instance.items("/v1/agents?limit=1").await[0];
    newest["id"].as_str().unwrap().to_owned()
}

#[sqlx::test]
async fn filters_choose_the_same_in_pages_and_in_streams(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    let agent = instance.get("/v1/agents/1:1").await.json();
    let text = |name: &str| agent[name].as_str().unwrap().to_owned();
    let (id, did, owner) = (text("id"), text("did"), text("owner_address"));
    let is_mine = |item: &Value| item["agent"]["id"] == id.as_str();
    let is_owners = |item: &Value| item["agent"]["owner_address"] == owner.as_str();
    let never = |_: &Value| false;
    let settled: [(String, Chosen<'_>); 8] = [
        ("agent=1:1".to_owned(), &is_mine),
        (format!("did={did}"), &is_mine),
        (format!("agent={id}&did={did}&kind=agent"), &is_mine),
        (format!("owner={}", owner.to_lowercase()), &is_owners),
        (format!("owner={owner}&agent=1:1"), &is_mine),
        (format!("owner={ALICE}"), &never),
        (format!("owner={ALICE}&agent=1:1"), &never),
        ("kind=incident".to_owned(), &never),
    ];
    let of_column = |item: &Value| item["changes"][0]["column"] == "runtime_status";
    let is_undone = |item: &Value| item["kind"] == "undone";
    let is_told = |item: &Value| item["kind"] == "changed" && item["agent"]["id"] == id.as_str();
    let head: [(String, Chosen<'_>); 8] = [
        ("agent=1:1".to_owned(), &is_mine),
        (format!("owner={ALICE}"), &is_undone),
        // The one undone was told of the owner before, too.
        (format!("owner={owner}&agent=1:1"), &is_mine),
        ("kind=undone".to_owned(), &is_undone),
        (format!("kind=changed&agent={id}"), &is_told),
        ("column=runtime_status".to_owned(), &of_column),
        ("column=name".to_owned(), &never),
        (
            format!("agent={}&kind=undone", other(&instance).await),
            &never,
        ),
    ];
    // One stream for each filter that is told as it comes, and one that reads it later.
    let mut live = Vec::new();
    for (level, filters) in [("settled", &settled), ("head", &head)] {
        for (filter, _) in filters {
            let path = format!("/v1/changes?level={level}&{filter}");
            live.push(Events::open(&instance, &path, "").await.unwrap());
        }
    }
    told(&instance).await;
    instance.seal().await;
    let mut live = live.into_iter();
    for (level, filters, count) in [("settled", &settled, 92), ("head", &head, 4)] {
        let (all, _) = instance.walk(&format!("level={level}"), "start", 200).await;
        assert!(all.len() >= count, "{level}: {}", all.len());
        for (filter, chosen) in filters {
            let expected: Vec<Value> = all.iter().filter(|item| chosen(item)).cloned().collect();
            let query = format!("level={level}&{filter}");
            for limit in [1, 2, 200] {
                let (found, _) = instance.walk(&query, "start", limit).await;
                assert_eq!(found, expected, "{query}, {limit} a page");
            }
            let path = format!("/v1/changes?{query}&after=start");
            let mut later = Events::open(&instance, &path, "").await.unwrap();
            let mut live = live.next().unwrap();
            assert_eq!(later.take(expected.len()).await, expected, "{query}, read");
            assert_eq!(live.take(expected.len()).await, expected, "{query}, told");
        }
    }
}

#[sqlx::test]
async fn what_leads_nowhere_is_refused(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    instance.seal().await;
    told(&instance).await;
    let two = format!("agent=1:1&did={}", other(&instance).await);
    for (query, status) in [
        ("agent=nobody", StatusCode::NOT_FOUND),
        ("did=did:key:z6Mk", StatusCode::NOT_FOUND),
        (two.as_str(), StatusCode::BAD_REQUEST),
        ("owner=0x12", StatusCode::BAD_REQUEST),
        ("kind=undone", StatusCode::BAD_REQUEST),
        ("level=head&kind=agent", StatusCode::BAD_REQUEST),
        ("column=name", StatusCode::BAD_REQUEST),
        ("after=s1&before=s2", StatusCode::BAD_REQUEST),
        ("after=h1", StatusCode::BAD_REQUEST),
        ("level=head&after=s1", StatusCode::BAD_REQUEST),
        ("after=s99999", StatusCode::GONE),
        ("before=s99999", StatusCode::GONE),
        ("level=head&after=h5", StatusCode::GONE),
        ("level=head&after=h4", StatusCode::OK),
        ("level=head&after=h0", StatusCode::OK),
    ] {
        let path = format!("/v1/changes?{query}");
        let answer = instance.get(&path).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
        let stream = Events::open(&instance, &path, "").await;
        let refused = match query {
            // A stream goes on, not back.
            "before=s99999" => Some(StatusCode::BAD_REQUEST),
            _ => Some(status).filter(|status| *status != StatusCode::OK),
        };
        assert_eq!(stream.err(), refused, "{query}");
        if !query.contains("after=") {
            let answer = instance.get(&format!("/v1/changes.atom?{query}")).await;
            assert_eq!(answer.status, status, "{query}: {}", answer.text());
        }
    }
    let after = instance.get("/v1/changes.atom?after=s1").await;
    assert_eq!(after.status, StatusCode::BAD_REQUEST);
    let document = instance.get("/openapi.json").await.json();
    let described = &document["paths"]["/v1/changes.atom"]["get"]["parameters"];
    let mut described = described.as_array().unwrap().iter();
    assert!(described.all(|one| one["name"] != "after"), "nor promised");

    // The first two are forgotten.
    let forgotten = "DELETE FROM identity.head_steps WHERE position < 3";
    sqlx::query(forgotten)
        .execute(instance.app.db.pool())
        .await
        .unwrap();
    for (after, status) in [
        ("h0", StatusCode::GONE),
        ("h1", StatusCode::GONE),
        ("h2", StatusCode::OK),
        ("start", StatusCode::OK),
    ] {
        let answer = instance
            .get(&format!("/v1/changes?level=head&after={after}"))
            .await;
        assert_eq!(answer.status, status, "{after}: {}", answer.text());
    }
    let all = "DELETE FROM identity.head_steps";
    sqlx::query(all)
        .execute(instance.app.db.pool())
        .await
        .unwrap();
    let page = instance.get("/v1/changes?level=head").await.json();
    assert_eq!(
        page,
        json!({ "items": [], "next_cursor": "h4", "more": false })
    );
    let early = instance.get("/v1/changes?level=head&after=h3").await;
    assert_eq!(early.status, StatusCode::GONE);
}

#[sqlx::test]
async fn a_stream_goes_on_where_it_was_lost(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    instance.seal().await;
    let (all, end) = instance.walk("", "start", 200).await;
    let mut events = Events::open(&instance, "/v1/changes", "").await.unwrap();
    let greeting = events.next().await.unwrap();
    assert_eq!(
        greeting.id, end,
        "one who loses it at once goes on from here"
    );
    drop(events);
    // The id wins over what the address says.
    let mut events = Events::open(&instance, "/v1/changes?after=now", "s5")
        .await
        .unwrap();
    assert_eq!(events.take(all.len() - 5).await, all[5..]);
    instance.sleep("1:1", "SLEEP").await;
    instance.seal().await;
    let (news, _) = instance.walk("", &end, 9).await;
    assert_eq!(events.take(1).await, news, "and what comes is told");
    let mut events = Events::open(&instance, "/v1/changes?after=newest&limit=3", "")
        .await
        .unwrap();
    assert_eq!(
        events.next().await.unwrap().id,
        format!("s{}", all.len() - 2)
    );
    assert_eq!(cursors(&events.take(3).await)[2], news[0]["cursor"]);

    instance.app.streams.close();
    assert_eq!(events.next().await, None, "it ends when the instance stops");
}

#[sqlx::test]
async fn a_client_that_does_not_read_misses_nothing(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let mut idle = Events::open(&instance, "/v1/changes?level=head&kind=changed", "")
        .await
        .unwrap();
    let mut busy = Events::open(&instance, "/v1/changes?level=head", "")
        .await
        .unwrap();
    // More than the ring holds, and then more at once than it is told of.
    let insert = "INSERT INTO identity.head_steps (at, agent_id, columns, values, cause, undone)
         SELECT now(), '00000000-0000-4000-8000-000000000002', ARRAY['name'], ARRAY[to_jsonb(n)], n::text, n % 2 = 0
           FROM generate_series($1::int, $2) AS n";
    let (mut told, mut positions) = (0, Vec::new());
    for size in std::iter::repeat_n(1, 100).chain([3_000]) {
        let insert = sqlx::query(insert).bind(told + 1).bind(told + size);
        insert.execute(instance.app.db.pool()).await.unwrap();
        instance.order().await;
        told += size;
        positions.extend(busy.take(usize::try_from(size).unwrap()).await);
    }
    let numbers = |items: &[Value]| -> Vec<i64> {
        items
            .iter()
            .map(|item| item["changes"][0]["value"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(numbers(&positions), (1..=3_100).collect::<Vec<_>>());
    let odd = idle.take(1_550).await;
    assert_eq!(numbers(&odd), (1..=3_100).step_by(2).collect::<Vec<_>>());
}

#[sqlx::test]
async fn there_is_room_for_so_many_streams(pool: PgPool) {
    let instance = Instance::with(&pool, &[Flag::new("http.max_streams", 2)]).await;
    let one = Events::open(&instance, "/v1/changes", "").await.unwrap();
    let _other = Events::open(&instance, "/v1/changes?level=head", "")
        .await
        .unwrap();
    let refused = Events::open(&instance, "/v1/changes", "").await;
    assert_eq!(refused.err(), Some(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(
        instance.get("/v1/changes").await.status,
        StatusCode::OK,
        "pages are no streams"
    );
    assert_eq!(instance.app.streams.open(), 2);
    // The gauge is the process's: other tests of it have streams, too.
    let metrics = instance.get("/metrics").await;
    assert!(metrics.text().contains("chancery_streams "));
    drop(one);
    Events::open(&instance, "/v1/changes", "").await.unwrap();
}

#[sqlx::test]
async fn a_stream_ends_with_the_key_or_the_session_that_opened_it(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let target = json!({ "target": "did:vexel:far" });
    let watch = instance.send("POST", "/v1/watches", TOKEN, &target).await;
    assert_eq!(watch.status, StatusCode::CREATED, "{}", watch.text());
    let wish = json!({ "name": "follows", "scopes": ["watches:read"] });
    let make = async || instance.send("POST", "/v1/keys", TOKEN, &wish).await.json();
    let open = async |path: &str, bearer: &str| {
        let mut request = Request::get(path);
        if !bearer.is_empty() {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        Events::of(&instance, request).await.unwrap()
    };
    let (revoked, rotated, replaced) = (make().await, make().await, make().await);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let signed = Wallet::new(1).message(&nonce(&instance).await, |text| text);
    let session = text(&sign_in(&instance, &[], &signed).await.json()["token"]);
    let (head, watched) = (
        "/v1/changes?level=head",
        "/v1/changes?level=head&watch=mine",
    );
    let mut ending = [
        open(watched, &text(&revoked["key"])).await,
        open(watched, &text(&rotated["key"])).await,
        open(watched, &text(&replaced["key"])).await,
        open(head, &session).await,
    ];
    let mut staying = [open(head, TOKEN).await, open(head, "").await];

    let path = format!("/v1/keys/{}", text(&revoked["key_id"]));
    let answer = instance.send("DELETE", &path, TOKEN, &Value::Null).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let rotate = async |key: &Value, wish: Value| {
        let path = format!("/v1/keys/{}/rotate", text(&key["key_id"]));
        let answer = instance.send("POST", &path, TOKEN, &wish).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()
    };
    rotate(&rotated, json!({ "overlap_seconds": 0 })).await;
    // Its overlap lasts until its successor has a successor, too.
    let second = rotate(&replaced, json!({})).await;
    rotate(&second, json!({})).await;
    let path = "/v1/sessions/current";
    let answer = instance.send("DELETE", path, &session, &Value::Null).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let why = ["API key", "API key", "API key", "session"];
    for (events, what) in ending.iter_mut().zip(why) {
        let closed = loop {
            let next = tokio::time::timeout(PATIENCE, events.next()).await;
            let event = next.expect("it ends").expect("it says why");
            if event.kind == "closed" {
                break event;
            }
        };
        assert_eq!(closed.data["code"], "unauthorized");
        assert!(text(&closed.data["detail"]).contains(what), "{closed:?}");
        assert_eq!(events.next().await, None);
    }
    let insert = "INSERT INTO identity.head_steps (at, agent_id, columns, values, cause, undone)
         SELECT now(), '00000000-0000-4000-8000-000000000002', ARRAY['name'], ARRAY[to_jsonb(1)], '1', false";
    let pool = instance.app.db.pool();
    sqlx::query(insert).execute(pool).await.unwrap();
    instance.order().await;
    for events in &mut staying {
        assert_eq!(events.take(1).await.len(), 1, "others go on");
    }
}

/// Its connection cannot be written to, so nothing of ours runs for it; the system ends it.
#[sqlx::test]
async fn whoever_never_reads_loses_the_seat(pool: PgPool) {
    let instance = Instance::with(&pool, &[Flag::new("http.stalled_seconds", 1)]).await;
    let large = "INSERT INTO identity.head_steps (at, agent_id, columns, values, cause, undone)
         SELECT now(), '00000000-0000-4000-8000-000000000002', ARRAY['name'], ARRAY[to_jsonb(repeat('x', 60000))],
                n::text, false
           FROM generate_series(1, 400) AS n";
    sqlx::query(large).execute(&pool).await.unwrap();
    instance.order().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let app = Arc::clone(&instance.app);
    let server = tokio::spawn(chancery::http::serve(app, listener, stop.clone()));
    let request = b"GET /v1/changes?level=head&after=start HTTP/1.1\r\nhost: x\r\n\
                    accept: text/event-stream\r\n\r\n";
    client.write_all(request).await.unwrap();
    let streams = |open| {
        let app = Arc::clone(&instance.app);
        async move {
            while app.streams.open() != open {
                tokio::task::yield_now().await;
            }
        }
    };
    for open in [1, 0] {
        tokio::time::timeout(PATIENCE, streams(open))
            .await
            .expect("a seat");
    }
    stop.cancel();
    server.await.unwrap().unwrap();
    drop(client);
}

#[sqlx::test]
async fn a_stream_of_a_watch_follows_its_targets(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    let add = async |target: &str| {
        let body = json!({ "target": target });
        let answer = instance.send("POST", "/v1/watches", TOKEN, &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    };
    add("did:vexel:nobody").await;
    let path = "/v1/changes?level=head&watch=mine";
    let request = Request::get(path).header("authorization", format!("Bearer {TOKEN}"));
    let mut events = Events::of(&instance, request).await.expect("opened");
    let greeting = events.next().await.expect("a greeting");
    assert_eq!(greeting.data, Value::Null);
    instance.sleep("1:1", "SLEEP").await;
    instance.order().await;
    let moment = Duration::from_millis(200);
    let nothing = tokio::time::timeout(moment, events.next()).await;
    assert!(nothing.is_err(), "nobody watches it: {nothing:?}");
    add("1:1").await;
    // What happens before the stream has looked is not in it.
    let told = async {
        for status in ["ACTIVE", "SLEEP"].into_iter().cycle() {
            instance.sleep("1:1", status).await;
            instance.order().await;
            let next = tokio::time::timeout(moment, events.next());
            match next.await.map(|event| event.expect("the stream goes on")) {
                Ok(event) if !event.data.is_null() => return event.data,
                _ => {}
            }
        }
        unreachable!("it goes on for ever")
    };
    let told = tokio::time::timeout(PATIENCE, told).await;
    assert_eq!(told.expect("an alert")["alert"], "status");
}

#[sqlx::test]
async fn atom_is_what_readers_of_news_read(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    let hostile = "UPDATE identity.agents SET name = E'<b>&\"\\x1b]]>' WHERE id = $1::uuid";
    let agent = instance.get("/v1/agents/1:1").await.json();
    let hostile = sqlx::query(hostile).bind(agent["id"].as_str().unwrap());
    hostile.execute(instance.app.db.pool()).await.unwrap();
    instance.seal().await;
    let (all, _) = instance.walk("", "start", 200).await;
    let mut path = "/v1/changes.atom?limit=30".to_owned();
    let (mut ids, mut titles, mut feed_ids) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
    let mut shown = Vec::new();
    loop {
        let answer = instance.get(&path).await;
        assert_eq!(
            answer.header("content-type"),
            "application/atom+xml; charset=utf-8"
        );
        let feed: atom_syndication::Feed = answer.text().parse().unwrap();
        let known = instance
            .get_as(&path, "if-none-match", answer.header("etag"))
            .await;
        assert_eq!(known.status, StatusCode::NOT_MODIFIED);
        feed_ids.insert(feed.id.clone());
        let link = |rel: &str| feed.links.iter().find(|link| link.rel == rel);
        assert_eq!(link("self").unwrap().href, path);
        assert!(!feed.authors[0].name.is_empty() && !feed.title.value.is_empty());
        assert_eq!(feed.updated, feed.entries[0].updated);
        for entry in &feed.entries {
            assert!(entry.id.starts_with("urn:uuid:") && ids.insert(entry.id.clone()));
            titles.push(entry.title.value.clone());
            shown.push(entry.links[0].href.clone());
            assert!(entry.content.as_ref().unwrap().value.is_some());
        }
        match link("next") {
            Some(next) => next.href.clone_into(&mut path),
            None => break,
        }
    }
    assert_eq!(feed_ids.len(), 1, "pages of one feed");
    let entries = all
        .iter()
        .rev()
        .map(|item| format!("/v1/entries/{}", item["cid"].as_str().unwrap()));
    assert_eq!(shown, entries.collect::<Vec<_>>(), "newest first");
    assert!(
        titles
            .iter()
            .any(|title| title.starts_with("<b>&\"\u{fffd}]]>: ")),
        "{titles:?}"
    );

    told(&instance).await;
    let head = instance
        .get("/v1/changes.atom?level=head&kind=undone")
        .await;
    let feed: atom_syndication::Feed = head.text().parse().unwrap();
    assert_eq!(feed.entries.len(), 1);
    assert!(
        feed.entries[0]
            .title
            .value
            .ends_with("runtime_status undone")
    );
    assert_ne!(Some(&feed.id), feed_ids.first());
    let empty = instance
        .get(&format!("/v1/changes.atom?owner={ALICE}"))
        .await;
    let feed: atom_syndication::Feed = empty.text().parse().unwrap();
    assert!(feed.entries.is_empty());
    let newest = instance.get("/v1/changes.atom?limit=1").await;
    let newest: atom_syndication::Feed = newest.text().parse().unwrap();
    assert_eq!(
        feed.updated, newest.updated,
        "as new as what was looked through"
    );
}
