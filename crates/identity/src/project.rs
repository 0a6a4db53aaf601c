//! Facts to rows, set-based: the only writer of projected rows, and of what the journal is owed.

mod about;
mod assemble;
mod following;
mod load;
mod one;
mod settle;
mod uris;
mod window;
mod write;

use std::collections::{HashMap, HashSet};

use kernel::AgentId;
use store::Tx;
use uuid::Uuid;

pub use self::window::project_window;
use self::{
    about::About,
    one::{Folded, Work, fold},
};
pub(crate) use self::{
    load::Subject,
    uris::{FETCH, KEPT},
};
use crate::{
    Error, Result, head,
    heartbeat::{self, Falls, Pulse},
    vexel,
};

/// What may be believed of what was saved before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// New facts came, normally after all others.
    Forward,
    /// Facts came that may stand before others, or some went: fold from the first.
    Refold,
}

/// Of whom the head feed is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feed {
    /// Of everybody.
    Told,
    /// Of those alone that somebody watches, by agent, owner or former owner: of a bulk backfill. An alert is not lost
    /// because nobody followed the chain when it happened.
    Watched,
}

/// Whether the states of a window's new agents are saved, from which the folds of a later window go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum States {
    /// They are: more of a backfill follows.
    Saved,
    /// They are not: most of these agents never change again, and one that does is folded from its first fact.
    Left,
}

/// What a projection did.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Agents of which somebody holds a row, or another one still has the DID: they are dirty and wait for the sweep.
    pub busy: Vec<AgentId>,
    /// Agents whose rows are written, and whose entries wait until the journal can read what it has to take back:
    /// they are dirty, too.
    pub put_off: Vec<AgentId>,
    /// Entries appended to the journal.
    pub entries: usize,
}

/// Projects `agents` and settles them, in the caller's transaction.
///
/// Locks their subjects in id order and takes their rows, skipping locked ones: an open transaction
/// at psql never stops a chain.
pub async fn project(tx: &mut Tx, agents: &[AgentId], mode: Mode, feed: Feed) -> Result<Report> {
    let (report, pulses) = without_beats(tx, agents, mode, feed).await?;
    heartbeat::agree(tx, pulses, Falls::ByItsFacts).await?;
    Ok(report)
}

/// Projects agents of whom a statement came, by the plans that the transaction has chosen ([`share_plans`]). It holds
/// their subjects, and made those that are `new`.
pub(crate) async fn project_stated(
    tx: &mut Tx,
    mut subjects: HashMap<Uuid, Subject>,
    mut new: HashSet<Uuid>,
) -> Result<()> {
    if vexel::is_read(tx).await? {
        // What was signed may decide where an agent was heard first.
        let mut ids: Vec<Uuid> = subjects.into_keys().collect();
        ids.sort_unstable();
        subjects = lock(tx, &ids).await?;
    }
    if !new.is_empty() {
        // The journal may outlive the rows of a database.
        let ids: Vec<Uuid> = new.iter().copied().collect();
        for known in journal::among(tx, &ids).await? {
            new.remove(&known);
        }
    }
    let (_, pulses) = as_planned(tx, subjects, Mode::Forward, Feed::Told, new).await?;
    heartbeat::agree(tx, pulses, Falls::ByItsFacts).await
}

/// The same, but the rows of beats are left to the caller: all that a transaction touches are taken at once, in one
/// order, and late, for agents beat meanwhile.
pub(crate) async fn without_beats(
    tx: &mut Tx,
    agents: &[AgentId],
    mode: Mode,
    feed: Feed,
) -> Result<(Report, Vec<Pulse>)> {
    plan_afresh(tx).await?;
    let mut ids: Vec<Uuid> = agents.iter().map(|agent| agent.0).collect();
    ids.sort_unstable();
    ids.dedup();
    let subjects = lock(tx, &ids).await?;
    as_planned(tx, subjects, mode, feed, HashSet::new()).await
}

async fn as_planned(
    tx: &mut Tx,
    mut subjects: HashMap<Uuid, Subject>,
    mode: Mode,
    feed: Feed,
    never_told: HashSet<Uuid>,
) -> Result<(Report, Vec<Pulse>)> {
    let mut ids: Vec<Uuid> = subjects.keys().copied().collect();
    ids.sort_unstable();
    if mode == Mode::Refold {
        // Nothing may go on from these, not even where the rows are busy now.
        settle::forget(tx, &ids).await?;
    }
    let mut report = Report::default();
    let rows = take_rows(tx, &ids).await?;
    let busy = &rows.busy;
    if !busy.is_empty() {
        crate::dirty::mark(tx, busy, mode == Mode::Refold).await?;
        report.busy = busy.iter().copied().map(AgentId).collect();
        ids.retain(|id| !busy.contains(id));
    }
    if ids.is_empty() {
        return Ok((report, Vec::new()));
    }
    let mut saved = match mode {
        Mode::Forward => {
            let told = ids.iter().filter(|id| !never_told.contains(id));
            load::saved(tx, &told.copied().collect::<Vec<_>>()).await?
        }
        Mode::Refold => HashMap::new(),
    };
    let work = gather(tx, &ids, &mut saved, &mut subjects).await?;
    let about = About::of(tx, feed).await?;
    let without_rows = ids.into_iter().filter(|id| !rows.there.contains(id));
    let new = New {
        without_rows: without_rows.collect(),
        never_told,
    };
    let pulses = finish(tx, work, &new, &about, &mut report).await?;
    Ok((report, pulses))
}

