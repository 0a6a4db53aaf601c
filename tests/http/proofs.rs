//! Sessions and signed requests: what proves who asks, and what does not.

use std::net::SocketAddr;

use access::{message_signature::LONGEST, origin::Origin, typed_request::TypedRequest};
use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Request, StatusCode, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chancery::config::Flag;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use did::methods::key::{KeyType, PublicKey};
use ed25519_dalek::Signer as _;
use kernel::{Address, B256, keccak256, sha256};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{
    kit::{Answer, Instance, TOKEN},
    statements::{bring, by_key, did, prepared, registered},
};

pub const HOST: &str = "localhost:8004";

/// An account that is a key.
pub struct Wallet(k256::ecdsa::SigningKey);

impl Wallet {
    pub fn new(seed: u8) -> Self {
        Self(k256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap())
    }

    pub fn address(&self) -> Address {
        let point = self.0.verifying_key().to_encoded_point(false);
        Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..])
    }

    pub fn sign(&self, digest: B256) -> Vec<u8> {
        let (signature, parity) = self.0.sign_prehash_recoverable(digest.as_slice()).unwrap();
        let mut bytes = signature.to_bytes().to_vec();
        bytes.push(27 + parity.to_byte());
        bytes
    }

    /// A message of EIP-4361 and its signature, altered before it is signed.
    pub fn message(&self, nonce: &str, change: impl Fn(String) -> String) -> Value {
        let issued = now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let text = format!(
            "{HOST} wants you to sign in with your Ethereum account:\n{}\n\nSign in.\n\nURI: http://{HOST}\nVersion: 1\nChain ID: 1\nNonce: {nonce}\nIssued At: {issued}",
            self.address(),
        );
        let text = change(text);
        let signature = self.sign(chain::typed::personal(text.as_bytes()));
        json!({ "message": text, "signature": kernel::hex_0x(&signature) })
    }
}

pub fn now() -> DateTime<Utc> {
    store::Clock::System.now()
}

/// A request to this office, with these headers besides.
async fn ask(
    instance: &Instance,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, HOST);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = request.header(header::CONTENT_TYPE, "application/json");
    instance.ask(request.body(Body::from(body)).unwrap()).await
}

pub async fn nonce(instance: &Instance) -> String {
    let answer = ask(instance, "POST", "/v1/sessions/nonce", &[], &Value::Null).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let challenge = answer.json();
    assert_eq!(challenge["domain"], HOST);
    assert_eq!(challenge["uri"], format!("http://{HOST}"));
    challenge["nonce"].as_str().unwrap().to_owned()
}

pub async fn sign_in(instance: &Instance, headers: &[(&str, &str)], signed: &Value) -> Answer {
    ask(instance, "POST", "/v1/sessions", headers, signed).await
}

