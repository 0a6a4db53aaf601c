//! The queue of signed heartbeats. Whatever door they come through, those that wait are recorded together, and each is
//! answered once its transaction is committed.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use identity::heartbeat::{self, Answer, Beat, Checked, Heard};
use kernel::Kind;
use store::Db;
use tokio::{sync::oneshot, task::JoinHandle, time::Instant};

/// How far the beginnings of two rounds lie apart, unless enough wait already: so few beats gather, and many, whose round
/// takes as long, wait for nothing.
const GATHER: Duration = Duration::from_millis(100);

/// Most beats that wait.
const WAITING: usize = 65_536;

/// What they take at most, in bytes, under the longest names that there are.
const MOST_BYTES: usize = 96 << 20;

const _: () = assert!(WAITING * Heard::MOST_BYTES <= MOST_BYTES);

/// Why beats could not be recorded at all.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{1}")]
pub struct Failed(Kind, String);

impl Failed {
    /// The class of this failure.
    pub fn kind(&self) -> Kind {
        self.0
    }
}

/// Beats that came together, and who waits for what becomes of them.
struct Waiting {
    beats: Vec<Heard>,
    answer: oneshot::Sender<Result<Vec<Answer>, Failed>>,
}

/// So many beats are whose.
type Client = (usize, oneshot::Sender<Result<Vec<Answer>, Failed>>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    beats: usize,
    /// Whether somebody records.
    busy: bool,
}

/// The queue of this process.
pub struct Beats {
    db: Db,
    office: String,
    queue: Mutex<Queue>,
}

impl Beats {
    /// An empty one. `office` is the journal's origin.
    pub fn new(db: Db, office: &str) -> Arc<Self> {
        Arc::new(Self {
            db,
            office: office.to_owned(),
            queue: Mutex::default(),
        })
    }

    /// Records beats, and answers each in its place. They are read before they wait: what is longer than any beat does
    /// not, and the time is held against ours when they come.
    pub async fn record(self: &Arc<Self>, beats: Vec<Beat>) -> Result<Vec<Answer>, Failed> {
        let now = self.db.clock().now();
        let read = |beat| Heard::read(beat, now);
        let beats = beats.into_iter().map(read).collect();
        let (answer, answered) = oneshot::channel();
        self.put(Waiting { beats, answer })?;
        let lost = |_| Failed(Kind::Unavailable, "the beats were not recorded".to_owned());
        answered.await.map_err(lost)?
    }

    fn put(self: &Arc<Self>, waiting: Waiting) -> Result<(), Failed> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.beats + waiting.beats.len() > WAITING {
            let why = format!("{WAITING} heartbeats wait already: try again later");
            return Err(Failed(Kind::Limited, why));
        }
        queue.beats += waiting.beats.len();
        queue.waiting.push_back(waiting);
        if !mem::replace(&mut queue.busy, true) {
            // A task of its own: who waits may go away, and others wait too.
            tokio::spawn(Arc::clone(self).work());
        }
        Ok(())
    }

    /// Records what waits until nothing does. While one round is written, the signatures of the next are checked.
    async fn work(self: Arc<Self>) {
        let mut kept: Option<JoinHandle<()>> = None;
        loop {
            let Some((beats, whose)) = self.take() else {
                return;
            };
            let next = Instant::now() + GATHER;
            let checked = heartbeat::check(&self.db, &self.office, beats).await;
            if let Some(before) = kept.take() {
                // It has told everybody itself.
                let _ = before.await;
            }
            kept = Some(tokio::spawn(keep(self.db.clone(), checked, whose)));
            if !self.is_full() {
                tokio::time::sleep_until(next).await;
            }
        }
    }

    /// Whether as many wait as are recorded at once: then there is nothing to gather.
    fn is_full(&self) -> bool {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.beats >= heartbeat::MOST
    }

    /// What waited longest, as much as is recorded at once, and who waits for how many of them; `None` where nothing
    /// waits, and then whoever comes next has to work.
    fn take(&self) -> Option<(Vec<Heard>, Vec<Client>)> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut taken, mut whose) = (Vec::new(), Vec::new());
        while let Some(next) = queue.waiting.front() {
            if !taken.is_empty() && taken.len() + next.beats.len() > heartbeat::MOST {
                break;
            }
            if let Some(Waiting { beats, answer }) = queue.waiting.pop_front() {
                whose.push((beats.len(), answer));
                taken.extend(beats);
            }
        }
        queue.beats -= taken.len();
        queue.busy = !whose.is_empty();
        queue.busy.then_some((taken, whose))
    }
}

/// Keeps what was checked, and tells each client of his.
async fn keep(db: Db, checked: identity::Result<Checked>, whose: Vec<Client>) {
    let kept = async { checked?.keep(&db).await };
    match kept.await {
        Ok(answers) => {
            let mut answers = answers.into_iter();
            for (count, answer) in whose {
                // Who went away is not told.
                let _ = answer.send(Ok(answers.by_ref().take(count).collect()));
            }
        }
        Err(error) => {
            let failed = Failed(error.kind(), error.to_string());
            for (_, answer) in whose {
                let _ = answer.send(Err(failed.clone()));
            }
        }
    }
}
