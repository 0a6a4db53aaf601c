//! `chancery ipfs verify`.

use std::time::{Duration, Instant};

use content::{Uri, classify, data_uri};
use kernel::sha256;
use serde_json::{Value, json};

use super::fetch::{Fetched, Place, fetch};
use crate::cli::{
    Context,
    client::{Client, segment},
    exit::Failure,
    show,
};

/// A file that stands in its URI or lies here is read within this time.
const SOON: Duration = Duration::from_secs(10);

/// What was found to be true.
struct Report {
    what: String,
    uri: Option<String>,
    cid: Option<String>,
    fetched: Fetched,
}

/// Verifies a CID's bytes, or an agent's registration file.
pub async fn run(what: &str, context: &Context) -> anyhow::Result<()> {
    let client = Client::of(context)?;
    let report = match Place::parse(what) {
        Some(place) => Report {
            what: what.to_owned(),
            uri: None,
            cid: Some(place.root.to_string()),
            fetched: fetch(&client, &place).await?,
        },
        None => agent(&client, what).await?,
    };
    let digest = hex::encode(sha256(&report.fetched.bytes));
    let value = json!({
        "verified": true,
        "what": report.what,
        "uri": report.uri,
        "cid": report.cid,
        "size": report.fetched.bytes.len(),
        "sha256": digest,
        "checked": report.fetched.checked,
    });
    Ok(context.output.one(&value, || {
        show::fields(&[
            ("verified", Some(report.what.clone())),
            ("URI", report.uri.as_deref().map(|uri| show::cut(uri, 68))),
            ("checked", Some(report.fetched.checked.clone())),
            (
                "size",
                Some(format!("{} bytes", report.fetched.bytes.len())),
            ),
            ("sha256", Some(digest.clone())),
        ])
    })?)
}

/// The registration file of an agent, held against the URI that the chain has, and what the
/// instance says it holds against the bytes.
async fn agent(client: &Client<'_>, agent: &str) -> anyhow::Result<Report> {
    let path = format!("v1/agents/{}/metadata", segment(agent));
    let metadata = read(client, &path).await?;
    let Some(uri) = metadata["agent_uri"].as_str() else {
        let why = format!("the URI of {agent} is too long to be kept: there is nothing to verify");
        return Err(Failure::not_found(why).into());
    };
    let (fetched, cid) = match classify(uri.as_bytes()) {
        Uri::Data(data) => {
            let document = data_uri::decode(data).map_err(|error| unreadable(uri, &error))?;
            (on_chain(document.bytes), None)
        }
        Uri::RawJson(bytes) => (on_chain(bytes.to_vec()), None),
        Uri::Ipfs { cid, path, .. } => {
            let place = Place { root: cid, path };
            (fetch(client, &place).await?, Some(cid.to_string()))
        }
        Uri::Empty => {
            let why = format!("{agent} has no URI: there is nothing to verify");
            return Err(Failure::not_found(why).into());
        }
        _ => {
            let uri = show::cut(uri, 200);
            let why = format!("{uri} promises no hash: what is found there cannot be verified");
            return Err(Failure::unavailable(why).into());
        }
    };
    compare(&metadata, &fetched.bytes)?;
    Ok(Report {
        what: agent.to_owned(),
        uri: Some(uri.to_owned()),
        cid,
        fetched,
    })
}

/// What the instance holds of it; a file that is being read is waited for.
async fn read(client: &Client<'_>, path: &str) -> Result<Value, Failure> {
    let begun = Instant::now();
    loop {
        let metadata = client.get(path).await?;
        let state = metadata["state"].as_str().unwrap_or_default();
        let coming = metadata["sha256"].is_null() && ["pending", "fetched"].contains(&state);
        if !coming || begun.elapsed() > SOON {
            return Ok(metadata);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn on_chain(bytes: Vec<u8>) -> Fetched {
    Fetched {
        bytes,
        checked: "the file stands in the URI itself, and the instance read the same bytes"
            .to_owned(),
    }
}

fn unreadable(uri: &str, error: &content::Error) -> Failure {
    Failure::Unverified(format!("NOT verified: {}: {error}", show::cut(uri, 60)))
}

/// The instance must have judged these bytes and no others.
fn compare(metadata: &Value, bytes: &[u8]) -> Result<(), Failure> {
    let Some(stored) = metadata["sha256"].as_str() else {
        let state = metadata["state"].as_str().unwrap_or_default();
        let why = format!("the instance has not read the registration file: it is {state}");
        return Err(Failure::unavailable(why));
    };
    let digest = hex::encode(sha256(bytes));
    if stored.eq_ignore_ascii_case(&digest) {
        return Ok(());
    }
    Err(Failure::Unverified(format!(
        "NOT verified: the instance read a file with sha256 {}, but the URI's has {digest}",
        show::clean(stored)
    )))
}
