//! A window of settled blocks to rows, as projecting it step by step would make them, but each agent once and
//! with its facts from memory.
//!
//! New agents are most of a backfill: they are folded on a thread of their own while Postgres takes the rows of
//! those before them, and nothing is asked about them.

mod ahead;
mod naming;
mod new;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use kernel::AgentId;
use store::Tx;
use uuid::Uuid;

use super::{
    About, Feed, New, Report, States, finish, gather,
    load::{self, ChainInfo, Saved, Subject},
    one::Work,
    plan_afresh, raced, take_rows,
};
use crate::{
    Error, Result, act, dirty,
    heartbeat::{self, Falls},
    statement::facts,
    subject, vexel,
    window::Window,
};

/// How many agents are folded and written at once: what they hold meanwhile is some megabytes.
const CHUNK: usize = 2_000;

/// Projects and settles all agents of a window, in the caller's transaction.
///
/// The window's logs are stored, its blocks are settled, and the chain's cursor stands at its end in this
/// transaction; everything that was projected before ended with the block that the window begins after.
/// Errors with [`Error::Invalid`] where the chain's row says otherwise, and with [`Error::Raced`] where another
/// transaction named the same new things first. Nothing of the window is used up: after an error it can be
/// projected again.
///
/// `second`, where it is given, takes a part of the rows of new agents at the same time, while foreign keys are
/// deferred; both transactions hold what they write (`store::deferred::hold`), so that these stay deferred and nobody
/// comes between them. It is to be committed just before `tx`; a process that dies between the two loses nothing, and
/// where `tx` fails both are given up.
pub async fn project_window(
    tx: &mut Tx,
    second: Option<&mut Tx>,
    window: &Arc<Window>,
    feed: Feed,
    states: States,
) -> Result<Report> {
    project(tx, second, window, feed, states)
        .await
        .map_err(raced)
}

async fn project(
    tx: &mut Tx,
    second: Option<&mut Tx>,
    window: &Arc<Window>,
    feed: Feed,
    states: States,
) -> Result<Report> {
    plan_afresh(tx).await?;
    let chain = settled(tx, window).await?;
    let mut second = match second {
        Some(second) if ahead::is_possible(tx).await? => Some(second),
        _ => None,
    };
    ahead::clear(second.as_deref_mut().unwrap_or(tx), window).await?;
    let order = window.by_id();
    let known = subjects(tx, window, &order).await?;
    let spoken_of = spoken_of(tx, window, &order, &known).await?;
    let about = About::of(tx, feed).await?;
    let (mut new, mut other): (Vec<u32>, Vec<u32>) = order.iter().partition(|place| {
        let id = window.agent(**place).0;
        let is_known = known.contains_key(&id) || spoken_of.contains(&id);
        !is_known && !about.may_be(window, **place)
    });
    if let Some(second) = second.as_deref_mut().filter(|_| !new.is_empty()) {
        ahead::begin(second, window).await?;
    }
    let left = naming::put(tx, second.as_deref_mut(), window, &new).await?;
    if !left.is_empty() {
        new.retain(|place| !left.contains(place));
        let was_left = order.iter().filter(|place| left.contains(place));
        other.extend(was_left);
        other.sort_unstable_by_key(|place| window.agent(*place));
    }
    let mut report = Report::default();
    let new = new::New {
        window,
        chain,
        places: &new,
        states,
    };
    report.entries += new.project(tx, second).await?;
    let mut pulses = Vec::new();
    for places in other.chunks(CHUNK) {
        let chunk = Chunk {
            window,
            chain,
            places,
            known: &known,
        };
        let work = chunk.work(tx, &mut report).await?;
        pulses.extend(finish(tx, work, &New::default(), &about, &mut report).await?);
    }
    heartbeat::agree(tx, pulses, Falls::ByItsFacts).await?;
    Ok(report)
}

/// What is known of the window's chain, if that stands where the window ends.
async fn settled(tx: &mut Tx, window: &Window) -> Result<ChainInfo> {
    let (chain, to) = (window.chain(), window.to());
    let info = load::chains(tx).await?.remove(&chain);
    let info = info.ok_or_else(|| Error::Invalid(format!("no chain {chain} is indexed")))?;
    if info.head != to || info.settled < to {
        return Err(Error::Invalid(format!(
            "a window of chain {chain} ends with block {to}, but the cursor stands at {}, and {} is settled",
            info.head, info.settled
        )));
    }
    if info.topics != window.topics() {
        return Err(Error::Invalid(format!(
            "a window of chain {chain} was read with other topics than the chain's source holds"
        )));
    }
    Ok(info)
}

