//! A million agents at once, with the rows that they would have if they had come one after the other.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use did::{ed25519::SecretKey, methods::key::PublicKey};
use journal::{First, said};
use kernel::{AgentId, sha256};
use store::Cause;
use uuid::Uuid;

use crate::{
    database::{Database, Psql, connect},
    process::Place,
};

/// How many there are: numbers from 1 on.
pub const AGENTS: usize = 1_000_000;
/// The registry of those that are tokens.
pub const REGISTRY: &str = "0x8004a169fb4a3325136eb29fa0ceb6d2e539a432";

/// Keys of one COPY, and entries of one transaction.
const PIECE: usize = 4_096;

/// Agents that were made at once. Every so many-th has a key alone, the others are tokens.
pub struct Million {
    every: usize,
    keys: Vec<PublicKey>,
}

impl Million {
    /// Makes what is read of them (`agents.sql`), by the superuser's psql.
    pub fn make(psql: &mut Psql, every: usize) -> Result<Self> {
        let numbers = (every..=AGENTS).step_by(every);
        let key = |number: usize| {
            let seed = sha256(format!("million {number}").as_bytes());
            SecretKey::from_seed(&seed).public()
        };
        let keys: Vec<PublicKey> = numbers.clone().map(key).collect();
        psql.run(
            "CREATE TEMPORARY TABLE keys (n bigint PRIMARY KEY, key bytea NOT NULL, did text NOT NULL)",
        )?;
        let rows: Vec<(usize, &PublicKey)> = numbers.zip(&keys).collect();
        for piece in rows.chunks(PIECE) {
            let mut copy = String::from("COPY keys FROM STDIN;\n");
            for (number, key) in piece {
                let bytes = hex::encode(key.to_bytes());
                writeln!(copy, "{number}\t\\\\x{bytes}\t{}", key.did())?;
            }
            copy.push_str("\\.\n");
            psql.run(&copy)?;
        }
        psql.run(&include_str!("agents.sql").replace(":count", &AGENTS.to_string()))?;
        Ok(Self { every, keys })
    }

    /// The key of an agent by its number; none of a token.
    pub fn key(&self, number: usize) -> Option<&PublicKey> {
        let place = number / self.every;
        number
            .is_multiple_of(self.every)
            .then(|| &self.keys[place - 1])
    }

    /// Makes what else a registration writes of those that have keys: rows (`registered.sql`), and an entry of the
    /// journal, which is sealed and published as others are. One registration was real, and they are like it.
    pub fn register(&self, place: &Place, database: &Database, psql: &mut Psql) -> Result<()> {
        psql.run(include_str!("registered.sql"))?;
        let registered = psql.ask("SELECT count(*) FROM registered CROSS JOIN one")?;
        ensure!(
            registered == self.keys.len().to_string(),
            "of {} keys {registered} are registered",
            self.keys.len()
        );
        let one = "SELECT agent_id FROM identity.statements ORDER BY serial LIMIT 1";
        let one = AgentId(psql.ask(one)?.parse::<Uuid>()?);
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(self.say(database, one))?;
        let served = place.serve(&database.url(), "api,work")?;
        psql.until_published()?;
        ensure!(served.running.stop()?.success(), "a stop failed");
        psql.run("VACUUM (ANALYZE)")
    }

    /// Appends a first entry of each, which says what that of `one` says.
    async fn say(&self, database: &Database, one: AgentId) -> Result<()> {
        let db = connect(&database.url()).await?;
        let said = said::net(&db, &[one]).await?.remove(&one);
        let said = said.context("the journal says nothing of the first one")?;
        for keys in self.keys.chunks(PIECE) {
            let mut tx = db.begin(Cause::Job("bench")).await?;
            let (now, mut first) = (tx.now(), First::default());
            for key in keys {
                let changes = said.iter().map(|said| said.change.clone());
                first.add(now, AgentId::of_did(&key.did()), changes.collect())?;
            }
            first.append(&mut tx).await?;
            tx.commit().await?;
        }
        db.close().await;
        Ok(())
    }
}
