//! Requests that are signed themselves, by a wallet (EIP-712) or an agent's key (RFC 9421): each trick on each route
//! that asks for a proof.

use access::{origin::Origin, typed_request::TypedRequest};
use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::future::join_all;
use kernel::{hex_0x, sha256};
use sqlx::PgPool;

use super::{
    Cell, Trick, Way, cell, changed, changed_of_wallet, is_refused, named, proven,
    statements::rotated,
};
use crate::{
    access::path_of,
    kit::{Answer, Instance},
    proofs::{HOST, Wallet, now},
    statements::{did, key},
};

/// A route, and what is sent to it.
struct Target {
    method: &'static str,
    path: String,
    body: &'static str,
}

impl Target {
    fn new(method: &'static str, path: String) -> Self {
        let body = if method == "GET" { "" } else { "{}" };
        Self { method, path, body }
    }
}

/// A request that carries a proof.
#[derive(Clone)]
struct Attempt {
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Attempt {
    /// What must not come back: signatures.
    fn secrets(&self) -> Vec<String> {
        let headers = self.headers.iter();
        headers.map(|(_, value)| value.clone()).collect()
    }
}

async fn send(instance: &Instance, target: &Target, attempt: &Attempt) -> Answer {
    let mut request = Request::builder()
        .method(target.method)
        .uri(&target.path)
        .header(header::HOST, HOST)
        .header(header::CONTENT_TYPE, "application/json");
    for (name, value) in &attempt.headers {
        request = request.header(*name, value);
    }
    let body = Body::from(attempt.body.clone());
    instance.ask(request.body(body).unwrap()).await
}

/// When it was signed, from now, and for how long, in seconds.
fn times(trick: Option<Trick>) -> (i64, i64) {
    match trick {
        Some(Trick::Expired) => (-61, 60),
        Some(Trick::Future) => (120, 60),
        Some(Trick::TooLong) => (0, 301),
        _ => (0, 60),
    }
}

/// The path that is signed.
fn signed_path(trick: Option<Trick>, target: &Target) -> String {
    match trick {
        Some(Trick::AnotherTarget) => format!("{}?other=1", target.path),
        _ => target.path.clone(),
    }
}

/// The office that it is signed for.
fn office(trick: Option<Trick>) -> String {
    match trick {
        Some(Trick::WrongDomain) => "http://evil.example".to_owned(),
        _ => format!("http://{HOST}"),
    }
}

/// The body that is sent.
fn sent_body(trick: Option<Trick>, target: &Target) -> String {
    match trick {
        Some(Trick::Altered) => r#"{"name":"altered"}"#.to_owned(),
        _ => target.body.to_owned(),
    }
}

/// A request that account 21 signs, and what a trick makes of it.
fn by_wallet(trick: Option<Trick>, target: &Target, nonce: u32) -> Vec<Attempt> {
    let account = Wallet::new(21);
    let signer = match trick {
        Some(Trick::OthersKey) => Wallet::new(22),
        _ => Wallet::new(21),
    };
    let (from_now, lasting) = times(trick);
    let issued = now().timestamp() + from_now;
    let expires = issued + lasting;
    let header = |account: &str, chain: u64, signature: &str| {
        format!(
            "account=\"{account}\", chain=\"{chain}\", nonce=\"{nonce:032x}\", issued=\"{issued}\", expires=\"{expires}\", signature=\"{signature}\""
        )
    };
    let address = account.address().to_string();
    let office = Origin::parse(&office(trick)).unwrap();
    // The chain that is signed, and the one that is told.
    let chains: &[(u64, u64)] = match trick {
        Some(Trick::WrongChain) => &[(5, 5), (5, 1), (1, 5)],
        _ => &[(1, 1)],
    };
    let attempts = chains.iter().map(|(signed, told)| {
        let draft = TypedRequest::parse(&header(&address, *signed, "0x")).unwrap();
        let path = signed_path(trick, target);
        let digest = draft.digest(&office, target.method, &path, target.body.as_bytes());
        let signature = changed_of_wallet(trick, &signer.sign(digest));
        let parameters = header(&named(trick, &address), *told, &hex_0x(&signature));
        Attempt {
            headers: vec![("authorization", format!("EIP712 {parameters}"))],
            body: sent_body(trick, target),
        }
    });
    attempts.collect()
}

/// Seeds of keys: the agent's, somebody else's, and one that its agent rotated away.
const AGENT: u8 = 23;
const OTHER: u8 = 24;
const FORMER: u8 = 25;

/// A request that an agent's key signs, and what a trick makes of it.
fn by_key(trick: Option<Trick>, target: &Target, nonce: u32) -> Vec<Attempt> {
    let (who, signer) = match trick {
        Some(Trick::OthersKey) => (AGENT, OTHER),
        Some(Trick::RotatedKey) => (FORMER, FORMER),
        _ => (AGENT, AGENT),
    };
    let (from_now, lasting) = times(trick);
    let created = now().timestamp() + from_now;
    let digest_of = |body: &str| format!("sha-256=:{}:", STANDARD.encode(sha256(body.as_bytes())));
    let sent = sent_body(trick, target);
    // Who alters a body may let its digest be, or alter it, too.
    let digests = match trick {
        Some(Trick::Altered) => vec![digest_of(target.body), digest_of(&sent)],
        _ => vec![digest_of(target.body)],
    };
    let parameters = format!(
        "(\"@method\" \"@target-uri\" \"content-digest\");created={created};expires={};keyid=\"{}\";nonce=\"{nonce:032x}\"",
        created + lasting,
        named(trick, &did(who)),
    );
    let (method, office) = (target.method, office(trick));
    let (path, digest) = (signed_path(trick, target), digest_of(target.body));
    let base = format!(
        "\"@method\": {method}\n\"@target-uri\": {office}{path}\n\"content-digest\": {digest}\n\"@signature-params\": {parameters}"
    );
    let signature = changed(trick, key(signer).sign(base.as_bytes()));
    let attempts = digests.into_iter().map(|digest| Attempt {
        headers: vec![
            ("content-digest", digest),
            ("signature-input", format!("sig1={parameters}")),
            (
                "signature",
                format!("sig1=:{}:", STANDARD.encode(&signature)),
            ),
        ],
        body: sent.clone(),
    });
    attempts.collect()
}

/// A request that an account signs as it should.
pub async fn of_wallet(
    instance: &Instance,
    method: &'static str,
    path: &str,
    nonce: u32,
) -> Answer {
    let target = Target::new(method, path.to_owned());
    let attempt = by_wallet(None, &target, nonce).remove(0);
    send(instance, &target, &attempt).await
}

/// A request that a key signs as it should.
pub async fn of_key(instance: &Instance, method: &'static str, path: &str, nonce: u32) -> Answer {
    let target = Target::new(method, path.to_owned());
    let attempt = by_key(None, &target, nonce).remove(0);
    send(instance, &target, &attempt).await
}

/// Plays all tricks of a way on all routes that ask for a proof.
async fn play(
    instance: &Instance,
    way: Way,
    sign: impl Fn(Option<Trick>, &Target, u32) -> Vec<Attempt>,
) {
    let mut nonce = 0;
    for grant in proven() {
        let target = Target::new(grant.method, path_of(grant.route));
        nonce += 1;
        let (used, first) = (nonce, sign(None, &target, nonce).remove(0));
        let route = format!("{way:?} on {} {}", grant.method, grant.route);
        let answer = send(instance, &target, &first).await;
        // Who it is, is believed; whether he may is another question.
        let is_believed = answer.status != StatusCode::UNAUTHORIZED;
        assert!(is_believed, "{route}: {}", answer.text());
        for trick in Trick::ALL {
            nonce += 1;
            let what = format!("{trick:?}, {route}");
            match cell(way, trick) {
                Cell::Never(_) => {}
                Cell::One(code) => {
                    let same = sign(None, &target, nonce).remove(0);
                    let all = (0..4).map(|_| send(instance, &target, &same));
                    let answers = join_all(all).await;
                    let (lost, won): (Vec<Answer>, Vec<Answer>) = answers
                        .into_iter()
                        .partition(|answer| answer.status == StatusCode::UNAUTHORIZED);
                    assert_eq!(won.len(), 1, "{what}: one is believed");
                    for answer in lost {
                        is_refused(instance, &what, &answer, code, &same.secrets());
                    }
                }
                Cell::Refused(code) => {
                    let attempts = match trick {
                        Trick::Replay => vec![first.clone()],
                        Trick::ReusedNonce => {
                            let other = format!("{}?again=1", target.path);
                            let other = Target::new(target.method, other);
                            let attempt = sign(None, &other, used).remove(0);
                            let answer = send(instance, &other, &attempt).await;
                            is_refused(instance, &what, &answer, code, &attempt.secrets());
                            continue;
                        }
                        _ => sign(Some(trick), &target, nonce),
                    };
                    for attempt in attempts {
                        let answer = send(instance, &target, &attempt).await;
                        is_refused(instance, &what, &answer, code, &attempt.secrets());
                    }
                }
            }
        }
    }
}

#[sqlx::test]
async fn no_trick_makes_a_wallets_request(pool: PgPool) {
    // It follows chain 1.
    let instance = Instance::with_mainnet(&pool).await;
    play(&instance, Way::WalletRequest, by_wallet).await;
}

#[sqlx::test]
async fn no_trick_makes_a_request_of_an_agents_key(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    rotated(&instance, FORMER, FORMER + 1).await;
    play(&instance, Way::KeyRequest, by_key).await;
}
