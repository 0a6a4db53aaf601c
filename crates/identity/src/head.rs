//! The head feed: what changed at the head, before it is settled, and what was undone. Undoing is an item of its
//! own; nothing that was told is changed.

use std::collections::{HashMap, HashSet};

use chrono::TimeDelta;
use journal::Change;
use kernel::AgentId;
use store::{Cause, Db, Outcome, Tx, copy::Rows, cursor};
use uuid::Uuid;

use crate::Result;

mod read;

pub use read::{HeadChange, Wanted, end, first, read};

/// How many steps are given their positions at once.
const BATCH: i64 = 4_096;

/// The last position that was given, as a cursor of the store.
const CURSOR: &str = "identity/feed";

/// What a projection has to tell the feed of one agent.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub agent: AgentId,
    /// Changes that may be new; what the feed says already is not told again.
    pub new: Vec<Told>,
    /// The feed never spoke of it.
    pub first: bool,
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
    fn is_of_one_step(&self, other: &Self) -> bool {
        self.change.cause == other.change.cause
            && self.owner == other.owner
            && self.former_owner == other.former_owner
    }

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

/// Tells the feed what is new, and what is undone. What one cause changed of an agent is one step, and one row.
pub(crate) async fn record(tx: &mut Tx, shown: &[Shown]) -> Result<()> {
    undo(tx, shown).await?;
    let steps = steps(shown);
    let first: HashSet<Uuid> = shown
        .iter()
        .filter(|one| one.first)
        .map(|one| one.agent.0)
        .collect();
    let told_of = steps.iter().filter(|(agent, _)| !first.contains(agent));
    let said = said(tx, told_of.collect()).await?;
    let now = tx.now();
    let mut rows = Rows::new(8);
    for (agent, step) in steps {
        let stands = |change: &Change| {
            let of = said.get(&(agent, change.cause.as_str()));
            of.is_some_and(|columns| columns.contains(&change.column))
        };
        let new = step.iter().map(|told| &told.change);
        let new: Vec<&Change> = new.filter(|change| !stands(change)).collect();
        let (Some(first), [told, ..]) = (new.first(), step) else {
            continue;
        };
        rows.row()
            .time(now)
            .uuid(agent)
            .text_array(new.iter().map(|change| change.column.as_str()))
            .jsonb_array(new.iter().map(|change| &change.value))?
            .text(&first.cause)
            .maybe(told.owner.as_deref(), Rows::text)
            .maybe(told.former_owner.as_deref(), Rows::text)
            .boolean(false);
    }
    let statement = "COPY identity.head_steps (at, agent_id, columns, values, cause, owner, former_owner, undone)
        FROM STDIN (FORMAT binary)";
    Ok(rows.copy(tx, statement).await?)
}

/// What one cause changed of an agent.
type Step<'a> = (Uuid, &'a [Told]);

fn steps(shown: &[Shown]) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    for one in shown {
        let of_one_cause = one.new.chunk_by(Told::is_of_one_step);
        steps.extend(of_one_cause.map(|step| (one.agent.0, step)));
    }
    steps
}

/// Which columns the feed says that a cause set of an agent, and has not undone.
type Said<'a> = HashMap<(Uuid, &'a str), HashSet<String>>;

/// What the feed says already of these steps: mostly nothing.
async fn said<'a>(tx: &mut Tx, steps: Vec<&Step<'a>>) -> Result<Said<'a>> {
    let (mut agents, mut causes) = (Vec::new(), Vec::new());
    for (agent, step) in steps {
        if let Some(told) = step.first() {
            agents.push(*agent);
            causes.push(told.change.cause.as_str());
        }
    }
    if agents.is_empty() {
        return Ok(Said::new());
    }
    let rows = sqlx::query!(
        r#"SELECT DISTINCT ON (k.nth, c.what) k.nth AS "nth!", c.what AS "what!", s.undone
             FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS k(agent, cause, nth)
             JOIN identity.head_steps s ON s.agent_id = k.agent AND s.cause = k.cause
            CROSS JOIN LATERAL unnest(s.columns) AS c(what)
            ORDER BY k.nth, c.what, s.seq DESC"#,
        &agents,
        &causes as &[&str],
    )
    .fetch_all(tx.conn())
    .await?;
    let mut said = Said::new();
    for row in rows.into_iter().filter(|row| !row.undone) {
        let nth = usize::try_from(row.nth - 1).unwrap_or_default();
        said.entry((agents[nth], causes[nth]))
            .or_default()
            .insert(row.what);
    }
    Ok(said)
}

