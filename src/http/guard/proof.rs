//! The proof in a request's head: the operator's token, an API key, a session's token or cookie, or a signature of the
//! request itself, by an agent's key (RFC 9421) or a wallet (EIP-712).

use access::{
    API_KEY, Known, SESSION,
    message_signature::{Message, MessageSignature, Signer},
    nonce,
    origin::Origins,
    principal, session,
    typed_request::{SCHEME, TypedRequest},
};
use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header},
};
use chain::contract_signature::{self, Checked, SignatureError};
use did::methods::key::PublicKey;
use kernel::{Address, B256, Kind, Principal, sha256};

use super::{Proof, site};
use crate::http::{Code, Problem, Shared, grants::Grant};

/// AINS's header for keys; `Authorization: Bearer` takes them as well.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");
const SIGNATURE: HeaderName = HeaderName::from_static("signature");

/// Whoever asks.
pub struct Asker {
    /// Who he is, or for whom his key acts.
    pub principal: Principal,
    /// What proved it.
    pub proof: Proof,
    /// Whether his browser sent the proof by itself.
    pub is_by_cookie: bool,
}

impl Asker {
    fn new(principal: Principal, proof: Proof) -> Self {
        Self {
            principal,
            proof,
            is_by_cookie: false,
        }
    }
}

/// What was sent as a proof.
pub enum Presented {
    /// Nothing.
    Nothing,
    /// A token or a key.
    Secret(String),
    /// A session's token, of the cookie and the page's half.
    Cookie(String),
    /// A wallet's signature of the request: the parameters behind the scheme.
    Wallet(String),
    /// A key's: `Signature-Input` and `Signature`.
    Signature(String, String),
}

impl Presented {
    /// Whether somebody sent it on purpose, which a cookie never is.
    pub fn is_sent(&self) -> bool {
        !matches!(self, Self::Nothing | Self::Cookie(_))
    }
}

/// What a request's head presents: one thing at most. The cookie, which browsers add by themselves, gives way, and is
/// not looked at where requests do not count: what is there is the same for everybody.
pub fn presented(
    origins: &Origins,
    headers: &HeaderMap,
    grant: &Grant,
) -> Result<Presented, Problem> {
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let authorization = headers.get_all(header::AUTHORIZATION).iter();
    let authorization = authorization.map(|value| scheme(&text(value)));
    let keys = headers.get_all(X_API_KEY).iter();
    let keys = keys.map(|value| Presented::Secret(text(value)));
    let mut found: Vec<Presented> = authorization.chain(keys).collect();
    // Lines of one header are one list (RFC 9110, 5.3).
    let whole = |name: HeaderName| {
        let lines = headers.get_all(name).iter().map(text);
        lines.collect::<Vec<String>>().join(", ")
    };
    let input = whole(SIGNATURE_INPUT);
    // Others sign requests for reasons of their own; who names a DID wants to be known here.
    if input.contains("keyid=\"did:") {
        found.push(Presented::Signature(input, whole(SIGNATURE)));
    }
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(_), false) => {
            let detail = "one proof at a time: there are several in this request's head";
            Err(Problem::new(Code::Unauthorized, detail))
        }
        (None, _) if !grant.is_counted() => Ok(Presented::Nothing),
        (None, _) => {
            let token = site::token(headers, origins);
            Ok(token.map_or(Presented::Nothing, Presented::Cookie))
        }
    }
}

/// What `Authorization` holds; of a scheme that is none of ours a secret that proves nothing.
fn scheme(value: &str) -> Presented {
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    if scheme.eq_ignore_ascii_case("bearer") {
        Presented::Secret(rest.trim().to_owned())
    } else if scheme.eq_ignore_ascii_case(SCHEME) {
        Presented::Wallet(rest.trim().to_owned())
    } else {
        Presented::Secret(String::new())
    }
}

