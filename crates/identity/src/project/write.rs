//! Folded agents to rows: each table in at most three statements, and an unchanged row in none.
//!
//! Rows travel as one JSON array per table: their types stand here, Postgres reads them by name.

mod agent;
mod collision;
mod content;
mod new;
mod status;
mod token;

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use store::Tx;
use uuid::Uuid;

pub(super) use self::new::NewAgents;
use super::Folded;
use crate::{
    Result,
    heartbeat::{self, Pulse, Term},
    identifier, vexel,
};

/// Writes all rows of all tables but that of beats; those of agents without facts, or with deleted rows, go. Those of
/// agents that are known to be `new` are copied. Gives the agents that wait for another one's DID: they are dirty.
pub(super) async fn rows(
    tx: &mut Tx,
    folded: &[Folded],
    new: &HashSet<Uuid>,
) -> Result<HashSet<Uuid>> {
    let (mut shown, hidden): (Vec<&Folded>, Vec<&Folded>) = folded
        .iter()
        .partition(|one| one.head.exists && !one.head.deleted);
    let without_facts: Vec<Uuid> = folded
        .iter()
        .filter(|one| !one.head.exists)
        .map(|one| one.subject.id.0)
        .collect();
    let hidden: Vec<Uuid> = hidden.iter().map(|one| one.subject.id.0).collect();
    remove(tx, &hidden, &without_facts).await?;
    let apart = collision::set_apart(tx, &shown).await?;
    shown.retain(|one| !apart.contains(one.subject.id.0));
    heard(tx, folded).await?;
    token::write(tx, folded).await?;
    let (new, known): (Vec<&Folded>, Vec<&Folded>) = shown
        .iter()
        .partition(|one| new.contains(&one.subject.id.0));
    agent::write(tx, &known).await?;
    status::history(tx, &known).await?;
    status::dimensions(tx, &known).await?;
    let named = known.iter().filter(|one| one.scratch || one.delta.names);
    identifier::write(tx, &named.map(|one| names(one)).collect::<Vec<_>>()).await?;
    new::copy(tx, &new).await?;
    content::documents(tx, &shown).await?;
    content::capabilities(tx, &shown).await?;
    Ok(apart.waiting)
}

/// What beats have to know of these agents.
pub(super) fn pulses(folded: &[Folded]) -> Vec<Pulse> {
    let touched = folded.iter().filter(|one| {
        let life = &one.delta.life;
        one.scratch || one.termed || life.changed || life.beat.is_some()
    });
    touched.map(pulse).collect()
}

fn pulse(one: &Folded) -> Pulse {
    let (id, state) = (one.subject.id.0, &one.head);
    let ttl = state
        .columns
        .value("ttl")
        .and_then(serde_json::Value::as_i64);
    let beat = one.delta.life.beat.filter(|_| state.exists);
    // From the first fact it is known which beat on chain still holds.
    let heard = if one.scratch {
        beat
    } else {
        state.last_heartbeat
    };
    Pulse {
        agent: id,
        alive: state.status.liveness.1.as_deref() == Some("active"),
        beat: beat.map(|at| (at, at + heartbeat::lasts_on_chain(ttl))),
        term: one.termed.then(|| Term::new(ttl, heard)),
    }
}

/// Which words of VEXEL's contracts speak for their agents.
async fn heard(tx: &mut Tx, folded: &[Folded]) -> Result<()> {
    let words = folded.iter().flat_map(|one| {
        let chain = one.subject.chain.unwrap_or_default();
        let heard = one.delta.heard.iter();
        heard.map(move |(at, speaks)| ((chain, (at.block, at.log)), *speaks))
    });
    // The last verdict holds: an agent that becomes known judges anew what was said before.
    let words: BTreeMap<_, _> = words.collect();
    vexel::attribute(tx, &words).await
}

fn names(one: &Folded) -> identifier::Names {
    identifier::Names::of(
        &one.subject,
        agent::did(one),
        &one.head.former,
        &one.head.claimed,
        one.chain.and_then(|chain| chain.first_registry),
    )
}

async fn remove(tx: &mut Tx, hidden: &[Uuid], without_facts: &[Uuid]) -> Result<()> {
    if !hidden.is_empty() {
        sqlx::query!("DELETE FROM identity.agents WHERE id = ANY($1)", hidden)
            .execute(tx.conn())
            .await?;
        sqlx::query!(
            "DELETE FROM identity.agent_identifiers WHERE agent_id = ANY($1)",
            hidden
        )
        .execute(tx.conn())
        .await?;
        // This goes by a cascade, too; but its foreign key is missing while a first backfill runs.
        sqlx::query!(
            "DELETE FROM identity.agent_status_history WHERE agent_id = ANY($1)",
            hidden
        )
        .execute(tx.conn())
        .await?;
    }
    if !without_facts.is_empty() {
        sqlx::query!(
            "DELETE FROM identity.tokens WHERE agent_id = ANY($1)",
            without_facts
        )
        .execute(tx.conn())
        .await?;
        sqlx::query!(
            "DELETE FROM identity.uri_agents WHERE agent_id = ANY($1)",
            without_facts
        )
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

fn json<T: Serialize>(rows: &[T]) -> Result<String> {
    serde_json::to_string(rows).map_err(crate::Error::State)
}