/// Tells of those whose current URI this is, as far as somebody watches them or their owner, what became of the
/// document there. No fact says it: what follows is told the same way, and it is taken back where the agent turns out
/// never to have named the URI.
pub(crate) async fn tell_document(tx: &mut Tx, uri: &[u8], became: &str) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "INSERT INTO identity.head_steps (at, agent_id, columns, values, cause, owner, undone)
         SELECT $1, t.agent_id, ARRAY['metadata_state'], ARRAY[to_jsonb($3::text)],
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

/// Tells of those who name another URI now that its file is known to be bad, as far as somebody watches them or their
/// owner: whoever judged it told only of those who named it then. To be called after [`record`], so that it stands behind
/// the URI; a naming that is told again, because it is not settled yet, brings it once.
pub(crate) async fn tell_moved(tx: &mut Tx, shown: &[Shown]) -> Result<()> {
    let named = |one: &&Shown| one.new.iter().any(|told| told.change.column == "agent_uri");
    let moved: Vec<Uuid> = shown.iter().filter(named).map(|one| one.agent.0).collect();
    if moved.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    sqlx::query!(
        "INSERT INTO identity.head_steps (at, agent_id, columns, values, cause, owner, undone)
         SELECT $1, b.agent_id, ARRAY['metadata_state'], ARRAY[to_jsonb(b.became)], b.cause, b.owner, false
           FROM (SELECT t.agent_id, a.owner_address AS owner, 'uri:' || encode(t.uri_hash, 'hex') AS cause,
                        CASE WHEN u.verification = 'mismatch' THEN 'mismatch'
                             WHEN u.attempts > 0 THEN 'unavailable'
                             WHEN u.state NOT IN ('none', 'pending', 'fetched', 'nonconformant') THEN u.state
                        END AS became
                   FROM identity.tokens t
                   JOIN identity.uris u ON u.hash = t.uri_hash
                   LEFT JOIN identity.agents a ON a.id = t.agent_id
                  WHERE t.agent_id = ANY($2)
                    AND EXISTS (SELECT FROM identity.watches w
                                 WHERE w.agent_id = t.agent_id OR w.owner = a.owner_address)) b
          WHERE b.became IS NOT NULL
            AND NOT EXISTS (SELECT FROM identity.head_steps m
                             WHERE m.agent_id = b.agent_id AND m.cause = b.cause AND NOT m.undone
                               AND m.values = ARRAY[to_jsonb(b.became)]
                               AND m.seq > (SELECT coalesce(max(s.seq), 0) FROM identity.head_steps s
                                             WHERE s.agent_id = b.agent_id AND 'agent_uri' = ANY(s.columns)
                                               AND NOT s.undone))
          ORDER BY b.agent_id",
        now,
        &moved,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What the feed said last and the facts do not say any more. What was told of a file goes with the URI that named it.
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
        "INSERT INTO identity.head_steps (at, agent_id, columns, values, cause, owner, former_owner, undone)
         SELECT $1, h.agent_id, array_agg(h.what ORDER BY h.nth), array_agg(h.value ORDER BY h.nth), h.cause, h.owner,
                h.former_owner, true
           FROM (SELECT DISTINCT ON (s.agent_id, s.cause, c.what)
                        s.seq, c.nth, s.agent_id, c.what, c.value, s.cause, s.owner, s.former_owner, s.undone
                   FROM identity.head_steps s
                  CROSS JOIN LATERAL unnest(s.columns, s.values) WITH ORDINALITY AS c(what, value, nth)
                  WHERE s.agent_id = ANY($2)
                  ORDER BY s.agent_id, s.cause, c.what, s.seq DESC, c.nth DESC) h
           LEFT JOIN unnest($3::uuid[], $4::text[], $5::text[]) AS k(agent, what, cause)
                  ON k.agent = h.agent_id AND k.what = h.what AND k.cause = h.cause
          WHERE NOT h.undone AND k.agent IS NULL
            AND (h.what <> 'metadata_state'
                 OR NOT EXISTS (SELECT FROM identity.uri_agents u
                                 WHERE u.agent_id = h.agent_id
                                   AND 'uri:' || encode(u.uri_hash, 'hex') = h.cause))
          GROUP BY h.seq, h.agent_id, h.cause, h.owner, h.former_owner
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

/// Gives the next positions to changes that are committed and have none, oldest first. A step's row bears that of its
/// last change.
///
/// Whoever does it holds the cursor's row until the end: so positions are committed in their order, whatever undoes a
/// change comes after it, and where two do it at once the second one leaves it to the first.
pub async fn order(db: &Db) -> Result<Outcome> {
    let waits = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM identity.head_steps WHERE position IS NULL) AS "waits!""#
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
        r#"WITH given AS (
               UPDATE identity.head_steps s SET position = $1 + w.places
                 FROM (SELECT seq, sum(cardinality(columns)) OVER (ORDER BY seq) AS places
                         FROM (SELECT seq, columns FROM identity.head_steps
                                WHERE position IS NULL ORDER BY seq LIMIT $2) w) w
                WHERE s.seq = w.seq
               RETURNING s.position)
           SELECT count(*) AS "steps!", coalesce(max(position), $1) AS "last!" FROM given"#,
        last,
        BATCH,
    )
    .fetch_one(tx.conn())
    .await?;
    cursor::advance(&mut tx, CURSOR, last, given.last).await?;
    tx.commit().await?;
    Ok(if given.steps == BATCH {
        Outcome::Busy
    } else {
        Outcome::Idle
    })
}

