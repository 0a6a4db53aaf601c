//! Ground that runs ahead of the projection, as a backfill stores it, and windows over it.

use chain::{Log, operator, subject};
use identity::{Feed, Report, Window};
use kernel::{AgentId, Token};
use store::{Cause, Tx};

use super::{
    script::Script,
    world::{World, time},
};

impl World {
    /// Stores the blocks above `above` up to `to` and adds them to the window; the cursor stays.
    pub async fn ground(&self, script: &Script, window: &mut Window, to: i64) {
        let blocks: Vec<_> = (window.to() + 1..=to)
            .map(|number| &script.blocks[usize::try_from(number).expect("a block")])
            .filter(|(_, logs)| !logs.is_empty())
            .collect();
        let contracts = script.contracts();
        let logs: Vec<(Log, Option<(AgentId, Token)>)> = blocks
            .iter()
            .flat_map(|(_, logs)| logs.clone())
            .map(|log| {
                let named = subject(&log, &contracts);
                let named = named.map(|token| (AgentId::of_token(&token), token));
                (log, named)
            })
            .collect();
        let mut tx = self.db.begin(Cause::Job("test")).await.expect("begun");
        for (block, _) in &blocks {
            let seconds = block.time.expect("a time");
            let insert = "INSERT INTO chain.blocks VALUES ($1, $2, $3, $4)";
            sqlx::query(insert)
                .bind(script.id.cast_signed())
                .bind(block.number.cast_signed())
                .bind(block.hash.as_slice())
                .bind(time(seconds))
                .execute(tx.conn())
                .await
                .expect("a block");
        }
        for (log, named) in &logs {
            put(&mut tx, log, named.map(|(agent, _)| agent)).await;
        }
        let operators: Vec<_> = logs
            .iter()
            .filter(|(log, _)| contracts.identity.contains(&log.address))
            .filter_map(|(log, _)| {
                let at = (log.block_number.cast_signed(), log.log_index.cast_signed());
                Some((at, operator(log)?.ok()?))
            })
            .collect();
        identity::operator::record(&mut tx, script.id, &operators)
            .await
            .expect("operators");
        tx.commit().await.expect("committed");
        let blocks: Vec<_> = blocks.iter().map(|(block, _)| block.clone()).collect();
        let now = self.clock.now();
        window.add(to, now, &blocks, &logs).expect("whole blocks");
    }

    /// Projects a window and moves the cursor to its end.
    pub async fn flush(&self, script: &Script, window: &Window) -> identity::Result<Report> {
        let mut tx = self.db.begin(Cause::Job("test")).await?;
        let last = &script.blocks[usize::try_from(window.to()).expect("a block")].0;
        let moved = "UPDATE chain.chains SET head_number = $2, head_hash = $3, settled_number = $2,
                            ground_number = $2, ground_hash = $3,
                            head_time = greatest(head_time, $4) WHERE chain_id = $1";
        sqlx::query(moved)
            .bind(script.id.cast_signed())
            .bind(window.to())
            .bind(last.hash.as_slice())
            .bind(time(last.time.expect("a time")))
            .execute(tx.conn())
            .await
            .expect("moved");
        let report = identity::project_window(&mut tx, window, Feed::Skipped).await?;
        tx.commit().await?;
        Ok(report)
    }
}

async fn put(tx: &mut Tx, log: &Log, agent: Option<AgentId>) {
    let topic = |index: usize| log.topics.get(index).map(|topic| topic.to_vec());
    let insert =
        "INSERT INTO chain.logs VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    sqlx::query(insert)
        .bind(log.chain.cast_signed())
        .bind(log.block_number.cast_signed())
        .bind(log.log_index.cast_signed())
        .bind(log.tx_index.cast_signed())
        .bind(log.tx_hash.as_slice())
        .bind(log.address.as_slice())
        .bind(topic(0))
        .bind(topic(1))
        .bind(topic(2))
        .bind(topic(3))
        .bind(log.data.as_ref())
        .bind(agent.map(|agent| agent.0))
        .execute(tx.conn())
        .await
        .expect("a log");
}
