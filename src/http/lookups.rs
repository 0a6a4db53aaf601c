//! Agents that many ask for at once are read together: under load one round of queries answers everybody who came
//! while the one before ran, and without load nobody waits.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use identity::{
    agent::{self, Named},
    identifier,
};
use store::Db;
use tokio::sync::{
    Semaphore,
    oneshot::{self, error::RecvError},
};

use super::Problem;

/// Rounds at once: while Postgres answers one, the next is read into JSON.
const ROUNDS: usize = 2;
/// Most names of a round.
const MOST: usize = 256;

/// What is asked for, and what reads it.
#[derive(Debug)]
pub struct Lookups {
    waiting: Mutex<Vec<Asked>>,
    rounds: Semaphore,
}

#[derive(Debug)]
struct Asked {
    name: String,
    answer: oneshot::Sender<Answer>,
}

/// A failure is everybody's of the round.
type Answer = Result<Option<Arc<Named>>, Arc<identity::Error>>;

impl Default for Lookups {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            rounds: Semaphore::new(ROUNDS),
        }
    }
}

impl Lookups {
    /// The agent that a name finds.
    pub async fn get(&self, db: &Db, name: &str) -> Result<Arc<Named>, Problem> {
        let answer = loop {
            // Who reads it for us may hang up: then it is asked for again.
            if let Ok(answer) = self.answer(db, self.ask(name)).await {
                break answer;
            }
        };
        match answer {
            Ok(Some(named)) => Ok(named),
            Ok(None) => Err(Box::pin(identifier::nobody(db, name)).await.into()),
            Err(error) => Err(Problem::of(error.kind(), error)),
        }
    }

    fn ask(&self, name: &str) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        let name = name.to_owned();
        self.waiting().push(Asked { name, answer });
        answered
    }

    /// Waits for the answer, and reads a round where there is room for one.
    async fn answer(
        &self,
        db: &Db,
        mut answered: oneshot::Receiver<Answer>,
    ) -> Result<Answer, RecvError> {
        loop {
            tokio::select! {
                biased;
                answer = &mut answered => return answer,
                _round = self.rounds.acquire() => match self.next_round() {
                    // Apart, so that whoever only waits is small.
                    Some(asked) => Box::pin(read(db, asked)).await,
                    // Somebody reads ours already.
                    None => return answered.await,
                },
            }
        }
    }

    fn next_round(&self) -> Option<Vec<Asked>> {
        let mut waiting = self.waiting();
        let rest = waiting.len().min(MOST);
        let rest = waiting.split_off(rest);
        let asked = mem::replace(&mut *waiting, rest);
        (!asked.is_empty()).then_some(asked)
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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
