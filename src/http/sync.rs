//! How far everything is: chains, agents, journal.

mod census;
mod digest;
mod node;
mod verify;

use std::{collections::BTreeMap, time::Instant};

use axum::{extract::State, http::HeaderMap, response::Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use indexer::view::{self, ChainView};
use journal::log;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{
    census::Census,
    node::{Estimate, Provider},
};
use super::{Problem, Shared, paging};
use crate::indexing::ChainState;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(show))
        .merge(digest::routes())
        .merge(verify::routes())
}

/// How far everything is.
#[derive(Serialize, ToSchema)]
struct Sync {
    /// The chains, those first that are kept here.
    chains: Vec<Chain>,
    /// How many agents there are.
    agents: i64,
    /// The journal.
    journal: Journal,
    /// Whether the operator says that the world reads what is pinned here (`content.public_pin`): then registration files
    /// go to IPFS unless somebody says otherwise.
    public_pin: bool,
}

/// How far a chain is read.
#[allow(
    clippy::struct_field_names,
    reason = "the fields are the answer's words"
)]
#[derive(Debug, Default, Serialize, ToSchema)]
struct Chain {
    /// EIP-155 id; null where no node said it yet.
    #[schema(required)]
    chain: Option<u64>,
    /// Its name or place, for people.
    name: String,
    /// `started` (our dev chain), `rpc` or `replay`.
    #[schema(required)]
    origin: Option<String>,
    /// `starting`, `backfilling`, `following`, `retrying`, `standby` or `halted`; null where another process
    /// follows it, or nobody.
    #[schema(required)]
    state: Option<&'static str>,
    /// Everything up to this block is indexed.
    #[schema(required)]
    head: Option<i64>,
    /// That block's time.
    #[schema(required)]
    head_time: Option<DateTime<Utc>>,
    /// Up to this block the journal was told.
    #[schema(required)]
    settled: Option<i64>,
    /// Everything up to this block is stored; ahead of `head` in a backfill.
    #[schema(required)]
    ground: Option<i64>,
    /// What consensus calls final, where a provider says it.
    #[schema(required)]
    finalized: Option<i64>,
    /// How far the blocks up to `head` are proven, weakest level first.
    levels: Vec<LevelBlocks>,
    /// How many of them are proven, fit their blooms (where receipts of this chain cannot be recomputed), or were told
    /// alike by two providers (where its headers prove nothing): all but those that are one provider's word.
    checked: i64,
    /// Whether something is indexed, every block up to `head` is checked, and all are one chain of hashes: no log is
    /// missing of the agents that are kept.
    complete: bool,
    /// Whether that holds and everything up to `head` is in the rows, and owner, wallet, URI, metadata and
    /// number of its agents are what its registries keep. False where no node serves their state, and where
    /// only watched agents are kept.
    synced: bool,
    /// What was compared with each registry.
    census: Vec<Census>,
    /// Logs that providers told wrongly, all found and put right.
    incidents: i64,
    /// Newest block of the source.
    #[schema(required)]
    source_head: Option<i64>,
    /// Blocks between the two.
    #[schema(required)]
    lag: Option<i64>,
    /// First block to index.
    #[schema(required)]
    start_block: Option<i64>,
    /// Why it is retrying or halted.
    #[schema(required)]
    error: Option<String>,
    /// How fast it was read over the last ten seconds; null where nothing was, and in other processes.
    #[schema(required)]
    rate: Option<Rate>,
    /// Seconds until `ground` reaches `source_head` at this rate.
    #[schema(required)]
    eta_seconds: Option<u64>,
    /// Logs stored by this process.
    logs: u64,
    /// Reorgs seen by this process.
    reorgs: u64,
    /// What its first backfill was expected to take; null where this process did not begin it.
    #[schema(required)]
    estimate: Option<Estimate>,
    /// The nodes that this process reads it from.
    providers: Vec<Provider>,
    /// Contracts that are read, by kind: `identity`, `status`.
    contracts: BTreeMap<String, Vec<String>>,
    /// For whom it is kept (`sync.scope = watched`); null: for everybody.
    #[schema(required)]
    watched: Option<Watched>,
}

/// For whom a chain is kept, where that is not everybody. It claims no census: it is never `synced`.
#[derive(Debug, Serialize, ToSchema)]
struct Watched {
    /// Owners whose agents are kept.
    owners: i64,
    /// Agents that are kept.
    tokens: i64,
    /// Those of them whose logs have yet to be fetched.
    pending: i64,
}

/// How fast a chain is read.
#[derive(Debug, Serialize, ToSchema)]
struct Rate {
    /// Logs of ours in a second.
    events_per_s: f64,
    /// Blocks in a second, with and without logs.
    blocks_per_s: f64,
}

/// Blocks of one proof level.
#[derive(Debug, Serialize, ToSchema)]
struct LevelBlocks {
    /// `reported`, `agreed`, `bloom`, `proven` or `finalized`.
    level: String,
    /// How many blocks.
    blocks: i64,
    /// The lowest of them.
    from: i64,
    /// The highest of them.
    to: i64,
}

