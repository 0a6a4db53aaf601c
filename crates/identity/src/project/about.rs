//! Of which agents a projection tells the head feed: of all, or in bulk of those alone that somebody watches.

use chain::Said;
use journal::Change;
use kernel::AgentId;
use store::Tx;

use super::Feed;
use crate::{Result, head::Told, watch::Watched, window::Window};

/// Of whom the feed is told.
#[derive(Debug)]
pub(super) enum About {
    /// Of everybody.
    All,
    /// Of these.
    Only(Watched),
}

impl About {
    /// Asks who is watched where that matters: one query for a whole step or window.
    pub async fn of(tx: &mut Tx, feed: Feed) -> Result<Self> {
        Ok(match feed {
            Feed::Told => Self::All,
            Feed::Watched => Self::Only(Watched::read(tx).await?),
        })
    }

    /// Whether there is nobody to tell of.
    pub fn is_nobody(&self) -> bool {
        matches!(self, Self::Only(watched) if watched.is_empty())
    }

    /// Whether the feed may hear of a new agent of a window, by its place there.
    pub fn may_be(&self, window: &Window, place: u32) -> bool {
        let Self::Only(watched) = self else {
            return true;
        };
        if watched.has_agent(window.agent(place)) {
            return true;
        }
        watched.has_owners()
            && window.told(place).any(|told| {
                told.said.iter().any(|said| match said {
                    Said::Founded { owner: to, .. } | Said::OwnerMoved { to, .. } => {
                        watched.has_owner(&format!("{to:#x}"))
                    }
                    _ => false,
                })
            })
    }

    /// Of an agent's changes, in fold order, those to tell, with its owner then; `before` owned it before the first
    /// one. `None` where none of them is about somebody whom the feed is told of.
    pub fn told(
        &self,
        agent: AgentId,
        changes: &[Change],
        before: Option<&str>,
    ) -> Option<Vec<Told>> {
        let Self::Only(watched) = self else {
            return Some(Told::all(changes, before));
        };
        if watched.has_agent(agent) {
            return Some(Told::all(changes, before));
        }
        let has = |owner: Option<&str>| owner.is_some_and(|owner| watched.has_owner(owner));
        // Most are nobody's who is watched: of them nothing is copied.
        let mut moves = changes.iter().filter(|one| one.column == "owner_address");
        if !has(before) && !moves.any(|to| has(to.value.as_str())) {
            return None;
        }
        let mut told = Told::all(changes, before);
        told.retain(|told| has(told.owner.as_deref()) || has(told.former_owner.as_deref()));
        Some(told)
    }
}
