//! The rows of beats, as a projection leaves them: what agents said on chain, and whether they were told to be alive.
//!
//! `alive` is whether the liveness that the fold gives is `active`; [`super::transit`] tells where that is not what the
//! beats say. So what the fold changes by itself (a new life, a contract's word, a block that is gone) is told here.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use store::Tx;
use uuid::Uuid;

use super::{LEAST_TTL, ttl};
use crate::Result;

/// How long a beat on chain lasts where the agent says nothing: it costs gas (VEXEL's default threshold).
const CHAIN_TTL: TimeDelta = TimeDelta::days(30);

/// What a projection found of an agent's life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pulse {
    pub agent: Uuid,
    /// Whether its liveness is `active`.
    pub alive: bool,
    /// Its last beat on chain, where one was heard now, and until when that lasts.
    pub beat: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// How long its last beat lasts, where its `ttl` was set now.
    pub term: Option<Term>,
}

/// How long the last beat of an agent lasts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Term {
    lasts: TimeDelta,
    /// Until when the last one on chain does.
    on_chain: Option<DateTime<Utc>>,
}

impl Term {
    /// By the agent's own `ttl` in seconds; `heard` is its last beat on chain.
    pub(crate) fn new(seconds: Option<i64>, heard: Option<DateTime<Utc>>) -> Self {
        Self {
            lasts: ttl(seconds.and_then(|seconds| i32::try_from(seconds).ok())),
            on_chain: heard.map(|at| at + lasts_on_chain(seconds)),
        }
    }
}

/// Why agents that were alive are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Falls {
    /// Their facts say so: no beat before this counts any more, the next one does.
    ByItsFacts,
    /// They were overdue. A beat that came since counts.
    Overdue,
}

/// How long a beat on chain lasts, by the agent's own `ttl` in seconds.
pub(crate) fn lasts_on_chain(ttl: Option<i64>) -> TimeDelta {
    match ttl {
        Some(seconds) if (1..=i64::from(i32::MAX)).contains(&seconds) => {
            LEAST_TTL.max(TimeDelta::seconds(seconds))
        }
        _ => CHAIN_TTL,
    }
}

/// Brings the rows of beats to what was projected, under the locks of the agents' subjects, in the order in which beats
/// take them. What a reorganisation takes back, its next fold says; that a beat was taken here, changes nothing of it.
pub(crate) async fn agree(tx: &mut Tx, pulses: Vec<Pulse>, falls: Falls) -> Result<()> {
    if pulses.is_empty() {
        return Ok(());
    }
    let pulses: BTreeMap<Uuid, Pulse> = pulses.into_iter().map(|one| (one.agent, one)).collect();
    let agents: Vec<Uuid> = pulses.keys().copied().collect();
    let alive: Vec<bool> = pulses.values().map(|one| one.alive).collect();
    let now = tx.now();
    let terms: Vec<(Uuid, Term)> = pulses
        .values()
        .filter_map(|one| Some((one.agent, one.term?)))
        .collect();
    if !terms.is_empty() {
        // All that are written here, before the first one is.
        hold(tx, &agents).await?;
    }
    // A chain whose time is ahead of ours keeps out no beat that comes otherwise meanwhile: the last one is not of the
    // future.
    let beats = pulses.values().map(|one| {
        let beat = one.beat.map(|(at, due)| (at.min(now), due));
        beat.unzip()
    });
    let (times, dues): (Vec<_>, Vec<_>) = beats.unzip();
    sqlx::query!(
        "INSERT INTO identity.heartbeats AS h (agent_id, last, next_due, alive)
         SELECT p.agent, coalesce(p.last, e.last), coalesce(p.due, least(e.last, $5)), p.alive
           FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::bool[]) AS p(agent, last, due, alive)
           LEFT JOIN identity.heartbeats e ON e.agent_id = p.agent
          WHERE p.last IS NOT NULL OR e.alive <> p.alive
          ORDER BY p.agent
         ON CONFLICT (agent_id) DO UPDATE
            SET last = greatest(h.last, EXCLUDED.last),
                next_due = greatest(EXCLUDED.next_due,
                                    CASE WHEN $6 AND h.alive AND NOT EXCLUDED.alive THEN least(h.last, $5)
                                         ELSE h.next_due END),
                alive = EXCLUDED.alive
          WHERE h.alive <> EXCLUDED.alive OR h.last < EXCLUDED.last OR h.next_due < EXCLUDED.next_due",
        &agents,
        &times as &[Option<DateTime<Utc>>],
        &dues as &[Option<DateTime<Utc>>],
        &alive,
        now,
        falls == Falls::ByItsFacts,
    )
    .execute(tx.conn())
    .await?;
    retime(tx, &terms, now).await
}

/// Has beats last as long as their agents say now. What is over by what they said before begins with their next beat.
async fn retime(tx: &mut Tx, terms: &[(Uuid, Term)], now: DateTime<Utc>) -> Result<()> {
    if terms.is_empty() {
        return Ok(());
    }
    let agents: Vec<Uuid> = terms.iter().map(|(agent, _)| *agent).collect();
    let lasts: Vec<f64> = terms
        .iter()
        .map(|(_, term)| term.lasts.as_seconds_f64())
        .collect();
    let on_chain: Vec<Option<DateTime<Utc>>> =
        terms.iter().map(|(_, term)| term.on_chain).collect();
    sqlx::query!(
        "UPDATE identity.heartbeats h
            SET next_due = greatest(h.last + make_interval(secs => t.lasts), t.on_chain)
           FROM unnest($1::uuid[], $2::float8[], $3::timestamptz[]) AS t(agent, lasts, on_chain)
          WHERE h.agent_id = t.agent AND h.next_due > $4",
        &agents,
        &lasts,
        &on_chain as &[Option<DateTime<Utc>>],
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Takes rows in the order in which beats take them, so that neither waits for the other in a circle.
pub(super) async fn hold(tx: &mut Tx, agents: &[Uuid]) -> Result<()> {
    let rows = sqlx::query!(
        "SELECT FROM identity.heartbeats WHERE agent_id = ANY($1) ORDER BY agent_id FOR NO KEY UPDATE",
        agents
    );
    rows.execute(tx.conn()).await?;
    Ok(())
}
