//! What goes on beyond its request, a stream or a socket, ends with the proof that opened it.

use std::{sync::Arc, time::Duration};

use access::session;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Proof;
use crate::http::Shared;

/// How often it is looked whether a proof still holds: keys are in memory, a session is one look-up.
const LOOK: Duration = Duration::from_secs(3);

/// A proof that is looked after for as long as this is kept.
#[derive(Debug)]
pub struct Standing {
    over: CancellationToken,
    why: &'static str,
    _left: DropGuard,
}

impl Standing {
    /// Looks after a proof from now on. Keys are revoked and sessions closed; nothing else ends before its process.
    pub fn of(app: &Shared, proof: Proof) -> Self {
        let (over, left) = (CancellationToken::new(), CancellationToken::new());
        let why = match &proof {
            Proof::Key(_) => "the API key that opened this was revoked, or is over",
            Proof::Session(..) => "the session that opened this has ended: sign in anew",
            Proof::Nothing | Proof::Token | Proof::Signature | Proof::Wallet => "",
        };
        if !why.is_empty() {
            let look = look_after(Arc::clone(app), proof, over.clone());
            tokio::spawn(left.clone().run_until_cancelled_owned(look));
        }
        Self {
            over,
            why,
            _left: left.drop_guard(),
        }
    }

    /// Whether the proof holds no more.
    pub fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Waits until it holds no more.
    pub async fn over(&self) {
        self.over.cancelled().await;
    }

    /// What to tell whoever it was then.
    pub fn why(&self) -> &'static str {
        self.why
    }
}

async fn look_after(app: Shared, proof: Proof, over: CancellationToken) {
    while holds(&app, &proof).await {
        tokio::time::sleep(LOOK).await;
    }
    over.cancel();
}

/// Whether whoever has it would still be believed. Where the database does not say, what is known of its end counts:
/// there is nothing new to be told then, and a stream is not worth less than a connection.
async fn holds(app: &Shared, proof: &Proof) -> bool {
    let (found, end) = match proof {
        Proof::Key(key) => (app.keys.holds(&app.db, &key.key_id).await, key.expires_at),
        Proof::Session(session, token) => {
            let found = session::find(&app.db, token).await;
            (found.map(|found| found.is_some()), Some(session.expires_at))
        }
        Proof::Nothing | Proof::Token | Proof::Signature | Proof::Wallet => return true,
    };
    found.unwrap_or_else(|_| end.is_none_or(|end| end > app.db.clock().now()))
}
