//! Two agents that claim one DID: possible only off chain, where somebody restores an agent whose name another one took,
//! or gives a name on whose former holder waits.

use std::collections::{BTreeMap, HashMap, HashSet, hash_map::Entry};

use journal::{Change, NewEntry};
use serde_json::json;
use store::Tx;
use uuid::Uuid;

use super::{Folded, agent};
use crate::{Result, dirty};

/// Agents whose rows cannot be written now.
#[derive(Default)]
pub(super) struct Apart {
    /// The other one waits for the sweep, and so do these.
    pub waiting: HashSet<Uuid>,
    /// Of these people are told, and the step goes on: the DID, and who has it.
    told: BTreeMap<Uuid, (String, Uuid)>,
}

/// Who has a DID that somebody wants, maybe himself.
struct Held {
    id: Uuid,
    did: String,
    other: Uuid,
    /// Whether who has it waits for the sweep.
    waits: bool,
}

impl Apart {
    pub fn contains(&self, agent: Uuid) -> bool {
        self.waiting.contains(&agent) || self.told.contains_key(&agent)
    }

    /// Of agents that want DIDs, those that cannot have them now.
    fn of(mut wants: Vec<(Uuid, &str)>, mut held: Vec<Held>) -> Self {
        let mut apart = Self::default();
        let own = held.iter().filter(|one| one.id == one.other);
        let own: HashSet<Uuid> = own.map(|one| one.id).collect();
        // Of two that want the same one, who has it keeps it.
        wants.sort_by_key(|(id, _)| !own.contains(id));
        let mut takers: HashMap<&str, Uuid> = HashMap::new();
        for (id, did) in wants {
            match takers.entry(did) {
                Entry::Vacant(free) => {
                    free.insert(id);
                }
                Entry::Occupied(taken) => {
                    apart.told.insert(id, (did.to_owned(), *taken.get()));
                }
            }
        }
        let mut written: HashSet<Uuid> = takers.into_values().collect();
        held.retain(|one| one.id != one.other);
        // Who is written gives up what it had. Who is not keeps it, and whoever wants that is not written, either.
        loop {
            let (kept, given): (Vec<Held>, Vec<Held>) = held
                .into_iter()
                .partition(|one| !written.contains(&one.other));
            if kept.is_empty() {
                return apart;
            }
            for one in kept {
                if !written.remove(&one.id) {
                    continue;
                }
                if one.waits || apart.waiting.contains(&one.other) {
                    apart.waiting.insert(one.id);
                } else {
                    apart.told.insert(one.id, (one.did, one.other));
                }
            }
            held = given;
        }
    }
}

/// Finds them.
pub(super) async fn set_apart(tx: &mut Tx, shown: &[&Folded]) -> Result<Apart> {
    let wants: Vec<(Uuid, &str)> = shown
        .iter()
        .filter(|one| one.subject.token.is_none())
        .map(|one| (one.subject.id.0, agent::did(one)))
        .collect();
    if wants.is_empty() {
        return Ok(Apart::default());
    }
    let held = held(tx, &wants).await?;
    let apart = Apart::of(wants, held);
    if !apart.waiting.is_empty() {
        dirty::mark(tx, &apart.waiting, true).await?;
    }
    tell(tx, &apart.told).await?;
    Ok(apart)
}

/// Who has what they want: by his row, or by a name that his rows still show. Mostly it is himself, of whom nothing more
/// is asked: the dirty have no index.
async fn held(tx: &mut Tx, wants: &[(Uuid, &str)]) -> Result<Vec<Held>> {
    let (ids, names): (Vec<Uuid>, Vec<&str>) = wants.iter().copied().unzip();
    let held = sqlx::query_as!(
        Held,
        r#"SELECT w.id AS "id!", w.did AS "did!", o.id AS "other!",
                  o.id <> w.id AND EXISTS (SELECT FROM identity.dirty d WHERE d.agent_id = o.id) AS "waits!"
             FROM unnest($1::uuid[], $2::text[]) AS w(id, did)
             JOIN (SELECT id, did::text FROM identity.agents WHERE did = ANY($2)
                    UNION SELECT agent_id, value FROM identity.agent_identifiers
                    WHERE kind = 'did' AND standing = 'verified' AND value = ANY($2)) o
               ON o.did = w.did"#,
        &ids,
        &names as &[&str],
    );
    Ok(held.fetch_all(tx.conn()).await?)
}

async fn tell(tx: &mut Tx, told: &BTreeMap<Uuid, (String, Uuid)>) -> Result<()> {
    let now = tx.now();
    let entries = told.iter().map(|(agent, (did, other))| {
        tracing::warn!(%agent, did, held_by = %other, "{did} belongs to another agent: {agent} has no rows");
        NewEntry::incident(vec![Change {
            column: "did_taken".to_owned(),
            value: json!({ "did": did, "held_by": other.to_string() }),
            cause: format!("agent:{agent}"),
            time: now,
        }])
    });
    journal::append(tx, entries.collect()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn held(id_of: u128, did: &str, other: u128, waits: bool) -> Held {
        Held {
            id: id(id_of),
            did: did.to_owned(),
            other: id(other),
            waits,
        }
    }

    #[test]
    fn who_is_set_apart_gives_nothing_up() {
        // One has `a`, which two wants, whose `b` three wants, whose `c` four wants.
        let chain = |waits| {
            vec![
                held(4, "c", 3, true),
                held(3, "b", 2, true),
                held(2, "a", 1, waits),
            ]
        };
        let wants = || vec![(id(4), "c"), (id(3), "b"), (id(2), "a")];
        let apart = Apart::of(wants(), chain(true));
        assert_eq!(apart.waiting, HashSet::from([id(2), id(3), id(4)]));
        assert!(apart.told.is_empty());
        let apart = Apart::of(wants(), chain(false));
        assert_eq!(apart.told[&id(2)], ("a".to_owned(), id(1)));
        assert!((2..=4).all(|one| apart.contains(id(one))));

        // Where the first one gives it up in the same batch, all of them have what they want.
        let mut all = wants();
        all.push((id(1), "d"));
        let apart = Apart::of(all, chain(true));
        assert!((1..=4).all(|one| !apart.contains(id(one))));
    }

    #[test]
    fn of_two_that_want_one_did_who_has_it_keeps_it() {
        let wants = || vec![(id(1), "a"), (id(2), "a")];
        let apart = Apart::of(wants(), Vec::new());
        assert_eq!(
            apart.told,
            BTreeMap::from([(id(2), ("a".to_owned(), id(1)))])
        );
        let has = vec![held(1, "a", 2, false), held(2, "a", 2, false)];
        let apart = Apart::of(wants(), has);
        assert_eq!(
            apart.told,
            BTreeMap::from([(id(1), ("a".to_owned(), id(2)))])
        );
        assert!(apart.waiting.is_empty());
    }
}
