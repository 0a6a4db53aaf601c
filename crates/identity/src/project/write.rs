//! Folded agents to rows: each table in at most three statements, and an unchanged row in none.
//!
//! Rows travel as one JSON array per table: their types stand here, Postgres reads them by name.

mod agent;
mod collision;
mod content;
mod new;
mod status;
mod token;

use serde::Serialize;
use store::Tx;
use uuid::Uuid;

pub(super) use self::new::NewAgents;
use super::Folded;
use crate::{Result, identifier};

/// Writes all rows of all tables; those of agents without facts, or with deleted rows, go.
pub(super) async fn rows(tx: &mut Tx, folded: &[Folded]) -> Result<()> {
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
    shown.retain(|one| !apart.contains(&one.subject.id.0));
    token::write(tx, folded).await?;
    agent::write(tx, &shown).await?;
    status::history(tx, &shown).await?;
    status::dimensions(tx, &shown).await?;
    content::documents(tx, &shown).await?;
    content::capabilities(tx, &shown).await?;
    let named = shown.iter().filter(|one| one.scratch || one.delta.names);
    identifier::write(tx, &named.map(|one| names(one)).collect::<Vec<_>>()).await
}

fn names(one: &Folded) -> identifier::Names {
    identifier::Names::of(
        &one.subject,
        agent::did(one),
        &one.head.former,
        one.chain.and_then(|chain| chain.first_registry),
    )
}

async fn remove(tx: &mut Tx, hidden: &[Uuid], without_facts: &[Uuid]) -> Result<()> {
    if !hidden.is_empty() {
        sqlx::query!("DELETE FROM identity.agents WHERE id = ANY($1)", hidden)
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