/// Who asks, where nothing has to be asked for it: the operator by his token, and who has a key of the operator's making.
pub async fn in_memory(app: &Shared, presented: &Presented) -> Result<Option<Asker>, Problem> {
    let Presented::Secret(secret) = presented else {
        return Ok(None);
    };
    if secret.starts_with(API_KEY) {
        let key = app.keys.find(&app.db, secret).await?;
        return Ok(key.map(|key| Asker::new(key.principal.clone(), Proof::Key(key))));
    }
    let is_operator = same(secret, &app.token);
    Ok(is_operator.then(|| Asker::new(Principal::Operator, Proof::Token)))
}

/// Who asks, for all others. What proves nothing is refused, also where nothing had to be proven: whoever sends a proof
/// believes that he is known. Only a cookie that is over says nothing: nobody sent it on purpose.
pub async fn verify(
    app: &Shared,
    origins: &Origins,
    request: &mut Request,
    presented: Presented,
) -> Result<Asker, Problem> {
    let nobody = || Asker::new(Principal::Anonymous, Proof::Nothing);
    let unknown = |detail: &str| Err(Problem::new(Code::Unauthorized, detail));
    match presented {
        Presented::Nothing => Ok(nobody()),
        Presented::Secret(token) if token.starts_with(SESSION) => {
            match session(app, token).await? {
                Some(asker) => Ok(asker),
                None => unknown("this session is not known here, or is over: sign in anew"),
            }
        }
        Presented::Secret(key) if key.starts_with(API_KEY) => {
            match Known::look_up(&app.db, &key).await? {
                Some(key) => Ok(Asker::new(key.principal.clone(), Proof::Key(key))),
                None => unknown("this API key is not known here, was revoked, or is over"),
            }
        }
        Presented::Secret(_) => unknown("the token is wrong"),
        Presented::Cookie(token) => {
            let asker = session(app, token).await?.unwrap_or_else(nobody);
            Ok(Asker {
                is_by_cookie: true,
                ..asker
            })
        }
        // Apart, because they ask chains: a request without a proof, as most are, does not carry room for it.
        Presented::Wallet(parameters) => Box::pin(wallet(app, origins, request, &parameters)).await,
        Presented::Signature(input, signature) => {
            Box::pin(signed(app, origins, request, &input, &signature)).await
        }
    }
}

async fn session(app: &Shared, token: String) -> Result<Option<Asker>, Problem> {
    let found = session::find(&app.db, &token).await?;
    Ok(found.map(|session| Asker::new(session.principal(), Proof::Session(session, token))))
}

/// An agent's key that signed this request.
async fn signed(
    app: &Shared,
    origins: &Origins,
    request: &mut Request,
    input: &str,
    signature: &str,
) -> Result<Asker, Problem> {
    let read = MessageSignature::parse(input, signature)?;
    let body = whole_body(app, request).await?;
    let signer = signer(app, origins, request, &read, &body)?;
    let principal = Principal::Key(signer.did.clone());
    refuse_former(app, &principal).await?;
    nonce::put(&app.db, &signer.did, &signer.nonce, signer.expires_at).await?;
    Ok(Asker::new(principal, Proof::Signature(signer.did)))
}

/// Refuses a key that its agent rotated away, and what acts for it: whoever still has it is not the agent.
pub async fn refuse_former(app: &Shared, principal: &Principal) -> Result<(), Problem> {
    if !is_former(app, principal).await? {
        return Ok(());
    }
    let detail = "this key was rotated away: its agent asks with the key that it has now";
    Err(Problem::new(Code::Unauthorized, detail))
}

/// Whether this is a key that its agent rotated away. Judged whenever it is used, so that no rotation has to find what
/// was made with the key, not even while it is being made.
pub async fn is_former(app: &Shared, principal: &Principal) -> Result<bool, Problem> {
    let Principal::Key(id) = principal else {
        return Ok(false);
    };
    let key = id.strip_prefix("did:key:").map(PublicKey::from_multibase);
    let Some(Ok(key)) = key else {
        return Ok(false);
    };
    Ok(identity::key::is_former(&app.db, &key).await?)
}

