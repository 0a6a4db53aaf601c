//! An instance without sockets: the router on a database that holds recorded logs.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Request, Response, StatusCode, header},
};
use chain::Registries;
use chancery::{
    app::App,
    config::{Config, Environment, Flag, gather},
    data_dir::DataDir,
    http,
};
use indexer::{Follower, Replay};
use kernel::{U256, keccak256};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, PgPool};
use store::Outcome;
use tower::ServiceExt;
use uuid::Uuid;

pub const TOKEN: &str = "a token of the tests";
pub const MAINNET_REGISTRY: &str = "0x8004a169fb4a3325136eb29fa0ceb6d2e539a432";

pub struct Instance {
    pub app: Arc<App>,
    router: Router,
    _dir: tempfile::TempDir,
}

/// Asks until the answer is there; fails when it is not there in time.
pub async fn until<T>(what: &str, within: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + within;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "after {within:?} still not: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An answer with its body read.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl Instance {
    pub async fn new(pool: &PgPool) -> Self {
        Self::with(pool, &[]).await
    }

    /// With these keys of the configuration.
    pub async fn with(pool: &PgPool, keys: &[Flag]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let environment = Environment::default();
        let data = dir.path().join("data");
        let mut flags = vec![
            Flag::new("data_dir", data.to_str().unwrap()),
            Flag::new("http.token", TOKEN),
        ];
        flags.extend(keys.iter().cloned());
        let config: Config = gather(&environment, None, &flags).unwrap().config;
        let data_dir = DataDir::open(&config, &environment).unwrap();
        let url = pool.connect_options().to_url_lossy().to_string();
        let app = App::open(config, data_dir, &url, Uuid::from_u128(9))
            .await
            .unwrap();
        let router = http::router(Arc::clone(&app));
        Self {
            app,
            router,
            _dir: dir,
        }
    }

    /// With the 108 logs of mainnet, of 92 agents.
    pub async fn with_mainnet(pool: &PgPool) -> Self {
        let instance = Self::new(pool).await;
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/erc8004");
        instance.replay(&corpus.join("mainnet-logs.json")).await;
        instance
    }

    pub async fn replay(&self, file: &Path) {
        self.replay_in_steps(file, 40).await;
    }

    pub async fn replay_in_steps(&self, file: &Path, logs: usize) {
        let replay = Replay::open(file, logs, Registries::default()).unwrap();
        let chain = replay.chain().unwrap();
        indexer::open(&self.app.db, &chain).await.unwrap();
        let contracts = chain.contracts.clone();
        let (db, process) = (self.app.db.clone(), self.app.process);
        let mut follower = Follower::new(db, chain.id, contracts, replay, process);
        while follower.round().await.unwrap() == Outcome::Busy {}
    }

    /// Judges what needs no network: data: URIs.
    pub async fn judge(&self) {
        sqlx::query(
            "DELETE FROM store.jobs WHERE kind = 'fetch' AND key NOT IN
                 (SELECT encode(hash, 'hex') FROM identity.uris WHERE uri LIKE 'data:%')",
        )
        .execute(self.app.db.pool())
        .await
        .unwrap();
        let (db, content) = (&self.app.db, &self.app.content);
        while identity::document::fetch_due(db, content).await.unwrap() == Outcome::Busy {}
        while identity::dirty::sweep(db).await.unwrap() == Outcome::Busy {}
    }

    /// Seals all that is appended.
    pub async fn seal(&self) {
        let app = &self.app;
        while app.sealer.round(&app.db, app.process).await.unwrap() == Outcome::Busy {}
    }

    /// Gives what the head feed was told its order.
    pub async fn order(&self) {
        while identity::head::order(&self.app.db).await.unwrap() == Outcome::Busy {}
    }

    /// An answer whose body is not read yet.
    pub async fn begin(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.begin(request).await;
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    pub async fn get_as(&self, path: &str, name: &str, value: &str) -> Answer {
        self.ask(
            Request::get(path)
                .header(name, value)
                .body(Body::empty())
                .unwrap(),
        )
        .await
    }

    /// A write by whoever holds `token`.
    pub async fn send(&self, method: &str, path: &str, token: &str, body: &Value) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json");
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        self.ask(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    /// The items of a list that is there.
    pub async fn items(&self, path: &str) -> Vec<Value> {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        answer.json()["items"].as_array().unwrap().clone()
    }
}

/// Two tokens of a chain of the test's own: 0 is kept, 1 is burned.
pub fn recording(dir: &Path) -> std::path::PathBuf {
    let registry = "0x00000000000000000000000000000000000000aa";
    let word = |n: u64| format!("{:#066x}", U256::from(n));
    let topic = |signature: &str| format!("{:#x}", keccak256(signature.as_bytes()));
    let uri = r#"data:application/json,{"type":"https://eips.ethereum.org/EIPS/eip-8004%23registration-v1","name":"Kept","description":"is kept","image":"https://a.example/i.png","services":[{"name":"MCP","endpoint":"https://a.example/mcp","version":"2025-06-18"}]}"#;
    let mut data = format!("{:064x}{:064x}", 32, uri.len());
    data.push_str(&hex::encode(uri));
    data.push_str(&"0".repeat((64 - data.len() % 64) % 64));
    let registered = topic("Registered(uint256,string,address)");
    let transfer = topic("Transfer(address,address,uint256)");
    let log = |block: u64, index: u64, topics: Vec<String>, data: String| {
        json!({
            "blockNumber": block, "blockHash": word(1000 + block), "blockTimestamp": 1_700_000_000 + block,
            "parentHash": word(999 + block), "transactionHash": word(5000 + block), "transactionIndex": 0,
            "logIndex": index, "address": registry, "topics": topics, "data": data,
        })
    };
    let empty = format!("0x{:064x}{:064x}", 32, 0);
    let file = json!({
        "chainId": 77,
        "logs": [
            log(1, 0, vec![transfer.clone(), word(0), word(0xb0b), word(0)], "0x".to_owned()),
            log(1, 1, vec![registered.clone(), word(0), word(0xb0b)], format!("0x{data}")),
            log(2, 0, vec![transfer.clone(), word(0), word(0xb0b), word(1)], "0x".to_owned()),
            log(2, 1, vec![registered, word(1), word(0xb0b)], empty),
            log(3, 0, vec![transfer, word(0xb0b), word(0), word(1)], "0x".to_owned()),
        ],
    });
    let path = dir.join("recording.json");
    std::fs::write(&path, file.to_string()).unwrap();
    path
}
