//! Heartbeats, one in a request, many in one, and over both sorts of socket.

use std::sync::Arc;

use axum::http::StatusCode;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use futures::future::join_all;
use identity::heartbeat::own_message;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    Cell, Trick, Way, cell, changed, is_refused, is_told_off, named, statements::rotated, weak_key,
    wire,
};
use crate::{
    heartbeats::{say, socket},
    kit::{Answer, Instance},
    statements::{did, key, registered},
};

/// What became of a beat: an answer of its own, or what is told of it among others and over sockets.
enum Heard {
    Answered(Answer),
    Told(Value),
}

impl Heard {
    fn is_accepted(&self) -> bool {
        match self {
            Self::Answered(answer) => answer.status == StatusCode::OK,
            Self::Told(told) => told["accepted"] == true,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Answered(answer) => answer.text().to_owned(),
            Self::Told(told) => told.to_string(),
        }
    }
}

/// One way, tried with one agent for each trick.
struct Play<'a> {
    instance: &'a Instance,
    /// Where sockets are opened.
    address: &'a str,
    way: Way,
    /// Of the agent's key.
    seed: u8,
}

impl Play<'_> {
    fn time(&self, off: TimeDelta) -> String {
        let at: DateTime<Utc> = self.instance.app.db.clock().now() + off;
        at.to_rfc3339_opts(SecondsFormat::Micros, true)
    }

    /// A beat of `agent`'s, in our own form, as the trick has it, and dated so far from now: an agent beats at most once
    /// in a second.
    fn beat(&self, trick: Option<Trick>, agent: &str, at: TimeDelta) -> Value {
        let off = match trick {
            Some(Trick::Expired) => TimeDelta::seconds(-70),
            Some(Trick::Future) => TimeDelta::seconds(70),
            _ => at,
        };
        let office = match trick {
            Some(Trick::WrongDomain) => "another.office",
            _ => self.instance.app.sealer.vkey().name(),
        };
        let other = did(self.seed + 100);
        let of = match trick {
            Some(Trick::AnotherTarget) => other.as_str(),
            _ => agent,
        };
        let signer = match trick {
            Some(Trick::OthersKey) => self.seed + 100,
            _ => self.seed,
        };
        let timestamp = self.time(off);
        let message = own_message(office, of, &timestamp);
        let signature = changed(trick, key(signer).sign(message.as_bytes()));
        let timestamp = match trick {
            Some(Trick::Altered) => self.time(TimeDelta::seconds(1)),
            _ => timestamp,
        };
        json!({ "timestamp": timestamp, "signature": wire(&signature), "form": "chancery" })
    }

    /// Brings a beat of the agent that goes by this name.
    async fn bring(&self, name: &str, beat: &Value) -> Heard {
        let with_name = || {
            let mut beat = beat.clone();
            beat["agent"] = json!(name);
            beat
        };
        match self.way {
            Way::Beat => {
                let path = format!("/v1/agents/{name}/heartbeat");
                Heard::Answered(self.instance.send("POST", &path, "", beat).await)
            }
            Way::Beats => {
                let beats = json!({ "items": [with_name()] });
                let answer = self.instance.send("POST", "/v1/heartbeats", "", &beats);
                let answer = answer.await;
                assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
                Heard::Told(answer.json()["items"][0].clone())
            }
            Way::Socket => {
                let path = format!("/v1/agents/{name}/ws");
                // Nobody's socket is not opened.
                if name != did(self.seed) && name.starts_with("did:key:") {
                    return Heard::Answered(self.instance.get(&path).await);
                }
                Heard::Told(say(&mut socket(self.address, &path).await, beat).await)
            }
            _ => {
                let mut socket = socket(self.address, "/v1/heartbeat").await;
                Heard::Told(say(&mut socket, &with_name()).await)
            }
        }
    }

    /// The same, which must count.
    async fn count(&self, name: &str, at: TimeDelta) -> Value {
        let beat = self.beat(None, name, at);
        let heard = self.bring(name, &beat).await;
        assert!(heard.is_accepted(), "{:?}: {}", self.way, heard.text());
        beat
    }

    fn refuses(&self, trick: Trick, heard: &Heard, code: &str, beat: &Value) {
        let what = format!("{trick:?}, {:?}", self.way);
        let secrets = [beat["signature"].as_str().unwrap().to_owned()];
        match heard {
            Heard::Answered(answer) => is_refused(self.instance, &what, answer, code, &secrets),
            Heard::Told(told) => is_told_off(self.instance, &what, told, code, &secrets),
        }
    }

    async fn refused(&self, trick: Trick, code: &str) {
        let agent = did(self.seed);
        if trick == Trick::RotatedKey {
            let id = rotated(self.instance, self.seed, self.seed + 100).await;
            let beat = self.beat(None, &did(self.seed + 100), TimeDelta::zero());
            let heard = self.bring(&id, &beat).await;
            self.refuses(trick, &heard, code, &beat);
            return;
        }
        registered(self.instance, self.seed).await;
        let first = self.count(&agent, TimeDelta::seconds(-20)).await;
        if trick == Trick::WeakKey {
            self.weaken().await;
        }
        let beat = match trick {
            Trick::Replay => first,
            _ => self.beat(Some(trick), &agent, TimeDelta::zero()),
        };
        let heard = self.bring(&named_agent(trick, &agent), &beat).await;
        self.refuses(trick, &heard, code, &beat);
        if !matches!(trick, Trick::WeakKey | Trick::Replay) {
            // Nothing of it was kept: the next one counts.
            self.count(&agent, TimeDelta::seconds(20)).await;
        }
    }

    /// Gives the agent a key of small order, as no door does.
    async fn weaken(&self) {
        let (weak, strong) = (hex::encode(weak_key()), key(self.seed).public().to_bytes());
        let put = format!(
            "BEGIN; SET LOCAL session_replication_role = replica;
             UPDATE identity.keys SET public_key = '\\x{weak}' WHERE public_key = '\\x{}'; COMMIT",
            hex::encode(strong)
        );
        let pool = self.instance.app.db.pool();
        let put = sqlx::raw_sql(sqlx::AssertSqlSafe(put)).execute(pool).await;
        assert_eq!(put.unwrap().rows_affected(), 1);
    }

    /// The same several times at once.
    async fn one_of_many(&self, code: &str) {
        let agent = did(self.seed);
        registered(self.instance, self.seed).await;
        let beat = self.beat(None, &agent, TimeDelta::zero());
        let all = join_all((0..4).map(|_| self.bring(&agent, &beat))).await;
        let (won, lost): (Vec<Heard>, Vec<Heard>) = all.into_iter().partition(Heard::is_accepted);
        assert_eq!(won.len(), 1, "{:?}: one counts", self.way);
        for heard in lost {
            self.refuses(Trick::DoubleSubmit, &heard, code, &beat);
        }
    }
}

