//! Changes as server-sent events (WHATWG HTML §9.2).
//!
//! While anybody listens to a feed, one task of the process reads what is new in it and hands it to all streams
//! through a ring. A stream that fell behind (it just began, its client is slow, or much came at once) reads the
//! database itself until it has caught up. So a client that does not read costs no memory: its stream stands still.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{IntoResponse, Response, Sse, sse::Event},
};
use futures::stream;
use identity::watch::{self, Targets};
use kernel::{Limit, Principal, Span};
use store::Db;
use tokio::{
    sync::{
        OwnedSemaphorePermit, Semaphore,
        broadcast::{self, error::RecvError},
    },
    time::{Interval, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::{
    From, Wanted,
    feed::{self, Cursor, Filter, Level, Part},
    item::Item,
};
use crate::http::{Code, Problem, Shared, guard::Standing};

/// Where a client that lost its stream goes on.
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How often the process looks for what is new while anybody listens.
const LOOK: Duration = Duration::from_millis(50);
/// How long it rests when it could not look.
const REST: Duration = Duration::from_secs(1);
/// A stream is never silent for longer, so that proxies keep it and the dead are found out.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often a stream of a watch looks whom that is about: one look-up.
const AGAIN: Duration = Duration::from_secs(3);
/// What clients wait before they come back.
const RETRY: Duration = Duration::from_secs(2);
/// Changes that are read at once: an entry may have 64 KiB.
const STEP: u32 = 50;
/// Batches that are kept for streams that are a little slow.
const RING: usize = 16;
/// Where more is new, it is left to the streams to read what they want of it.
const MUCH: u64 = 800;
/// The kind of the last event that whoever is believed no longer is told.
const CLOSED: &str = "closed";
/// Streams that read the database at once: many may come back together, and others ask too.
const READERS: usize = 4;

/// The streams of this process.
#[derive(Debug)]
pub struct Streams {
    most: usize,
    seats: Arc<Semaphore>,
    readers: Semaphore,
    stop: CancellationToken,
    settled: Arc<Channel>,
    head: Arc<Channel>,
}

/// What is handed to all streams of a feed.
#[derive(Debug)]
struct Channel {
    level: Level,
    sender: broadcast::Sender<Arc<Batch>>,
    /// Whether somebody looks for what is new.
    watched: Mutex<bool>,
}

/// All that came behind one place, up to another.
#[derive(Debug)]
struct Batch {
    after: u64,
    until: u64,
    items: Vec<Rendered>,
}

/// A change and its JSON, shared by all who are told of it.
type Rendered = Arc<(Item, String)>;

impl Streams {
    /// Room for so many.
    pub fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        let channel = |level| {
            Arc::new(Channel {
                level,
                sender: broadcast::Sender::new(RING),
                watched: Mutex::new(false),
            })
        };
        Self {
            most,
            seats: Arc::new(Semaphore::new(most)),
            readers: Semaphore::new(READERS),
            stop: CancellationToken::new(),
            settled: channel(Level::Settled),
            head: channel(Level::Head),
        }
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.most - self.seats.available_permits()
    }

    /// Ends all of them; their clients come back, here or elsewhere.
    pub fn close(&self) {
        self.stop.cancel();
    }

    fn seat(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.seats).try_acquire_owned().map_err(|_| {
            let detail = format!(
                "{} streams are open, which is the most (http.max_streams)",
                self.most
            );
            Problem::new(Code::Unavailable, detail)
        })
    }

    /// What is new in a feed from now on.
    fn listen(&self, db: &Db, level: Level) -> broadcast::Receiver<Arc<Batch>> {
        let channel = match level {
            Level::Settled => &self.settled,
            Level::Head => &self.head,
        };
        let mut watched = channel
            .watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let receiver = channel.sender.subscribe();
        if !*watched {
            *watched = true;
            tokio::spawn(Arc::clone(channel).watch(db.clone(), self.stop.clone()));
        }
        receiver
    }
}

