//! What the journal is owed: the changes folded from facts on settled ground (`model.md` §5). States of new
//! agents are saved by COPY.

use std::{
    collections::{HashMap, HashSet},
    mem,
};

use journal::{Change, EntryKind, First, NewEntry, Owed, Settling};
use kernel::AgentId;
use store::{Tx, copy::Rows};
use uuid::Uuid;

use super::{About, Folded};
use crate::{Result, dirty, head::Shown};

/// What settling did.
#[derive(Default)]
pub(super) struct Settled {
    /// Entries appended.
    pub entries: usize,
    /// What the head feed has to be told.
    pub shown: Vec<Shown>,
    /// Agents of whom nothing is said before entries can be read that cannot be read now.
    pub put_off: Vec<AgentId>,
}

/// Appends owed − said and retracts said − owed.
///
/// An agent that was folded on from its saved state owes just what the new facts changed. One that
/// was folded from its first fact is compared with everything that its entries say, unless it was `never_told`.
pub(super) async fn settle(
    tx: &mut Tx,
    folded: &mut [Folded],
    about: &About,
    never_told: &HashSet<Uuid>,
) -> Result<Settled> {
    let is_first = |one: &Folded| never_told.contains(&one.subject.id.0);
    let compared: Vec<Owed<'_>> = folded
        .iter()
        .filter(|one| one.scratch && !is_first(one))
        .map(|one| Owed {
            agent: one.subject.id,
            changes: &one.owed,
        })
        .collect();
    let Settling {
        mut entries,
        put_off,
    } = if compared.is_empty() {
        Settling::default()
    } else {
        journal::settle(tx, &compared).await?
    };
    let shown = shown(folded, &entries, about, never_told);
    let mut first = First::default();
    for one in folded.iter_mut() {
        let agent = one.subject.id;
        if is_first(one) {
            let said = first.add(tx.now(), agent, mem::take(&mut one.owed));
            said.map_err(journal::Error::from)?;
        } else if !one.scratch && !one.owed.is_empty() {
            entries.push(NewEntry::agent(agent, mem::take(&mut one.owed)));
        }
    }
    Ok(Settled {
        entries: first.append(tx).await? + journal::append(tx, entries).await?.len(),
        shown,
        put_off: put_off.into_iter().map(told).collect(),
    })
}

fn told((agent, why): (AgentId, journal::Error)) -> AgentId {
    tracing::warn!(%agent, "the journal waits with what is owed of an agent: {why}");
    agent
}

/// Leaves agents to the sweep, which compares all that is owed with all that is said.
pub(super) async fn put_off(tx: &mut Tx, agents: &[AgentId]) -> Result<()> {
    if agents.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = agents.iter().map(|agent| agent.0).collect();
    forget(tx, &ids).await?;
    dirty::mark(tx, &ids.into_iter().collect(), true).await
}

/// What is new at the head: what is said now for the first time, and what is not settled yet.
fn shown(
    folded: &[Folded],
    entries: &[NewEntry],
    about: &About,
    never_told: &HashSet<Uuid>,
) -> Vec<Shown> {
    if about.is_nobody() {
        return Vec::new();
    }
    let mut said: HashMap<AgentId, &[Change]> = HashMap::new();
    for entry in entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Agent)
    {
        if let Some(agent) = entry.agent {
            said.insert(agent, &entry.changes);
        }
    }
    folded
        .iter()
        .filter_map(|one| {
            let agent = one.subject.id;
            let everything = one.at_head.as_ref().unwrap_or(&one.owed);
            let mut new = about.told(agent, everything, one.owner_before.as_deref())?;
            let first = never_told.contains(&agent.0);
            let compared = one.scratch && !first;
            if compared {
                let name = |change: &Change| (change.column.clone(), change.cause.clone());
                let owed: HashSet<_> = one.owed.iter().map(name).collect();
                let said = said.get(&agent).copied().unwrap_or_default();
                let said: HashSet<_> = said.iter().map(name).collect();
                new.retain(|told| {
                    let name = name(&told.change);
                    said.contains(&name) || !owed.contains(&name)
                });
            }
            Some(Shown {
                agent,
                new,
                first,
                everything: compared.then(|| everything.clone()),
            })
        })
        .collect()
}

/// Columns of [`put`].
pub(super) const COLUMNS: i16 = 4;

/// Puts the state of a new agent over settled ground.
pub(super) fn put(rows: &mut Rows, one: &Folded) -> Result<()> {
    let state = serde_json::to_vec(one.settled()).map_err(crate::Error::State)?;
    rows.row()
        .uuid(one.subject.id.0)
        .bigint(one.through_block)
        .bigint(one.through_serial)
        .bytea(&state);
    Ok(())
}

/// Copies the states of new agents.
pub(super) async fn copy(tx: &mut Tx, rows: &mut Rows) -> Result<()> {
    let statement = "COPY identity.folds (agent_id, through_block, through_serial, state)
        FROM STDIN (FORMAT binary)";
    Ok(rows.copy(tx, statement).await?)
}

/// Saves the state over settled ground, from which the next fold goes on. None was saved of those `never_told` before.
pub(super) async fn save(tx: &mut Tx, folded: &[Folded], never_told: &HashSet<Uuid>) -> Result<()> {
    let is_first = |one: &&Folded| never_told.contains(&one.subject.id.0);
    let has_state = |one: &&Folded| one.settled().end.is_some();
    let mut rows = Rows::new(COLUMNS);
    for one in folded.iter().filter(is_first).filter(has_state) {
        put(&mut rows, one)?;
    }
    copy(tx, &mut rows).await?;
    let known = folded.iter().filter(|one| !is_first(one));
    let (kept, gone): (Vec<&Folded>, Vec<&Folded>) = known.partition(has_state);
    if kept.is_empty() && gone.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = kept.iter().map(|one| one.subject.id.0).collect();
    let blocks: Vec<i64> = kept.iter().map(|one| one.through_block).collect();
    let serials: Vec<i64> = kept.iter().map(|one| one.through_serial).collect();
    let states = kept
        .iter()
        .map(|one| serde_json::to_vec(one.settled()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(crate::Error::State)?;
    sqlx::query!(
        "INSERT INTO identity.folds (agent_id, through_block, through_serial, state)
         SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bytea[])
         ON CONFLICT (agent_id) DO UPDATE
            SET through_block = EXCLUDED.through_block, through_serial = EXCLUDED.through_serial,
                state = EXCLUDED.state",
        &ids,
        &blocks,
        &serials,
        &states,
    )
    .execute(tx.conn())
    .await?;
    let gone: Vec<Uuid> = gone.iter().map(|one| one.subject.id.0).collect();
    forget(tx, &gone).await
}

/// Forgets the saved states of agents.
pub(super) async fn forget(tx: &mut Tx, agents: &[Uuid]) -> Result<()> {
    if !agents.is_empty() {
        sqlx::query!(
            "DELETE FROM identity.folds WHERE agent_id = ANY($1)",
            agents
        )
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}
