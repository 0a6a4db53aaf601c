//! `chancery agent register`.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use chain::registry;
use kernel::{Address, Kind};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    bounds::{Bounds, Callee},
    chain_id,
    describe::{Described, Draft, as_data, cid},
    gasless,
    hosted::Hosted,
    kept::{Keeping, Kept},
    send::{self, Action, Progress, Sent, Waiting},
    view::{self, Agent, Entry},
};
use crate::cli::{
    Context,
    client::{Client, segment},
    exit::Failure,
    key,
    show::{clean, fields},
};

/// A file that stands in its URI or lies here is read within this time.
const SOON: Duration = Duration::from_secs(10);

/// Arguments of `agent register`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    described: Described,
    /// Where the registration file is kept: in the URI itself, on IPFS, or on a web server of yours
    /// [default: data, and ipfs where the instance says that the world reads what it pins]
    #[arg(long = "as", id = "way", value_enum, value_name = "WAY")]
    way: Option<Way>,
    #[command(flatten)]
    hosted: Hosted,
    #[command(flatten)]
    keeping: Keeping,
    /// The owner's key: a keystore (JSON) or a file of 0x and 64 hex digits, mode 0600. It is read
    /// here and sent nowhere
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Register without gas: by a statement that the agent's own key signs. --key is then its Ed25519 key, and
    /// made where the file is not there
    #[arg(long, conflicts_with_all = ["way", "at", "folder", "unpinned", "chain", "again", "wait", "timeout", "max_fee", "registry"])]
    gasless: bool,
    /// The owner's key, which signs the registration, too [default: the agent has no owner]
    #[arg(long, value_name = "FILE", requires = "gasless")]
    owner_key: Option<PathBuf>,
    /// The chain, where several are indexed
    #[arg(long, value_name = "ID|NAME")]
    chain: Option<String>,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    bounds: Bounds,
    /// Register it even though the key's account has the same agent already
    #[arg(long)]
    again: bool,
    /// Show what would be registered, and with --key what it would cost; store and send nothing
    #[arg(long)]
    dry_run: bool,
}

/// Where a registration file is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Way {
    /// In a data: URI, on the chain itself
    Data,
    /// On IPFS, named by its hash
    Ipfs,
    /// On a web server of yours, under --at
    Https,
}

/// What was registered, or would be.
#[derive(Debug, Serialize)]
pub struct Uri {
    /// What stands on the chain.
    pub uri: String,
    /// Of the file, where it is on IPFS.
    pub cid: Option<String>,
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
    /// Who keeps the file, where it is on IPFS.
    kept: Option<Kept>,
    chain: u64,
    tx: String,
    state: String,
    block: Option<u64>,
    /// Whether that is final, where somebody says what is.
    finalized: Option<bool>,
    entry: Option<Entry>,
}

/// Builds, shows, prepares, signs, sends and waits.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let draft = args.described.draft()?;
    draft.warn();
    if args.gasless && !args.dry_run {
        let (key, owner_key) = (args.key.as_deref(), args.owner_key.as_deref());
        return gasless::register(&draft, key, owner_key, context).await;
    }
    if args.dry_run && (args.key.is_none() || args.gasless) {
        let way = match args.way {
            Some(way) => way,
            None => usual_without(context).await,
        };
        return dry(&draft, &named(&draft, way, &args.hosted)?, context);
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
    let way = usual(args.way, &client).await?;
    let uri = named(&draft, way, &args.hosted)?;
    if let (Draft::File(..), Way::Https) = (&draft, way) {
        args.waiting.needs_a_number()?;
    }
    if !args.again {
        already(&client, signer.address(), chain, (&draft, way, &uri.uri)).await?;
    }
    let action = Action {
        json: json!({ "kind": "register", "uri": uri.uri }),
        data: registry::register_with_uri(&uri.uri),
        chain,
        callee: Callee::Registry(None),
    };
    // Before anything is stored: what would revert, or cannot be paid, is refused here.
    let ready = send::prepare(&client, &signer, &action, &args.bounds).await?;
    eprintln!("{}", ready.preview());
    if args.dry_run {
        return dry(&draft, &uri, context);
    }
    let kept = hand_out(&client, &draft, way, &args.hosted, args.keeping).await?;
    let sent = ready.send(&client, &signer).await?;
    let progress = sent.wait(&client, args.waiting).await?;
    let agent = match progress
        .agents
        .first()
        .and_then(|agent| agent["id"].as_str())
    {
        Some(id) if progress.indexed => Some(judged(&client, id, &draft).await?),
        _ => None,
    };
    if let (Draft::File(bytes, _), Way::Https, Some(agent)) = (&draft, way, &agent) {
        args.hosted.write_proof(bytes, agent)?;
    }
    let registered = Registered::of(uri, kept, sent, progress, agent.as_ref());
    Ok(context.output.one(&registered, || registered.human())?)
}