async fn who(instance: &Instance, headers: &[(&str, &str)]) -> Value {
    let answer = ask(
        instance,
        "GET",
        "/v1/sessions/current",
        headers,
        &Value::Null,
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()
}

#[sqlx::test]
async fn an_account_signs_in_and_out(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let wallet = Wallet::new(1);
    let signed = wallet.message(&nonce(&instance).await, |text| text);
    let opened = sign_in(&instance, &[], &signed).await;
    assert_eq!(opened.status, StatusCode::OK, "{}", opened.text());
    assert_eq!(opened.header(header::CACHE_CONTROL), "no-store");
    assert_eq!(opened.header(header::SET_COOKIE), "", "no browser asks");
    let session = opened.json();
    assert_eq!(session["account"], wallet.address().to_string());
    let bearer = format!("Bearer {}", session["token"].as_str().unwrap());
    let auth = [("authorization", bearer.as_str())];
    let me = who(&instance, &auth).await;
    assert_eq!(
        (&me["kind"], &me["proof"]),
        (&json!("account"), &json!("session"))
    );
    assert_eq!(me["id"], wallet.address().to_string());
    // It is the account everywhere: it makes keys for itself, and does nothing of the operator's.
    let key = ask(
        &instance,
        "POST",
        "/v1/keys",
        &auth,
        &json!({"name": "mine"}),
    )
    .await
    .json();
    assert_eq!(key["principal"], format!("{:#x}", wallet.address()));
    let denied = ask(&instance, "GET", "/v1/audit-logs", &auth, &Value::Null).await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    let closed = ask(
        &instance,
        "DELETE",
        "/v1/sessions/current",
        &auth,
        &Value::Null,
    )
    .await;
    assert_eq!(closed.status, StatusCode::OK);
    let over = ask(&instance, "GET", "/v1/agents", &auth, &Value::Null).await;
    assert_eq!(over.status, StatusCode::UNAUTHORIZED);
    let nobody = who(&instance, &[]).await;
    assert_eq!(nobody["kind"], "anonymous");
    let operator = format!("Bearer {TOKEN}");
    assert_eq!(
        who(&instance, &[("authorization", &operator)]).await["kind"],
        "operator"
    );
}

#[sqlx::test]
async fn a_browser_gets_a_cookie_that_only_our_page_uses(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let wallet = Wallet::new(1);
    let ours = [("sec-fetch-site", "same-origin")];
    let evil = [
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://evil.example"),
    ];
    let signed = wallet.message(&nonce(&instance).await, |text| text);
    let given = ask(&instance, "POST", "/v1/sessions/nonce", &evil, &Value::Null).await;
    assert_eq!(given.status, StatusCode::FORBIDDEN, "{}", given.text());
    let refused = sign_in(&instance, &evil, &signed).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
    assert_eq!(refused.header(header::SET_COOKIE), "");
    let opened = sign_in(&instance, &ours, &signed).await;
    assert_eq!(opened.status, StatusCode::OK, "{}", opened.text());
    assert_eq!(opened.json().get("token"), None, "scripts do not see it");
    let half = opened.json()["half"].as_str().unwrap().to_owned();
    let cookie = opened.header(header::SET_COOKIE).to_owned();
    for word in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=3600"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    let pair = cookie.split(';').next().unwrap();
    let session = [("cookie", pair), ("chancery-session", half.as_str())];
    assert_eq!(who(&instance, &session).await["kind"], "account");
    // A browser brings the cookie to each port of this host: whoever has it has no session, and nor has who has the rest.
    for part in session {
        assert_eq!(who(&instance, &[part, ours[0]]).await["kind"], "anonymous");
    }
    let (_, kept) = pair.split_once('=').unwrap();
    let bearer = format!("Bearer {kept}");
    let path = "/v1/sessions/current";
    let refused = ask(
        &instance,
        "GET",
        path,
        &[("authorization", &bearer)],
        &Value::Null,
    )
    .await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let make = async |headers: &[(&str, &str)]| {
        let mut all = session.to_vec();
        all.extend(headers);
        let wish = json!({"name": "by the page"});
        ask(&instance, "POST", "/v1/keys", &all, &wish)
            .await
            .status
            .as_u16()
    };
    let old_browser = [("origin", "http://localhost:8004")];
    let neighbour = [("origin", "http://localhost:3000")];
    let pages: [(&[(&str, &str)], u16); 7] = [
        (&ours, 200),
        (&old_browser, 200),
        (&evil, 403),
        (&neighbour, 403),
        (&[("origin", "null")], 403),
        (&[("sec-fetch-site", "none")], 403),
        (&[], 403),
    ];
    for (headers, wanted) in pages {
        assert_eq!(make(headers).await, wanted, "{headers:?}");
    }
    // No page of another origin is allowed to send headers or read with the cookie.
    let preflight = [
        ("origin", "https://evil.example"),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization, chancery-session",
        ),
    ];
    let answer = ask(&instance, "OPTIONS", "/v1/keys", &preflight, &Value::Null).await;
    let allowed = answer.header("access-control-allow-methods").to_owned();
    assert!(!allowed.contains("POST"), "{allowed}");
    let allowed = answer.header("access-control-allow-headers").to_owned();
    for secret in ["authorization", "chancery-session"] {
        assert!(!allowed.to_lowercase().contains(secret), "{allowed}");
    }
    assert_eq!(answer.header("access-control-allow-credentials"), "");
    let headers = [session[0], session[1], ours[0]];
    let closed = ask(
        &instance,
        "DELETE",
        "/v1/sessions/current",
        &headers,
        &Value::Null,
    )
    .await;
    assert!(closed.header(header::SET_COOKIE).contains("Max-Age=0"));
    assert_eq!(who(&instance, &session).await["kind"], "anonymous");
}

