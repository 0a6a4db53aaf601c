//! Registration files before they are registered: what our parser says of them, and whether the owner has the same
//! already.

use axum::{extract::State, http::HeaderMap, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use content::{Layout, build, data_uri};
use identity::{
    alike::{self, Like, Sought},
    registration::{self, Level, RegistrationFile},
};
use kernel::{Address, cid_of_raw, sha256};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Code, Json, Problem, Shared, paging, schema};

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(check))
}

/// The largest file that is looked at.
const LARGEST: usize = 256 * 1024;
/// The longest URI that is worth its gas.
const LONGEST_URI: usize = 64 * 1024;

/// A registration file that somebody is about to register.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FileToCheck {
    /// The file, byte for byte; empty where only its URI is known.
    #[schema(max_length = 262_144)]
    text: String,
    /// The URI that will lead to it, where that neither holds the file nor names its hash: agents that have it already
    /// have the same file.
    #[schema(max_length = 65_536)]
    uri: Option<String>,
    /// Who will own the agent; absent: it is not looked whether he has it already.
    #[schema(value_type = Option<String>)]
    owner: Option<Address>,
    /// EIP-155 id of the chain on which it is to be registered; absent: any.
    chain: Option<u64>,
}

/// What is said of it.
#[derive(Serialize, ToSchema)]
struct CheckedFile {
    /// `fetched`: a registration file. `nonconformant`: it breaks the standard, what is valid in it is read.
    /// `malformed`: nothing of it can be read.
    #[schema(value_type = String)]
    state: registration::State,
    /// What has to be bent or left out, in the order of reading.
    warnings: Vec<FileWarning>,
    /// Bytes.
    size: usize,
    /// Their sha2-256, hex.
    sha256: String,
    /// The CID that the file gets here.
    cid: String,
    /// The `data:` URI that holds it; null where it is too large for one.
    #[schema(required)]
    data_uri: Option<String>,
    /// Agents of the owner that have the same file, name or endpoint, and have not ended; newest first, at most five.
    #[schema(value_type = Vec<schema::Like>)]
    already: Vec<Like>,
}

/// One thing that is wrong, and where.
#[derive(Serialize, ToSchema)]
struct FileWarning {
    /// Its name.
    code: String,
    /// `note`: it is understood all the same. `violation`: the standard is broken. `malformed`: nothing can be read.
    level: &'static str,
    /// JSON pointer (RFC 6901) to the place; empty for the whole file.
    pointer: String,
    /// A sentence for the file's author.
    message: String,
}

/// Says what this instance will read in a registration file, and whether its owner has the same agent already. Nothing
/// is stored, so no token is needed.
#[utoipa::path(
    post, path = "/v1/registration-files/check", tag = "agents", request_body = FileToCheck,
    responses(
        (status = OK, body = CheckedFile),
        (status = BAD_REQUEST, body = Problem),
        (status = PAYLOAD_TOO_LARGE, body = Problem),
    ),
)]
async fn check(
    State(app): State<Shared>,
    headers: HeaderMap,
    Json(question): Json<FileToCheck>,
) -> Result<Response, Problem> {
    let bytes = question.text.as_bytes();
    if bytes.len() > LARGEST {
        let detail = format!("a file that is checked has at most {LARGEST} bytes");
        return Err(Problem::new(Code::TooLarge, detail));
    }
    let uri = question.uri.filter(|uri| !uri.is_empty());
    if uri.as_ref().is_some_and(|uri| uri.len() > LONGEST_URI) {
        let detail = format!("a URI that is checked has at most {LONGEST_URI} bytes");
        return Err(Problem::new(Code::TooLarge, detail));
    }
    let chain = question.chain;
    if chain.is_some_and(|chain| i64::try_from(chain).is_err()) {
        return Err(Problem::new(Code::Invalid, "no chain has so large an id"));
    }
    let parsed = registration::parse(bytes);
    let cid = build(bytes, Layout::OURS).root.to_string();
    let data_uri = (bytes.len() <= data_uri::MAX_BYTES)
        .then(|| format!("data:application/json;base64,{}", STANDARD.encode(bytes)));
    let already = match question.owner {
        Some(owner) => {
            let uris = [Some(format!("ipfs://{cid}")), data_uri.clone(), uri];
            let sought = Sought {
                chain,
                name: parsed.file.name.clone(),
                uris: uris.into_iter().flatten().collect(),
                cids: vec![cid.clone(), cid_of_raw(bytes).to_string()],
                endpoint: endpoint(&parsed.file),
            };
            alike::find(&app.db, owner, &sought).await?
        }
        None => Vec::new(),
    };
    let checked = CheckedFile {
        state: parsed.state,
        warnings: parsed.warnings.into_iter().map(FileWarning::of).collect(),
        size: bytes.len(),
        sha256: hex::encode(sha256(bytes)),
        cid,
        data_uri,
        already,
    };
    Ok(paging::json(&headers, &checked))
}

/// The endpoint that the record would show.
fn endpoint(file: &RegistrationFile) -> Option<String> {
    registration::fields(file)
        .get("endpoint_url")
        .and_then(|value| value.as_str())
        .map(str::to_owned)
}

impl FileWarning {
    fn of(warning: registration::Warning) -> Self {
        Self {
            level: match warning.code.level() {
                Level::Note => "note",
                Level::Violation => "violation",
                Level::Malformed => "malformed",
            },
            code: warning.code.to_string(),
            pointer: warning.pointer,
            message: warning.message,
        }
    }
}
