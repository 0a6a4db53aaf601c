//! Heartbeats that agents sign: an agent says that it is alive, and by when it will say so again.
//!
//! Beats are not facts (`model.md` §2): the last one of each agent is kept, and only what they lead to, a change of
//! liveness, becomes an act ([`transit`]). Many are recorded in one transaction. A beat counts if its time is a
//! second later than the last one's, whoever brought it and wherever: so one that is brought again is refused by every
//! process, also after a restart.

mod liveness;
mod message;
mod pulse;
mod speakers;
mod tombstone;

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use kernel::{Address, Kind};
use store::{Cause, Db, Tx};
use uuid::Uuid;

pub(crate) use self::pulse::{Falls, Pulse, Term, agree, lasts_on_chain};
use self::speakers::Speakers;
pub use self::{
    liveness::{show, transit},
    message::{Form, Heard, own_message},
    tombstone::collect,
};
use crate::{Result, fact::RuntimeStatus, identifier};

/// How far a beat's time may be from ours (Zynd's `max_clock_skew_seconds`).
pub const SKEW: TimeDelta = TimeDelta::seconds(60);

/// How long a beat lasts where the agent says nothing (Zynd's `inactive_threshold_seconds`).
pub const TTL: TimeDelta = TimeDelta::seconds(300);

/// The least that a beat lasts, whatever `ttl` says: each time that an agent comes or goes is an entry in the journal, so
/// that nobody writes more than four in a minute.
pub const LEAST_TTL: TimeDelta = TimeDelta::seconds(30);

/// How far an agent's beats lie apart at least.
pub const APART: TimeDelta = TimeDelta::seconds(1);

/// Most beats that are recorded at once.
pub const MOST: usize = 4_096;

/// Signatures that one thread checks before another one takes over.
const CHECKED_AT_ONCE: usize = 256;

/// A beat as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// The agent, by any verified identifier.
    pub agent: String,
    /// When, RFC 3339, exactly as it is signed.
    pub timestamp: String,
    /// A key's, `ed25519:` and base64 of 64 bytes; or that of a wallet's account, `0x` and hex of 65.
    pub signature: String,
    /// What was signed.
    pub form: Form,
}

/// A beat that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Whose.
    pub agent: Uuid,
    /// Its time.
    pub at: DateTime<Utc>,
    /// The agent counts as alive until then.
    pub next_due: DateTime<Utc>,
}

/// Why a beat does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A field is none.
    #[error("{0}")]
    Malformed(&'static str),
    /// It is too old, or of the future.
    #[error("the timestamp is {0} s from our clock; a beat is at most {most} s old or early", most = SKEW.num_seconds())]
    Skewed(i64),
    /// Nothing has this name.
    #[error("no agent is found under `{0}`")]
    NoAgent(String),
    /// There is no key to check the signature with.
    #[error(
        "this agent has no key in force, nor has one claimed it: its wallet or its owner signs (`0x`, form `chancery`), \
         or it beats on its chain"
    )]
    NoKey,
    /// There is no account to hold the signature against.
    #[error("this agent has neither wallet nor owner: its key signs")]
    NoAccount,
    /// The signature is not the agent's over this message.
    #[error("the signature is not that of the agent's key, wallet or owner over this message")]
    Forged,
    /// It is not later than the last one.
    #[error("the agent beat at {0} already: a beat must be later than the last one")]
    Replayed(String),
    /// It comes within [`APART`] of the last one.
    #[error("the agent beat at {0} already: it beats at most once in a second")]
    TooSoon(String),
    /// It ended.
    #[error("this agent is TERMINATED: it beats no more")]
    Ended,
}

impl Refusal {
    /// The class of this refusal.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Malformed(_) | Self::Skewed(_) => Kind::Invalid,
            Self::NoAgent(_) => Kind::NotFound,
            Self::NoKey | Self::NoAccount | Self::Forged => Kind::Denied,
            Self::Replayed(_) | Self::Ended => Kind::Conflict,
            Self::TooSoon(_) => Kind::Limited,
        }
    }
}

/// What became of a beat.
pub type Answer = Result<Taken, Refusal>;

/// What is known of an agent that beats.
struct Beating {
    did: String,
    speakers: Speakers,
    ttl: Option<i32>,
    ended: bool,
    last: Option<DateTime<Utc>>,
    next_due: Option<DateTime<Utc>>,
}

