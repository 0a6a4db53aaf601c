//! The head feed: what changed at the head, before it is settled, and what was undone. Undoing is an item of its
//! own; nothing that was told is changed.

use chrono::TimeDelta;
use journal::Change;
use kernel::AgentId;
use serde_json::Value;
use store::{Cause, Db, Outcome, Tx, cursor};

use crate::Result;

mod read;

pub use read::{HeadChange, Wanted, end, first, read};

/// How many changes are given their positions at once.
const BATCH: i64 = 4_096;

/// The last position that was given, as a cursor of the store.
const CURSOR: &str = "identity/feed";

/// What a projection has to tell the feed of one agent.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub agent: AgentId,
    /// Changes that may be new; what the feed says already is not told again.
    pub new: Vec<Told>,
    /// After a fold from the first fact, all changes there are: what the feed says beyond is undone.
    pub everything: Option<Vec<Change>>,
}

/// A change, and whom it is about.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub change: Change,
    /// The agent's owner once all was said that its cause says.
    pub owner: Option<String>,
    /// Who owned it before, where that is somebody else.
    pub former_owner: Option<String>,
}

impl Told {
    /// Each of an agent's changes, in fold order, with its owner then; `before` owned it before the first one.
    pub(crate) fn all(changes: &[Change], before: Option<&str>) -> Vec<Self> {
        let mut owner = before.map(str::to_owned);
        let mut told = Vec::with_capacity(changes.len());
        for of_one_cause in changes.chunk_by(|one, next| one.cause == next.cause) {
            let before = owner.clone();
            for change in of_one_cause.iter().filter(|c| c.column == "owner_address") {
                owner = change.value.as_str().map(str::to_lowercase);
            }
            let former_owner = before.filter(|before| owner.as_ref() != Some(before));
            told.extend(of_one_cause.iter().map(|change| Self {
                change: change.clone(),
                owner: owner.clone(),
                former_owner: former_owner.clone(),
            }));
        }
        told
    }
}

