//! The second connection of a window: it takes rows of new agents that can be made again (tokens, names, histories,
//! states, who named what) while the first one takes the others, and is committed just before it.
//!
//! Where a process dies between the two commits, rows of agents without a subject are left. The next projection
//! of the chain takes them away first.

use store::Tx;

use crate::{Result, window::Window};

/// Whether histories may be written before the agents that they hang on: not where a foreign key asks.
pub(super) async fn is_possible(tx: &mut Tx) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"SELECT NOT EXISTS (SELECT FROM pg_constraint
                               WHERE conname = 'agent_status_history_agent_id_fkey') AS "possible!""#
    )
    .fetch_one(tx.conn())
    .await?)
}

/// Takes away what a process left that died between the two commits. Everything up to the window was projected.
pub(super) async fn clear(tx: &mut Tx, window: &Window) -> Result<()> {
    let (chain, head) = (window.chain(), window.after());
    let id = chain.cast_signed();
    let left = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM identity.ahead WHERE chain_id = $1 AND to_block > $2) AS "left!""#,
        id,
        head
    );
    if !left.fetch_one(tx.conn()).await? {
        return Ok(());
    }
    tracing::info!(
        chain,
        "chain {chain}: rows of a broken off projection are made again"
    );
    for statement in [
        sqlx::query!(
            "DELETE FROM identity.folds WHERE agent_id IN (SELECT agent_id FROM identity.tokens t
              WHERE chain_id = $1 AND NOT EXISTS (SELECT FROM identity.subjects s WHERE s.id = t.agent_id))",
            id
        ),
        sqlx::query!(
            "DELETE FROM identity.agent_identifiers WHERE agent_id IN (SELECT agent_id FROM identity.tokens t
              WHERE chain_id = $1 AND NOT EXISTS (SELECT FROM identity.subjects s WHERE s.id = t.agent_id))",
            id
        ),
        sqlx::query!(
            "DELETE FROM identity.agent_status_history WHERE agent_id IN (SELECT agent_id FROM identity.tokens t
              WHERE chain_id = $1 AND NOT EXISTS (SELECT FROM identity.subjects s WHERE s.id = t.agent_id))",
            id
        ),
        sqlx::query!(
            "DELETE FROM identity.uri_agents WHERE agent_id IN (SELECT agent_id FROM identity.tokens t
              WHERE chain_id = $1 AND NOT EXISTS (SELECT FROM identity.subjects s WHERE s.id = t.agent_id))",
            id
        ),
        sqlx::query!(
            "DELETE FROM identity.tokens t WHERE chain_id = $1
                AND NOT EXISTS (SELECT FROM identity.subjects s WHERE s.id = t.agent_id)",
            id
        ),
        sqlx::query!("DELETE FROM identity.ahead WHERE chain_id = $1", id),
    ] {
        statement.execute(tx.conn()).await?;
    }
    Ok(())
}

/// Says how far this transaction goes ahead of the other one.
pub(super) async fn begin(tx: &mut Tx, window: &Window) -> Result<()> {
    sqlx::query!(
        "INSERT INTO identity.ahead (chain_id, to_block) VALUES ($1, $2)
         ON CONFLICT (chain_id) DO UPDATE SET to_block = $2",
        window.chain().cast_signed(),
        window.to(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