fn signer(
    app: &Shared,
    origins: &Origins,
    request: &Request,
    signature: &MessageSignature,
    body: &[u8],
) -> Result<Signer, Problem> {
    let headers = request.headers();
    let values = |name: &str| {
        let all = headers.get_all(name).iter();
        let all = all.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        all.collect::<Vec<String>>()
    };
    let message = Message {
        method: request.method().as_str(),
        origin: site::here(origins, headers)?,
        path: request.uri().path(),
        query: request.uri().query(),
        headers: &values,
    };
    Ok(signature.verify(&message, body, app.db.clock().now())?)
}

/// A wallet that signed this request.
async fn wallet(
    app: &Shared,
    origins: &Origins,
    request: &mut Request,
    parameters: &str,
) -> Result<Asker, Problem> {
    let read = TypedRequest::parse(parameters)?;
    read.check(app.db.clock().now())?;
    let body = whole_body(app, request).await?;
    let here = site::here(origins, request.headers())?;
    let target = request.uri().path_and_query();
    let target = target.map_or("/", |target| target.as_str());
    let digest = read.digest(here, request.method().as_str(), target, &body);
    let checked = signed_by(app, read.chain, read.account, digest, &read.signature).await?;
    let principal = who_signed(read.chain, read.account, checked);
    let signer = principal::text(&principal).unwrap_or_default();
    nonce::put(&app.db, &signer, &read.nonce(), read.expires_at()?).await?;
    Ok(Asker::new(principal, Proof::Wallet))
}

/// Who an account is that signed: a key's is the same on all chains, what a contract says counts on its own alone.
pub fn who_signed(chain: u64, address: Address, checked: Checked) -> Principal {
    match checked {
        Checked::ByKey => Principal::Account(address),
        Checked::ByContract { .. } | Checked::BeforeDeployment { .. } => {
            Principal::Contract { chain, address }
        }
    }
}

/// Takes the body out, reads it, and puts it back.
async fn whole_body(app: &Shared, request: &mut Request) -> Result<Bytes, Problem> {
    let body = std::mem::take(request.body_mut());
    let most = app.config.http.body_limit_bytes;
    let bytes = axum::body::to_bytes(body, most).await.map_err(|_| {
        let detail = format!("a body has at most {most} bytes, and comes whole");
        Problem::new(Code::TooLarge, detail)
    })?;
    *request.body_mut() = Body::from(bytes.clone());
    Ok(bytes)
}

/// Whether an account signed a hash, a contract account on this chain.
pub async fn signed_by(
    app: &Shared,
    chain: u64,
    account: Address,
    digest: B256,
    signature: &[u8],
) -> Result<Checked, Problem> {
    known_chain(app, chain).await?;
    // A key's signature needs no node, so it waits for none.
    if contract_signature::recover(digest, signature).is_ok_and(|signer| signer == account) {
        return Ok(Checked::ByKey);
    }
    let rpc = app.nodes.find(Some(chain), &app.config.indexer).await;
    let checked = contract_signature::verify(rpc.as_ref(), account, digest, signature).await;
    checked.map_err(|error: SignatureError| match error.kind() {
        Kind::Unavailable => Problem::of(Kind::Unavailable, error),
        _ => Problem::new(Code::Unauthorized, error.to_string()),
    })
}

/// Whether this office follows a chain; who follows none knows nothing of chains, and keys are keys on all.
async fn known_chain(app: &Shared, chain: u64) -> Result<(), Problem> {
    let id = i64::try_from(chain).unwrap_or(-1);
    let known = sqlx::query_scalar!(
        r#"SELECT count(*) = 0 OR count(*) FILTER (WHERE chain_id = $1) > 0 AS "known!" FROM chain.v_chains"#,
        id,
    );
    let known = known.fetch_one(app.db.pool()).await;
    if known.map_err(store::Error::from)? && id > 0 {
        return Ok(());
    }
    let detail = format!("this office does not follow chain {chain}: sign on one that it follows");
    Err(Problem::new(Code::Unauthorized, detail))
}

/// Compares digests, so that the time says nothing about the token.
fn same(given: &str, token: &str) -> bool {
    sha256(given.as_bytes()) == sha256(token.as_bytes())
}
