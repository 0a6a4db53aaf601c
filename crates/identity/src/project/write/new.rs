//! Rows of agents that have none: straight into the tables by COPY, without asking what is there.

use chrono::{DateTime, Utc};
use journal::First;
use store::{Tx, copy::Rows};

use super::{Folded, agent, names, pulse, status, token};
use crate::{
    Result,
    heartbeat::{self, Falls, Pulse},
    identifier,
    project::{States, raced, settle},
};

/// Copies the rows of agents that have none, whatever facts speak of them. What others gave up is free for them: those
/// are written before. Where somebody else makes an agent's row at this moment, all of it is to be brought again.
pub(super) async fn copy(tx: &mut Tx, new: &[&Folded]) -> Result<()> {
    let mut agents = Rows::new(agent::COLUMNS);
    let (mut history, mut dimensions) = (Rows::new(status::COLUMNS), Rows::new(status::COLUMNS));
    let mut known_as = Rows::new(identifier::COLUMNS);
    for one in new {
        agent::put(&mut agents, one)?;
        status::put_history(&mut history, one)?;
        status::put_dimensions(&mut dimensions, one);
        identifier::put(&mut known_as, &names(one));
    }
    agent::copy(tx, &mut agents).await.map_err(raced)?;
    status::copy_history(tx, &mut history).await?;
    status::copy_dimensions(tx, &mut dimensions).await?;
    identifier::copy(tx, &mut known_as).await.map_err(raced)
}

/// The rows of some new agents of tokens, and their first entries, made without the database.
///
/// Their subjects are new, so that no table and no entry names them; no document and no act speaks of them, so
/// that there are no rows of those; all their facts are settled.
pub(in crate::project) struct NewAgents {
    rows: Kept,
    again: Again,
    /// Time of the transaction that will write them.
    time: DateTime<Utc>,
    keeps: States,
}

/// What is committed with the cursor.
struct Kept {
    agents: Rows,
    dimensions: Rows,
    entries: First,
    /// Who beat on chain. Nobody beats for them elsewhere before they are committed.
    beats: Vec<Pulse>,
}

/// What can be made again, where nobody sees it before the agents.
struct Again {
    tokens: Rows,
    names: Rows,
    history: Rows,
    states: Rows,
}

impl NewAgents {
    /// None yet, for a transaction of this time.
    pub fn at(time: DateTime<Utc>, keeps: States) -> Self {
        Self {
            rows: Kept {
                agents: Rows::new(agent::COLUMNS),
                dimensions: Rows::new(status::COLUMNS),
                entries: First::default(),
                beats: Vec::new(),
            },
            again: Again {
                tokens: Rows::new(token::COLUMNS),
                names: Rows::new(identifier::COLUMNS),
                history: Rows::new(status::COLUMNS),
                states: Rows::new(settle::COLUMNS),
            },
            time,
            keeps,
        }
    }

    /// Adds an agent. One of which no fact tells has no rows.
    pub fn add(&mut self, mut one: Folded) -> Result<()> {
        if !one.head.exists {
            return Ok(());
        }
        agent::put(&mut self.rows.agents, &one)?;
        status::put_dimensions(&mut self.rows.dimensions, &one);
        token::put(&mut self.again.tokens, &one)?;
        identifier::put(&mut self.again.names, &names(&one));
        status::put_history(&mut self.again.history, &one)?;
        if self.keeps == States::Saved {
            settle::put(&mut self.again.states, &one)?;
        }
        let beat = Some(pulse(&one)).filter(|pulse| pulse.beat.is_some());
        self.rows.beats.extend(beat);
        let owed = std::mem::take(&mut one.owed);
        let entries = &mut self.rows.entries;
        entries
            .add(self.time, one.subject.id, owed)
            .map_err(journal::Error::from)?;
        Ok(())
    }

    /// Writes everything and leaves nothing here: what can be made again to `ahead`, at the same time, where there
    /// is such a transaction. Gives the number of entries appended.
    pub async fn write(&mut self, tx: &mut Tx, ahead: Option<&mut Tx>) -> Result<usize> {
        let Some(ahead) = ahead else {
            let entries = self.rows.write(tx).await?;
            self.again.write(tx).await?;
            return Ok(entries);
        };
        let (entries, again) = tokio::join!(self.rows.write(tx), self.again.write(ahead));
        again?;
        entries
    }
}

impl Kept {
    async fn write(&mut self, tx: &mut Tx) -> Result<usize> {
        agent::copy(tx, &mut self.agents).await?;
        status::copy_dimensions(tx, &mut self.dimensions).await?;
        heartbeat::agree(tx, std::mem::take(&mut self.beats), Falls::ByItsFacts).await?;
        Ok(self.entries.append(tx).await?)
    }
}

impl Again {
    async fn write(&mut self, tx: &mut Tx) -> Result<()> {
        token::copy(tx, &mut self.tokens).await?;
        identifier::copy(tx, &mut self.names).await?;
        status::copy_history(tx, &mut self.history).await?;
        settle::copy(tx, &mut self.states).await
    }
}