#[sqlx::test]
async fn what_is_no_sign_in_is_refused(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    let (wallet, other) = (Wallet::new(1), Wallet::new(2));
    let given = nonce(&instance).await;
    let message = |change: &dyn Fn(String) -> String| wallet.message(&given, change);
    let later = |offset: TimeDelta| (now() + offset).to_rfc3339_opts(SecondsFormat::Secs, true);
    let with_line = |line: String| move |text: String| format!("{text}\n{line}");
    let stranger = other.address().to_string();
    let mine = wallet.address().to_string();
    let cut = |signed: &Value, signature: &dyn Fn(&str) -> String| {
        let mut signed = signed.clone();
        signed["signature"] = json!(signature(signed["signature"].as_str().unwrap()));
        signed
    };
    let right = message(&|text| text);
    for (signed, status, word) in [
        (
            message(&|text| text.replace("localhost:8004 wants", "evil.example wants")),
            401,
            "domain",
        ),
        (
            message(&|text| text.replace("URI: http://localhost", "URI: http://evil.example")),
            401,
            "place",
        ),
        (
            message(&|text| text.replace("Chain ID: 1", "Chain ID: 5")),
            401,
            "chain 5",
        ),
        (
            message(&|text| text.replace("Chain ID: 1", "Chain ID: 18446744073709551615")),
            401,
            "chain",
        ),
        (
            message(&with_line(format!(
                "Expiration Time: {}",
                later(TimeDelta::seconds(-1))
            ))),
            401,
            "over",
        ),
        (
            message(&with_line(format!(
                "Not Before: {}",
                later(TimeDelta::hours(1))
            ))),
            401,
            "future",
        ),
        (message(&|text| text.replace(&mine, &stranger)), 401, "not"),
        (
            message(&|text| text.replace(&given, "0123456789abcdef")),
            401,
            "nonce",
        ),
        (
            message(&|text| text.replace("Version: 1", "Version: 2")),
            400,
            "version",
        ),
        (message(&|text| format!("{text}\n")), 400, "line"),
        (
            cut(&right, &|signature| signature[..130].to_owned()),
            401,
            "not by",
        ),
        (
            cut(&right, &|signature| format!("{signature}00")),
            401,
            "not by",
        ),
        (cut(&right, &|_| "0x".to_owned()), 401, "not by"),
        (
            cut(&right, &|_| format!("0x{}", "00".repeat(65))),
            401,
            "no key",
        ),
        (cut(&right, &|_| "x".to_owned()), 400, ""),
        (
            json!({"message": "x".repeat(5000), "signature": "0x"}),
            400,
            "4096",
        ),
        (json!({}), 400, "message"),
    ] {
        let refused = sign_in(&instance, &[], &signed).await;
        let text = refused.text();
        assert_eq!(refused.status.as_u16(), status, "{word}: {text}");
        assert!(text.contains(word), "{word}: {text}");
    }
    // Nothing of that used the nonce up; one sign-in does, wherever it happens.
    let other_process = Instance::new(&pool).await;
    let tries =
        [&instance, &other_process, &instance, &other_process].map(|at| sign_in(at, &[], &right));
    let statuses: Vec<u16> = futures::future::join_all(tries)
        .await
        .iter()
        .map(|answer| answer.status.as_u16())
        .collect();
    let opened = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(opened, 1, "{statuses:?}");
    assert!(
        statuses.iter().all(|status| [200, 401].contains(status)),
        "{statuses:?}"
    );
    instance
        .app
        .audit_log
        .flush(&instance.app.db)
        .await
        .unwrap();
    let path = "/v1/audit-logs?event_type=authentication&limit=200";
    let events = instance.send("GET", path, TOKEN, &Value::Null).await.json();
    let events = events["items"].as_array().unwrap();
    assert!(events.iter().any(|event| event["success"] == true));
    let failed = events.iter().filter(|event| event["success"] == false);
    assert!(failed.clone().count() > 10);
    assert!(failed.clone().all(|event| event["client_id"].is_string()));
    // By another name this office is not known.
    let elsewhere = Request::post("/v1/sessions/nonce").header(header::HOST, "evil.example");
    let answer = instance.ask(elsewhere.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[sqlx::test]
async fn no_node_is_asked_about_a_nonce_that_is_none_of_ours(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let (signer, account) = (Wallet::new(1), Wallet::new(2));
    let (own, other) = (signer.address().to_string(), account.address().to_string());
    let given = nonce(&instance).await;
    // Not by the account's key, so that its chain would be asked whether it is a contract.
    for (nonce, word) in [
        ("0123456789abcdef", "none of ours"),
        (given.as_str(), "no node"),
    ] {
        let signed = signer.message(nonce, |text| text.replace(&own, &other));
        let refused = sign_in(&instance, &[], &signed).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{nonce}");
        assert!(refused.text().contains(word), "{nonce}: {}", refused.text());
    }
}

#[sqlx::test]
async fn an_office_that_has_a_name_is_every_machines_localhost_to_nobody_else(pool: PgPool) {
    const NAME: &str = "office.example";
    let origins = Flag::new("access.origins", json!([format!("https://{NAME}")]));
    let instance = Instance::with(&pool, &[origins]).await;
    let cases: [(&str, &str, &[_], u16); 9] = [
        ("127.0.0.1", HOST, &[], 200),
        ("::1", HOST, &[], 200),
        ("127.0.0.1", NAME, &[], 200),
        ("192.0.2.1", NAME, &[], 200),
        ("127.0.0.1", NAME, &[("x-forwarded-for", "192.0.2.1")], 200),
        ("192.0.2.1", HOST, &[], 400),
        ("127.0.0.1", HOST, &[("x-forwarded-for", "192.0.2.1")], 400),
        ("127.0.0.1", HOST, &[("forwarded", "for=192.0.2.1")], 400),
        ("127.0.0.1", HOST, &[("via", "1.1 proxy")], 400),
    ];
    for (peer, host, headers, wanted) in cases {
        let mut request = Request::post("/v1/sessions/nonce").header(header::HOST, host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        let from = SocketAddr::new(peer.parse().unwrap(), 4711);
        request.extensions_mut().insert(ConnectInfo(from));
        let answer = instance.ask(request).await;
        let text = answer.text();
        assert_eq!(
            answer.status.as_u16(),
            wanted,
            "{peer} {host} {headers:?}: {text}"
        );
        assert_eq!(text.contains("access.origins"), wanted == 400, "{text}");
    }
}

/// An agent's key.
struct Agent(ed25519_dalek::SigningKey);

impl Agent {
    fn new(seed: u8) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&[seed; 32]))
    }

    fn did(&self) -> String {
        let public = self.0.verifying_key();
        PublicKey::new(KeyType::Ed25519, public.as_bytes())
            .unwrap()
            .did()
    }

    /// Headers of a signed request.
    fn headers(
        &self,
        method: &str,
        target: &str,
        body: &[u8],
        at: Signing,
    ) -> [(&'static str, String); 3] {
        let digest = format!("sha-256=:{}:", STANDARD.encode(sha256(body)));
        let created = now() + at.from_now;
        let expires = created + at.lasting;
        let parameters = format!(
            "(\"@method\" \"@target-uri\" \"content-digest\");created={};expires={};keyid=\"{}\";nonce=\"{}\"",
            created.timestamp(),
            expires.timestamp(),
            self.did(),
            at.nonce,
        );
        let base = format!(
            "\"@method\": {method}\n\"@target-uri\": http://{}{target}\n\"content-digest\": {digest}\n\"@signature-params\": {parameters}",
            at.host,
        );
        let signature = STANDARD.encode(self.0.sign(base.as_bytes()).to_bytes());
        [
            ("content-digest", digest),
            ("signature-input", format!("sig1={parameters}")),
            ("signature", format!("sig1=:{signature}:")),
        ]
    }
}

#[derive(Clone, Copy)]
struct Signing {
    nonce: &'static str,
    host: &'static str,
    from_now: TimeDelta,
    lasting: TimeDelta,
}

const SIGNING: Signing = Signing {
    nonce: "0123456789abcdef",
    host: HOST,
    from_now: TimeDelta::zero(),
    lasting: TimeDelta::seconds(60),
};

fn borrowed<'a>(headers: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

#[sqlx::test]
async fn an_agents_key_signs_requests_each_once(pool: PgPool) {
    let (here, there) = (Instance::new(&pool).await, Instance::new(&pool).await);
    let agent = Agent::new(7);
    let wish = json!({"name": "mine"});
    let body = wish.to_string();
    let signed = agent.headers("POST", "/v1/keys", body.as_bytes(), SIGNING);
    let post = async |instance: &Instance, headers: &[(&'static str, String)], wish: &Value| {
        ask(instance, "POST", "/v1/keys", &borrowed(headers), wish).await
    };
    let tries = [&here, &there, &here, &there].map(|at| post(at, &signed, &wish));
    let answers = futures::future::join_all(tries).await;
    let made: Vec<&Answer> = answers
        .iter()
        .filter(|answer| answer.status == StatusCode::OK)
        .collect();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].json()["principal"], agent.did());
    for replayed in answers
        .iter()
        .filter(|answer| answer.status != StatusCode::OK)
    {
        assert_eq!(replayed.status, StatusCode::UNAUTHORIZED);
        assert!(replayed.text().contains("already"), "{}", replayed.text());
    }
    let sign = |signing: Signing| agent.headers("POST", "/v1/keys", body.as_bytes(), signing);
    let altered = |name: &str, value: &str| {
        let mut headers = sign(Signing {
            nonce: "altered-0001",
            ..SIGNING
        });
        for header in &mut headers {
            if header.0 == name {
                value.clone_into(&mut header.1);
            }
        }
        headers
    };
    let old = Signing {
        from_now: TimeDelta::seconds(-61),
        ..SIGNING
    };
    let early = Signing {
        from_now: TimeDelta::seconds(120),
        ..SIGNING
    };
    let long = Signing {
        lasting: LONGEST + TimeDelta::seconds(1),
        ..SIGNING
    };
    let elsewhere = Signing {
        host: "evil.example",
        nonce: "elsewhere-01",
        ..SIGNING
    };
    let others = Agent::new(8).headers(
        "POST",
        "/v1/keys",
        body.as_bytes(),
        Signing {
            nonce: "others-000001",
            ..SIGNING
        },
    );
    let mut of_another = sign(Signing {
        nonce: "of-another-01",
        ..SIGNING
    });
    of_another[2] = others[2].clone();
    let put = agent.headers(
        "PUT",
        "/v1/keys",
        body.as_bytes(),
        Signing {
            nonce: "put-00000001",
            ..SIGNING
        },
    );
    for (what, headers, wish, word) in [
        ("old", sign(old), &wish, "over"),
        ("early", sign(early), &wish, "future"),
        ("long", sign(long), &wish, "300"),
        ("another office", sign(elsewhere), &wish, "not this key's"),
        ("another method", put, &wish, "not this key's"),
        ("another key", of_another, &wish, "not this key's"),
        (
            "another body",
            sign(Signing {
                nonce: "another-body",
                ..SIGNING
            }),
            &json!({"name": "x"}),
            "content-digest",
        ),
        ("no signature", altered("signature", ""), &wish, "Signature"),
        (
            "a short one",
            altered("signature", "sig1=:AAAA:"),
            &wish,
            "64 bytes",
        ),
        (
            "no digest",
            altered("content-digest", ""),
            &wish,
            "content-digest",
        ),
        (
            "two",
            altered("signature-input", &format!("{}, b=()", signed[1].1)),
            &wish,
            "one signature",
        ),
    ] {
        let refused = post(&here, &headers, wish).await;
        assert_eq!(
            refused.status,
            StatusCode::UNAUTHORIZED,
            "{what}: {}",
            refused.text()
        );
        assert!(refused.text().contains(word), "{what}: {}", refused.text());
    }
    let me = agent.headers(
        "GET",
        "/v1/sessions/current",
        b"",
        Signing {
            nonce: "who-am-i-001",
            ..SIGNING
        },
    );
    let me = who(&here, &borrowed(&me)).await;
    assert_eq!(
        (&me["kind"], &me["proof"]),
        (&json!("key"), &json!("signature"))
    );
    assert_eq!(me["id"], agent.did());
    let keys = agent.headers(
        "GET",
        "/v1/keys",
        b"",
        Signing {
            nonce: "my-keys-0001",
            ..SIGNING
        },
    );
    let keys = ask(&there, "GET", "/v1/keys", &borrowed(&keys), &Value::Null)
        .await
        .json();
    assert_eq!(keys["items"].as_array().unwrap().len(), 1, "its own");
    // Signatures that others understand are none of ours.
    let strange = [
        (
            "signature-input",
            "sig=(\"@authority\");keyid=\"abc\";tag=\"web-bot-auth\"",
        ),
        ("signature", "sig=:AA==:"),
    ];
    assert_eq!(who(&here, &strange).await["kind"], "anonymous");
    // But beside one of ours nothing goes unread, in whichever line it comes.
    let signing = Signing {
        nonce: "two-lines-01",
        ..SIGNING
    };
    let mine = agent.headers("GET", "/v1/keys", b"", signing);
    let again = mine[1].1.clone();
    for more in [
        strange[0],
        ("signature-input", again.as_str()),
        ("signature", "sig=:AA==:"),
    ] {
        for place in [0, mine.len()] {
            let mut lines = borrowed(&mine);
            lines.insert(place, more);
            let refused = ask(&here, "GET", "/v1/keys", &lines, &Value::Null).await;
            let text = refused.text();
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{more:?}: {text}");
        }
    }
    let alone = ask(&here, "GET", "/v1/keys", &borrowed(&mine), &Value::Null).await;
    assert_eq!(alone.status, StatusCode::OK, "{}", alone.text());
}

