//! Statements, by the agent's key and by its owner's account.

use axum::http::StatusCode;
use chain::key as wallet;
use futures::future::join_all;
use identity::statement::Statement;
use kernel::hex_0x;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{Cell, Trick, Way, cell, changed, changed_of_wallet, is_refused, named, wire};
use crate::{
    kit::{Answer, Instance},
    statements::{bring, by_key, did, key, owner, prepared, registered},
};

/// Registers the agent of a key, and puts another key in its place. Gives the agent's id.
pub async fn rotated(instance: &Instance, seed: u8, new: u8) -> String {
    let agent = registered(instance, seed).await["agent"].clone();
    let content = json!({ "key": did(new) });
    let statement = prepared(instance, "rotate", &did(seed), content).await;
    let signatures = [by_key(seed, &statement), by_key(new, &statement)];
    let body = json!({ "statement": statement, "signatures": signatures });
    let path = format!("/v1/agents/{}/statements", did(seed));
    let answer = bring(instance, &path, &body, None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    agent.as_str().unwrap().to_owned()
}

/// A key's signature of a statement, as the trick has it.
fn of_key(trick: Option<Trick>, who: u8, signer: u8, statement: &Value) -> Value {
    let statement: Statement = serde_json::from_value(statement.clone()).unwrap();
    let signature = changed(trick, key(signer).sign(&statement.key_bytes()));
    json!({ "by": named(trick, &did(who)), "signature": wire(&signature) })
}

/// An account's signature of a statement, as the trick has it.
fn of_owner(trick: Option<Trick>, who: u8, signer: u8, statement: &Value) -> Value {
    let statement: Statement = serde_json::from_value(statement.clone()).unwrap();
    let chain = if trick == Some(Trick::WrongChain) {
        5
    } else {
        1
    };
    let signature = wallet::sign(&owner(signer), statement.digest(chain)).unwrap();
    let signature = changed_of_wallet(trick, &signature);
    let account = format!("eip155:1:{:#x}", owner(who).address());
    json!({ "by": named(trick, &account), "signature": hex_0x(&signature) })
}

/// One way, tried with one agent for each trick.
struct Play<'a> {
    instance: &'a Instance,
    way: Way,
    /// Of the agent's key and of its owner's account.
    seed: u8,
}