impl Channel {
    /// Looks for what is new while anybody listens.
    async fn watch(self: Arc<Self>, db: Db, stop: CancellationToken) {
        let mut told = None;
        while !self.is_deserted() {
            let pause = match self.look(&db, &mut told).await {
                Ok(()) => LOOK,
                Err(problem) => {
                    tracing::warn!("streams are not told of changes: {}", problem.detail);
                    REST
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Whether nobody listens any more; then nobody looks either until somebody does.
    fn is_deserted(&self) -> bool {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        *watched = self.sender.receiver_count() > 0;
        !*watched
    }

    /// Tells of all that came behind `told`.
    async fn look(&self, db: &Db, told: &mut Option<u64>) -> Result<(), Problem> {
        let end = self.level.end(db).await?;
        let far = told.is_none_or(|after| end - after.min(end) > MUCH);
        let after = told.get_or_insert(end);
        if far {
            // Who stands before this reads what came meanwhile; so does who came while nobody looked.
            *after = end;
            self.tell(end, end, Vec::new());
        }
        while *after < end {
            let limit = step();
            let until = end.min(*after + limit.get() as u64);
            let span = Span {
                after: *after,
                until,
                limit,
                newest: false,
            };
            let found = feed::read(db, &Filter::all(self.level), &span).await?;
            self.tell(
                *after,
                until,
                found.items.into_iter().map(rendered).collect(),
            );
            *after = until;
        }
        Ok(())
    }

    fn tell(&self, after: u64, until: u64, items: Vec<Rendered>) {
        // That nobody listens any more is seen before the next look.
        let _ = self.sender.send(Arc::new(Batch {
            after,
            until,
            items,
        }));
    }
}

fn step() -> Limit {
    Limit::new(STEP).unwrap_or_default()
}

fn rendered(item: Item) -> Rendered {
    let json = serde_json::to_string(&item).unwrap_or_default();
    Arc::new((item, json))
}

/// Opens a stream.
pub async fn open(
    app: Shared,
    headers: &HeaderMap,
    mut wanted: Wanted,
    filter: Filter,
    caller: &Principal,
    standing: Standing,
) -> Result<Response, Problem> {
    let seat = app.streams.seat()?;
    if let Some(last) = headers.get(LAST_EVENT_ID).filter(|last| !last.is_empty()) {
        let wrong = |_| Problem::new(Code::Invalid, "Last-Event-ID is none that a stream gave");
        wanted.after = Some(last.to_str().map_err(wrong)?.to_owned());
        wanted.before = None;
    }
    if wanted.before.is_some() {
        let detail = "a stream goes on, not back: before is for pages";
        return Err(Problem::new(Code::Invalid, detail));
    }
    let limit = wanted.limit()?;
    // First listened, then read: nothing falls in between.
    let live = app.streams.listen(&app.db, filter.level());
    let (first, part) = match wanted.from(&app, "now").await? {
        From::After(place) => (place, None),
        From::Newest(until) => {
            let part = feed::newest(&app.db, &filter, until, limit).await?;
            let oldest = part.items.first().map(Item::place);
            (oldest.map_or(until, |place| place - 1), Some(part))
        }
    };
    let mut listener = Listener {
        app,
        filter,
        live,
        place: first,
        pending: VecDeque::new(),
        behind: true,
        greeted: false,
        beat: tokio::time::interval(HEARTBEAT),
        watching: wanted.watch.map(|name| Watching::of(caller, name)),
        standing,
        closed: false,
        _seat: seat,
    };
    if let Some(part) = part {
        listener.take(part);
    }
    let mut response = Sse::new(stream::unfold(
        (listener, first),
        |(mut listener, first)| async move {
            let event = listener.next(first).await?;
            Some((Ok::<_, Infallible>(event), (listener, first)))
        },
    ))
    .into_response();
    // Proxies that collect answers before they pass them on (nginx) are told not to.
    let not = HeaderValue::from_static("no");
    response.headers_mut().insert("x-accel-buffering", not);
    Ok(response)
}

/// The watch whose alerts a stream tells.
struct Watching {
    principal: String,
    name: String,
    again: Interval,
}

impl Watching {
    fn of(caller: &Principal, name: String) -> Self {
        let mut again = tokio::time::interval(AGAIN);
        // A client that reads slowly is not asked about once for each time that it missed.
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            principal: caller.to_string(),
            name,
            again,
        }
    }

    /// Waits until it is time to look whom it is about; for ever where there is none.
    async fn due(watching: Option<&mut Self>) {
        match watching {
            Some(watching) => {
                watching.again.tick().await;
            }
            None => std::future::pending().await,
        }
    }
}

/// One open stream.
struct Listener {
    app: Shared,
    filter: Filter,
    live: broadcast::Receiver<Arc<Batch>>,
    /// All that is wanted up to here was sent, or is pending.
    place: u64,
    pending: VecDeque<Rendered>,
    /// Whether there may be more in the database than the ring will bring.
    behind: bool,
    greeted: bool,
    beat: Interval,
    /// Where alerts are wanted.
    watching: Option<Watching>,
    /// Of the proof that opened it.
    standing: Standing,
    /// Whether the last word was said.
    closed: bool,
    _seat: OwnedSemaphorePermit,
}

impl Listener {
    /// The next event; none once the stream ends.
    async fn next(&mut self, first: u64) -> Option<Event> {
        let event = self.wait(first).await;
        self.beat.reset();
        event
    }

    async fn wait(&mut self, first: u64) -> Option<Event> {
        let stop = self.app.streams.stop.clone();
        if !self.greeted {
            self.greeted = true;
            // Who loses the stream before the first change goes on from here, and not from later.
            return Some(self.at(first).retry(RETRY));
        }
        loop {
            if stop.is_cancelled() {
                return None;
            }
            if self.standing.is_over() {
                return self.farewell();
            }
            if let Some(next) = self.pending.pop_front() {
                let (item, json) = next.as_ref();
                let event = Event::default().id(item.cursor().to_string());
                return Some(event.event(item.kind()).data(json));
            }
            if self.behind {
                self.catch_up().await?;
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = self.standing.over() => {}
                () = Watching::due(self.watching.as_mut()) => self.look_whom().await,
                batch = self.live.recv() => self.hear(batch)?,
                _ = self.beat.tick() => return Some(self.at(self.place)),
            }
        }
    }

    /// Goes on with the targets that its watch has now.
    async fn look_whom(&mut self) {
        let (Some(watching), Filter::Head(wanted)) = (&self.watching, &mut self.filter) else {
            return;
        };
        match watch::targets(&self.app.db, &watching.principal, &watching.name).await {
            Ok(targets) => wanted.watch = Some(targets),
            // It was removed, and may be made again.
            Err(identity::Error::NoWatch(_)) => wanted.watch = Some(Targets::default()),
            Err(error) => tracing::info!("a stream goes on with the targets that it had: {error}"),
        }
    }

    /// Says why there is no more, to whoever is believed no longer; none once that was said.
    fn farewell(&mut self) -> Option<Event> {
        if std::mem::replace(&mut self.closed, true) {
            return None;
        }
        let problem = Problem::new(Code::Unauthorized, self.standing.why());
        let json = serde_json::to_string(&problem).unwrap_or_default();
        Some(Event::default().event(CLOSED).data(json))
    }

    /// A comment with a place: clients remember the place and show nothing.
    fn at(&self, place: u64) -> Event {
        let level = self.filter.level();
        Event::default()
            .comment("")
            .id(Cursor { level, place }.to_string())
    }

    /// Takes what everybody is told; none where nobody will be told more.
    fn hear(&mut self, batch: Result<Arc<Batch>, RecvError>) -> Option<()> {
        match batch {
            Ok(batch) if batch.after > self.place => self.behind = true,
            Ok(batch) => {
                let news = batch
                    .items
                    .iter()
                    .filter(|one| one.0.place() > self.place && one.0.passes(&self.filter));
                self.pending.extend(news.cloned());
                self.place = self.place.max(batch.until);
            }
            Err(RecvError::Lagged(_)) => self.behind = true,
            Err(RecvError::Closed) => return None,
        }
        Some(())
    }

    /// Reads a page; none where that fails: the client comes back and is told why.
    async fn catch_up(&mut self) -> Option<()> {
        let app = Arc::clone(&self.app);
        let _reading = app.streams.readers.acquire().await.ok()?;
        match feed::after(&app.db, &self.filter, self.place, step()).await {
            Ok(part) => {
                self.take(part);
                Some(())
            }
            Err(problem) => {
                tracing::info!("a stream ends: {}", problem.detail);
                None
            }
        }
    }

    fn take(&mut self, part: Part) {
        self.place = part.next.place;
        self.behind = part.more;
        self.pending.extend(part.items.into_iter().map(rendered));
    }
}

#[cfg(test)]
mod tests {
    use sqlx::PgPool;
    use store::Clock;

    use super::*;

    /// Whoever began to listen before that look knows by it what he has to read himself.
    #[sqlx::test(migrations = "./migrations")]
    async fn the_first_look_says_where_it_begins(pool: PgPool) -> Result<(), Problem> {
        let told = "INSERT INTO identity.head_steps (at, agent_id, columns, values, cause, undone)
             SELECT now(), '00000000-0000-4000-8000-000000000001', ARRAY['name'], ARRAY[to_jsonb(n)], n::text, false
               FROM generate_series(1, $1) AS n";
        let db = Db::from_pool(pool, Clock::System);
        let tell = async |count: i32| {
            let insert = sqlx::query(told).bind(count).execute(db.pool());
            insert.await.expect("inserted");
            identity::head::order(&db).await.expect("ordered");
        };
        let channel = Channel {
            level: Level::Head,
            sender: broadcast::Sender::new(RING),
            watched: Mutex::new(true),
        };
        let mut live = channel.sender.subscribe();
        tell(3).await;
        let mut seen = None;
        for (count, expected) in [(0, (3, 3, 0)), (2, (3, 5, 2)), (900, (905, 905, 0))] {
            tell(count).await;
            channel.look(&db, &mut seen).await?;
            let batch = live.recv().await.expect("told");
            let told = (batch.after, batch.until, batch.items.len());
            assert_eq!(told, expected, "after {count} more");
        }
        Ok(())
    }
}