/// Locks the subjects of agents in id order and gives who they are. Their DIDs are learned before. Of whom a contract
/// spoke already, or who follows another chain than before, he is folded from the first fact.
pub(crate) async fn lock(tx: &mut Tx, ids: &[Uuid]) -> Result<HashMap<Uuid, Subject>> {
    if !vexel::is_read(tx).await? {
        return load::subjects(tx, ids).await;
    }
    // Before anything is locked: whoever stores what a contract of VEXEL's said locks the hash first, too.
    let dids = vexel::dids_of(tx, ids).await?;
    let mut spoken_of: Vec<Uuid> = vexel::learn(tx, &dids).await?.into_iter().collect();
    let mut subjects = load::subjects(tx, ids).await?;
    spoken_of.extend(following::follow(tx, &mut subjects).await?);
    if !spoken_of.is_empty() {
        settle::forget(tx, &spoken_of).await?;
    }
    Ok(subjects)
}

/// A plan that was made for ten agents, or for empty tables, is none for ten thousand.
pub(crate) async fn plan_afresh(tx: &mut Tx) -> Result<()> {
    plan(tx, "force_custom_plan", "on").await
}

/// Where statements are all that there is of agents, to plan for each batch of them would cost more than to run it, and
/// Postgres would plan for each row whose foreign keys it checks. So plans are made once, and read no whole table, not
/// even one that was empty then; where nothing else is left, nothing is compiled for the price that Postgres writes down.
pub(crate) async fn share_plans(tx: &mut Tx) -> Result<()> {
    plan(tx, "force_generic_plan", "off").await
}

