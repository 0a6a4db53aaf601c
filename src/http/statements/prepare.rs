//! The bytes of a statement that somebody wants to sign.

use axum::{extract::State, http::HeaderMap, response::Response};
use identity::{
    agent,
    statement::{self, Action, LONGEST, Nonce, Owner, Statement, canonical},
};
use kernel::sha256;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::http::{Code, Json, Problem, Shared, paging, schema};

/// What somebody wants to say.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StatementWish {
    /// `register`, `update`, `status`, `rotate`, `transfer`, `deregister` or `claim`.
    #[schema(value_type = String)]
    action: Action,
    /// Any identifier of the agent; to register, the `did:key` of its key.
    agent: String,
    /// What is to be said, as JSON.
    #[serde(default)]
    #[schema(value_type = Object)]
    content: Value,
    /// The account that will sign with a wallet: `eip155:<chain>:<address>`.
    account: Option<String>,
}

/// A statement that lacks only its signatures.
#[derive(Serialize, ToSchema)]
pub struct UnsignedStatement {
    /// The statement: it is brought as it is, with the signatures.
    #[schema(value_type = schema::Statement)]
    statement: Statement,
    /// The text whose UTF-8 bytes an Ed25519 key signs.
    key_text: String,
    /// What `eth_signTypedData_v4` takes, where an account was named.
    #[schema(required, value_type = Option<Object>)]
    typed_data: Option<Value>,
}

/// Builds a statement: canonical content, the next sequence, a fresh nonce, an hour's time. Nothing is
/// stored, so no token is needed.
#[utoipa::path(
    post, path = "/v1/statements/prepare", tag = "statements", request_body = StatementWish,
    responses(
        (status = OK, body = UnsignedStatement),
        (status = BAD_REQUEST, body = Problem),
        (status = NOT_FOUND, body = Problem),
    ),
)]
pub async fn prepare(
    State(app): State<Shared>,
    headers: HeaderMap,
    Json(wish): Json<StatementWish>,
) -> Result<Response, Problem> {
    let content = match wish.content {
        Value::Null => json!({}),
        content => content,
    };
    canonical::check(&content, 0)
        .map_err(|why| Problem::new(Code::Invalid, format!("content: {why}")))?;
    let chain = match &wish.account {
        None => None,
        Some(text) => Some(
            Owner::parse(text)
                .and_then(|owner| owner.chain)
                .ok_or_else(|| {
                    Problem::new(Code::Invalid, "account: it is eip155:<chain>:<address>")
                })?,
        ),
    };
    let known = identity::identifier::find(&app.db, &wish.agent).await?;
    let (agent, last) = match known {
        Some(id) => (
            agent::get(&app.db, &id.to_string()).await?.did,
            statement::last_sequence(&app.db, id).await?,
        ),
        None if wish.action == Action::Register => (wish.agent, 0),
        None => return Err(identity::Error::NotFound(wish.agent).into()),
    };
    let now = app.db.clock().now();
    let content = canonical::write(&content);
    let sequence = last.unsigned_abs() + 1;
    let statement = Statement {
        action: wish.action,
        nonce: nonce(&agent, &content, sequence, now.timestamp_micros()),
        agent,
        content,
        sequence,
        issued: now.timestamp(),
        expires: (now + LONGEST).timestamp(),
        origin: app.sealer.vkey().name().to_owned(),
    };
    statement.check_form()?;
    let key_text = String::from_utf8_lossy(&statement.key_bytes()).into_owned();
    let typed_data = chain.map(|chain| statement.typed_data(chain));
    Ok(paging::json(
        &headers,
        &UnsignedStatement {
            statement,
            key_text,
            typed_data,
        },
    ))
}

/// A nonce has to be new, not secret: what is said and when make it so.
fn nonce(agent: &str, content: &str, sequence: u64, micros: i64) -> Nonce {
    let digest = sha256(format!("{agent}\n{content}\n{sequence}\n{micros}").as_bytes());
    let mut nonce = [0; 16];
    nonce.copy_from_slice(&digest[..16]);
    Nonce(nonce)
}