/// Locks the subjects of all agents in the order of their ids, and makes those that are missing. Gives those
/// that were there, and whether they are the tokens that the window means.
async fn subjects(tx: &mut Tx, window: &Window, order: &[u32]) -> Result<HashMap<Uuid, bool>> {
    let mut known = HashMap::new();
    let any = subject::any(tx).await?;
    if vexel::is_read(tx).await? {
        // Hashes before subjects, as steps take them, and all at once.
        let dids: Vec<_> = order
            .iter()
            .map(|place| (window.agent(*place).0, window.token(*place).did()))
            .collect();
        let spoken_of = vexel::learn(tx, &dids).await?;
        dirty::mark(tx, &spoken_of, true).await?;
    }
    for places in order.chunks(CHUNK) {
        let ids: Vec<Uuid> = places.iter().map(|place| window.agent(*place).0).collect();
        let stored = if any {
            load::subjects(tx, &ids).await?
        } else {
            HashMap::new()
        };
        let is_new = |place: &&u32| !stored.contains_key(&window.agent(**place).0);
        let new = places.iter().filter(is_new);
        let new = new.map(|place| (window.agent(*place), window.token(*place)));
        subject::copy(tx, new).await?;
        for place in places {
            let id = window.agent(*place).0;
            if let Some(stored) = stored.get(&id) {
                known.insert(id, stored.token == Some(window.token(*place)));
            }
        }
    }
    Ok(known)
}

/// New agents of which an act, a statement or the journal speaks all the same: off-chain facts and journal may outlive the
/// rows of a database.
async fn spoken_of(
    tx: &mut Tx,
    window: &Window,
    order: &[u32],
    known: &HashMap<Uuid, bool>,
) -> Result<HashSet<Uuid>> {
    let (acts, entries) = (act::any(tx).await?, journal::any(tx).await?);
    let statements = facts::any(tx).await?;
    let mut spoken_of = HashSet::new();
    if !acts && !entries && !statements {
        return Ok(spoken_of);
    }
    for places in order.chunks(CHUNK) {
        let ids = places.iter().map(|place| window.agent(*place).0);
        let new: Vec<Uuid> = ids.filter(|id| !known.contains_key(id)).collect();
        if acts {
            spoken_of.extend(act::among(tx, &new).await?);
        }
        if statements {
            spoken_of.extend(facts::among(tx, &new).await?);
        }
        if entries {
            spoken_of.extend(journal::among(tx, &new).await?);
        }
    }
    Ok(spoken_of)
}

/// Some agents of a window.
struct Chunk<'a> {
    window: &'a Window,
    chain: ChainInfo,
    places: &'a [u32],
    known: &'a HashMap<Uuid, bool>,
}

impl Chunk<'_> {
    /// What there is to fold; of whom somebody holds a row, he is left to the sweep.
    async fn work(&self, tx: &mut Tx, report: &mut Report) -> Result<Vec<Work>> {
        let mut known: Vec<Uuid> = self
            .ids()
            .filter(|id| self.known.contains_key(id))
            .collect();
        let mut work = Vec::with_capacity(self.places.len());
        let mut saved = HashMap::new();
        // Who is not folded from the window.
        let mut done = HashSet::new();
        if !known.is_empty() {
            done = take_rows(tx, &known).await?.busy;
            if !done.is_empty() {
                dirty::mark(tx, &done, false).await?;
                report.busy.extend(done.iter().copied().map(AgentId));
                known.retain(|id| !done.contains(id));
            }
            saved = load::saved(tx, &known).await?;
            let apart = self.apart(tx, &known, &saved).await?;
            work.extend(stored(tx, &apart, &mut saved).await?);
            done.extend(apart);
        }
        let serial = |id: Uuid| saved.get(&id).map_or(0, |saved| saved.through_serial);
        let rest = self.ids().filter(|id| !done.contains(id));
        let serials: Vec<(Uuid, i64)> = rest.map(|id| (id, serial(id))).collect();
        let mut spoken = load::spoken(tx, &serials).await?;
        for place in self.places {
            let id = self.window.agent(*place);
            if done.contains(&id.0) {
                continue;
            }
            let subject = Subject::of_token(id, self.window.token(*place));
            let spoken = spoken.remove(&id.0).unwrap_or_default();
            let saved = saved.remove(&id.0);
            let told = (self.window, *place);
            work.push(Work::of_window(subject, self.chain, saved, told, spoken));
        }
        Ok(work)
    }

    fn ids(&self) -> impl Iterator<Item = Uuid> {
        self.places.iter().map(|place| self.window.agent(*place).0)
    }

    /// Agents whose saved state does not end where the window begins: nothing is saved, or they wait for the
    /// sweep and an earlier window was not projected for them, or the subject is another one.
    async fn apart(
        &self,
        tx: &mut Tx,
        ids: &[Uuid],
        saved: &HashMap<Uuid, Saved>,
    ) -> Result<HashSet<Uuid>> {
        let waiting = dirty::among(tx, ids).await?;
        let goes_on = |id: &Uuid| {
            saved
                .get(id)
                .is_some_and(|saved| saved.through_block <= self.window.after())
                && self.known.get(id) == Some(&true)
                && !waiting.contains(id)
        };
        Ok(ids.iter().filter(|id| !goes_on(id)).copied().collect())
    }
}

/// The work of agents whose facts are read from where they are stored.
async fn stored(
    tx: &mut Tx,
    agents: &HashSet<Uuid>,
    saved: &mut HashMap<Uuid, Saved>,
) -> Result<Vec<Work>> {
    if agents.is_empty() {
        return Ok(Vec::new());
    }
    let mut ids: Vec<Uuid> = agents.iter().copied().collect();
    ids.sort_unstable();
    let mut subjects = load::subjects(tx, &ids).await?;
    gather(tx, &ids, saved, &mut subjects).await
}
