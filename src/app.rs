//! What everything on the top floor shares: configuration, database, and who this process is.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use access::{
    Keyring, Limiter, Usage,
    address::Network,
    audit_log::AuditLog,
    origin::{Origins, Whence},
};
use content::{Content, ipns::Key};
use journal::{LogKey, Sealer, backlog::Room};
use store::{Archive, Clock, Db, Reach};
use tokio::sync::{Notify, Semaphore, watch};
use uuid::Uuid;

use crate::{
    Error,
    beating::Beats,
    config::{self, Config},
    data_dir::DataDir,
    http::{Heads, Lookups, Metrics, OPERATORS_PROOFS, PROOFS_AT_ONCE, Seats, Statements, Streams},
    indexing::Board,
    nodes::Nodes,
};

/// The context of one process. Domain crates get parts of it, never the whole.
pub struct App {
    /// The merged configuration.
    pub config: Config,
    /// Where this instance keeps its files.
    pub data_dir: DataDir,
    /// The database.
    pub db: Db,
    /// Who holds this process's leases.
    pub process: Uuid,
    /// The operator's token.
    pub token: String,
    /// API keys in force.
    pub keys: Keyring,
    /// How often people may ask.
    pub limiter: Limiter,
    /// Proxies whose word counts.
    pub proxies: Vec<Network>,
    /// Where this instance is reached; known once it listens.
    reached: OnceLock<Reached>,
    /// How often keys are used.
    pub usage: Usage,
    /// What was seen of those who ask.
    pub audit_log: AuditLog,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// Bytes that are named by their hash.
    pub content: Content,
    /// Seals the journal where this process leads it.
    pub sealer: Sealer,
    /// Signs what the journal's name stands for on IPFS.
    pub name_key: Key,
    /// Why the anchor could not be asked yet whether this log is the anchored one: this process seals nothing until then.
    pub anchor_unread: watch::Sender<Option<String>>,
    /// The same of Kubo, which may have a later head than the database.
    pub kubo_unread: watch::Sender<Option<String>>,
    /// Wakes what seals, so that nothing that this process commits waits for its period.
    pub committed: Arc<Notify>,
    /// What each chain of this process is doing.
    pub chains: Board,
    /// Nodes that can be asked.
    pub nodes: Nodes,
    /// The newest and the settled block of each chain, as the indexer last said them; answers carry
    /// them as `Chancery-Head`.
    pub heads: watch::Sender<Heads>,
    /// Whether the journal has room for what requests append.
    pub room: Room,
    /// Agents that are asked for at the moment.
    pub lookups: Arc<Lookups>,
    /// Who is told of changes as they come.
    pub streams: Streams,
    /// Statements that wait for their transaction.
    pub statements: Statements,
    /// Heartbeats that wait to be recorded.
    pub beats: Arc<Beats>,
    /// Places for the sockets that they come over.
    pub seats: Arc<Seats>,
    /// Places for those who put bundles together.
    pub proofs: Semaphore,
    /// The same, for who has the token.
    pub operators_proofs: Semaphore,
}

/// The names that count, by who asks.
struct Reached {
    here: Origins,
    elsewhere: Origins,
}