#[sqlx::test]
async fn a_key_that_was_rotated_away_proves_nothing_nor_does_what_it_made(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    registered(&instance, 7).await;
    let (old, new) = (Agent::new(7), Agent::new(8));
    let mine = async |agent: &Agent, nonce: &'static str| {
        let headers = agent.headers("GET", "/v1/keys", b"", Signing { nonce, ..SIGNING });
        ask(
            &instance,
            "GET",
            "/v1/keys",
            &borrowed(&headers),
            &Value::Null,
        )
        .await
    };
    let make = async |agent: &Agent, nonce: &'static str| {
        let wish = json!({"name": "mine", "scopes": ["keys:read"]});
        let body = wish.to_string();
        let signing = Signing { nonce, ..SIGNING };
        let headers = agent.headers("POST", "/v1/keys", body.as_bytes(), signing);
        ask(&instance, "POST", "/v1/keys", &borrowed(&headers), &wish).await
    };
    assert_eq!(mine(&old, "before-00001").await.status, StatusCode::OK);
    let made = make(&old, "made-0000001").await.json();
    let secret = made["key"].as_str().unwrap();
    let with_key = async |path: &str| {
        ask(
            &instance,
            "GET",
            path,
            &[("x-api-key", secret)],
            &Value::Null,
        )
        .await
    };
    assert_eq!(with_key("/v1/keys").await.status, StatusCode::OK);

    let rotate = prepared(&instance, "rotate", &did(7), json!({"key": did(8)})).await;
    let body =
        json!({ "statement": rotate, "signatures": [by_key(7, &rotate), by_key(8, &rotate)] });
    let path = format!("/v1/agents/{}/statements", did(7));
    let answer = bring(&instance, &path, &body, None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());

    for (what, refused) in [
        ("its signature", mine(&old, "after-000001").await),
        ("another key of its", make(&old, "after-000002").await),
        ("its key", with_key("/v1/keys").await),
        (
            "its key where nobody needs one",
            with_key("/v1/agents").await,
        ),
    ] {
        let text = refused.text();
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{what}: {text}");
        assert_eq!(refused.json()["code"], "unauthorized", "{what}");
        assert!(text.contains("rotated away"), "{what}: {text}");
    }
    let of_the_new = mine(&new, "the-new-0001").await;
    assert_eq!(of_the_new.status, StatusCode::OK);
    assert_eq!(
        of_the_new.json()["items"],
        json!([]),
        "nor does it inherit any"
    );
    // A key that no agent ever had is nobody's former one.
    let stranger = mine(&Agent::new(9), "stranger-001").await;
    assert_eq!(stranger.status, StatusCode::OK);
}