impl Beating {
    /// Until when a beat counts, and whether that is sooner than what was promised before. What an agent says itself
    /// holds for all its beats; else a beat on chain outlasts those that come otherwise meanwhile.
    fn due(&self, at: DateTime<Utc>) -> (DateTime<Utc>, bool) {
        let due = at + ttl(self.ttl);
        match self.next_due {
            Some(before) if before > due && self.ttl.is_some() => (due, true),
            before => (before.map_or(due, |before| before.max(due)), false),
        }
    }
}

/// Beats whose signatures are checked, and that are not kept yet.
#[derive(Debug)]
pub struct Checked {
    answers: Vec<Answer>,
    /// Whose promise is sooner than what was promised before.
    sooner: Vec<Uuid>,
}

/// Checks beats against the agents as they are now. `office` is the journal's origin: beats in our own form are signed
/// for it alone.
pub async fn check(db: &Db, office: &str, beats: Vec<Heard>) -> Result<Checked> {
    let names: Vec<&str> = beats
        .iter()
        .flat_map(|beat| &beat.0)
        .map(|(name, _)| name.as_str())
        .collect();
    let found = identifier::find_all(&mut *db.pool().acquire().await?, &names).await?;
    let ids: HashSet<Uuid> = found.iter().flatten().copied().collect();
    let known = beating(db, &ids.into_iter().collect::<Vec<_>>()).await?;
    let mut answers = Vec::with_capacity(beats.len());
    let (mut checks, mut sooner) = (Vec::new(), Vec::new());
    let mut found = found.into_iter();
    for beat in beats {
        let answer = beat.0.and_then(|(name, message)| {
            let id = found.next().flatten();
            let agent = id.and_then(|id| Some((id, known.get(&id)?)));
            let (id, agent) = agent.ok_or(Refusal::NoAgent(name))?;
            if agent.ended {
                return Err(Refusal::Ended);
            }
            let at = message.at;
            checks.push(message.check(&agent.speakers, office, &agent.did)?);
            let (next_due, is_sooner) = agent.due(at);
            if is_sooner {
                sooner.push(id);
            }
            Ok(Taken {
                agent: id,
                at,
                next_due,
            })
        });
        answers.push(answer);
    }
    let mut genuine = verify(checks).await?.into_iter();
    for answer in answers.iter_mut().filter(|answer| answer.is_ok()) {
        if genuine.next() != Some(true) {
            *answer = Err(Refusal::Forged);
        }
    }
    let mut last: HashMap<Uuid, DateTime<Utc>> = known
        .into_iter()
        .filter_map(|(id, agent)| Some((id, agent.last?)))
        .collect();
    in_order(&mut answers, &mut last);
    Ok(Checked { answers, sooner })
}

impl Checked {
    /// Keeps the latest beat of each agent, in one transaction, and answers each in its place. Beats that were kept
    /// since these were checked are seen.
    pub async fn keep(mut self, db: &Db) -> Result<Vec<Answer>> {
        keep(db, &mut self.answers, &self.sooner).await?;
        Ok(self.answers)
    }
}

/// The time of an agent's beats rises, and not by less than [`APART`], also among those that came together.
fn in_order(answers: &mut [Answer], last: &mut HashMap<Uuid, DateTime<Utc>>) {
    for answer in answers {
        let Ok(taken) = answer else { continue };
        match last.get(&taken.agent) {
            Some(last) if *last >= taken.at => *answer = Err(replayed(*last)),
            Some(last) if taken.at - *last < APART => {
                *answer = Err(Refusal::TooSoon(shown(*last)));
            }
            _ => {
                last.insert(taken.agent, taken.at);
            }
        }
    }
}

fn replayed(last: DateTime<Utc>) -> Refusal {
    Refusal::Replayed(shown(last))
}

fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// Checks signatures on threads of their own: a thousand of them are fifty milliseconds.
async fn verify(checks: Vec<message::Check>) -> Result<Vec<bool>> {
    let mut threads = Vec::new();
    let mut rest = checks.into_iter();
    loop {
        let part: Vec<_> = rest.by_ref().take(CHECKED_AT_ONCE).collect();
        if part.is_empty() {
            break;
        }
        threads.push(tokio::task::spawn_blocking(move || {
            part.iter()
                .map(message::Check::holds)
                .collect::<Vec<bool>>()
        }));
    }
    let mut genuine = Vec::new();
    for thread in threads {
        genuine.extend(thread.await?);
    }
    Ok(genuine)
}

