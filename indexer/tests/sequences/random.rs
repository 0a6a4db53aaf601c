//! Batch independence: any history, in steps of any size, with reorgs, acts, statements and documents at any time,
//! is what one fresh fold makes of it.

use std::sync::Arc;

use chain::SeenTopics;
use identity::{Window, fact::RuntimeStatus, statement::Action};
use kernel::Kind;
use serde_json::json;
use sqlx::PgPool;

use crate::{
    kit::{By, Fresh, Script, Way, World, Writer, did, owner, say, start},
    statements::token,
};

/// Histories of each test; a failing one names its seed.
const HISTORIES: u64 = 12;
/// Things that happen in one history.
const EVENTS: usize = 30;
const TOKENS: u64 = 4;
const URIS: u64 = 4;
/// Owners, by the seeds of their wallets from 1 on.
const PEOPLE: u64 = 3;
/// Keys that found agents or are rotated to, by their seeds from 10 on.
const KEYS: u64 = 4;

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn small(&mut self, sides: u64) -> u8 {
        u8::try_from(self.roll(sides)).expect("small")
    }
}

/// A history while it grows.
struct Run {
    dice: Dice,
    world: World,
    script: Script,
    now: i64,
    /// Steps of at most so many blocks.
    stride: u64,
    log: Vec<String>,
}

