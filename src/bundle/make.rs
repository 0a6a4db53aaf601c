//! Writing a bundle: what is kept here, what a node proves, and what is not to be had.

mod document;
mod journal;
mod onchain;
mod row;
mod state;

use identity::agent::{self, Agent};
use kernel::{Kind, Token};
use uuid::Uuid;

use super::{
    TARGET_BYTES,
    check::{LONGEST_URI, check, shown},
    file::{self, File, Wrong},
    parts::{Left, Missing, Subject},
};
use crate::app::App;

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The agent.
    #[error(transparent)]
    Identity(#[from] identity::Error),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] ::journal::Error),
    /// The blocks that are kept.
    #[error(transparent)]
    Indexer(#[from] indexer::Error),
    /// The anchors.
    #[error(transparent)]
    Publish(#[from] publish::Error),
    /// Nothing is to be had.
    #[error("nothing of {0} can be proven yet: {1}")]
    Nothing(String, String),
    /// What was put together contradicts itself. The record may have changed meanwhile.
    #[error("the bundle of {0} does not verify here, so it is not given: {1}")]
    Contradictory(String, #[source] Wrong),
}

impl Error {
    /// The class of this failure.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Identity(error) => error.kind(),
            Self::Journal(error) => error.kind(),
            Self::Indexer(error) => error.kind(),
            Self::Publish(error) => error.kind(),
            Self::Nothing(..) => Kind::Conflict,
            Self::Contradictory(..) => Kind::Unavailable,
        }
    }
}

/// What has yet to be put together.
struct Draft {
    file: File,
    missing: Missing,
}

impl Draft {
    /// Something is not to be had.
    fn lacks(&mut self, what: &str, why: impl Into<String>) {
        self.missing.parts.push(Left(what.to_owned(), why.into()));
    }
}

/// The bundle of the agent that a name finds, and the agent's UUID. It was checked as a stranger would check it.
pub async fn make(app: &App, name: &str) -> Result<(Uuid, Vec<u8>), Error> {
    let before = agent::get(&app.db, name).await?;
    match put_together(app, &before).await {
        // A step of the index may have come between.
        Err(Error::Contradictory(..)) => {
            let again = agent::get(&app.db, &before.id.to_string()).await?;
            Ok((again.id, put_together(app, &again).await?))
        }
        made => Ok((before.id, made?)),
    }
}

/// The whole bundle; where that would be too large, one whose state does not show all of a long URI.
async fn put_together(app: &App, agent: &Agent) -> Result<Vec<u8>, Error> {
    let whole = draft(app, agent, None).await?;
    let needed = whole.len();
    if needed <= TARGET_BYTES || agent.chain.is_none() {
        return Ok(whole);
    }
    let smaller = draft(app, agent, Some(needed)).await?;
    Ok(if smaller.len() < needed {
        smaller
    } else {
        whole
    })
}

/// A bundle; `needed` is what one that shows all of the URI's slots would need.
async fn draft(app: &App, agent: &Agent, needed: Option<usize>) -> Result<Vec<u8>, Error> {
    let token = token_of(agent);
    let mut draft = Draft {
        file: File::default(),
        missing: Missing::default(),
    };
    let subject = Subject {
        agent: agent.id.to_string(),
        token: token.map(|token| token.to_string()),
    };
    draft.file.put(file::SUBJECT, &subject);
    if let Some(token) = &token {
        let uri = agent.agent_uri.as_deref().unwrap_or_default();
        let too_long =
            (uri.len() > LONGEST_URI).then(|| format!("the URI has more than {LONGEST_URI} bytes"));
        let too_large =
            needed.map(|needed| format!("with all its slots the bundle would need {needed} bytes"));
        let why_not = too_long.or(too_large);
        onchain::add(app, agent, token, why_not.is_none(), &mut draft).await?;
        if let Some(why) = why_not {
            draft.lacks("the URI's storage", why);
        }
    } else {
        draft.lacks(file::RECEIPT, "the agent has no token");
        draft.lacks(file::STATE, "the agent has no token");
    }
    let committed = journal::add(app, agent.id, &mut draft).await?;
    document::add(app, agent.id, committed, &mut draft).await?;
    let known = shown(&draft.file, None);
    let (known, _) = known.map_err(|wrong| {
        let lacks = draft.missing.parts.iter();
        let lacks: Vec<String> = lacks
            .map(|Left(what, why)| format!("{what}: {why}"))
            .collect();
        match wrong.part {
            file::FRAME => Error::Nothing(agent.name.clone(), lacks.join("; ")),
            _ => Error::Contradictory(agent.name.clone(), wrong),
        }
    })?;
    let row = row::of(app, agent, &known).await?;
    draft.file.put(file::ROW, &row);
    draft.file.put(file::MISSING, &draft.missing);
    let bytes = draft.file.encode();
    match check(&bytes, None) {
        Ok(_) => Ok(bytes),
        Err(wrong) => Err(Error::Contradictory(agent.name.clone(), wrong)),
    }
}

fn token_of(agent: &Agent) -> Option<Token> {
    Some(Token {
        chain: agent.chain?.unsigned_abs(),
        registry: agent.registry.as_ref()?.parse().ok()?,
        id: agent.agent_id.as_ref()?.parse().ok()?,
    })
}
