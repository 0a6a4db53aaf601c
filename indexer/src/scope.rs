//! What of a chain is kept. Under `watched` that are tokens: those that somebody named, and those that a watched
//! owner gave or got by a Transfer, from their first log on and whoever owns them later. The scope only grows.

mod enter;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

use chain::{Log, Registries, contracts::topics, subject};
use kernel::{Address, B256, Token, U256};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use store::Tx;

pub use self::watch::{SyncConfig, Watch};
pub(crate) use self::{enter::enter, watch::questions};
use crate::Result;

/// What of a chain is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every agent of its registries.
    #[default]
    All,
    /// Watched tokens.
    Watched,
}

impl Scope {
    /// The column, and the word of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Watched => "watched",
        }
    }
}

/// The scope of a chain that is kept for some alone, as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
    /// Whose tokens enter.
    pub owners: BTreeSet<Address>,
    /// What entered, and whether its logs are stored from the first to the end of ground.
    pub tokens: BTreeMap<Token, bool>,
}

impl Watched {
    /// Reads it; `None` where the whole chain is kept.
    pub async fn read(conn: &mut PgConnection, chain: u64) -> Result<Option<Self>> {
        let id = chain.cast_signed();
        let is_watched = sqlx::query_scalar!(
            r#"SELECT scope = 'watched' AS "watched!" FROM chain.chains WHERE chain_id = $1"#,
            id
        );
        if !is_watched.fetch_one(&mut *conn).await? {
            return Ok(None);
        }
        let owners = sqlx::query_scalar!(
            "SELECT owner FROM chain.watched_owners WHERE chain_id = $1",
            id
        );
        let owners = owners.fetch_all(&mut *conn).await?;
        let tokens = sqlx::query!(
            r#"SELECT registry, token_id::text AS "token!", whole
                 FROM chain.watched_tokens WHERE chain_id = $1"#,
            id
        );
        let tokens = tokens.fetch_all(conn).await?;
        let address = |bytes: &Vec<u8>| Address::try_from(bytes.as_slice()).ok();
        Ok(Some(Self {
            owners: owners.iter().filter_map(address).collect(),
            tokens: tokens
                .iter()
                .filter_map(|row| {
                    let (registry, id) = (address(&row.registry)?, row.token.parse().ok()?);
                    Some((
                        Token {
                            chain,
                            registry,
                            id,
                        },
                        row.whole,
                    ))
                })
                .collect(),
        }))
    }

    /// Whether a log is kept: it speaks of a token whose logs are, or of whom a watched owner lets act for him.
    pub fn keeps(&self, log: &Log, contracts: &Registries) -> bool {
        match subject(log, contracts) {
            Some(token) => self.tokens.get(&token) == Some(&true),
            None => {
                log.topic0() == Some(topics::APPROVAL_FOR_ALL)
                    && contracts.identity.contains(&log.address)
                    && log.topics.get(1).is_some_and(|owner| self.is_owner(*owner))
            }
        }
    }

    /// The Transfers of watched owners, with their tokens.
    pub fn transfers<'a>(
        &'a self,
        logs: &'a [Log],
        contracts: &'a Registries,
    ) -> impl Iterator<Item = (Token, &'a Log)> {
        logs.iter().filter_map(|log| {
            let is_theirs = log.topic0() == Some(topics::TRANSFER)
                && contracts.identity.contains(&log.address)
                && log.topics.len() == 4
                && log.topics[1..3].iter().any(|topic| self.is_owner(*topic));
            Some((subject(log, contracts).filter(|_| is_theirs)?, log))
        })
    }

    fn is_owner(&self, topic: B256) -> bool {
        let address = Address::from_word(topic);
        address.into_word() == topic && self.owners.contains(&address)
    }
}

/// Whether the first of these logs that speaks of a token is its mint: then nothing of it is older.
pub(crate) fn is_minted(token: Token, logs: &[Log], contracts: &Registries) -> bool {
    let first = logs
        .iter()
        .find(|log| subject(log, contracts) == Some(token));
    first.is_some_and(|log| {
        log.topic0() == Some(topics::TRANSFER) && log.topics.get(1) == Some(&B256::ZERO)
    })
}

/// Puts tokens into the scope of a chain; `whole` where their logs are stored. One that was whole stays so.
pub(crate) async fn put_tokens(
    tx: &mut Tx,
    chain: u64,
    tokens: impl IntoIterator<Item = Token>,
    whole: bool,
) -> Result<()> {
    let (registries, ids): (Vec<Vec<u8>>, Vec<String>) = tokens
        .into_iter()
        .map(|token| (token.registry.to_vec(), decimal(token.id)))
        .unzip();
    sqlx::query!(
        "INSERT INTO chain.watched_tokens AS known (chain_id, registry, token_id, whole)
         SELECT $1, registry, id::numeric, $4 FROM unnest($2::bytea[], $3::text[]) AS t(registry, id)
         ON CONFLICT (chain_id, registry, token_id)
         DO UPDATE SET whole = true WHERE EXCLUDED.whole AND NOT known.whole",
        chain.cast_signed(),
        &registries,
        &ids,
        whole,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Watches owners from now on.
async fn put_owners(tx: &mut Tx, chain: u64, owners: &[Address]) -> Result<()> {
    let owners: Vec<Vec<u8>> = owners.iter().map(|owner| owner.to_vec()).collect();
    sqlx::query!(
        "INSERT INTO chain.watched_owners (chain_id, owner) SELECT $1, unnest($2::bytea[])
         ON CONFLICT DO NOTHING",
        chain.cast_signed(),
        &owners,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

fn decimal(id: U256) -> String {
    id.to_string()
}
