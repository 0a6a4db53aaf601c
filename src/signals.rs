//! The signals that end us.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::Error;

/// Ctrl-C, SIGTERM, and the closing of the terminal.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    last: Option<Instant>,
}

/// Signals that come together are one: a terminal and a wrapper such as `timeout` both send theirs.
const TOGETHER: Duration = Duration::from_millis(300);

impl Signals {
    /// Listens from now on; the signals lose their usual effect.
    pub fn listen() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(|error| Error::io("listening for signals", error));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
            last: None,
        })
    }

    /// Waits for the next one and gives its name.
    pub async fn next(&mut self) -> &'static str {
        loop {
            let name = tokio::select! {
                _ = self.interrupt.recv() => "Ctrl-C",
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.hangup.recv() => "SIGHUP",
            };
            let now = Instant::now();
            let before = self.last.replace(now);
            if before.is_none_or(|before| now.duration_since(before) > TOGETHER) {
                return name;
            }
        }
    }
}
