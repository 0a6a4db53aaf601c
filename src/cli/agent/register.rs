//! `chancery agent register`.

use std::path::PathBuf;

use chain::registry;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    chain_id,
    describe::{Described, Draft, as_data, cid},
    key,
    send::{self, Action, Progress, Sent, Waiting},
    view::{self, Entry},
};
use crate::cli::{
    Context,
    client::Client,
    ipfs,
    show::{clean, fields},
};

/// Arguments of `agent register`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    described: Described,
    /// Where the registration file is kept: in the URI itself, or on IPFS [default: data, and ipfs
    /// where Kubo is configured]
    #[arg(long = "as", id = "way", value_enum, value_name = "WAY")]
    way: Option<Way>,
    /// The owner's key: a keystore (JSON) or a file of 0x and 64 hex digits, mode 0600. It is read
    /// here and sent nowhere
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The chain, where several are indexed
    #[arg(long, value_name = "ID|NAME")]
    chain: Option<String>,
    #[command(flatten)]
    waiting: Waiting,
    /// Show what would be registered, and with --key what it would cost; store and send nothing
    #[arg(long)]
    dry_run: bool,
}

/// Where a registration file is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Way {
    /// In a data: URI, on the chain itself
    Data,
    /// On IPFS, named by its hash
    Ipfs,
}

/// What was registered, or would be.
#[derive(Debug, Serialize)]
struct Uri {
    uri: String,
    /// Of the file, where it is on IPFS.
    cid: Option<String>,
}

/// What the command prints.
#[derive(Debug, Serialize)]
struct Registered {
    agent: Option<String>,
    id: Option<String>,
    did: Option<String>,
    #[serde(flatten)]
    uri: Uri,
    chain: u64,
    tx: String,
    state: String,
    block: Option<u64>,
    entry: Option<Entry>,
}

/// Builds, shows, prepares, signs, sends and waits.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let draft = args.described.draft()?;
    if let Draft::File(_, warnings) = &draft {
        for warning in warnings {
            let at = if warning.pointer.is_empty() {
                "the file"
            } else {
                &warning.pointer
            };
            eprintln!(
                "warning: {at}: {} ({})",
                clean(&warning.message),
                warning.code
            );
        }
    }
    let way = args.way.map_or_else(|| usual(context), Ok)?;
    if args.dry_run && args.key.is_none() {
        return dry(&draft, &named(&draft, way)?, context);
    }
    let client = Client::of(context)?;
    let chain = match &args.chain {
        Some(chain) => Some(chain_id(&client, chain).await?),
        None => None,
    };
    let Some(file) = &args.key else {
        return Err(key::missing(&client, chain, "registering").await.into());
    };
    let signer = key::read(file)?;
    let uri = named(&draft, way)?;
    let action = Action {
        json: json!({ "kind": "register", "uri": uri.uri }),
        data: registry::register_with_uri(&uri.uri),
        chain,
    };
    // Before anything is stored: what would revert, or cannot be paid, is refused here.
    let ready = send::prepare(&client, &signer, &action).await?;
    eprintln!("{}", ready.preview());
    if args.dry_run {
        return dry(&draft, &uri, context);
    }
    if let (Draft::File(bytes, _), Some(_)) = (draft, &uri.cid) {
        ipfs::store(&client, bytes).await?;
    }
    let sent = ready.send(&client, &signer).await?;
    let progress = sent.wait(&client, args.waiting).await?;
    let registered = Registered::of(uri, sent, progress);
    Ok(context.output.one(&registered, || registered.human())?)
}

/// `data`, unless this machine's configuration names a Kubo.
fn usual(context: &Context) -> anyhow::Result<Way> {
    let elsewhere =
        context.global.url.is_some() || context.environment.get("CHANCERY_URL").is_some();
    let kubo = !elsewhere
        && context
            .gather(Vec::new())?
            .config
            .content
            .kubo_url
            .is_some();
    Ok(if kubo { Way::Ipfs } else { Way::Data })
}

/// The URI that will stand on the chain.
fn named(draft: &Draft, way: Way) -> anyhow::Result<Uri> {
    Ok(match (draft, way) {
        (Draft::Uri(uri), _) => Uri {
            uri: uri.clone(),
            cid: None,
        },
        (Draft::File(bytes, _), Way::Data) => Uri {
            uri: as_data(bytes)?,
            cid: None,
        },
        (Draft::File(bytes, _), Way::Ipfs) => {
            let cid = cid(bytes);
            Uri {
                uri: format!("ipfs://{cid}"),
                cid: Some(cid),
            }
        }
    })
}

/// Prints what would be registered.
fn dry(draft: &Draft, uri: &Uri, context: &Context) -> anyhow::Result<()> {
    let (file, warnings) = match draft {
        Draft::File(bytes, warnings) => (
            serde_json::from_slice::<Value>(bytes).unwrap_or_default(),
            json!(warnings),
        ),
        Draft::Uri(_) => (Value::Null, json!([])),
    };
    let value = json!({ "uri": uri.uri, "cid": uri.cid, "file": file, "warnings": warnings });
    context.output.one(&value, || {
        let file =
            (!file.is_null()).then(|| serde_json::to_string_pretty(&file).unwrap_or_default());
        [file, Some(view::uri(&uri.uri))]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("\n")
    })?;
    eprintln!("nothing was sent");
    Ok(())
}

impl Registered {
    fn of(uri: Uri, sent: Sent, progress: Progress) -> Self {
        let agent = progress.agents.first().cloned().unwrap_or_default();
        let text = |name: &str| agent[name].as_str().map(clean);
        let short = match (agent["chain"].as_u64(), agent["agent_id"].as_str()) {
            (Some(chain), Some(id)) => Some(format!("{chain}:{}", clean(id))),
            _ => None,
        };
        Self {
            agent: short,
            id: text("id"),
            did: text("did"),
            uri,
            chain: sent.chain,
            tx: sent.tx,
            state: if progress.indexed {
                "indexed".to_owned()
            } else {
                progress.state
            },
            block: progress.block,
            entry: progress.entries.into_iter().next(),
        }
    }

    fn human(&self) -> String {
        fields(&[
            ("agent", self.agent.clone()),
            ("DID", self.did.clone()),
            ("URI", Some(view::uri(&self.uri.uri))),
            ("CID", self.uri.cid.clone()),
            ("tx", Some(self.tx.clone())),
            ("state", Some(clean(&self.state))),
            ("block", self.block.map(|block| block.to_string())),
            ("entry", self.entry.as_ref().map(|entry| clean(&entry.cid))),
            ("", self.entry.as_ref().map(|entry| clean(&entry.state))),
        ])
    }
}
