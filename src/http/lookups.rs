//! Agents that many ask for at once are read together: under load one round of queries answers everybody who came
//! while the one before ran, and without load nobody waits.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use identity::agent::{self, Named};
use store::Db;
use tokio::sync::oneshot;

use super::{Code, Problem};

/// Rounds at once.
const ROUNDS: u32 = 2;
/// So many wait before a round begins beside another: the fuller they are, the less each name costs.
const FULL: usize = 64;
/// Most names of a round.
const MOST: usize = 256;

/// What is asked for, and how many rounds read it.
#[derive(Debug)]
pub struct Lookups {
    queue: Mutex<Queue>,
    /// With connections of its own.
    db: Db,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Asked>,
    rounds: u32,
}

#[derive(Debug)]
struct Asked {
    name: String,
    answer: oneshot::Sender<Answer>,
}

/// A failure is everybody's of the round.
type Answer = Result<Option<Arc<Named>>, Arc<identity::Error>>;

impl Lookups {
    /// Reads from this database.
    pub fn new(db: &Db) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::default(),
            db: db.apart(ROUNDS),
        })
    }

    /// The agent that a name finds.
    pub async fn get(self: &Arc<Self>, name: &str) -> Result<Option<Arc<Named>>, Problem> {
        let stopped = |_| Problem::new(Code::Unavailable, "the process stops: ask again");
        let answer = self.ask(name).await.map_err(stopped)?;
        answer.map_err(|error| Problem::of(error.kind(), error))
    }

    /// Puts it among what waits, and begins rounds where one is worth it.
    fn ask(self: &Arc<Self>, name: &str) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        let name = name.to_owned();
        self.queue().waiting.push(Asked { name, answer });
        if let Some(first) = self.next() {
            // Whoever asked may hang up; those who are read with him do not.
            tokio::spawn(rounds(Arc::clone(self), first));
        }
        answered
    }

    /// What waits, for one round more; none where nothing does, or where it may wait for those that are read.
    fn next(self: &Arc<Self>) -> Option<Round> {
        let mut queue = self.queue();
        let least = if queue.rounds == 0 { 1 } else { FULL };
        if queue.rounds == ROUNDS || queue.waiting.len() < least {
            return None;
        }
        queue.rounds += 1;
        let rest = queue.waiting.len().min(MOST);
        let rest = queue.waiting.split_off(rest);
        let asked = mem::replace(&mut queue.waiting, rest);
        let of = Arc::clone(self);
        Some(Round { of, asked })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A round's names, and its place, which is free again when it is dropped.
struct Round {
    of: Arc<Lookups>,
    asked: Vec<Asked>,
}

impl Drop for Round {
    fn drop(&mut self) {
        self.of.queue().rounds -= 1;
    }
}

/// Reads a round, and the next ones as long as they are worth it. Postgres has their names before anybody who was
/// answered runs.
async fn rounds(lookups: Arc<Lookups>, first: Round) {
    let mut next = Some(first);
    while let Some(mut round) = next {
        read(&lookups.db, mem::take(&mut round.asked)).await;
        // Whoever came before this saw no room, and is in the next one; whoever comes after it sees some.
        drop(round);
        next = lookups.next();
    }
}

async fn read(db: &Db, asked: Vec<Asked>) {
    let names: Vec<&str> = asked.iter().map(|asked| asked.name.as_str()).collect();
    let found = agent::find_all(db, &names).await;
    match found {
        Ok(found) => {
            for (asked, named) in asked.into_iter().zip(found) {
                // Who hung up wants no answer.
                let _ = asked.answer.send(Ok(named));
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for asked in asked {
                let _ = asked.answer.send(Err(Arc::clone(&error)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::PgPool;
    use store::Clock;

    use super::*;

    fn push(lookups: &Lookups, count: usize) {
        for number in 0..count {
            let (answer, _) = oneshot::channel();
            let name = number.to_string();
            lookups.queue().waiting.push(Asked { name, answer });
        }
    }

    #[tokio::test]
    async fn a_second_round_begins_where_it_is_worth_it_and_what_is_left_is_in_the_next_one() {
        let nowhere = PgPool::connect_lazy("postgres://nobody@localhost/nothing").expect("a URL");
        let lookups = Lookups::new(&Db::from_pool(nowhere, Clock::System));
        assert!(lookups.next().is_none(), "nothing waits");
        push(&lookups, 1);
        let first = lookups
            .next()
            .expect("whoever comes first waits for nobody");
        push(&lookups, FULL - 1);
        assert!(lookups.next().is_none(), "too few wait");
        push(&lookups, 1);
        let beside = lookups.next().expect("enough wait");
        assert_eq!((first.asked.len(), beside.asked.len()), (1, FULL));
        push(&lookups, MOST + 2);
        assert!(lookups.next().is_none(), "two are read");
        drop((first, beside));
        let full = lookups.next().expect("all wait");
        assert_eq!(full.asked.len(), MOST);
        drop(full);
        let rest = lookups.next().expect("the rest");
        assert_eq!(rest.asked.len(), 2);
    }
}
