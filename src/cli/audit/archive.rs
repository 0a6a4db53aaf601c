//! `chancery audit archive`: bodies of entries leave the database, once it is sure now that they can be read elsewhere.

use std::time::Duration;

use clap::ValueEnum;
use content::Kubo;
use futures::{StreamExt, TryStreamExt, stream};
use journal::publication::{self, State};
use kernel::{Bytes, Cid, Kind};
use publish::Manifest;
use serde_json::json;
use store::{Clock, Db};

use crate::{
    Error,
    cli::{Context, client::Client, exit::Failure, show},
    config::Config,
    database::Session,
};

/// Manifests that are looked up at once.
const MANIFESTS: i64 = 64;
/// Blocks that are asked for at once.
const AT_ONCE: usize = 16;

/// Arguments of `audit archive`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// So many entries, from the first one on
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Where their bodies must be
    #[arg(long, value_enum, default_value_t = Place::Pinned)]
    at_least: Place,
}

/// Where bodies are once they have left the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Place {
    /// In the instance's own blockstore: each block is read back
    Stored,
    /// Pinned by Kubo: it is asked again
    Pinned,
}

impl Place {
    fn state(self) -> State {
        match self {
            Self::Stored => State::Stored,
            Self::Pinned => State::Pinned,
        }
    }
}

/// Runs the verb, as the owner of the database.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let client = Client::of(context)?;
    let config = context.gather(Vec::new())?.config;
    let keeper = match args.at_least {
        Place::Stored => {
            // Nothing is begun where nobody answers.
            client.raw("livez", &[]).await?;
            Keeper::Instance(client)
        }
        Place::Pinned => Keeper::Kubo(kubo(&config)?),
    };
    let session = Session::open(&config, &context.environment).await?;
    let archived = archive(args, &config, &session.url, &keeper).await;
    session.close().await;
    let archived = archived?;
    let state = args.at_least.state().as_str();
    let value = json!({ "count": args.count, "at_least": state, "archived": archived });
    Ok(context.output.one(&value, || {
        show::fields(&[
            ("archived", Some(format!("{archived} entries"))),
            ("of the first", Some(args.count.to_string())),
            ("looked up", Some(format!("all of them are {state}"))),
        ])
    })?)
}

fn kubo(config: &Config) -> Result<Kubo, Failure> {
    let content = &config.content;
    let Some(url) = &content.kubo_url else {
        return Err(Failure::invalid(
            "nothing is pinned: no Kubo is configured (content.kubo_url). `--at-least stored` asks for the built-in \
             blockstore alone",
        ));
    };
    let patience = Duration::from_secs(content.kubo_timeout_seconds);
    Kubo::new(url, content.kubo_token.clone(), patience).map_err(|error| failed(&error))
}

fn failed(error: &content::Error) -> Failure {
    Failure::Of(error.kind(), show::clean(&error.to_string()))
}

async fn archive(
    args: &Args,
    config: &Config,
    url: &str,
    keeper: &Keeper<'_>,
) -> anyhow::Result<i64> {
    let db = Db::connect(url, &config.database.pool, Clock::System)
        .await
        .map_err(Error::from)?;
    let archived = async {
        keeper.check(&db, args.count).await?;
        let archived = journal::archive(&db, args.count, args.at_least.state()).await;
        Ok(archived.map_err(Error::from)?)
    }
    .await;
    db.close().await;
    archived
}

/// Who will be asked for the bodies from now on.
enum Keeper<'a> {
    Instance(Client<'a>),
    Kubo(Kubo),
}

impl Keeper<'_> {
    /// Errors where something of the first `count` entries is not there. What was never published,
    /// [`journal::archive`] refuses.
    async fn check(&self, db: &Db, count: u64) -> anyhow::Result<()> {
        let mut from = 0;
        while from < count {
            let manifests = publication::after(db, State::Stored, from, MANIFESTS).await;
            let manifests = manifests.map_err(Error::from)?;
            if manifests.is_empty() {
                return Ok(());
            }
            for manifest in manifests {
                if from >= count {
                    return Ok(());
                }
                let cid =
                    content::parse_cid(&manifest.reference).map_err(|error| failed(&error))?;
                self.has(&cid).await?;
                from = manifest.size;
            }
        }
        Ok(())
    }

    async fn has(&self, manifest: &Cid) -> Result<(), Failure> {
        match self {
            Self::Kubo(kubo) => {
                if kubo
                    .is_pinned(manifest)
                    .await
                    .map_err(|error| failed(&error))?
                {
                    return Ok(());
                }
                let name = kubo.name();
                Err(absent(&format!("{name} does not keep {manifest}")))
            }
            Self::Instance(client) => {
                let bytes = block(client, manifest).await?;
                let manifest: Manifest = kernel::from_dag_cbor(&bytes)
                    .map_err(|error| absent(&format!("{manifest} is no manifest: {error}")))?;
                stream::iter(manifest.entries)
                    .map(|entry| async move { block(client, &entry).await.map(drop) })
                    .buffer_unordered(AT_ONCE)
                    .try_collect()
                    .await
            }
        }
    }
}

/// A block of the instance's own, read back and verified.
async fn block(client: &Client<'_>, cid: &Cid) -> Result<Bytes, Failure> {
    let reply = match client.raw(&format!("ipfs/{cid}"), &[]).await {
        Err(Failure::Of(Kind::NotFound | Kind::Internal, why)) => {
            return Err(absent(&why));
        }
        reply => reply?,
    };
    content::verify(cid, &reply.bytes, client.url()).map_err(|error| absent(&error.to_string()))?;
    Ok(reply.bytes.into())
}

fn absent(why: &str) -> Failure {
    let why = show::clean(why);
    Failure::Of(
        Kind::Conflict,
        format!(
            "nothing was archived: {why}. Entries say that they are published, but that is not so any more"
        ),
    )
}
