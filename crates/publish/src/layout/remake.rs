//! The layout's blocks made again from the log's beginning, where this blockstore lost them or never had them.
//! What stands as the layout stays meanwhile: others may have its blocks.

use content::{Content, directory::Target};
use journal::follow;
use store::Db;

use super::{FOLLOWER, above, add, gather, stored_agents};
use crate::Result;

/// Portions of the log that are gone through at once.
const PORTIONS: usize = 4;

/// How far they are made again. It is in this process's blockstore, and as far as this process knows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Remade {
    /// Of so many leaves of the journal.
    pub size: u64,
    /// The directory of their agents; `None` while there is none.
    pub agents: Option<Target>,
}

impl Remade {
    /// Goes on for some portions, for whoever publishes or not. `None` where the end of the layout as it stands is
    /// reached: what is of it can be made no other way.
    pub(crate) async fn some(self, db: &Db, content: &Content) -> Result<Option<Self>> {
        let end = follow::position(db, FOLLOWER).await?;
        let mut remade = self;
        for _ in 0..PORTIONS {
            if remade.size >= end {
                return Ok(None);
            }
            match remade.go_on(db, content, end).await? {
                Some(next) => remade = next,
                None => return Ok(None),
            }
        }
        Ok(Some(remade))
    }

    /// Goes on with the next entries before leaf `end`. `None` where that is the end and came to the layout as it
    /// stands, whose blocks are all here then.
    pub(super) async fn go_on(
        mut self,
        db: &Db,
        content: &Content,
        end: u64,
    ) -> Result<Option<Self>> {
        let (size, registered) = gather(db, content, self.size, end).await?;
        self.size = size;
        if !registered.is_empty() {
            let before = self.agents.map(|agents| agents.cid);
            self.agents = Some(add(content, before.as_ref(), registered).await?);
        }
        let Some(agents) = self.agents.filter(|_| self.size == end) else {
            return Ok(Some(self));
        };
        let (root, blocks) = above(agents);
        content.blocks().put_many(&blocks).await?;
        let stands = stored_agents(db).await? == Some(agents.cid);
        tracing::info!(%root, stands, "the layout's blocks are made again, of {end} leaves");
        // An earlier version may have made others of the same log.
        Ok((!stands).then_some(self))
    }
}
