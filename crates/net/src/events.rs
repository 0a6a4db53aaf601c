//! Server-sent events (WHATWG HTML §9.2) of a service that the operator configured.

use std::{fmt, time::Duration};

use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use tokio::time::timeout;

use crate::{Call, Error, Reply, Result, body};

const MEDIA_TYPE: &str = "text/event-stream";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What a call for events came to.
#[derive(Debug)]
pub enum Opened {
    /// They come.
    Events(Events),
    /// Something else was answered.
    Refused(Reply),
}

/// An open stream of events. After an error it is of no further use.
pub struct Events {
    response: reqwest::Response,
    idle: Duration,
    max_bytes: usize,
    buffer: Vec<u8>,
    /// What of the buffer has no end of an event in it.
    searched: usize,
    last_id: Option<String>,
}

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// `event`; empty where it has none.
    pub kind: String,
    /// `data`, its lines joined.
    pub data: String,
}

impl Call {
    /// Calls for events, behind the one with the id `last`. The call's timeout holds until they begin; `idle` is the
    /// longest silence after that, and the call's `max_bytes` the longest event.
    pub async fn events(self, last: Option<&str>, idle: Duration) -> Result<Opened> {
        let (limit, max_bytes) = (self.timeout, self.max_bytes);
        let mut request = self.accept(MEDIA_TYPE).request();
        if let Some(last) = last {
            let wrong = |_| Error::Config("the last event's id is no header".to_owned());
            request = request.header(LAST_EVENT_ID, HeaderValue::from_str(last).map_err(wrong)?);
        }
        let response = timeout(limit, request.send())
            .await
            .map_err(|_| Error::Timeout)??;
        let is_stream = body::text(response.headers(), CONTENT_TYPE)
            .is_some_and(|kind| kind.starts_with(MEDIA_TYPE));
        if response.status() != reqwest::StatusCode::OK || !is_stream {
            let refused = timeout(limit, Reply::read(response, max_bytes)).await;
            return Ok(Opened::Refused(refused.map_err(|_| Error::Timeout)??));
        }
        Ok(Opened::Events(Events {
            response,
            idle,
            max_bytes,
            buffer: Vec::new(),
            searched: 0,
            last_id: last.map(str::to_owned),
        }))
    }
}

impl Events {
    /// The id to go on from: that of the newest event, also of one that had nothing else.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The next event with data; `None` where the service ended the stream.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            while let Some(block) = self.block() {
                if let Some(event) = self.read(&block) {
                    return Ok(Some(event));
                }
            }
            if self.buffer.len() > self.max_bytes {
                return Err(Error::TooLarge {
                    limit: self.max_bytes,
                });
            }
            let chunk = timeout(self.idle, self.response.chunk()).await;
            match chunk.map_err(|_| Error::Timeout)?? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }

    /// The lines up to the next empty one. Ends of lines are `\n` or `\r\n`.
    fn block(&mut self) -> Option<String> {
        let from = self.searched.saturating_sub(3);
        let ends = [&b"\n\n"[..], b"\n\r\n"].into_iter().filter_map(|end| {
            let found = self.buffer[from..]
                .windows(end.len())
                .position(|w| w == end)?;
            Some((from + found, end.len()))
        });
        let Some((at, end)) = ends.min() else {
            self.searched = self.buffer.len();
            return None;
        };
        let rest = self.buffer.split_off(at + end);
        let block = std::mem::replace(&mut self.buffer, rest);
        self.searched = 0;
        Some(String::from_utf8_lossy(&block).into_owned())
    }

    fn read(&mut self, block: &str) -> Option<Event> {
        let mut event = Event::default();
        let mut data = Vec::new();
        for line in block.lines() {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "id" if !value.contains('\0') => self.last_id = Some(value.to_owned()),
                "event" => value.clone_into(&mut event.kind),
                "data" => data.push(value),
                _ => {}
            }
        }
        event.data = data.join("\n");
        (!data.is_empty()).then_some(event)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("last_id", &self.last_id)
            .finish_non_exhaustive()
    }
}