impl Run {
    /// One or two things said of a token.
    fn say<'a>(&mut self, b: &'a mut Writer) -> &'a mut Writer {
        let (token, dice) = (self.dice.roll(TOKENS), &mut self.dice);
        let person = owner(1 + dice.small(PEOPLE));
        let uri = format!("ipfs://{}", dice.roll(URIS));
        match dice.roll(13) {
            0 | 1 => b.register(token, person, &uri),
            2 => b.tx(&format!("mint {token}")).mint(token, owner(1)),
            3 => b.burn(token, person),
            4 => b.transfer(token, person, owner(2)),
            5 | 6 => b.uri(token, &uri),
            7 => b
                .uri(token, "ipfs://0")
                .uri(token, "ipfs://1")
                .uri(token, "ipfs://0"),
            8 => b.uri(token, ""),
            9 => b.metadata(token, "k", &[dice.small(9)]),
            10 => b.heartbeat(token),
            code => b.status(
                token,
                u8::try_from((code + dice.roll(3)) % 3).expect("small"),
                "because",
            ),
        }
    }

    fn grow(&mut self, blocks: u64) {
        for _ in 0..blocks {
            self.now += i64::try_from(self.dice.roll(4)).expect("small");
            let (time, words) = (self.now - 2, self.dice.roll(3));
            let mut script = self.script.clone();
            script.block(time, |b| (0..words).fold(b, |b, _| self.say(b)));
            self.script = script;
        }
    }

    async fn follow(&mut self) -> anyhow::Result<()> {
        let cursor = indexer::standing(&self.world.db, self.script.id)
            .await?
            .ground;
        let mut at = cursor.number;
        while at < self.script.tip() {
            let by = i64::try_from(1 + self.dice.roll(self.stride))?;
            at = (at + by).min(self.script.tip());
            self.world.extend(&self.script, at).await?;
        }
        Ok(())
    }

    /// Ground runs ahead in a few steps; people and judges act meanwhile.
    async fn window(&mut self) -> anyhow::Result<()> {
        self.follow().await?;
        let after = self.script.tip();
        let mut window = Window::new(self.script.id, SeenTopics::ALL, after);
        for _ in 0..=self.dice.roll(3) {
            let blocks = 1 + self.dice.roll(4);
            self.grow(blocks);
            let to = self.script.tip();
            self.world.ground(&self.script, &mut window, to).await;
            match self.dice.roll(5) {
                0 => self.act().await?,
                1 => self.judge().await?,
                2 => self.world.sweep().await,
                3 => self.sign().await?,
                _ => {}
            }
        }
        self.world.flush(&self.script, &Arc::new(window)).await?;
        Ok(())
    }

    async fn reorg(&mut self) -> anyhow::Result<()> {
        let deepest = if self.world.depth == 0 {
            6
        } else {
            self.world.depth
        };
        let depth = i64::try_from(self.dice.roll(deepest.unsigned_abs() + 1))?;
        let settled = self
            .world
            .one("SELECT settled_number FROM chain.chains")
            .await
            .parse::<i64>()?;
        let floor = if self.world.depth == 0 { 0 } else { settled };
        let to = (self.script.tip() - depth).max(floor);
        self.world.rewind(&self.script, to).await?;
        let old = self.script.clone();
        self.script.fork(to);
        if self.dice.roll(3) == 0 {
            // The same blocks come back, or some of them.
            let back = usize::try_from(to)? + 1 + usize::try_from(self.dice.roll(3))?;
            self.script.blocks = old.blocks[..back.min(old.blocks.len())].to_vec();
        }
        // Never shorter than it was: what is settled stays settled.
        let lost = old.tip() - self.script.tip();
        self.grow(lost.unsigned_abs());
        self.follow().await
    }

    async fn act(&mut self) -> anyhow::Result<()> {
        let agent = self.script.agent(self.dice.roll(TOKENS));
        let table = "identity.agents";
        let word = ["ACTIVE", "SLEEP", "TERMINATED"][usize::try_from(self.dice.roll(3))?];
        let n = self.dice.roll(3);
        let text = match self.dice.roll(8) {
            0..=2 => {
                let status = RuntimeStatus::parse(word).expect("a status");
                // A final status, or no such agent: people are told.
                self.world.act(agent, status).await.ok();
                return Ok(());
            }
            3 => format!(
                "UPDATE {table} SET runtime_status = '{word}' WHERE id = '{agent}' AND NOT status_final"
            ),
            4 => format!(
                "UPDATE {table} SET name = 'sql {n}', description = NULL, load = 'BUSY' WHERE id = '{agent}'"
            ),
            5 => format!(
                "UPDATE identity.capability_vectors SET capability_value = '{n}' WHERE agent_id = '{agent}'"
            ),
            6 => format!(
                "DELETE FROM identity.capability_vectors WHERE capability_name = 'c{n}' AND agent_id = '{agent}'"
            ),
            _ if n == 0 => format!("DELETE FROM {table} WHERE id = '{agent}'"),
            _ => format!(
                "SELECT identity.restore_agent(id) FROM identity.subjects WHERE id = '{agent}'"
            ),
        };
        Ok(self.world.sql(&text).await?)
    }

    /// Somebody signs something about the agent of a token, or about that of a key. Much of it he may not say.
    async fn sign(&mut self) -> anyhow::Result<()> {
        let dice = &mut self.dice;
        let (wallet, n) = (By::Wallet(1 + dice.small(PEOPLE)), dice.small(3));
        let (seed, other) = (10 + dice.small(KEYS), 10 + dice.small(KEYS));
        let (key, of_key, of_token) = (By::Key(seed), did(seed), token(dice.roll(TOKENS)));
        let status = ["ACTIVE", "SLEEP", "TERMINATED"][usize::from(n)];
        let status = json!({ "status": status, "load": "BUSY" });
        let update = json!({ "description": format!("signed {n}"), "capabilities": { "c1": n, "c2": null } });
        let (action, agent, content, by) = match dice.roll(14) {
            0 | 1 => {
                let named = json!({ "name": format!("signed {n}"), "capabilities": { "c0": n } });
                (Action::Register, of_key, named, vec![key, wallet])
            }
            2 => (Action::Update, of_key, update, vec![key]),
            3 => (Action::Status, of_key, status, vec![wallet]),
            4 => {
                let new = json!({ "key": did(other) });
                (Action::Rotate, of_key, new, vec![key, By::Key(other)])
            }
            5 => {
                let to = json!({ "owner": format!("{:#x}", owner(1 + n)) });
                (Action::Transfer, of_key, to, vec![wallet])
            }
            6 => (Action::Deregister, of_key, json!({}), vec![key]),
            7 | 8 => {
                let named = json!({ "token": of_token });
                (Action::Claim, of_key, named, vec![key, wallet])
            }
            9 => (Action::Deregister, of_token, json!({}), vec![wallet]),
            10 | 11 => (Action::Status, of_token, status, vec![wallet]),
            _ => (Action::Update, of_token, update, vec![wallet]),
        };
        match say(&self.world, action, &agent, content, &by).await {
            Err(error) if error.kind() == Kind::Internal => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn judge(&mut self) -> anyhow::Result<()> {
        let (uri, n) = (self.dice.roll(URIS), self.dice.roll(4));
        let known = format!("SELECT count(*) FROM identity.uris WHERE uri = 'ipfs://{uri}'");
        if self.world.one(&known).await == "0" {
            return Ok(());
        }
        let document = match n {
            0 => serde_json::Value::Null,
            1 => {
                json!({ "name": format!("n{n}"), "active": true, "capabilities": { "c0": 1, "c1": n } })
            }
            2 => {
                json!({ "name": "two", "active": false, "description": "d", "capabilities": { "c1": 2, "c2": n },
                    "services": [{ "name": "ENS", "endpoint": format!("a{}.eth", uri % 2) }] })
            }
            _ => json!({ "name": "three", "capabilities": { "c0": uri } }),
        };
        Ok(self
            .world
            .judge(&format!("ipfs://{uri}"), &document)
            .await?)
    }

    async fn happen(&mut self) -> anyhow::Result<()> {
        let what = self.dice.roll(12);
        self.now += 1;
        self.world.at(self.now);
        self.log.push(format!("{what}"));
        match what {
            0..=3 => {
                let blocks = 1 + self.dice.roll(4);
                self.grow(blocks);
                self.follow().await
            }
            4 => self.reorg().await,
            7 if self.world.depth == 0 && self.dice.roll(2) == 0 => self.window().await,
            5 | 6 => self.act().await,
            7 => self.judge().await,
            8 | 9 => {
                self.world.sweep().await;
                Ok(())
            }
            _ => self.sign().await,
        }
    }
}

async fn histories(pool: PgPool, depth: i64, seeds: std::ops::Range<u64>) -> anyhow::Result<()> {
    let fresh = Fresh::new(&World::new(pool.clone())).await;
    for seed in seeds {
        Fresh::empty(&pool).await;
        let world = if depth == 0 {
            World::new(pool.clone())
        } else {
            World::rpc(pool.clone(), depth)
        };
        let mut dice = Dice(seed);
        let stride = 1 + dice.roll(5);
        // Half of the chains run ahead of the machine's clock, so that SQL stands between blocks.
        let start = if dice.roll(2) == 0 {
            start()
        } else {
            4_000_000_000
        };
        let mut run = Run {
            dice,
            world,
            script: Script::new(31337),
            now: start,
            stride,
            log: vec![],
        };
        run.world.at(start);
        run.world.open(&run.script).await?;
        for _ in 0..EVENTS {
            if let Err(error) = run.happen().await {
                panic!("seed {seed}, depth {depth}, after {:?}: {error}", run.log);
            }
        }
        run.world.sweep().await;
        let blocks = i64::try_from(1 + run.dice.roll(60))?;
        let steps = i64::try_from(1 + run.dice.roll(3))?;
        for way in [Way::Steps(blocks), Way::Windows { steps, blocks }] {
            if let Some(difference) = fresh.differs(&run.world, &[&run.script], way).await {
                panic!("seed {seed}, depth {depth}, fresh {way:?}: {difference}");
            }
        }
    }
    fresh.drop(&World::new(pool)).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn any_history_of_a_settled_chain_is_its_fresh_fold(pool: PgPool) -> anyhow::Result<()> {
    histories(pool, 0, 0..HISTORIES).await
}

#[sqlx::test(migrations = "../migrations")]
async fn any_history_of_a_chain_ahead_of_what_is_settled_is_its_fresh_fold(
    pool: PgPool,
) -> anyhow::Result<()> {
    histories(pool, 5, 0..HISTORIES).await
}
