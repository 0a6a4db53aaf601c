//! `chancery agent register`.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use chain::registry;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    chain_id,
    describe::{Described, Draft, as_data, cid},
    gasless,
    send::{self, Action, Progress, Sent, Waiting},
    view::{self, Agent, Entry},
};
use crate::cli::{
    Context,
    client::{Client, segment},
    exit::Failure,
    ipfs, key,
    show::{clean, fields},
};

/// A file that stands in its URI or lies here is read within this time.
const SOON: Duration = Duration::from_secs(10);

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
    /// Register without gas: by a statement that the agent's own key signs. --key is then its Ed25519 key, and
    /// made where the file is not there
    #[arg(long, conflicts_with_all = ["way", "chain", "wait", "timeout"])]
    gasless: bool,
    /// The owner's key, which signs the registration, too [default: the agent has no owner]
    #[arg(long, value_name = "FILE", requires = "gasless")]
    owner_key: Option<PathBuf>,
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
    name: Option<String>,
    /// What became of the registration file.
    metadata_state: Option<String>,
    metadata_verification: Option<String>,
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
    if args.gasless && !args.dry_run {
        let (key, owner_key) = (args.key.as_deref(), args.owner_key.as_deref());
        return gasless::register(&draft, key, owner_key, context).await;
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
    let agent = match progress
        .agents
        .first()
        .and_then(|agent| agent["id"].as_str())
    {
        Some(id) if progress.indexed => Some(judged(&client, id).await?),
        _ => None,
    };
    let registered = Registered::of(uri, sent, progress, agent.as_ref());
    Ok(context.output.one(&registered, || registered.human())?)
}

/// The agent, with its file read if that happens soon: who registered wants to see the name.
async fn judged(client: &Client<'_>, id: &str) -> Result<Agent, Failure> {
    let path = format!("v1/agents/{}", segment(id));
    let begun = Instant::now();
    loop {
        let agent = Agent::read(client, &client.get(&path).await?)?;
        if agent.is_judged() || begun.elapsed() > SOON {
            return Ok(agent);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
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
    let (bytes, warnings) = match draft {
        Draft::File(bytes, warnings) => (bytes.as_slice(), json!(warnings)),
        Draft::Uri(_) => (&[][..], json!([])),
    };
    let file: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let value = json!({ "uri": uri.uri, "cid": uri.cid, "file": file, "warnings": warnings });
    context.output.one(&value, || {
        let file = String::from_utf8_lossy(bytes);
        [file.trim_end(), &view::uri(&uri.uri)]
            .join("\n")
            .trim_start()
            .to_owned()
    })?;
    eprintln!("nothing was sent");
    Ok(())
}

impl Registered {
    fn of(uri: Uri, sent: Sent, progress: Progress, known: Option<&Agent>) -> Self {
        Self {
            agent: known.map(Agent::short),
            id: known.map(|agent| clean(&agent.id)),
            did: known.map(|agent| clean(&agent.did)),
            name: known.map(|agent| agent.name.clone()),
            metadata_state: known.and_then(|agent| agent.metadata_state.clone()),
            metadata_verification: known.and_then(|agent| agent.metadata_verification.clone()),
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
        let file = view::document(
            self.metadata_state.as_deref(),
            self.metadata_verification.as_deref(),
        );
        fields(&[
            ("agent", self.agent.clone()),
            ("name", self.name.as_deref().map(clean)),
            ("DID", self.did.clone()),
            ("URI", Some(view::uri(&self.uri.uri))),
            ("CID", self.uri.cid.clone()),
            ("file", file),
            ("tx", Some(self.tx.clone())),
            ("state", Some(clean(&self.state))),
            ("block", self.block.map(|block| block.to_string())),
            ("entry", self.entry.as_ref().map(|entry| clean(&entry.cid))),
            ("", self.entry.as_ref().map(|entry| clean(&entry.state))),
        ])
    }
}
