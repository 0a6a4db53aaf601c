//! How far a registry's census is: its row.

use chain::Registries;
use chrono::TimeDelta;
use kernel::{Address, B256, U256};
use store::{Cause, Db, Tx};
use uuid::Uuid;

use super::{Due, Layout, StateLevel, agents::Progress};
use crate::Result;

/// What is known of a registry from its last census.
#[derive(Debug, Clone)]
pub struct Stand {
    /// How far its agents were compared.
    pub progress: Progress,
    /// The least level of what was compared.
    pub level: Option<StateLevel>,
    /// Where its implementation keeps things.
    pub known: Option<(B256, Layout)>,
}

impl Stand {
    /// Reads the row, which the first census makes: its pass begins at the first agent, and whoever is
    /// touched from now on is compared besides.
    pub async fn read(db: &Db, chain: i64, registry: Address) -> Result<Self> {
        let mut tx = db.begin(Cause::Job("census")).await?;
        let row = sqlx::query!(
            r#"INSERT INTO chain.census AS c (chain_id, registry, next_token, through_block)
               SELECT chain_id, $2, 0, head_number FROM chain.chains WHERE chain_id = $1
               ON CONFLICT (chain_id, registry) DO UPDATE SET rewinds = c.rewinds
               RETURNING next_token::text AS next_token, through_block, rewinds, values_level,
                         implementation, layout"#,
            chain,
            registry.as_slice(),
        )
        .fetch_one(tx.conn())
        .await?;
        tx.commit().await?;
        let code = row
            .implementation
            .and_then(|code| B256::try_from(code.as_slice()).ok());
        let layout = row.layout.map(|word| match word.as_str() {
            "slots" => Layout::Slots,
            _ => Layout::Calls,
        });
        Ok(Self {
            progress: Progress {
                next: row
                    .next_token
                    .map(|next| next.parse().unwrap_or(U256::ZERO)),
                through: row.through_block,
                rewinds: row.rewinds,
            },
            level: row
                .values_level
                .as_deref()
                .map(StateLevel::parse)
                .filter(|level| *level != StateLevel::Unavailable),
            known: code.zip(layout),
        })
    }
}

/// Whether there is something to compare.
pub async fn due(
    db: &Db,
    chain: i64,
    contracts: &Registries,
    retry: TimeDelta,
    recheck: TimeDelta,
) -> Result<Option<Due>> {
    let now = db.clock().now();
    let registries: Vec<&[u8]> = contracts.identity.iter().map(|r| r.as_slice()).collect();
    let head = sqlx::query_scalar!(
        r#"SELECT c.head_number AS "head!"
             FROM chain.chains c
            CROSS JOIN unnest($2::bytea[]) AS of(registry)
             LEFT JOIN chain.census s ON s.chain_id = c.chain_id AND s.registry = of.registry
            WHERE c.chain_id = $1 AND c.head_hash IS NOT NULL
              AND CASE WHEN s.registry IS NULL THEN true
                       WHEN s.obstacle IS NOT NULL THEN s.taken_at <= $3
                       ELSE s.next_token IS NOT NULL
                         OR EXISTS (SELECT FROM chain.logs l
                                     WHERE l.chain_id = $1 AND l.block_number > s.through_block
                                       AND l.block_number <= c.head_number
                                       AND l.address = of.registry AND l.subject IS NOT NULL)
                         OR EXISTS (SELECT FROM chain.census_again a WHERE a.chain_id = $1)
                         OR s.taken_at <= $4
                            AND (s.block_number < c.head_number
                              OR EXISTS (SELECT FROM chain.mismatches m
                                          WHERE m.chain_id = $1 AND m.gone_block IS NULL))
                  END
            LIMIT 1"#,
        chain,
        &registries as &[&[u8]],
        now - retry,
        now - recheck,
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(head.map(|head| Due { head }))
}

/// Notes that nobody serves the registry's state.
pub async fn unavailable(db: &Db, chain: i64, registry: Address, why: &str) -> Result<()> {
    let mut tx = db.begin(Cause::Job("census")).await?;
    let now = tx.now();
    sqlx::query!(
        "UPDATE chain.census
            SET obstacle = $3, taken_at = $4, counted = NULL, count_level = 'unavailable',
                values_level = 'unavailable'
          WHERE chain_id = $1 AND registry = $2",
        chain,
        registry.as_slice(),
        why,
        now,
    )
    .execute(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(())
}

/// Has agents compared again: whose rows were put right, or who was not clear. Before the first census
/// everybody is to be compared anyway.
pub async fn again(tx: &mut Tx, chain: u64, agents: &[Uuid]) -> Result<()> {
    sqlx::query!(
        "INSERT INTO chain.census_again (chain_id, agent_id)
         SELECT $1, agent FROM unnest($2::uuid[]) AS agent
          WHERE EXISTS (SELECT FROM chain.census WHERE chain_id = $1)
         ON CONFLICT DO NOTHING",
        chain.cast_signed(),
        agents,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Has everything compared again that a rewind to block `to` touched: these agents, and whomever logs of
/// other blocks above it speak of.
pub async fn rewound(tx: &mut Tx, chain: u64, to: i64, agents: &[Uuid]) -> Result<()> {
    sqlx::query!(
        "UPDATE chain.census SET through_block = least(through_block, $2), rewinds = rewinds + 1
          WHERE chain_id = $1",
        chain.cast_signed(),
        to,
    )
    .execute(tx.conn())
    .await?;
    again(tx, chain, agents).await
}
