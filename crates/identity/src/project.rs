//! Facts to rows, set-based: the only writer of projected rows, and of what the journal is owed.

mod assemble;
mod load;
mod settle;
mod uris;
mod write;

use std::collections::{HashMap, HashSet};

use kernel::AgentId;
use store::Tx;
use uuid::Uuid;

pub use self::assemble::MalformedLog;
pub(crate) use self::uris::{FETCH, KEPT};
pub(crate) use self::load::Subject;
use self::load::{ActRow, ChainInfo, Saved, Versions};
use crate::{
    Result,
    fact::{Fact, What},
    fold::{Delta, State},
};

/// What may be believed of what was saved before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// New facts came, normally after all others.
    Forward,
    /// Facts came that may stand before others, or some went: fold from the first.
    Refold,
}

/// What a projection found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Agents of which somebody holds a row: they are dirty and wait for the sweep.
    pub busy: Vec<AgentId>,
    /// Logs that could not be read.
    pub malformed: Vec<(AgentId, MalformedLog)>,
    /// Entries appended to the journal.
    pub entries: usize,
    /// What the head says of each agent beyond what was settled before.
    pub head: Vec<(AgentId, Vec<journal::Change>)>,
}

/// One agent between loading and writing.
struct Work {
    subject: Subject,
    chain: Option<ChainInfo>,
    saved: Option<Saved>,
    logs: Vec<(chain::Log, i64)>,
    acts: Vec<ActRow>,
}

/// One agent, folded.
struct Folded {
    subject: Subject,
    chain: Option<ChainInfo>,
    /// Whether the fold began at the first fact.
    scratch: bool,
    /// Over settled ground.
    settled: State,
    /// What that owes the journal beyond the saved state, or in all when from scratch.
    owed: Vec<journal::Change>,
    through_block: i64,
    through_serial: i64,
    /// Over everything: what rows show.
    head: State,
    /// Rows of histories with an ordinal from here on are written anew.
    base: Base,
    delta: Delta,
    malformed: Vec<MalformedLog>,
}

/// Ordinals at which the incremental part of the histories begins.
#[derive(Debug, Clone, Copy, Default)]
struct Base {
    history: i32,
    liveness: i32,
    admin: i32,
    load: i32,
}

impl Base {
    fn of(state: &State) -> Self {
        let status = &state.status;
        Self {
            history: status.history,
            liveness: status.liveness.0,
            admin: status.admin.0,
            load: status.load.0,
        }
    }
}

/// Projects `agents` and settles them, in the caller's transaction.
///
/// Locks their subjects in id order and takes their rows, skipping locked ones: an open transaction
/// at psql never stops a chain.
pub async fn project(tx: &mut Tx, agents: &[AgentId], mode: Mode) -> Result<Report> {
    let mut ids: Vec<Uuid> = agents.iter().map(|agent| agent.0).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut subjects = load::subjects(tx, &ids).await?;
    let mut report = Report::default();
    let busy = take_rows(tx, &ids).await?;
    if !busy.is_empty() {
        crate::dirty::mark(tx, &busy, mode == Mode::Refold).await?;
        report.busy = busy.iter().copied().map(AgentId).collect();
        ids.retain(|id| !busy.contains(id));
    }
    ids.retain(|id| subjects.contains_key(id));
    if ids.is_empty() {
        return Ok(report);
    }
    let chains = load::chains(tx).await?;
    let mut saved = match mode {
        Mode::Forward => load::saved(tx, &ids).await?,
        Mode::Refold => HashMap::new(),
    };
    let mut work = gather(tx, &ids, &mut saved, &mut subjects, &chains).await?;
    let folded = fold_all(tx, &mut work).await?;
    write::rows(tx, &folded).await?;
    uris::want(tx, &folded).await?;
    report.entries = settle::settle(tx, &folded).await?;
    settle::save(tx, &folded).await?;
    for one in folded {
        let id = one.subject.id;
        report.malformed.extend(one.malformed.into_iter().map(|log| (id, log)));
        report.head.push((id, one.delta.changes));
    }
    Ok(report)
}

/// Takes the rows of agents, then of their capabilities, and says of whom somebody else holds one.
async fn take_rows(tx: &mut Tx, ids: &[Uuid]) -> Result<HashSet<Uuid>> {
    let there = sqlx::query_scalar!("SELECT id FROM identity.agents WHERE id = ANY($1)", ids)
        .fetch_all(tx.conn())
        .await?;
    if there.is_empty() {
        return Ok(HashSet::new());
    }
    let taken = sqlx::query_scalar!(
        "SELECT id FROM identity.agents WHERE id = ANY($1) ORDER BY id FOR UPDATE SKIP LOCKED",
        &there,
    )
    .fetch_all(tx.conn())
    .await?;
    let mut busy: HashSet<Uuid> = there.iter().copied().collect();
    taken.iter().for_each(|id| {
        busy.remove(id);
    });
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
        busy.extend(rows.iter().filter(|row| !free.contains(&row.id)).map(|row| row.agent_id));
    }
    Ok(busy)
}

