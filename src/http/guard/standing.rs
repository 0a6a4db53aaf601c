//! What goes on beyond its request, a stream or a socket, ends with the proof that opened it.

use std::{sync::Arc, time::Duration};

use access::{Known, session};
use kernel::Principal;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Proof, proof};
use crate::http::{Problem, Shared};

/// How often it is looked whether an API key of the operator's making still holds: they are in memory.
const LOOK: Duration = Duration::from_secs(3);

/// The same for another one, or an agent's key, each time a look-up. They cost nothing to make: whoever opens as many
/// sockets as he may shall not keep the database busy by that.
const LOOK_UP: Duration = Duration::from_secs(30);

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
        tokio::time::sleep(pause(&proof)).await;
    }
    over.cancel();
}

/// How long nobody looks again.
fn pause(proof: &Proof) -> Duration {
    match proof.key() {
        Some(key) if !key.is_operators => LOOK_UP,
        None if matches!(proof, Proof::Signature(_)) => LOOK_UP,
        _ => LOOK,
    }
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
    Ok(app.keys.holds(&app.db, key).await? && is_current(app, &key.principal).await?)
}

async fn is_current(app: &Shared, principal: &Principal) -> Result<bool, Problem> {
    Ok(!proof::is_former(app, principal).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(is_operators: bool) -> Proof {
        Proof::Key(Arc::new(Known {
            key_id: "key_1".into(),
            line: "key_1".into(),
            client_id: "ci".to_owned(),
            principal: Principal::Key("key_1".to_owned()),
            scopes: Vec::new(),
            expires_at: None,
            per_minute: 60,
            per_hour: 1_000,
            is_operators,
        }))
    }

    #[test]
    fn what_is_not_in_memory_is_seldom_looked_up() {
        assert_eq!(pause(&key(true)), LOOK);
        let signature = Proof::Signature("did:key:z6Mk".to_owned());
        for proof in [key(false), signature] {
            assert_eq!(pause(&proof), LOOK_UP);
        }
    }
}