/// Tells the feed what is new, and what is undone.
pub(crate) async fn record(tx: &mut Tx, shown: &[Shown]) -> Result<()> {
    undo(tx, shown).await?;
    let mut agents = Vec::new();
    let (mut whats, mut values, mut causes) = (Vec::new(), Vec::<&Value>::new(), Vec::new());
    let (mut owners, mut formers) = (Vec::new(), Vec::new());
    for one in shown {
        for told in &one.new {
            agents.push(one.agent.0);
            whats.push(told.change.column.as_str());
            values.push(&told.change.value);
            causes.push(told.change.cause.as_str());
            owners.push(told.owner.as_deref());
            formers.push(told.former_owner.as_deref());
        }
    }
    if agents.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    sqlx::query!(
        "INSERT INTO identity.head_changes (at, agent_id, what, value, cause, owner, former_owner, undone)
         SELECT $1, c.agent, c.what, c.value, c.cause, c.owner, c.former, false
           FROM unnest($2::uuid[], $3::text[], $4::jsonb[], $5::text[], $6::text[], $7::text[])
                WITH ORDINALITY AS c(agent, what, value, cause, owner, former, place)
          WHERE coalesce((SELECT h.undone FROM identity.head_changes h
                           WHERE h.agent_id = c.agent AND h.cause = c.cause AND h.what = c.what
                           ORDER BY h.seq DESC LIMIT 1), true)
          ORDER BY c.place",
        now,
        &agents,
        &whats as &[&str],
        &values as &[&Value],
        &causes as &[&str],
        &owners as &[Option<&str>],
        &formers as &[Option<&str>],
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Tells of those whose current URI this is, as far as somebody watches them or their owner, what became of the
/// document there. No fact says it, so none takes it back: what follows is told the same way.
pub(crate) async fn tell_document(tx: &mut Tx, uri: &[u8], became: &str) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "INSERT INTO identity.head_changes (at, agent_id, what, value, cause, owner, undone)
         SELECT $1, t.agent_id, 'metadata_state', to_jsonb($3::text),
                'uri:' || encode($2, 'hex'), a.owner_address, false
           FROM identity.tokens t LEFT JOIN identity.agents a ON a.id = t.agent_id
          WHERE t.uri_hash = $2
            AND EXISTS (SELECT FROM identity.watches w
                         WHERE w.agent_id = t.agent_id OR w.owner = a.owner_address)",
        now,
        uri,
        became,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What the feed said last and the facts do not say any more.
async fn undo(tx: &mut Tx, shown: &[Shown]) -> Result<()> {
    let mut agents = Vec::new();
    let (mut of, mut whats, mut causes) = (Vec::new(), Vec::new(), Vec::new());
    for one in shown {
        let Some(everything) = &one.everything else {
            continue;
        };
        agents.push(one.agent.0);
        for change in everything {
            of.push(one.agent.0);
            whats.push(change.column.as_str());
            causes.push(change.cause.as_str());
        }
    }
    if agents.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    sqlx::query!(
        "INSERT INTO identity.head_changes (at, agent_id, what, value, cause, owner, former_owner, undone)
         SELECT $1, h.agent_id, h.what, h.value, h.cause, h.owner, h.former_owner, true
           FROM (SELECT DISTINCT ON (agent_id, cause, what)
                        seq, agent_id, what, value, cause, owner, former_owner, undone
                   FROM identity.head_changes WHERE agent_id = ANY($2)
                  ORDER BY agent_id, cause, what, seq DESC) h
           LEFT JOIN unnest($3::uuid[], $4::text[], $5::text[]) AS k(agent, what, cause)
                  ON k.agent = h.agent_id AND k.what = h.what AND k.cause = h.cause
          WHERE NOT h.undone AND k.agent IS NULL AND h.what <> 'metadata_state'
          ORDER BY h.seq",
        now,
        &agents,
        &of,
        &whats as &[&str],
        &causes as &[&str],
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Gives the next positions to changes that are committed and have none, oldest first.
///
/// Whoever does it holds the cursor's row until the end: so positions are committed in their order, whatever undoes a
/// change comes after it, and where two do it at once the second one leaves it to the first.
pub async fn order(db: &Db) -> Result<Outcome> {
    let waits = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM identity.head_changes WHERE position IS NULL) AS "waits!""#
    );
    if !waits.fetch_one(db.pool()).await? {
        return Ok(Outcome::Idle);
    }
    let last = cursor::get(db, CURSOR).await?;
    let mut tx = db.begin(Cause::Job("order")).await?;
    match cursor::advance(&mut tx, CURSOR, last, last).await {
        Err(store::Error::Moved { .. }) => return Ok(Outcome::Idle),
        held => held?,
    }
    let given = sqlx::query!(
        "UPDATE identity.head_changes h SET position = $1 + w.nth
           FROM (SELECT seq, row_number() OVER (ORDER BY seq) AS nth FROM identity.head_changes
                  WHERE position IS NULL ORDER BY seq LIMIT $2) w
          WHERE h.seq = w.seq",
        last,
        BATCH,
    )
    .execute(tx.conn())
    .await?
    .rows_affected()
    .cast_signed();
    cursor::advance(&mut tx, CURSOR, last, last + given).await?;
    tx.commit().await?;
    Ok(if given == BATCH {
        Outcome::Busy
    } else {
        Outcome::Idle
    })
}

/// Forgets the beginning of the feed that is all older than `keep`.
pub async fn expire(tx: &mut Tx, keep: TimeDelta) -> Result<u64> {
    let before = tx.now() - keep;
    let gone = sqlx::query!(
        "DELETE FROM identity.head_changes WHERE position <
            coalesce((SELECT min(position) FROM identity.head_changes WHERE at >= $1),
                     (SELECT max(position) + 1 FROM identity.head_changes))",
        before
    );
    Ok(gone.execute(tx.conn()).await?.rows_affected())
}