/// How far the journal is.
#[derive(Serialize, ToSchema)]
struct Journal {
    /// Sealed entries.
    size: u64,
    /// Root of the tree over them, base64 as in the checkpoint; null before the first seal.
    #[schema(required)]
    root: Option<String>,
    /// The log's name.
    origin: String,
    /// What verifies its checkpoints.
    vkey: String,
    /// When the newest checkpoint was signed.
    #[schema(required)]
    signed_at: Option<DateTime<Utc>>,
    /// Entries that wait for the next seal.
    queued: i64,
}

/// How far chains, agents and journal are.
#[utoipa::path(get, path = "/v1/sync", tag = "health", responses((status = OK, body = Sync)))]
async fn show(State(app): State<Shared>, headers: HeaderMap) -> Result<Response, Problem> {
    let mut followed = app.chains.list();
    let kept = view::chains(&app.db).await?;
    // After the chains: what is told of their rows is never older than their heads.
    let census = view::census(&app.db).await?;
    let mut chains = Vec::with_capacity(kept.len());
    for kept in kept {
        let chain = kept.chain.cast_unsigned();
        let synced = view::is_synced(&kept, &census);
        chains.push(Chain {
            synced,
            census: census::of_chain(&app.db, chain, &census).await?,
            ..known(kept, &mut followed)
        });
    }
    chains.extend(followed.into_iter().map(unopened));
    let head = log::head(&app.db).await?;
    let vkey = app.sealer.vkey();
    let journal = Journal {
        size: head.as_ref().map_or(0, |head| head.size),
        root: head.as_ref().map(|head| BASE64_STANDARD.encode(head.root)),
        origin: vkey.name().to_owned(),
        vkey: vkey.to_string(),
        signed_at: head.map(|head| head.signed_at),
        queued: journal::backlog::queued(&app.db).await?,
    };
    let agents = identity::agent::count(&app.db).await?;
    Ok(paging::json(
        &headers,
        &Sync {
            chains,
            agents,
            journal,
            public_pin: app.config.content.public_pin,
        },
    ))
}

/// A chain that is kept, with what its follower says, if it is one of ours.
fn known(kept: ChainView, followed: &mut Vec<ChainState>) -> Chain {
    let id = u64::try_from(kept.chain).ok();
    let at = followed.iter().position(|chain| chain.chain == id);
    let its = at.map(|at| followed.remove(at));
    let status = its.as_ref().and_then(|its| its.status.clone());
    let source_head = status.as_ref().and_then(|status| status.head);
    let (rate, eta_seconds) = speed(status.as_ref());
    let providers = its.as_ref().map(providers).unwrap_or_default();
    let estimate = its.as_ref().and_then(|its| its.estimate.clone());
    Chain {
        chain: id,
        name: kept.name,
        origin: Some(kept.origin),
        state: its.as_ref().map(|its| its.state.as_str()),
        head: Some(kept.head),
        head_time: kept.head_time,
        settled: Some(kept.settled),
        ground: Some(kept.ground),
        finalized: kept.finalized,
        levels: kept.levels.into_iter().map(LevelBlocks::of).collect(),
        checked: kept.checked,
        complete: kept.complete,
        incidents: kept.incidents,
        source_head,
        lag: source_head.map(|head| (head - kept.head).max(0)),
        start_block: Some(kept.start_block),
        rate,
        eta_seconds,
        logs: status.as_ref().map_or(0, |status| status.logs),
        reorgs: status.as_ref().map_or(0, |status| status.reorgs),
        estimate: estimate.map(Estimate::from),
        providers,
        error: its.and_then(|its| its.error),
        contracts: kept.contracts,
        watched: kept.watched.map(|watched| Watched {
            owners: watched.owners,
            tokens: watched.tokens,
            pending: watched.pending,
        }),
        ..Chain::default()
    }
}

/// How fast a chain is read, and how long that takes to its head.
fn speed(status: Option<&indexer::Status>) -> (Option<Rate>, Option<u64>) {
    let Some(status) = status else {
        return (None, None);
    };
    let now = Instant::now();
    // Three digits are enough, and a number that JSON can say.
    let short = |figure: f64| (figure * 1e3).round() / 1e3;
    let rate = status.progress.rate(now).map(|rate| Rate {
        events_per_s: short(rate.events_per_s),
        blocks_per_s: short(rate.blocks_per_s),
    });
    let eta = status.head.and_then(|head| status.progress.eta(now, head));
    (rate, eta.map(|eta| eta.as_secs()))
}

impl LevelBlocks {
    fn of(view: view::LevelView) -> Self {
        Self {
            level: view.level,
            blocks: view.blocks,
            from: view.from,
            to: view.to,
        }
    }
}

fn providers(chain: &ChainState) -> Vec<Provider> {
    let states = chain.providers.iter().flat_map(indexer::Providers::states);
    states.map(Provider::of).collect()
}

fn unopened(chain: ChainState) -> Chain {
    Chain {
        providers: providers(&chain),
        chain: chain.chain,
        name: chain.place,
        state: Some(chain.state.as_str()),
        error: chain.error,
        contracts: ["identity", "status"]
            .map(|kind| (kind.to_owned(), Vec::new()))
            .into(),
        ..Chain::default()
    }
}