async fn beating(db: &Db, agents: &[Uuid]) -> Result<HashMap<Uuid, Beating>> {
    let rows = sqlx::query!(
        r#"SELECT a.id AS "id!", a.did AS "did!", a.owner_address AS "owner?", a.ttl,
                  a.runtime_status AS "status!: RuntimeStatus",
                  k.public_key AS "key?", h.last AS "last?", h.next_due AS "next_due?"
             FROM unnest($1::uuid[]) AS w(id)
             JOIN identity.agents a ON a.id = w.id
             LEFT JOIN identity.keys k ON k.agent_id = w.id AND k.until IS NULL
             LEFT JOIN identity.heartbeats h ON h.agent_id = w.id"#,
        agents,
    )
    .fetch_all(db.pool())
    .await?;
    let known = rows.into_iter().map(|row| {
        let owner: Option<Address> = row.owner.and_then(|owner| owner.parse().ok());
        let agent = Beating {
            did: row.did,
            speakers: Speakers {
                keys: row.key.into_iter().collect(),
                accounts: owner.into_iter().collect(),
            },
            ttl: row.ttl.filter(|ttl| *ttl > 0),
            ended: row.status == RuntimeStatus::Terminated,
            last: row.last,
            next_due: row.next_due,
        };
        (row.id, agent)
    });
    let mut known: HashMap<Uuid, Beating> = known.collect();
    let keyless = known
        .iter()
        .filter(|(_, agent)| agent.speakers.keys.is_empty());
    let keyless: Vec<Uuid> = keyless.map(|(id, _)| *id).collect();
    if !keyless.is_empty() {
        for (id, others) in speakers::of_tokens(db, &keyless).await? {
            if let Some(agent) = known.get_mut(&id) {
                agent.speakers.keys.extend(others.keys);
                agent.speakers.accounts.extend(others.accounts);
            }
        }
    }
    Ok(known)
}

/// How long a beat of an agent lasts, by its own `ttl` in seconds.
fn ttl(seconds: Option<i32>) -> TimeDelta {
    match seconds {
        Some(seconds) if seconds > 0 => LEAST_TTL.max(TimeDelta::seconds(i64::from(seconds))),
        _ => TTL,
    }
}

/// Keeps the latest accepted beat of each agent. One that another process was faster with is refused. The promise of
/// `sooner` takes the place of a later one.
async fn keep(db: &Db, answers: &mut [Answer], sooner: &[Uuid]) -> Result<()> {
    let mut latest: HashMap<Uuid, Taken> = HashMap::new();
    for taken in answers.iter().flatten() {
        latest.insert(taken.agent, *taken);
    }
    if latest.is_empty() {
        return Ok(());
    }
    let mut latest: Vec<Taken> = latest.into_values().collect();
    // In one order, so that two processes never wait for each other.
    latest.sort_unstable_by_key(|taken| taken.agent);
    let mut tx = db.begin(Cause::Job("heartbeat")).await?;
    // A crash of the database may lose what was recorded in its last moments; agents beat again.
    tx.commit_lazily().await?;
    let risen = upsert(&mut tx, &latest, sooner).await?;
    tx.commit().await?;
    for answer in answers {
        let Ok(taken) = answer else { continue };
        match risen.get(&taken.agent) {
            Some(next_due) => taken.next_due = *next_due,
            None => *answer = Err(replayed(taken.at)),
        }
    }
    Ok(())
}

/// Writes beats and says of whom the time rose, and until when he counts as alive.
async fn upsert(
    tx: &mut Tx,
    beats: &[Taken],
    sooner: &[Uuid],
) -> Result<HashMap<Uuid, DateTime<Utc>>> {
    let agents: Vec<Uuid> = beats.iter().map(|beat| beat.agent).collect();
    let times: Vec<DateTime<Utc>> = beats.iter().map(|beat| beat.at).collect();
    let dues: Vec<DateTime<Utc>> = beats.iter().map(|beat| beat.next_due).collect();
    let risen = sqlx::query!(
        "INSERT INTO identity.heartbeats AS h (agent_id, last, next_due)
         SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[])
         ON CONFLICT (agent_id) DO UPDATE
            SET last = EXCLUDED.last,
                next_due = CASE WHEN h.agent_id = ANY($4) THEN EXCLUDED.next_due
                                ELSE greatest(h.next_due, EXCLUDED.next_due) END
          WHERE h.last <= EXCLUDED.last - make_interval(secs => $5)
         RETURNING agent_id, next_due",
        &agents,
        &times,
        &dues,
        sooner,
        APART.as_seconds_f64(),
    )
    .fetch_all(tx.conn())
    .await?;
    let risen = risen.into_iter().map(|row| (row.agent_id, row.next_due));
    Ok(risen.collect())
}

#[cfg(test)]
mod tests;
