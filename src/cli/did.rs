//! `chancery did`.

use std::path::{Path, PathBuf};

use clap::{Subcommand, builder::NonEmptyStringValueParser};
use did::{
    ed25519::{self, DerivedFrom},
    zynd::{self, DeveloperProof, Era},
};
use kernel::Kind;
use serde_json::{Value, json};

use super::{
    Context, agent_key,
    client::{Client, segment},
    exit::Failure,
    output::Format,
    show,
};

/// The verbs of `did`.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Print the DID's document; with -o json the whole resolution result
    Resolve {
        /// did:nft:..., did:key:..., did:pkh:..., did:vexel:..., or did:web:... of an agent of the instance
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        did: String,
    },
    /// Make a key, and with it a did:key; with --from one that a developer's key is the parent of
    Create {
        /// Where the key is written; a file that is there is never written over
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The developer's key
        #[arg(long, value_name = "FILE", requires = "index")]
        from: Option<PathBuf>,
        /// Which of his agents
        #[arg(long, value_name = "N", requires = "from")]
        index: Option<u32>,
        /// Derive as the first Zynd registries did (agdns:agent:) instead of as today's (zns:agent:)
        #[arg(long, requires = "from")]
        agdns: bool,
    },
}

/// Runs the verb.
pub async fn run(command: Command, context: &Context) -> anyhow::Result<()> {
    let did = match command {
        Command::Resolve { did } => did,
        Command::Create {
            out,
            from,
            index,
            agdns,
        } => return create(&out, from.as_deref().zip(index), agdns, context),
    };
    let client = Client::of(context)?;
    let path = format!("1.0/identifiers/{}", segment(&did));
    let reply = client.any(&path, "application/did-resolution").await?;
    let result: Value = serde_json::from_slice(&reply.bytes).unwrap_or_default();
    if result.get("didResolutionMetadata").is_none() {
        return Err(client.problem(&reply).into());
    }
    let outcome = judge(&did, &result);
    let output = context.output;
    match &outcome {
        Ok(document) => output.one(&result, || pretty(document))?,
        // Programs get the reason in the form that the standard gives it.
        Err(_) if context.global.output != Format::Human => output.one(&result, String::new)?,
        Err(_) => {}
    }
    Ok(outcome.map(drop)?)
}

/// Makes a key and shows what it is called.
fn create(
    out: &Path,
    from: Option<(&Path, u32)>,
    agdns: bool,
    context: &Context,
) -> anyhow::Result<()> {
    let (key, derived, proof) = match from {
        None => (agent_key::random()?, None, None),
        Some((file, index)) => {
            let developer = agent_key::read(file)?;
            let era = if agdns { Era::Seed } else { Era::Current };
            let key = zynd::child(&developer, era, index);
            let proof = DeveloperProof::new(&developer, &key.public(), index);
            let derived = DerivedFrom {
                developer_public_key: proof.developer_public_key.clone(),
                index,
            };
            (key, Some(derived), Some(proof))
        }
    };
    agent_key::write(out, &key, derived)?;
    let public = key.public();
    let [agdns, zns] = zynd::agent_ids(&public);
    let value = json!({
        "did": public.did(),
        "public_key": ed25519::wire(&public),
        "key_hash": zynd::key_hash(&public),
        "agdns": agdns,
        "zns": zns,
        "developer_proof": proof,
    });
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    Ok(context.output.one(&value, || {
        show::fields(&[
            ("DID", text("did")),
            ("public key", text("public_key")),
            ("Zynd", text("zns")),
            ("hash", text("key_hash")),
            (
                "proof",
                proof
                    .as_ref()
                    .map(|proof| proof.developer_signature.clone()),
            ),
        ])
    })?)
}

/// The document, or why there is none.
fn judge<'r>(did: &str, result: &'r Value) -> Result<&'r Value, Failure> {
    let error = &result["didResolutionMetadata"]["error"];
    if !error.is_null() {
        // An object since DID Resolution v1, a word before it.
        let code = error["type"]
            .as_str()
            .or(error.as_str())
            .unwrap_or_default();
        let code = code.rsplit('#').next().unwrap_or_default();
        let kind = match code {
            "NOT_FOUND" | "notFound" => Kind::NotFound,
            "INTERNAL_ERROR" | "internalError" | "INVALID_DID_DOCUMENT" => Kind::Internal,
            _ => Kind::Invalid,
        };
        let said = error["detail"].as_str().or(error["title"].as_str());
        return Err(Failure::Of(kind, show::clean(said.unwrap_or(code))));
    }
    if result["didDocumentMetadata"]["deactivated"] == true {
        let why = format!("{did} is deactivated: it has no document any more");
        return Err(Failure::not_found(why));
    }
    Ok(&result["didDocument"])
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_reason_decides_the_code() {
        let of = |error: Value| {
            let result = json!({"didResolutionMetadata": {"error": error}});
            match judge("did:x:y", &result) {
                Err(Failure::Of(kind, _)) => kind,
                other => panic!("{other:?}"),
            }
        };
        let not_found =
            json!({"type": "https://www.w3.org/ns/did#NOT_FOUND", "detail": "no agent"});
        assert_eq!(of(not_found), Kind::NotFound);
        assert_eq!(of(json!("notFound")), Kind::NotFound);
        assert_eq!(
            of(json!({"type": "https://www.w3.org/ns/did#INVALID_DID"})),
            Kind::Invalid
        );
        let gone = json!({
            "didDocument": null,
            "didResolutionMetadata": {},
            "didDocumentMetadata": {"deactivated": true},
        });
        assert!(judge("did:x:y", &gone).is_err());
    }
}
