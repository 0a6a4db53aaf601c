//! The signals that end us.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Error;

/// Ctrl-C, SIGTERM, and the closing of the terminal.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Listens from now on; the signals lose their usual effect.
    pub fn listen() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(|error| Error::io("listening for signals", error));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one and gives its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}
