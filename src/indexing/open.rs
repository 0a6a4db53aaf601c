//! Opening a chain: connecting, finding its contracts, making its row.

use std::sync::Arc;

use chain::{At, Registries, Rpc, RpcError, SeenTopics};
use indexer::{
    Anchor, Census, Chain, ChainConfig, Error, Follower, Origin, Prover, Providers, Replay,
    RpcSource, Settling, Verifier, Watch, Witness, discover,
};
use kernel::Kind;

use super::{Feed, board::Slot, dev};
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
    /// Holds its rows against the registries' state; not where some agents alone are kept.
    pub census: Option<Census>,
    /// Proves again what is stored, when somebody asks for it.
    pub verifier: Arc<Verifier>,
    /// Whom it is read from.
    pub providers: Providers,
    /// The first block, where nothing of the chain is stored yet, and all of it will be.
    pub fresh: Option<u64>,
    /// Contracts that are read.
    pub contracts: Registries,
}

/// Opens it.
pub async fn open(app: &App, feed: &Feed, slot: &Slot) -> Result<Opened, Error> {
    match feed {
        Feed::Node(config) => node(app, config, slot).await,
        Feed::Started(url) => started(app, url, slot).await,
        Feed::Replay { file, registries } => {
            if watch(app)?.is_some() {
                let why = "a recorded file is read whole: sync.scope = \"watched\" is for chains that a node serves";
                return Err(Error::Invalid(why.to_owned()));
            }
            let mut identity = Vec::new();
            for text in registries {
                let Ok(address) = text.parse() else {
                    let why = format!("`{text}` is no address: expected 0x and 40 hex digits");
                    return Err(Error::Invalid(why));
                };
                identity.push(address);
            }
            let named = Registries {
                identity,
                ..Registries::default()
            };
            let replay = Replay::open(file, app.config.indexer.step_logs, named)?;
            let chain = replay.chain()?;
            app.chains
                .claim(slot, chain.id, file.display().to_string())?;
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

async fn node(app: &App, config: &ChainConfig, slot: &Slot) -> Result<Opened, Error> {
    let settings = &app.config.indexer;
    let providers = slot.providers(settings, config)?;
    let greeted = providers.greet().await;
    greeted.map_err(|error| named_wrong(config, error))?;
    let id = providers.chain();
    app.chains.claim(slot, id, providers.places())?;
    app.nodes.put(&providers);
    let stored = indexer::stored(&app.db, id).await?;
    let found = discover(&providers, config, stored.as_ref()).await?;
    let settling = match config.settled_depth {
        Some(depth) => Settling::Depth(depth),
        None => Settling::Finalized(settings.settled_depth),
    };
    let chain = Chain {
        id,
        name: found.name,
        origin: Origin::Rpc,
        anchor: anchor(&providers, found.start).await?,
        start: found.start,
        topics: SeenTopics::ALL,
        contracts: found.contracts,
    };
    follower(app, providers, chain, settling).await
}

/// A node of another chain than the one that was named is whoever named it to put right.
fn named_wrong(config: &ChainConfig, error: Error) -> Error {
    match &config.chain {
        Some(chain) if error.kind() == Kind::Conflict => {
            Error::Invalid(format!("--chain says {chain}: {error}"))
        }
        _ => error,
    }
}

/// The dev chain: everything on it is ours, so it is settled as soon as it is there.
async fn started(app: &App, url: &str, slot: &Slot) -> Result<Opened, Error> {
    let config = ChainConfig {
        rpc: vec![url.to_owned()],
        ..ChainConfig::default()
    };
    let providers = slot.providers(&app.config.indexer, &config)?;
    providers.greet().await?;
    app.chains
        .claim(slot, providers.chain(), providers.places())?;
    app.nodes.put(&providers);
    let chain = Chain {
        id: providers.chain(),
        name: "dev chain".to_owned(),
        origin: Origin::Started,
        anchor: anchor(&providers, 0).await?,
        start: 0,
        topics: SeenTopics::ALL,
        contracts: dev::contracts(app, &providers.node()?).await?,
    };
    follower(app, providers, chain, Settling::Depth(0)).await
}

async fn follower(
    app: &App,
    providers: Providers,
    chain: Chain,
    settling: Settling,
) -> Result<Opened, Error> {
    let settings = &app.config.indexer;
    indexer::open_scope(&app.db, &chain, app.config.sync.scope).await?;
    let mut source = RpcSource::new(providers.clone(), &chain.contracts, settling, settings);
    let watch = watch(app)?;
    let is_whole = watch.is_none();
    if let Some(watch) = watch {
        check_registries(&watch, &chain)?;
        let db = app.db.clone();
        source = source.watching(db, watch, &chain.contracts, chain.start, settings);
    }
    let prover = || {
        let (db, contracts) = (app.db.clone(), chain.contracts.clone());
        Prover::new(db, chain.id, contracts, source.witness(), app.process)
    };
    let others = Witness::new(providers.others_first(), indexer::filter(&chain.contracts));
    for witness in [&source.witness(), &others] {
        witness.recall(&app.db).await?;
    }
    let verifier = Verifier::new(prover(), others);
    let standing = indexer::standing(&app.db, chain.id).await?;
    let fresh = is_whole && standing.ground.number < chain.start.cast_signed();
    let prover = prover();
    let contracts = chain.contracts.clone();
    let census = is_whole.then(|| {
        let (db, contracts) = (app.db.clone(), contracts.clone());
        Census::new(db, chain.id, contracts, providers.clone(), app.process)
    });
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
        census,
        verifier: Arc::new(verifier),
        providers,
        fresh: fresh.then_some(chain.start),
        contracts,
    })))
}

/// Whom to watch, where some agents alone are kept.
fn watch(app: &App) -> Result<Option<Watch>, Error> {
    let watch = app.config.sync.watch();
    watch.map_err(|why| Error::Invalid(format!("sync.watch: {why}")))
}

/// An agent of a registry that is not read would be watched in vain.
fn check_registries(watch: &Watch, chain: &Chain) -> Result<(), Error> {
    let of_chain = watch.tokens.iter().filter(|token| token.chain == chain.id);
    let read = &chain.contracts.identity;
    match of_chain
        .into_iter()
        .find(|token| !read.contains(&token.registry))
    {
        None => Ok(()),
        Some(token) => Err(Error::Invalid(format!(
            "sync.watch: {token} is an agent of a registry that is not read on chain {}: name the registry, too \
             (indexer.chains.registries)",
            chain.id
        ))),
    }
}

/// The block that tells this chain from another one under the same id.
async fn anchor(providers: &Providers, number: u64) -> Result<Anchor, Error> {
    let missing = || RpcError::BeyondHead {
        message: format!("the node has no block {number}, where indexing is to begin"),
    };
    let block = |rpc: Rpc| async move { rpc.block(At::Number(number)).await?.ok_or_else(missing) };
    let header = match providers.ask(block).await {
        Ok(told) => told.value,
        Err(error) => return Err(above_head(providers, number, error).await?),
    };
    Ok(Anchor {
        number,
        hash: header.hash,
    })
}

/// Why there is no such block, with the head's number where that is lower.
async fn above_head(providers: &Providers, number: u64, error: Error) -> Result<Error, Error> {
    let Error::Rpc {
        error: RpcError::BeyondHead { .. },
        ..
    } = &error
    else {
        return Ok(error);
    };
    let head = providers.head().await?.number;
    if number <= head {
        return Ok(error);
    }
    Ok(Error::AboveHead {
        chain: providers.chain(),
        start: number,
        head,
        place: providers.places(),
    })
}