#[sqlx::test]
async fn an_agent_asks_an_endpoint_so_often(pool: PgPool) {
    let flags = [Flag::new("access.per_minute", 2)];
    let instance = Instance::with(&pool, &flags).await;
    let agent = Agent::new(7);
    let ask = async |path: &str, nonce: &'static str| {
        let headers = agent.headers("GET", path, b"", Signing { nonce, ..SIGNING });
        ask(&instance, "GET", path, &borrowed(&headers), &Value::Null)
            .await
            .status
            .as_u16()
    };
    // Without a connection there is no address that could be counted.
    assert_eq!(ask("/v1/keys", "nonce-001").await, 200);
    assert_eq!(ask("/v1/keys?limit=1", "nonce-002").await, 200);
    assert_eq!(ask("/v1/keys", "nonce-003").await, 429);
    assert_eq!(
        ask("/v1/agents", "nonce-004").await,
        200,
        "another endpoint"
    );
}

#[sqlx::test]
async fn a_wallet_signs_requests_each_once(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    let wallet = Wallet::new(3);
    let here = Origin::parse(&format!("http://{HOST}")).unwrap();
    let sign = |nonce: u8, chain: u64, from_now: i64, signer: &Wallet| {
        let issued = now().timestamp() + from_now;
        let header = |signature: &str| {
            let (account, nonce) = (wallet.address(), format!("{nonce:032x}"));
            format!(
                "account=\"{account}\", chain=\"{chain}\", nonce=\"{nonce}\", issued=\"{issued}\", expires=\"{}\", signature=\"{signature}\"",
                issued + 60,
            )
        };
        let draft = TypedRequest::parse(&header("0x")).unwrap();
        let digest = draft.digest(&here, "GET", "/v1/keys?limit=1", b"");
        format!("EIP712 {}", header(&kernel::hex_0x(&signer.sign(digest))))
    };
    let get = async |path: &str, header: &str| {
        ask(
            &instance,
            "GET",
            path,
            &[("authorization", header)],
            &Value::Null,
        )
        .await
    };
    let signed = sign(1, 1, 0, &wallet);
    let answer = get("/v1/keys?limit=1", &signed).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    for (what, path, header, word) in [
        ("again", "/v1/keys?limit=1", &signed, "already"),
        (
            "another target",
            "/v1/keys?limit=2",
            &sign(2, 1, 0, &wallet),
            "not",
        ),
        (
            "another chain",
            "/v1/keys?limit=1",
            &sign(3, 5, 0, &wallet),
            "chain 5",
        ),
        (
            "another account",
            "/v1/keys?limit=1",
            &sign(4, 1, 0, &Wallet::new(4)),
            "not",
        ),
        ("old", "/v1/keys?limit=1", &sign(5, 1, -61, &wallet), "over"),
        (
            "early",
            "/v1/keys?limit=1",
            &sign(6, 1, 100, &wallet),
            "future",
        ),
        (
            "nothing",
            "/v1/keys?limit=1",
            &"EIP712 ".to_owned(),
            "expected",
        ),
        (
            "cut",
            "/v1/keys?limit=1",
            &signed[..signed.len() - 3].to_owned(),
            "expected",
        ),
    ] {
        let refused = get(path, header).await;
        assert_eq!(
            refused.status,
            StatusCode::UNAUTHORIZED,
            "{what}: {}",
            refused.text()
        );
        assert!(refused.text().contains(word), "{what}: {}", refused.text());
    }
}
