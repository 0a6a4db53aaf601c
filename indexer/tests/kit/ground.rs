//! Ground that runs ahead of the projection, as a backfill stores it, and windows over it.

use std::sync::Arc;

use chain::{Block, Log, operator, subject, vexel::vexel};
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
        let contracts = script.contracts();
        let (blocks, logs) = named(script, window.to(), to);
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
        put(&mut tx, &logs).await;
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
        let vexels: Vec<_> = logs
            .iter()
            .filter(|(log, _)| contracts.vexel.contains(&log.address))
            .filter_map(|(log, _)| {
                let at = (log.block_number.cast_signed(), log.log_index.cast_signed());
                Some((at, vexel(log)?.ok()?))
            })
            .collect();
        identity::vexel::record(&mut tx, script.id, &vexels)
            .await
            .expect("words of VEXEL's");
        sqlx::query("UPDATE chain.chains SET ground_number = $2 WHERE chain_id = $1")
            .bind(script.id.cast_signed())
            .bind(to)
            .execute(tx.conn())
            .await
            .expect("moved");
        tx.commit().await.expect("committed");
        self.ground_again(script, window, to);
    }

    /// Adds stored blocks up to `to` to the window, as after a restart.
    pub fn ground_again(&self, script: &Script, window: &mut Window, to: i64) {
        let (blocks, logs) = named(script, window.to(), to);
        let blocks: Vec<_> = blocks.iter().map(|(block, _)| block.clone()).collect();
        let now = self.clock.now();
        window.add(to, now, &blocks, &logs).expect("whole blocks");
    }

    /// Projects a window and moves the cursor to its end.
    pub async fn flush(&self, script: &Script, window: &Arc<Window>) -> identity::Result<Report> {
        let mut tx = self.db.begin(Cause::Job("test")).await?;
        self.moved(&mut tx, script, window).await;
        let report = identity::project_window(
            &mut tx,
            None,
            window,
            Feed::Watched,
            identity::States::Saved,
        )
        .await?;
        identity::vexel::mark(&mut tx, script.id, window.after(), window.to()).await?;
        tx.commit().await?;
        Ok(report)
    }

    /// The same by two connections; `dies` is between their commits.
    pub async fn flush_by_two(
        &self,
        script: &Script,
        window: &Arc<Window>,
        dies: bool,
    ) -> identity::Result<()> {
        let mut tx = self.db.begin(Cause::Job("test")).await?;
        let mut second = self.db.begin(Cause::Job("test")).await?;
        self.moved(&mut tx, script, window).await;
        let both = Some(&mut second);
        identity::project_window(
            &mut tx,
            both,
            window,
            Feed::Watched,
            identity::States::Saved,
        )
        .await?;
        identity::vexel::mark(&mut tx, script.id, window.after(), window.to()).await?;
        second.commit().await?;
        if dies {
            tx.rollback().await?;
        } else {
            tx.commit().await?;
        }
        Ok(())
    }

    async fn moved(&self, tx: &mut Tx, script: &Script, window: &Window) {
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
    }
}

/// A log with the agent that it speaks of.
type Named = (Log, Option<(AgentId, Token)>);

/// Blocks above `above` up to `to` that hold logs, and those logs.
fn named(script: &Script, above: i64, to: i64) -> (Vec<&(Block, Vec<Log>)>, Vec<Named>) {
    let blocks: Vec<_> = (above + 1..=to)
        .map(|number| &script.blocks[usize::try_from(number).expect("a block")])
        .filter(|(_, logs)| !logs.is_empty())
        .collect();
    let contracts = script.contracts();
    let name = |log: Log| {
        let named = subject(&log, &contracts);
        let named = named.map(|token| (AgentId::of_token(&token), token));
        (log, named)
    };
    let logs = blocks.iter().flat_map(|(_, logs)| logs.clone());
    let logs = logs.map(name).collect();
    (blocks, logs)
}

/// Some thousands at once: there are tests of a hundred thousand agents.
async fn put(tx: &mut Tx, logs: &[Named]) {
    for logs in logs.chunks(8_192) {
        let number = |of: fn(&Log) -> u64| -> Vec<i64> {
            logs.iter().map(|(log, _)| of(log).cast_signed()).collect()
        };
        let bytes = |of: fn(&Log) -> &[u8]| -> Vec<Vec<u8>> {
            logs.iter().map(|(log, _)| of(log).to_vec()).collect()
        };
        let topic = |index: usize| -> Vec<Option<Vec<u8>>> {
            let topic = |log: &Log| log.topics.get(index).map(|topic| topic.to_vec());
            logs.iter().map(|(log, _)| topic(log)).collect()
        };
        let agents = logs
            .iter()
            .map(|(_, named)| named.map(|(agent, _)| agent.0));
        let insert = "INSERT INTO chain.logs
            SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bytea[],
                                 $7::bytea[], $8::bytea[], $9::bytea[], $10::bytea[], $11::bytea[], $12::uuid[])";
        sqlx::query(insert)
            .bind(number(|log| log.chain))
            .bind(number(|log| log.block_number))
            .bind(number(|log| log.log_index.into()))
            .bind(number(|log| log.tx_index.into()))
            .bind(bytes(|log| log.tx_hash.as_slice()))
            .bind(bytes(|log| log.address.as_slice()))
            .bind(topic(0))
            .bind(topic(1))
            .bind(topic(2))
            .bind(topic(3))
            .bind(bytes(|log| log.data.as_ref()))
            .bind(agents.collect::<Vec<_>>())
            .execute(tx.conn())
            .await
            .expect("logs");
    }
}