impl App {
    /// Connects to the database and gathers the rest; `process` will hold this process's leases.
    pub async fn open(
        config: Config,
        data_dir: DataDir,
        database_url: &str,
        process: Uuid,
    ) -> Result<Arc<Self>, Error> {
        let db = Db::connect(database_url, &config.database.pool, Clock::System).await?;
        let token = match &config.http.token {
            Some(token) => token.clone(),
            None => data_dir.token()?,
        };
        let fetcher = net::Fetcher::new(&config.net).map_err(content::Error::from)?;
        let (content, opened) = Content::open(&config.content, data_dir.path(), fetcher)?;
        if let Some(torn) = &opened.torn {
            tracing::warn!(?torn, "the blockstore's last write was torn and is cut off");
        }
        for damage in &opened.corrupt {
            tracing::error!(
                ?damage,
                "the blockstore is damaged: some blocks must be put again"
            );
        }
        let db = db.with_archive(archive(&content));
        let key = LogKey::load_or_create(&data_dir.path().join(&config.journal.key_file))
            .map_err(journal::Error::from)?;
        let name_key = publish::layout::key(&key);
        let sealer = Sealer::new(key, config.journal.origin.as_deref())?;
        journal::identity::check(&db, sealer.vkey()).await?;
        if let Some(shown) = data_dir.checkpoint()? {
            journal::witness::check(&db, sealer.vkey(), &shown).await?;
        }
        publish::witness::own_blocks(&db, &content, sealer.vkey(), &opened.ends).await?;
        let wrong = |key: &str, why| config::Error::Value {
            key: format!("access.{key}"),
            why,
        };
        let limiter = config.access.limiter().map_err(|why| wrong("redis", why))?;
        let proxies = config.access.trusted();
        let proxies = proxies.map_err(|why| wrong("trusted_proxies", why))?;
        let streams = Streams::new(config.http.max_streams);
        let nodes = Nodes::new(db.clock().clone());
        let lookups = Lookups::new(&db);
        let statements = Statements::new(&db);
        let beats = Beats::new(db.clone(), sealer.vkey().name());
        let seats = Seats::new(config.http.max_sockets, config.http.max_sockets_per_address);
        Ok(Arc::new(Self {
            config,
            data_dir,
            db,
            process,
            token,
            keys: Keyring::default(),
            limiter,
            proxies,
            reached: OnceLock::new(),
            usage: Usage::default(),
            audit_log: AuditLog::default(),
            metrics: Metrics::install(),
            content,
            sealer,
            name_key,
            anchor_unread: watch::Sender::default(),
            kubo_unread: watch::Sender::default(),
            committed: Arc::default(),
            chains: Board::default(),
            nodes,
            heads: watch::Sender::default(),
            room: Room::default(),
            lookups,
            streams,
            statements,
            beats,
            seats,
            proofs: Semaphore::new(PROOFS_AT_ONCE),
            operators_proofs: Semaphore::new(OPERATORS_PROOFS),
        }))
    }

    /// From now on requests come to this address.
    pub fn listens_on(&self, address: SocketAddr) {
        // The first door's names stay.
        let _ = self.reached.set(self.names(address));
    }

    /// Where this instance is reached.
    pub fn origins(&self, from: Whence) -> &Origins {
        let configured = self.config.http.listen;
        let reached = self.reached.get_or_init(|| self.names(configured));
        match from {
            Whence::Here => &reached.here,
            Whence::Elsewhere => &reached.elsewhere,
        }
    }

    fn names(&self, address: SocketAddr) -> Reached {
        // They were checked with the configuration.
        let names =
            |from| Origins::new(&self.config.access.origins, address, from).unwrap_or_default();
        Reached {
            here: names(Whence::Here),
            elsewhere: names(Whence::Elsewhere),
        }
    }

    /// Why this process seals nothing now, in words.
    pub fn unsealed(&self) -> Option<String> {
        self.unanchored().or_else(|| {
            let why = self.kubo_unread.borrow();
            let why = why.as_ref()?;
            Some(format!(
                "nothing is sealed until Kubo was asked, for it may know of more than this journal has: {why}. Start \
                 it; where it is gone for good, take content.kubo_url out of the configuration"
            ))
        })
    }

    /// Why this process could not read the anchor since its start, and so seals nothing.
    pub fn unanchored(&self) -> Option<String> {
        let why = self.anchor_unread.borrow();
        let why = why.as_ref()?;
        Some(format!(
            "nothing is sealed until the anchor was read, for it may hold more than this journal: {why}"
        ))
    }

    /// Why the journal takes no more now: who would append waits for the sealer then. What else is wrong with the
    /// database, the next step tells.
    pub async fn full(&self) -> Option<journal::Error> {
        let most = self.config.journal.max_queued;
        let full = journal::backlog::room(&self.db, most).await.err()?;
        matches!(full, journal::Error::Full { .. }).then_some(full)
    }
}

/// Bodies of archived entries are blocks: our own, else what Kubo or a gateway gives.
fn archive(content: &Content) -> Archive {
    let content = content.clone();
    Archive::new(move |cid, reach| {
        let content = content.clone();
        async move {
            let told = |error: content::Error| error.to_string();
            let cid = content::parse_cid(&cid).map_err(told)?;
            let body = match reach {
                Reach::Here => content.blocks().get(&cid).await.map_err(told)?,
                Reach::Anywhere => Some(content.block(&cid).await.map_err(told)?),
            };
            let body = body.ok_or_else(|| "it is not in our own blockstore".to_owned())?;
            Ok(body.to_vec())
        }
    })
}

/// An id for a process that may have others beside it.
#[expect(
    clippy::disallowed_methods,
    reason = "this is where a process gets its id"
)]
pub fn new_process() -> Uuid {
    Uuid::new_v4()
}

/// The id of the one process that holds a data directory's lock: a start after a kill goes on with its
/// predecessor's leases instead of waiting for them to end.
pub fn sole_process(data_dir: &DataDir) -> Result<Uuid, Error> {
    Ok(data_dir.process(new_process())?)
}