impl Play<'_> {
    fn is_registration(&self) -> bool {
        matches!(self.way, Way::Registration | Way::RegistrationOwner)
    }

    /// Whom the path names.
    fn path(&self) -> String {
        if self.is_registration() {
            return "/v1/agents".to_owned();
        }
        format!("/v1/agents/{}/statements", did(self.seed))
    }

    /// A statement that lacks its signatures.
    async fn unsigned(&self, what: &str) -> Value {
        let (agent, instance) = (did(self.seed), self.instance);
        if self.is_registration() {
            prepared(instance, "register", &agent, json!({ "name": what })).await
        } else {
            prepared(instance, "update", &agent, json!({ "summary": what })).await
        }
    }

    /// The statement with the signatures of this way, the last of which is as the trick has it. `shown` is what is
    /// brought, `signed` what was signed.
    fn body(&self, trick: Option<Trick>, shown: &Value, signed: &Value) -> Value {
        let seed = self.seed;
        let signer = match trick {
            Some(Trick::OthersKey) => seed + 100,
            _ => seed,
        };
        // Who takes another's place in a registration forges; elsewhere he signs as himself.
        let who = if self.is_registration() { seed } else { signer };
        let signatures = match self.way {
            Way::Registration | Way::Statement => vec![of_key(trick, who, signer, signed)],
            Way::RegistrationOwner => {
                vec![by_key(seed, shown), of_owner(trick, who, signer, signed)]
            }
            _ => vec![of_owner(trick, who, signer, signed)],
        };
        json!({ "statement": shown, "signatures": signatures })
    }

    async fn bring(&self, body: &Value) -> Answer {
        bring(self.instance, &self.path(), body, None).await
    }

    /// The same, which must be taken.
    async fn take(&self, body: &Value) {
        let answer = self.bring(body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }

    /// Has the agent say something, as it may.
    async fn say(&self, what: &str) -> Value {
        let statement = self.unsigned(what).await;
        let body = self.body(None, &statement, &statement);
        self.take(&body).await;
        body
    }

    /// A statement that was changed before it was signed, as the trick has it.
    async fn attempt(&self, trick: Trick) -> Value {
        let mut statement = self.unsigned("tried").await;
        let now = statement["issued"].as_i64().unwrap();
        let mut times = |issued: i64, expires: i64| {
            statement["issued"] = json!(now + issued);
            statement["expires"] = json!(now + expires);
        };
        match trick {
            Trick::Expired => times(-3_600, -1),
            Trick::Future => times(120, 180),
            Trick::TooLong => times(0, 3_601),
            Trick::WrongDomain => statement["origin"] = json!("another.office"),
            _ => {}
        }
        let mut shown = statement.clone();
        if trick == Trick::Altered {
            let field = if self.is_registration() {
                "name"
            } else {
                "summary"
            };
            shown["content"] = json!(format!(r#"{{"{field}":"altered"}}"#));
        }
        self.body(Some(trick), &shown, &statement)
    }

    /// A statement with the nonce of one that was taken.
    async fn with_used_nonce(&self) -> Value {
        let first = self.say("first").await;
        if self.is_registration() {
            // Who ended begins anew.
            let agent = did(self.seed);
            let statement = prepared(self.instance, "deregister", &agent, json!({})).await;
            let body =
                json!({ "statement": statement, "signatures": [by_key(self.seed, &statement)] });
            let path = format!("/v1/agents/{agent}/statements");
            let answer = bring(self.instance, &path, &body, None).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        }
        let mut second = self.unsigned("second").await;
        second["nonce"] = first["statement"]["nonce"].clone();
        self.body(None, &second, &second)
    }

    /// What a key says that was rotated away. Gives where it is brought, too.
    async fn by_former_key(&self) -> (String, Value) {
        let agent = rotated(self.instance, self.seed, self.seed + 100).await;
        if self.is_registration() {
            let statement = self.unsigned("anew").await;
            return (self.path(), self.body(None, &statement, &statement));
        }
        let content = json!({ "summary": "still me" });
        let statement = prepared(self.instance, "update", &agent, content).await;
        let path = format!("/v1/agents/{agent}/statements");
        (path, self.body(None, &statement, &statement))
    }

    /// A statement, and a path that is not the one for it.
    async fn elsewhere(&self) -> (String, Value) {
        let statement = self.unsigned("elsewhere").await;
        let body = self.body(None, &statement, &statement);
        if self.is_registration() {
            return (format!("/v1/agents/{}/statements", did(self.seed)), body);
        }
        registered(self.instance, self.seed + 100).await;
        let other = format!("/v1/agents/{}/statements", did(self.seed + 100));
        (other, body)
    }

    async fn refused(&self, trick: Trick, code: &str) {
        let what = format!("{trick:?}, {:?}", self.way);
        let (path, body) = match trick {
            Trick::Replay => (self.path(), self.say("once").await),
            Trick::ReusedNonce => (self.path(), self.with_used_nonce().await),
            Trick::RotatedKey => self.by_former_key().await,
            Trick::AnotherTarget => self.elsewhere().await,
            _ => (self.path(), self.attempt(trick).await),
        };
        let answer = bring(self.instance, &path, &body, None).await;
        is_refused(self.instance, &what, &answer, code, &secrets(&body));
        if matches!(trick, Trick::Altered | Trick::CutSignature) {
            // Nothing of it was kept: said rightly, it is taken.
            self.say("rightly").await;
        }
    }

    /// Several at once, without an `Idempotency-Key`.
    async fn one_of_many(&self, code: &str) {
        let what = format!("at once, {:?}", self.way);
        let statement = self.unsigned("once").await;
        let body = self.body(None, &statement, &statement);
        let answers = join_all((0..8).map(|_| self.bring(&body))).await;
        let (won, lost): (Vec<Answer>, Vec<Answer>) = answers
            .into_iter()
            .partition(|answer| answer.status == StatusCode::OK);
        assert_eq!(won.len(), 1, "{what}: one is taken");
        for answer in lost {
            is_refused(self.instance, &what, &answer, code, &secrets(&body));
        }
    }
}

fn secrets(body: &Value) -> Vec<String> {
    let signatures = body["signatures"].as_array().unwrap().iter();
    let texts = signatures.map(|one| one["signature"].as_str().unwrap().to_owned());
    texts.collect()
}

async fn play(pool: &PgPool, way: Way) {
    let instance = Instance::new(pool).await;
    for (seed, trick) in (1..).zip(Trick::ALL) {
        let play = Play {
            instance: &instance,
            way,
            seed,
        };
        let cell = cell(way, trick);
        let is_rotation = trick == Trick::RotatedKey;
        // A rotation registers its agent itself.
        if !play.is_registration() && !is_rotation && !matches!(cell, Cell::Never(_)) {
            registered(&instance, seed).await;
        }
        match cell {
            Cell::Never(_) => {}
            Cell::One(code) => play.one_of_many(code).await,
            Cell::Refused(code) => play.refused(trick, code).await,
        }
    }
}

#[sqlx::test]
async fn no_trick_registers_an_agent(pool: PgPool) {
    play(&pool, Way::Registration).await;
}

#[sqlx::test]
async fn no_trick_makes_somebody_the_owner(pool: PgPool) {
    play(&pool, Way::RegistrationOwner).await;
}

#[sqlx::test]
async fn no_trick_speaks_for_an_agent(pool: PgPool) {
    play(&pool, Way::Statement).await;
}

#[sqlx::test]
async fn no_trick_speaks_as_an_owner(pool: PgPool) {
    play(&pool, Way::StatementOwner).await;
}