/// Reads what each agent's fold needs: from its saved state on, or everything.
async fn gather(
    tx: &mut Tx,
    ids: &[Uuid],
    saved: &mut HashMap<Uuid, Saved>,
    subjects: &mut HashMap<Uuid, Subject>,
    chains: &HashMap<u64, ChainInfo>,
) -> Result<Vec<Work>> {
    let from = |id: &Uuid| saved.get(id).map_or((-1, 0), |s| (s.through_block, s.through_serial));
    let blocks: Vec<(Uuid, i64)> = ids.iter().map(|id| (*id, from(id).0)).collect();
    let serials: Vec<(Uuid, i64)> = ids.iter().map(|id| (*id, from(id).1)).collect();
    let mut logs = load::logs(tx, &blocks).await?;
    let mut acts = load::acts(tx, &serials).await?;
    Ok(ids
        .iter()
        .filter_map(|id| {
            let subject = subjects.remove(id)?;
            Some(Work {
                chain: subject.token.and_then(|token| chains.get(&token.chain).copied()),
                saved: saved.remove(id),
                logs: logs.remove(id).unwrap_or_default(),
                acts: acts.remove(id).unwrap_or_default(),
                subject,
            })
        })
        .collect())
}

async fn fold_all(tx: &mut Tx, work: &mut Vec<Work>) -> Result<Vec<Folded>> {
    let mut versions = read_documents(tx, work).await?;
    let mut folded = Vec::with_capacity(work.len());
    let mut late = Vec::new();
    for one in work.drain(..) {
        match fold(one, &versions) {
            Ok(one) => folded.push(*one),
            Err(one) => late.push(*one),
        }
    }
    if late.is_empty() {
        return Ok(folded);
    }
    // Something stands before the end of the saved state: these begin at their first fact.
    let ids: Vec<Uuid> = late.iter().map(|one| one.subject.id.0).collect();
    let mut subjects = HashMap::new();
    let mut chains = HashMap::new();
    for one in late {
        if let (Some(token), Some(info)) = (one.subject.token, one.chain) {
            chains.insert(token.chain, info);
        }
        subjects.insert(one.subject.id.0, one.subject);
    }
    let again = gather(tx, &ids, &mut HashMap::new(), &mut subjects, &chains).await?;
    versions.extend(read_documents(tx, &again).await?);
    for one in again {
        match fold(one, &versions) {
            Ok(one) => folded.push(*one),
            Err(one) => tracing::error!(agent = %one.subject.id, "a fold from scratch was refused"),
        }
    }
    Ok(folded)
}

/// The documents at all URIs that are current or newly named.
async fn read_documents(tx: &mut Tx, work: &[Work]) -> Result<Versions> {
    let mut uris = Vec::new();
    let mut named = Vec::new();
    for one in work {
        if let Some(uri) = one.saved.as_ref().and_then(|saved| saved.state.token.uri.as_ref()) {
            uris.push(uri.uri.hash);
        }
        let Some(info) = &one.chain else { continue };
        for fact in &assemble::chain_facts(&one.logs, info, 0).0 {
            if let Some((uri, raw)) = assemble::named_uri(fact) {
                uris.push(uri.hash);
                named.push((one.subject.id.0, uri.clone(), raw.clone()));
            }
        }
    }
    uris::put(tx, &named).await?;
    load::versions(tx, &uris).await
}

/// Folds one agent; `Err` gives it back where the saved state cannot be continued.
fn fold(work: Work, versions: &Versions) -> Result<Box<Folded>, Box<Work>> {
    let scratch = work.saved.is_none();
    let state = work.saved.as_ref().map(|saved| saved.state.clone()).unwrap_or_default();
    let chain = work.subject.token.map(|token| token.chain);
    let settled = work.chain.map_or(i64::MAX, |info| info.settled);
    let (chain_facts, malformed) = match &work.chain {
        Some(info) => assemble::chain_facts(&work.logs, info, state.chain_time),
        None => (Vec::new(), Vec::new()),
    };
    let unsettled = chain_facts.iter().any(|fact| fact.place.major > settled);
    let ordered = |facts: Vec<Fact>| {
        let documents = assemble::document_facts(&state, &facts, versions, chain);
        let acts = assemble::act_facts(&work.acts, &state, &facts);
        let mut all = facts;
        all.extend(documents);
        all.extend(acts);
        all.sort_by_key(|fact| fact.place);
        all
    };
    let head_facts = ordered(chain_facts.clone());
    let continues = |facts: &[Fact]| {
        let after = facts.first().is_none_or(|fact| Some(fact.place) > state.end);
        after && !(state.off_chain && facts.iter().any(founds))
    };
    if !scratch && !continues(&head_facts) {
        return Err(Box::new(work));
    }
    let mut head = state.clone();
    let delta = head.fold(&head_facts);
    let (settled_state, owed) = if unsettled {
        let ground = chain_facts.into_iter().filter(|fact| fact.place.major <= settled).collect();
        let mut over_settled = state.clone();
        let owed = over_settled.fold(&ordered(ground)).changes;
        (over_settled, owed)
    } else {
        (head.clone(), delta.changes.clone())
    };
    let last_serial = work.acts.iter().map(|act| act.serial).max();
    let last_block = work.logs.iter().map(|(log, _)| log.block_number.cast_signed());
    let through_block = last_block.filter(|block| *block <= settled).max();
    Ok(Box::new(Folded {
        scratch,
        owed,
        through_block: through_block
            .or(work.saved.as_ref().map(|saved| saved.through_block))
            .unwrap_or(-1),
        through_serial: last_serial
            .max(work.saved.as_ref().map(|saved| saved.through_serial))
            .unwrap_or(0),
        settled: settled_state,
        base: Base::of(&state),
        head,
        delta,
        malformed,
        subject: work.subject,
        chain: work.chain,
    }))
}

fn founds(fact: &Fact) -> bool {
    matches!(
        &fact.what,
        What::Chain(chain) if matches!(chain.said, crate::fact::ChainWord::Founded { .. })
    )
}
