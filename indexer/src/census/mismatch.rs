//! Values of ours that are not the registry's: named, kept, and journaled once.

use std::collections::{BTreeSet, HashMap};

use journal::{Change, NewEntry};
use kernel::{B256, U256};
use serde_json::json;
use store::Tx;
use uuid::Uuid;

use super::{
    Mismatch, StateLevel,
    compare::{Difference, Ours, Theirs, What, differences},
    keep::{Compared, Place, pairs},
    read::Reading,
    rule::{self, Made},
};
use crate::Result;

/// What differs of the agents that are clear, each with the rule that made it.
pub async fn of_agents(
    tx: &mut Tx,
    place: &Place,
    now: &[Ours],
    compared: &Compared<'_>,
    unclear: &BTreeSet<Uuid>,
) -> Result<Vec<Mismatch>> {
    let theirs: HashMap<Uuid, &Theirs> = pairs(&compared.rows.agents, compared.reading)
        .map(|(ours, theirs)| (ours.agent, theirs))
        .collect();
    let mut mismatches = Vec::new();
    for ours in now.iter().filter(|ours| !unclear.contains(&ours.agent)) {
        let Some(theirs) = theirs.get(&ours.agent) else {
            continue;
        };
        let found = differences(ours, theirs);
        let whats: Vec<What> = found.iter().map(|one| one.what.clone()).collect();
        let made = rule::made(tx, place.chain, place.topics, ours, &whats).await?;
        let level = compared.reading.second;
        mismatches.extend(
            found
                .into_iter()
                .zip(made)
                .map(|(difference, made)| Mismatch {
                    agent: Some((ours.agent, ours.token)),
                    difference,
                    made,
                    level,
                }),
        );
    }
    Ok(mismatches)
}

/// The count of `minted` agents, the highest of which we know, with the numbers of some that we have no row of.
pub async fn of_count(
    tx: &mut Tx,
    place: &Place,
    minted: i64,
    highest: Option<U256>,
    reading: &Reading,
) -> Result<Mismatch> {
    let theirs = match (reading.counted, highest) {
        (Some(counted), _) => {
            let missing = missing(tx, place, counted).await?;
            if missing.is_empty() {
                counted.to_string()
            } else {
                format!("{counted}, among them {}", missing.join(", "))
            }
        }
        (None, Some(highest)) => format!("agents above {highest}"),
        (None, None) => "agents".to_owned(),
    };
    Ok(Mismatch {
        agent: None,
        difference: Difference {
            what: What::Agents,
            ours: Some(minted.to_string()),
            theirs: Some(theirs),
        },
        made: Made::COUNT,
        level: match reading.count_level {
            StateLevel::Proven => StateLevel::Proven,
            StateLevel::Reported | StateLevel::Unavailable => StateLevel::Reported,
        },
    })
}

/// The first numbers below `counted` of which no mint is known.
async fn missing(tx: &mut Tx, place: &Place, counted: U256) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar!(
        r#"SELECT number::text AS "number!" FROM generate_series(0, $3::bigint - 1) AS number
            WHERE NOT EXISTS (SELECT FROM identity.v_tokens
                               WHERE chain_id = $1 AND registry = $2 AND token_id = number
                                 AND complete)
            ORDER BY number LIMIT 20"#,
        place.chain.cast_signed(),
        place.registry.as_slice(),
        i64::try_from(counted).unwrap_or(i64::MAX),
    )
    .fetch_all(tx.conn())
    .await?)
}