/// Refuses what the account has registered already: nothing is paid for a second one that nobody wanted.
async fn already(
    client: &Client<'_>,
    owner: Address,
    chain: Option<u64>,
    (draft, way, uri): (&Draft, Way, &str),
) -> Result<(), Failure> {
    let text = match draft {
        Draft::File(bytes, _) => String::from_utf8_lossy(bytes),
        Draft::Uri(_) => "".into(),
    };
    let mut question = json!({ "text": text, "owner": owner.to_string(), "chain": chain });
    // What holds the file or names its hash, the instance makes of the file itself.
    if matches!((draft, way), (Draft::Uri(_), _) | (_, Way::Https)) {
        question["uri"] = json!(uri);
    }
    let answer = match client.ask("v1/registration-files/check", &question).await {
        Ok(answer) => answer,
        // An older instance does not know it, and a file may be larger than it looks at.
        Err(Failure::Of(Kind::NotFound | Kind::Invalid | Kind::Denied, _)) => return Ok(()),
        Err(error) => return Err(error),
    };
    let Some(like) = answer["already"].get(0) else {
        return Ok(());
    };
    let agent = Agent::read(client, &like["agent"])?;
    let same = like["same"].as_array().map(Vec::as_slice);
    let same: Vec<&str> = same
        .unwrap_or_default()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let why = format!(
        "{owner} has registered this already: {} ({}) has the same {}; to make another one, say --again",
        agent.short(),
        clean(&agent.name),
        clean(&same.join(" and ")),
    );
    Err(Failure::Of(Kind::Conflict, why))
}

/// The agent, with its file read if that happens soon: who registered wants to see the name, and who edited the new one.
pub async fn judged(client: &Client<'_>, id: &str, draft: &Draft) -> Result<Agent, Failure> {
    let file = match draft {
        Draft::File(bytes, _) => Some(cid(bytes)),
        Draft::Uri(_) => None,
    };
    let path = format!("v1/agents/{}", segment(id));
    let begun = Instant::now();
    loop {
        let agent = Agent::read(client, &client.get(&path).await?)?;
        if agent.is_judged(file.as_deref()) || begun.elapsed() > SOON {
            return Ok(agent);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The way that was asked for, else `data`, unless the instance's operator says that the world reads what is pinned
/// there.
pub async fn usual(asked: Option<Way>, client: &Client<'_>) -> Result<Way, Failure> {
    if let Some(way) = asked {
        return Ok(way);
    }
    let sync = client.get("v1/sync").await?;
    Ok(match sync["public_pin"].as_bool() {
        Some(true) => Way::Ipfs,
        _ => Way::Data,
    })
}

/// The same where nothing is sent, so that no instance is needed.
async fn usual_without(context: &Context) -> Way {
    match Client::of(context) {
        Ok(client) => usual(None, &client).await.unwrap_or(Way::Data),
        Err(_) => Way::Data,
    }
}

/// The URI that will stand on the chain.
pub fn named(draft: &Draft, way: Way, hosted: &Hosted) -> anyhow::Result<Uri> {
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
        (Draft::File(..), Way::Https) => Uri {
            uri: hosted.uri()?.to_owned(),
            cid: None,
        },
    })
}

/// Puts the file where its URI leads to, as far as that can be done from here; nothing is paid before. Gives who keeps
/// it, where it is on IPFS.
pub async fn hand_out(
    client: &Client<'_>,
    draft: &Draft,
    way: Way,
    hosted: &Hosted,
    keeping: Keeping,
) -> anyhow::Result<Option<Kept>> {
    match (draft, way) {
        (Draft::File(bytes, _), Way::Ipfs) => keeping.store(client, bytes.clone()).await.map(Some),
        (Draft::File(bytes, _), Way::Https) => {
            hosted.write(bytes)?;
            Ok(None)
        }
        _ => Ok(None),
    }
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
    fn of(
        uri: Uri,
        kept: Option<Kept>,
        sent: Sent,
        progress: Progress,
        known: Option<&Agent>,
    ) -> Self {
        Self {
            agent: known.map(Agent::short),
            id: known.map(|agent| clean(&agent.id)),
            did: known.map(|agent| clean(&agent.did)),
            name: known.map(|agent| agent.name.clone()),
            metadata_state: known.and_then(|agent| agent.metadata_state.clone()),
            metadata_verification: known.and_then(|agent| agent.metadata_verification.clone()),
            uri,
            kept,
            chain: sent.chain,
            tx: sent.tx,
            state: if progress.indexed {
                "indexed".to_owned()
            } else {
                progress.state
            },
            block: progress.block,
            finalized: progress.finalized,
            entry: progress.entries.into_iter().next(),
        }
    }

    fn human(&self) -> String {
        let file = view::document(
            self.metadata_state.as_deref(),
            self.metadata_verification.as_deref(),
        );
        let cid = self.uri.cid.as_deref().unwrap_or_default();
        let kept = self.kept.as_ref().map(|kept| kept.words(cid));
        let [kept, read] = kept.unwrap_or([("kept", None), ("read", None)]);
        fields(&[
            ("agent", self.agent.clone()),
            ("name", self.name.as_deref().map(clean)),
            ("DID", self.did.clone()),
            ("URI", Some(view::uri(&self.uri.uri))),
            ("CID", self.uri.cid.clone()),
            kept,
            read,
            ("file", file),
            ("tx", Some(self.tx.clone())),
            ("state", Some(clean(&self.state))),
            ("block", self.block.map(|block| block.to_string())),
            ("entry", self.entry.as_ref().map(|entry| clean(&entry.cid))),
            ("", self.entry.as_ref().map(|entry| clean(&entry.state))),
        ])
    }
}
