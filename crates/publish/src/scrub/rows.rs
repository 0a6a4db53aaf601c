//! The journal in the database: a bundle of entries, its leaves, and the tiles above it.

use content::Content;
use journal::{
    scrub::{self, Damage, Found},
    vkey::VerifierKey,
};
use kernel::{Bytes, Cid};
use store::{Cause, Db};

use super::{
    Healed, giver,
    incident::{self, Damaged},
};
use crate::Result;

/// How many bits in one bundle are put right in one round; there is a next one.
const MOST_REPAIRS: usize = 16;

/// Looks at a bundle, and puts right what is wrong with it.
pub(super) async fn look(db: &Db, content: &Content, key: &VerifierKey, bundle: u64) -> Result<()> {
    let mut before = None;
    for _ in 0..MOST_REPAIRS {
        let Some(found) = examine(db, key, bundle).await? else {
            return incident::tell_back(db, &store(bundle), |_| true).await;
        };
        // Another process may have put it right meanwhile: what nobody can put right is there twice.
        let again = before.as_ref() == Some(&found);
        let damaged = Damaged {
            store: store(bundle),
            thing: found.why.clone(),
            what: found.why.clone(),
        };
        match heal(db, content, &found, &damaged).await? {
            Healed::Not if again => return incident::tell_lost(db, &damaged).await,
            Healed::Later => return Ok(()),
            Healed::Not | Healed::From(_) => before = Some(found),
        }
    }
    Ok(())
}

/// Where the entries of a bundle are kept.
fn store(bundle: u64) -> String {
    format!("journal/{bundle}")
}

/// Rows that Postgres cannot read, or that are not of their form, are damage too, and keep nobody from the next bundle.
async fn examine(db: &Db, key: &VerifierKey, bundle: u64) -> Result<Option<Found>> {
    match scrub::examine(db, key, bundle).await {
        Err(error) if scrub::is_damage(&error) => Ok(Some(Found {
            damage: None,
            why: format!("bundle {bundle} of entries cannot be read: {error}"),
        })),
        found => Ok(found?),
    }
}

/// Puts right what was found, and says so in the journal, in one transaction.
async fn heal(db: &Db, content: &Content, found: &Found, damaged: &Damaged) -> Result<Healed> {
    let (mut body, mut block_from) = (Bytes::new(), "");
    match found.damage {
        None => return Ok(Healed::Not),
        Some(Damage::Archived(cid)) => {
            let block = block(content, &cid).await?;
            return Ok(block.map_or_else(|why| why, |(_, from)| Healed::From(from)));
        }
        Some(Damage::Body(leaf)) => {
            let cid = match scrub::cid_of(db, leaf).await {
                Err(error) if scrub::is_damage(&error) => return Ok(Healed::Not),
                cid => cid?,
            };
            match block(content, &cid).await? {
                Ok(given) => (body, block_from) = given,
                Err(why) => return Ok(why),
            }
        }
        Some(Damage::Leaf(_) | Damage::Tile { .. }) => {}
    }
    let mut tx = db.begin(Cause::Job("scrub")).await?;
    let (healed, from) = match found.damage {
        Some(Damage::Body(leaf)) => (scrub::heal_body(&mut tx, leaf, &body).await?, block_from),
        Some(Damage::Leaf(leaf)) => (scrub::heal_leaf(&mut tx, leaf).await?, "its entry"),
        Some(Damage::Tile { level, index }) => {
            let healed = scrub::heal_tile(&mut tx, level, index).await?;
            (healed, "what lies below")
        }
        Some(Damage::Archived(_)) | None => (false, ""),
    };
    if !healed {
        return Ok(Healed::Not);
    }
    incident::healed(&mut tx, damaged, from).await?;
    tx.commit().await?;
    incident::count(&found.why, true);
    Ok(Healed::From(from))
}

/// The block of an entry and from where it is, or why there is none.
async fn block(content: &Content, cid: &Cid) -> Result<Result<(Bytes, &'static str), Healed>> {
    Ok(match content.given(cid).await {
        Ok((block, who)) => Ok((block, giver(who, "its block"))),
        Err(content::Error::Missing(_)) => Err(Healed::Not),
        Err(error) => {
            tracing::warn!(%cid, %error, "the block of the entry {cid} cannot be had now: {error}");
            Err(Healed::Later)
        }
    })
}
