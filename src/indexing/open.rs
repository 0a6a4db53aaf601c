//! Opening a chain: connecting, finding its contracts, making its row.

use std::sync::Arc;

use chain::{At, Registries, Rpc, RpcError, SeenTopics};
use indexer::{
    Anchor, Chain, ChainConfig, Error, Follower, Origin, Prover, Providers, Replay, RpcSource,
    Settling, Verifier, Witness, discover,
};
use url::Url;

use super::{Feed, dev};
use crate::app::App;

/// A chain that can be followed.
pub enum Opened {
    /// From nodes.
    Node(Box<Node>),
    /// From a file.
    Replay(Box<Follower<Replay>>),
}

/// A chain that is read from nodes.
pub struct Node {
    /// Follows it.
    pub follower: Follower<RpcSource>,
    /// Proves what the backfill was told.
    pub prover: Prover,
    /// Proves again what is stored, when somebody asks for it.
    pub verifier: Arc<Verifier>,
    /// The nodes.
    pub nodes: Vec<Rpc>,
    /// The first block, where nothing of the chain is stored yet.
    pub fresh: Option<u64>,
    /// Contracts that are read.
    pub contracts: Registries,
}

/// Opens it.
pub async fn open(app: &App, feed: &Feed) -> Result<Opened, Error> {
    match feed {
        Feed::Node(config) => node(app, config).await,
        Feed::Started(url) => started(app, url).await,
        Feed::Replay { file, registries } => {
            let replay = Replay::open(file, app.config.indexer.step_logs)?;
            let mut identity = Vec::new();
            for text in registries {
                let Ok(address) = text.parse() else {
                    let why = format!("`{text}` is no address: expected 0x and 40 hex digits");
                    return Err(Error::Invalid(why));
                };
                identity.push(address);
            }
            let chain = replay.chain(Registries {
                identity,
                status: Vec::new(),
            })?;
            indexer::open(&app.db, &chain).await?;
            let follower = Follower::new(
                app.db.clone(),
                chain.id,
                chain.contracts,
                replay,
                app.process,
            );
            Ok(Opened::Replay(Box::new(follower)))
        }
    }
}

async fn node(app: &App, config: &ChainConfig) -> Result<Opened, Error> {
    let nodes = reachable(config).await?;
    let rpc = &nodes[0];
    app.nodes.put(rpc);
    let found = discover(rpc, config).await?;
    let settings = &app.config.indexer;
    let settling = match config.settled_depth {
        Some(depth) => Settling::Depth(depth),
        None => Settling::Finalized(settings.settled_depth),
    };
    let chain = Chain {
        id: rpc.chain(),
        name: found.name,
        origin: Origin::Rpc,
        anchor: anchor(rpc, found.start).await?,
        start: found.start,
        topics: SeenTopics::ALL,
        contracts: found.contracts,
    };
    follower(app, nodes, chain, settling).await
}

/// The nodes of a chain that answer; the first one's error where none does.
async fn reachable(config: &ChainConfig) -> Result<Vec<Rpc>, Error> {
    let mut nodes = Vec::new();
    let mut failed = None;
    for url in &config.rpc {
        match connect(url).await {
            Ok(rpc) => nodes.push(rpc),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    if nodes.is_empty() {
        let which = config.chain.as_deref().unwrap_or("without a name");
        let none = || Error::Invalid(format!("the chain {which} has no rpc URL"));
        return Err(failed.unwrap_or_else(none));
    }
    Ok(nodes)
}

/// The dev chain: everything on it is ours, so it is settled as soon as it is there.
async fn started(app: &App, url: &str) -> Result<Opened, Error> {
    let rpc = connect(url).await?;
    app.nodes.put(&rpc);
    let chain = Chain {
        id: rpc.chain(),
        name: "dev chain".to_owned(),
        origin: Origin::Started,
        anchor: anchor(&rpc, 0).await?,
        start: 0,
        topics: SeenTopics::ALL,
        contracts: dev::contracts(app, &rpc).await?,
    };
    follower(app, vec![rpc], chain, Settling::Depth(0)).await
}

async fn follower(
    app: &App,
    nodes: Vec<Rpc>,
    chain: Chain,
    settling: Settling,
) -> Result<Opened, Error> {
    indexer::open(&app.db, &chain).await?;
    let settings = &app.config.indexer;
    let width = settings.range_blocks;
    let providers = Providers::new(nodes.clone(), width);
    let source = RpcSource::new(providers, &chain.contracts, settling, settings);
    let prover = || {
        let (db, contracts) = (app.db.clone(), chain.contracts.clone());
        Prover::new(db, chain.id, contracts, source.witness(), app.process)
    };
    // Whoever is asked first for the chain is asked last to verify it.
    let mut others = nodes.clone();
    others.rotate_left(1);
    let others = Providers::new(others, width);
    let verifier = Verifier::new(
        prover(),
        Witness::new(others, indexer::filter(&chain.contracts)),
    );
    let standing = indexer::standing(&app.db, chain.id).await?;
    let fresh = standing.ground.number < chain.start.cast_signed();
    let prover = prover();
    let contracts = chain.contracts.clone();
    let follower = Follower::new(
        app.db.clone(),
        chain.id,
        chain.contracts,
        source,
        app.process,
    );
    Ok(Opened::Node(Box::new(Node {
        follower,
        prover,
        verifier: Arc::new(verifier),
        nodes,
        fresh: fresh.then_some(chain.start),
        contracts,
    })))
}

/// A node that answers.
pub async fn connect(url: &str) -> Result<Rpc, Error> {
    let url: Url = url
        .parse()
        .map_err(|error| Error::Invalid(format!("an rpc URL is no URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        let why = format!(
            "an rpc URL begins with http:// or https://, not {}://",
            url.scheme()
        );
        return Err(Error::Invalid(why));
    }
    let place = url.origin().ascii_serialization();
    Rpc::connect(url, chain::Limits::default())
        .await
        .map_err(|error| Error::Rpc {
            chain: 0,
            place,
            error,
        })
}

/// The block that tells this chain from another one under the same id.
async fn anchor(rpc: &Rpc, number: u64) -> Result<Anchor, Error> {
    let failed = |error| Error::Rpc {
        chain: rpc.chain(),
        place: rpc.place(),
        error,
    };
    let header = rpc.block(At::Number(number)).await.map_err(failed)?;
    let missing = || {
        let message = format!("the node has no block {number}, where indexing is to begin");
        failed(RpcError::BeyondHead { message })
    };
    Ok(Anchor {
        number,
        hash: header.ok_or_else(missing)?.hash,
    })
}