/// Notes that mismatches of these agents, and of the count where it is known, are gone.
pub async fn gone(
    tx: &mut Tx,
    place: &Place,
    at: i64,
    clear: &[Uuid],
    mismatches: &[Mismatch],
    counted: bool,
) -> Result<()> {
    let (agents, whats) = keys(mismatches);
    sqlx::query!(
        "UPDATE chain.mismatches m SET gone_block = $3
          WHERE chain_id = $1 AND registry = $2 AND gone_block IS NULL
            AND (agent_id = ANY($4) OR agent_id IS NULL AND $5)
            AND NOT EXISTS (SELECT FROM unnest($6::uuid[], $7::text[]) AS still(agent, what)
                             WHERE still.agent IS NOT DISTINCT FROM m.agent_id
                               AND still.what = m.what)",
        place.chain.cast_signed(),
        place.registry.as_slice(),
        at,
        clear,
        counted,
        &agents as &[Option<Uuid>],
        &whats,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

fn keys(mismatches: &[Mismatch]) -> (Vec<Option<Uuid>>, Vec<String>) {
    mismatches
        .iter()
        .map(|one| {
            let agent = one.agent.map(|(agent, _)| agent);
            (agent, one.difference.what.to_string())
        })
        .unzip()
}

/// Keeps mismatches, and journals those that are new.
pub async fn put(
    tx: &mut Tx,
    place: &Place,
    at: i64,
    hash: B256,
    mismatches: &[Mismatch],
) -> Result<()> {
    let new = insert(tx, place, at, hash, mismatches).await?;
    tell(tx, place, hash, mismatches, &new).await
}

/// Gives the places of those that are new, or not what they were.
async fn insert(
    tx: &mut Tx,
    place: &Place,
    at: i64,
    hash: B256,
    mismatches: &[Mismatch],
) -> Result<Vec<usize>> {
    let now = tx.now();
    let mut new = Vec::new();
    for (index, one) in mismatches.iter().enumerate() {
        let inserted = sqlx::query_scalar!(
            "INSERT INTO chain.mismatches AS m
                    (chain_id, registry, agent_id, token_id, what, rule, rule_block, rule_log,
                     ours, theirs, level, block_number, block_hash, found_at)
             VALUES ($1, $2, $3, $4::text::numeric, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
             ON CONFLICT ON CONSTRAINT mismatches_once DO UPDATE
                SET rule = EXCLUDED.rule, rule_block = EXCLUDED.rule_block,
                    rule_log = EXCLUDED.rule_log, ours = EXCLUDED.ours, theirs = EXCLUDED.theirs,
                    level = EXCLUDED.level, block_number = EXCLUDED.block_number,
                    block_hash = EXCLUDED.block_hash, found_at = EXCLUDED.found_at,
                    gone_block = NULL
              WHERE m.gone_block IS NOT NULL
                 OR (m.ours, m.theirs) IS DISTINCT FROM (EXCLUDED.ours, EXCLUDED.theirs)
             RETURNING serial",
            place.chain.cast_signed(),
            place.registry.as_slice(),
            one.agent.map(|(agent, _)| agent),
            one.agent.map(|(_, token)| token.to_string()),
            one.difference.what.to_string(),
            one.made.rule,
            one.made.by.map(|(block, _)| block),
            one.made.by.map(|(_, log)| log),
            one.difference.ours,
            one.difference.theirs,
            one.level.as_str(),
            at,
            hash.as_slice(),
            now,
        )
        .fetch_optional(tx.conn())
        .await?;
        if inserted.is_some() {
            new.push(index);
        }
    }
    Ok(new)
}

/// Journals what is new, in one entry.
async fn tell(
    tx: &mut Tx,
    place: &Place,
    hash: B256,
    mismatches: &[Mismatch],
    new: &[usize],
) -> Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    let (chain, registry) = (place.chain, place.registry);
    let changes = new
        .iter()
        .map(|index| {
            let one = &mismatches[*index];
            let by = one.made.by.map(|(block, log)| format!("{block}/{log}"));
            Change {
                column: "census_mismatch".to_owned(),
                value: json!({
                    "registry": format!("{registry:#x}"),
                    "agent": one.agent.map(|(agent, _)| agent.to_string()),
                    "token": one.agent.map(|(_, token)| token.to_string()),
                    "what": one.difference.what.to_string(),
                    "rule": one.made.rule,
                    "log": by,
                    "ours": one.difference.ours,
                    "theirs": one.difference.theirs,
                    "level": one.level.as_str(),
                }),
                cause: format!("eip155:{chain}/{hash:#x}"),
                time: now,
            }
        })
        .collect();
    journal::append(tx, vec![NewEntry::incident(changes)]).await?;
    let first = &mismatches[new[0]];
    tracing::error!(
        chain,
        registry = %registry,
        mismatches = new.len(),
        first = %first,
        "chain {chain}: {} values are not the registry's; the first: {first}",
        new.len()
    );
    metrics::counter!("chancery_census_mismatches_total", "chain" => chain.to_string())
        .increment(new.len() as u64);
    Ok(())
}