/// Forgets the beginning of the feed that is all older than `keep`.
pub async fn expire(tx: &mut Tx, keep: TimeDelta) -> Result<u64> {
    let before = tx.now() - keep;
    let gone = sqlx::query!(
        "DELETE FROM identity.head_steps WHERE position <
            coalesce((SELECT min(position) FROM identity.head_steps WHERE at >= $1),
                     (SELECT max(position) + 1 FROM identity.head_steps))",
        before
    );
    Ok(gone.execute(tx.conn()).await?.rows_affected())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::Value;
    use sqlx::PgPool;
    use store::Clock;

    use super::*;

    fn changes(columns: &str) -> Vec<Change> {
        let change = |column: char| Change {
            column: column.to_string(),
            value: Value::Null,
            cause: "a log".to_owned(),
            time: DateTime::UNIX_EPOCH,
        };
        columns.chars().map(change).collect()
    }

    /// One cause sets the columns a, b and c, of which a fold from the first fact finds other ones each time.
    #[sqlx::test(migrations = "../../migrations")]
    async fn parts_of_a_step_are_told_and_undone_by_themselves(pool: PgPool) -> anyhow::Result<()> {
        let db = Db::from_pool(pool, Clock::manual(DateTime::UNIX_EPOCH));
        for (new, everything, expected) in [
            ("abc", None, "{a,b,c} f"),
            ("", Some("ac"), "{a,b,c} f, {b} t"),
            ("abc", Some("abc"), "{a,b,c} f, {b} t, {b} f"),
            ("c", None, "{a,b,c} f, {b} t, {b} f"),
            ("", Some(""), "{a,b,c} f, {b} t, {b} f, {a,c} t, {b} t"),
        ] {
            let shown = Shown {
                agent: AgentId(Uuid::nil()),
                new: Told::all(&changes(new), None),
                first: false,
                everything: everything.map(changes),
            };
            let mut tx = db.begin(Cause::Job("test")).await?;
            record(&mut tx, &[shown]).await?;
            tx.commit().await?;
            let told = "SELECT string_agg(columns::text || ' ' || undone::text, ', ' ORDER BY seq)
                          FROM identity.head_steps";
            let told: String = sqlx::query_scalar(told).fetch_one(db.pool()).await?;
            let told = told.replace("true", "t").replace("false", "f");
            assert_eq!(told, expected, "{new} {everything:?}");
        }
        Ok(())
    }
}