/// Whose beat it is said to be.
fn named_agent(trick: Trick, agent: &str) -> String {
    match trick {
        // Its key is weak, and its name the one that it had.
        Trick::WeakKey => agent.to_owned(),
        _ => named(Some(trick), agent),
    }
}

async fn play(pool: &PgPool, way: Way) {
    let instance = Instance::new(pool).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    let app = Arc::clone(&instance.app);
    let server = tokio::spawn(chancery::http::serve(app, listener, stop.clone()));
    for (seed, trick) in (1..).zip(Trick::ALL) {
        let play = Play {
            instance: &instance,
            address: &address,
            way,
            seed,
        };
        match cell(way, trick) {
            Cell::Never(_) => {}
            Cell::One(code) => play.one_of_many(code).await,
            Cell::Refused(code) => play.refused(trick, code).await,
        }
    }
    stop.cancel();
    server.await.unwrap().unwrap();
}

#[sqlx::test]
async fn no_trick_makes_a_beat(pool: PgPool) {
    play(&pool, Way::Beat).await;
}

#[sqlx::test]
async fn no_trick_makes_a_beat_among_many(pool: PgPool) {
    play(&pool, Way::Beats).await;
}

#[sqlx::test]
async fn no_trick_makes_a_beat_over_an_agents_socket(pool: PgPool) {
    play(&pool, Way::Socket).await;
}

#[sqlx::test]
async fn no_trick_makes_a_beat_over_a_socket_for_many(pool: PgPool) {
    play(&pool, Way::Sockets).await;
}