async fn plan(tx: &mut Tx, mode: &str, whole_tables: &str) -> Result<()> {
    sqlx::query!(
        "SELECT set_config('plan_cache_mode', $1, true) AS plans, set_config('enable_seqscan', $2, true) AS scans,
                set_config('jit', $2, true) AS compiles",
        mode,
        whole_tables,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(())
}

/// Agents of which nobody has to look for what they cannot have.
#[derive(Default)]
struct New {
    /// Nothing shows them yet.
    without_rows: HashSet<Uuid>,
    /// Neither the journal nor the feed ever spoke of them, and no state of them was saved.
    never_told: HashSet<Uuid>,
}

/// Folds, writes and settles. Gives what beats have to know.
async fn finish(
    tx: &mut Tx,
    work: Vec<Work>,
    new: &New,
    about: &About,
    report: &mut Report,
) -> Result<Vec<Pulse>> {
    let mut folded = fold_all(tx, work).await?;
    let waiting = write::rows(tx, &folded, &new.without_rows).await?;
    report.busy.extend(waiting.into_iter().map(AgentId));
    uris::want(tx, &folded).await?;
    let settled = settle::settle(tx, &mut folded, about, &new.never_told).await?;
    settle::save(tx, &folded, &new.never_told).await?;
    settle::put_off(tx, &settled.put_off).await?;
    head::record(tx, &settled.shown).await?;
    head::tell_moved(tx, &settled.shown).await?;
    report.entries += settled.entries;
    report.put_off.extend(settled.put_off);
    Ok(write::pulses(&folded))
}

/// What is unique about new rows, only another transaction can have taken.
fn raced(error: Error) -> Error {
    match &error {
        Error::Store(store::Error::Internal(sqlx::Error::Database(database)))
            if database.is_unique_violation() =>
        {
            Error::Raced
        }
        _ => error,
    }
}

/// Whose rows there are.
#[derive(Default)]
struct Taken {
    /// Agents that have a row.
    there: HashSet<Uuid>,
    /// Those of them of whom somebody else holds one.
    busy: HashSet<Uuid>,
}

/// Takes the rows of agents, then of their capabilities.
async fn take_rows(tx: &mut Tx, ids: &[Uuid]) -> Result<Taken> {
    let there = sqlx::query_scalar!("SELECT id FROM identity.agents WHERE id = ANY($1)", ids)
        .fetch_all(tx.conn())
        .await?;
    if there.is_empty() {
        return Ok(Taken::default());
    }
    let taken = sqlx::query_scalar!(
        "SELECT id FROM identity.agents WHERE id = ANY($1) ORDER BY id FOR UPDATE SKIP LOCKED",
        &there,
    )
    .fetch_all(tx.conn())
    .await?;
    let there: HashSet<Uuid> = there.into_iter().collect();
    let mut busy = there.clone();
    for id in &taken {
        busy.remove(id);
    }
    let rows = sqlx::query!(
        "SELECT id, agent_id FROM identity.capability_vectors WHERE agent_id = ANY($1)",
        &taken,
    )
    .fetch_all(tx.conn())
    .await?;
    if !rows.is_empty() {
        let free: HashSet<Uuid> = sqlx::query_scalar!(
            "SELECT id FROM identity.capability_vectors WHERE agent_id = ANY($1)
              ORDER BY id FOR UPDATE SKIP LOCKED",
            &taken,
        )
        .fetch_all(tx.conn())
        .await?
        .into_iter()
        .collect();
        busy.extend(
            rows.iter()
                .filter(|row| !free.contains(&row.id))
                .map(|row| row.agent_id),
        );
    }
    Ok(Taken { there, busy })
}

/// Reads what each agent's fold needs: from its saved state on, or everything.
async fn gather(
    tx: &mut Tx,
    ids: &[Uuid],
    saved: &mut HashMap<Uuid, load::Saved>,
    subjects: &mut HashMap<Uuid, Subject>,
) -> Result<Vec<Work>> {
    let chains = load::chains(tx).await?;
    let from = |id: &Uuid| {
        saved
            .get(id)
            .map_or((-1, 0), |s| (s.through_block, s.through_serial))
    };
    let blocks: Vec<(Uuid, i64)> = ids.iter().map(|id| (*id, from(id).0)).collect();
    let serials: Vec<(Uuid, i64)> = ids.iter().map(|id| (*id, from(id).1)).collect();
    let mut logs = load::logs(tx, &blocks).await?;
    if chains.values().any(|chain| chain.vexel) {
        let followed = blocks
            .iter()
            .filter_map(|(id, above)| Some((*id, subjects.get(id)?.chain?, *above)));
        load::add_vexel_logs(tx, &followed.collect::<Vec<_>>(), &mut logs).await?;
    }
    let mut spoken = load::spoken(tx, &serials).await?;
    Ok(ids
        .iter()
        .filter_map(|id| {
            let subject = subjects.remove(id)?;
            let chain = subject.chain.and_then(|chain| chains.get(&chain).copied());
            let logs = logs.remove(id).unwrap_or_default();
            let spoken = spoken.remove(id).unwrap_or_default();
            Some(Work::new(subject, chain, saved.remove(id), &logs, spoken))
        })
        .collect())
}

async fn fold_all(tx: &mut Tx, work: Vec<Work>) -> Result<Vec<Folded>> {
    let versions = read_documents(tx, &work).await?;
    let mut folded = Vec::with_capacity(work.len());
    let mut late = HashMap::new();
    for one in work {
        match fold(one, &versions) {
            Ok(one) => folded.push(*one),
            Err(subject) => {
                late.insert(subject.id.0, *subject);
            }
        }
    }
    if late.is_empty() {
        return Ok(folded);
    }
    // Something stands before the end of the saved state: these begin at their first fact.
    let mut ids: Vec<Uuid> = late.keys().copied().collect();
    ids.sort_unstable();
    let again = gather(tx, &ids, &mut HashMap::new(), &mut late).await?;
    let versions = read_documents(tx, &again).await?;
    for one in again {
        match fold(one, &versions) {
            Ok(one) => folded.push(*one),
            Err(subject) => tracing::error!(agent = %subject.id, "a fold from scratch was refused"),
        }
    }
    Ok(folded)
}

/// The documents at all URIs that are current or newly named; those are kept first.
async fn read_documents(tx: &mut Tx, work: &[Work]) -> Result<load::Versions> {
    let mut hashes = Vec::new();
    let mut named = uris::Naming::default();
    for one in work {
        if let Some(uri) = one
            .saved
            .as_ref()
            .and_then(|saved| saved.state.token.uri.as_ref())
        {
            hashes.push(uri.uri.hash);
        }
        named.begin(one.subject.id.0, one.saved.is_none());
        for fact in &one.facts {
            if let Some((uri, raw)) = assemble::named_uri(fact) {
                hashes.push(uri.hash);
                named.add(one.subject.id.0, uri, raw, fact.place);
            }
        }
    }
    uris::put(tx, &named).await?;
    load::versions(tx, hashes).await
}
