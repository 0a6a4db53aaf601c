//! What goes on beyond its request, a stream or a socket, ends with the proof that opened it.

use std::{sync::Arc, time::Duration};

use access::{Known, session};
use kernel::Principal;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Proof, proof};
use crate::http::{Problem, Shared};

/// How often it is looked whether a proof still holds: API keys are in memory; a session, or an agent's key, is one
/// look-up.
const LOOK: Duration = Duration::from_secs(3);

/// A proof that is looked after for as long as this is kept.
#[derive(Debug)]
pub struct Standing {
    over: CancellationToken,
    why: &'static str,
    _left: DropGuard,
}

impl Standing {
    /// Looks after a proof from now on. API keys are revoked, sessions closed and agents' keys rotated away; nothing
    /// else ends before its process.
    pub fn of(app: &Shared, proof: Proof) -> Self {
        let (over, left) = (CancellationToken::new(), CancellationToken::new());
        let why = match &proof {
            Proof::Key(_) => "the API key that opened this was revoked, or is over",
            Proof::Session(..) => "the session that opened this has ended: sign in anew",
            Proof::Signature(_) => "the key that signed for this was rotated away",
            Proof::Nothing | Proof::Token | Proof::Wallet => "",
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
        Proof::Key(key) => (key_holds(app, key).await, key.expires_at),
        Proof::Session(session, token) => {
            let found = session::find(&app.db, token).await;
            let found = found.map(|found| found.is_some());
            (found.map_err(Problem::from), Some(session.expires_at))
        }
        Proof::Signature(did) => (is_current(app, &Principal::Key(did.clone())).await, None),
        Proof::Nothing | Proof::Token | Proof::Wallet => return true,
    };
    found.unwrap_or_else(|_| end.is_none_or(|end| end > app.db.clock().now()))
}

async fn key_holds(app: &Shared, key: &Known) -> Result<bool, Problem> {
    Ok(app.keys.holds(&app.db, &key.key_id).await? && is_current(app, &key.principal).await?)
}

async fn is_current(app: &Shared, principal: &Principal) -> Result<bool, Problem> {
    Ok(!proof::is_former(app, principal).await?)
}
