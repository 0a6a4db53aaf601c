//! Which chain an agent without a token follows, of those whose contracts of VEXEL's speak of its DID: places on two
//! chains cannot be compared, so it is one. It is the one on which the agent was heard itself first, by the time of the
//! block: neither which chain was read first, nor what a stranger has a contract say elsewhere, decides it.

use std::collections::{BTreeMap, HashMap, HashSet};

use store::Tx;
use uuid::Uuid;

use super::{
    load::{self, Subject, Versions},
    one::{Work, fold},
};
use crate::{
    Result,
    fact::{ChainFact, ChainWord, Fact, VexelSaid, What},
};

/// Has each agent without a token follow its chain. Gives those who followed another one, or none, until now: they are
/// folded from their first fact. The agents are locked.
pub(super) async fn follow(
    tx: &mut Tx,
    subjects: &mut HashMap<Uuid, Subject>,
) -> Result<Vec<Uuid>> {
    let without = subjects.iter().filter(|(_, one)| one.token.is_none());
    let mut without: Vec<Uuid> = without.map(|(id, _)| *id).collect();
    if without.is_empty() {
        return Ok(Vec::new());
    }
    without.sort_unstable();
    let said = spoken_on(tx, &without).await?;
    let first = heard_first(tx, subjects, &said).await?;
    let mut moved = Vec::new();
    for id in without {
        let Some(subject) = subjects.get_mut(&id) else {
            continue;
        };
        // Where it was heard nowhere, nothing that is said counts, wherever it is looked for.
        let lowest = said.get(&id).and_then(|chains| chains.first());
        let follows = first.get(&id).or(lowest).copied();
        if subject.chain != follows {
            subject.chain = follows;
            moved.push((id, follows));
        }
    }
    put(tx, &moved).await?;
    Ok(moved.into_iter().map(|(id, _)| id).collect())
}

/// On which chains contracts speak of agents, ascending, as far as those are projected.
async fn spoken_on(tx: &mut Tx, agents: &[Uuid]) -> Result<HashMap<Uuid, Vec<u64>>> {
    let rows = sqlx::query!(
        r#"SELECT DISTINCT h.agent_id AS "agent!", c.chain_id AS "chain!"
             FROM identity.did_hashes h CROSS JOIN chain.v_chains c
            WHERE h.agent_id = ANY($1)
              AND EXISTS (SELECT FROM identity.did_logs d
                           WHERE d.hash = h.hash AND d.chain_id = c.chain_id AND d.block_number <= c.head_number)
            ORDER BY 1, 2"#,
        agents,
    )
    .fetch_all(tx.conn())
    .await?;
    let mut said: HashMap<Uuid, Vec<u64>> = HashMap::new();
    for row in rows {
        said.entry(row.agent)
            .or_default()
            .push(row.chain.unsigned_abs());
    }
    Ok(said)
}

/// Where those of whom several chains speak were heard first.
async fn heard_first(
    tx: &mut Tx,
    subjects: &HashMap<Uuid, Subject>,
    said: &HashMap<Uuid, Vec<u64>>,
) -> Result<HashMap<Uuid, u64>> {
    let mut named: BTreeMap<u64, Vec<Uuid>> = BTreeMap::new();
    for (id, chains) in said.iter().filter(|(_, chains)| chains.len() > 1) {
        for chain in chains {
            named.entry(*chain).or_default().push(*id);
        }
    }
    if named.is_empty() {
        return Ok(HashMap::new());
    }
    let infos = load::chains(tx).await?;
    let all: HashSet<Uuid> = named.values().flatten().copied().collect();
    let from: Vec<(Uuid, i64)> = all.into_iter().map(|id| (id, 0)).collect();
    let spoken = load::spoken(tx, &from).await?;
    let mut first: HashMap<Uuid, (Heard, u64)> = HashMap::new();
    for (chain, agents) in named {
        let whole: Vec<(Uuid, u64, i64)> = agents.iter().map(|id| (*id, chain, -1)).collect();
        let mut logs = HashMap::new();
        load::add_vexel_logs(tx, &whole, &mut logs).await?;
        for id in agents {
            let (Some(subject), Some(logs)) = (subjects.get(&id), logs.get(&id)) else {
                continue;
            };
            let subject = Subject {
                chain: Some(chain),
                ..subject.clone()
            };
            let spoken = spoken.get(&id).cloned().unwrap_or_default();
            let work = Work::new(subject, infos.get(&chain).copied(), None, logs, spoken);
            if let Some(heard) = heard(work) {
                let here = (heard, chain);
                let best = first.entry(id).or_insert(here);
                *best = here.min(*best);
            }
        }
    }
    Ok(first
        .into_iter()
        .map(|(id, (_, chain))| (id, chain))
        .collect())
}

/// How an agent was first heard on a chain: the less, the better.
type Heard = (bool, i64);

/// Whether only that speaks for an agent which anybody can have said, and since when, in microseconds: its address can be
/// registered by a stranger, who has it beat in that very transaction. Its beats after that are its own, and so is the
/// registration that founds it.
fn heard(work: Work) -> Option<Heard> {
    let facts = work.facts.clone();
    let folded = fold(work, &Versions::new()).ok()?;
    let verdicts = folded.delta.heard.iter();
    // The last verdict holds.
    let speaks: BTreeMap<(i64, i32), bool> = verdicts
        .map(|(at, speaks)| ((at.block, at.log), *speaks))
        .collect();
    let mut enrolling = HashSet::new();
    let mut found = Vec::new();
    for Fact { place, what, .. } in &facts {
        let What::Chain(ChainFact {
            tx_hash,
            said: ChainWord::Vexel(word),
            ..
        }) = what
        else {
            continue;
        };
        if speaks.get(&(place.major, place.minor)) != Some(&true) {
            continue;
        }
        if matches!(word.said, VexelSaid::Enrolled { .. }) {
            enrolling.insert(*tx_hash);
        }
        let founds = matches!(word.said, VexelSaid::Registered { .. });
        found.push((!founds && enrolling.contains(tx_hash), place.time));
    }
    found.into_iter().min()
}

/// Remembers who follows which chain. What others say of them speaks for nobody.
async fn put(tx: &mut Tx, follow: &[(Uuid, Option<u64>)]) -> Result<()> {
    if follow.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = follow.iter().map(|(id, _)| *id).collect();
    let chains: Vec<Option<i64>> = follow
        .iter()
        .map(|(_, chain)| chain.map(u64::cast_signed))
        .collect();
    sqlx::query!(
        "UPDATE identity.subjects s SET chain_id = w.chain
           FROM unnest($1::uuid[], $2::bigint[]) AS w(id, chain) WHERE s.id = w.id",
        &ids,
        &chains as &[Option<i64>],
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "UPDATE identity.did_logs d SET attributed = false
           FROM identity.did_hashes h JOIN identity.subjects s ON s.id = h.agent_id
          WHERE h.agent_id = ANY($1) AND d.hash = h.hash AND d.attributed AND d.chain_id IS DISTINCT FROM s.chain_id",
        &ids,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
