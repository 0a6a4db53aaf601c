//! How far an entry is published. Nothing is called immutable before it is pinned.

use serde::Serialize;
use store::{Db, Tx};

use crate::{
    error::{Error, Result},
    log::sql,
};

/// The states of an entry, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Appended; committed with its rows.
    Queued,
    /// It has a leaf under a signed checkpoint.
    Sealed,
    /// In our own blockstore.
    Stored,
    /// A Kubo node or a pin service confirmed it.
    Pinned,
    /// The root of a checkpoint over it is in a contract.
    Anchored,
}

/// States that a checkpoint comes to by publishing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The checkpoint's size: the state holds for every entry below.
    pub size: u64,
    /// The state.
    pub state: State,
    /// The manifest's CID, or the anchoring transaction.
    pub reference: String,
}

impl State {
    /// The word in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sealed => "sealed",
            Self::Stored => "stored",
            Self::Pinned => "pinned",
            Self::Anchored => "anchored",
        }
    }

    /// Reads [`State::as_str`] back.
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Queued,
            Self::Sealed,
            Self::Stored,
            Self::Pinned,
            Self::Anchored,
        ]
        .into_iter()
        .find(|state| state.as_str() == word)
    }
}

/// Records that a checkpoint came to a state. What is recorded already stays as it is.
pub async fn record(tx: &mut Tx, publication: &Publication) -> Result<()> {
    if publication.state < State::Stored {
        return Err(Error::Range(format!(
            "{} is no state that publishing leads to",
            publication.state.as_str()
        )));
    }
    let now = tx.now();
    sqlx::query!(
        "INSERT INTO journal.publications (size, state, reference, at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (size, state) DO NOTHING",
        sql(publication.size),
        publication.state.as_str(),
        publication.reference,
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The newest publication that came to this very state.
pub async fn latest(db: &Db, state: State) -> Result<Option<Publication>> {
    let row = sqlx::query!(
        "SELECT size, reference FROM journal.publications WHERE state = $1 ORDER BY size DESC LIMIT 1",
        state.as_str()
    )
    .fetch_optional(db.pool())
    .await?;
    row.map(|row| {
        Ok(Publication {
            size: crate::log::number(row.size)?,
            state,
            reference: row.reference,
        })
    })
    .transpose()
}

/// The publications of this very state beyond `size`, oldest first.
pub async fn after(db: &Db, state: State, size: u64, limit: i64) -> Result<Vec<Publication>> {
    let rows = sqlx::query!(
        "SELECT size, reference FROM journal.publications WHERE state = $1 AND size > $2
          ORDER BY size LIMIT $3",
        state.as_str(),
        sql(size),
        limit,
    )
    .fetch_all(db.pool())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Publication {
                size: crate::log::number(row.size)?,
                state,
                reference: row.reference,
            })
        })
        .collect()
}

/// Where an entry stands: the first publication of each state that covers it, lowest state first.
pub async fn of_leaf(db: &Db, leaf_index: u64) -> Result<Vec<Publication>> {
    let states = [State::Stored, State::Pinned, State::Anchored];
    let states = states.map(|state| state.as_str().to_owned());
    let rows = sqlx::query!(
        // State by state, along the index: beyond an old leaf there are as many rows as the log has grown since.
        r#"SELECT p.size, p.state, p.reference FROM unnest($2::text[]) AS s (state)
            CROSS JOIN LATERAL (SELECT size, state, reference FROM journal.publications
                                 WHERE state = s.state AND size > $1 ORDER BY size LIMIT 1) AS p"#,
        sql(leaf_index),
        &states,
    )
    .fetch_all(db.pool())
    .await?;
    let mut publications = Vec::new();
    for row in rows {
        let state = stored_state(&row.state)?;
        let size = crate::log::number(row.size)?;
        publications.push(Publication {
            size,
            state,
            reference: row.reference,
        });
    }
    publications.sort_by_key(|publication| publication.state);
    Ok(publications)
}

pub(crate) fn stored_state(word: &str) -> Result<State> {
    State::parse(word).ok_or_else(|| Error::Damaged(format!("`{word}` is no state of an entry")))
}

#[cfg(test)]
mod tests;
