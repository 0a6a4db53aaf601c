//! Sessions: an Ethereum account that proved itself once (EIP-4361) asks with a token for a while.

use chrono::{DateTime, TimeDelta, Utc};
use kernel::{Address, Principal};
use serde::Serialize;
use store::{Db, Tx};

use crate::{Error, Result, origin::Origin, secret, siwe::Message};

/// A nonce that was given away is good for so long.
const PATIENCE: TimeDelta = TimeDelta::minutes(5);
/// A wallet's clock may be so much ahead of ours, or behind it.
const SKEW: TimeDelta = TimeDelta::minutes(1);

/// So many of a token's last characters are the page's half: 132 bits of chance, as many as the cookie's has.
const HALF: usize = 22;

/// What a message must say, for a session here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Challenge {
    /// Its `Nonce`, good once.
    pub nonce: String,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

/// A session in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Session {
    /// The account, EIP-55.
    pub account: String,
    /// EIP-155 id of the chain that it named.
    pub chain_id: i64,
    /// Whether a contract said there that it signed; else the account's key did, which is its on all chains.
    pub is_contract: bool,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

impl Session {
    /// Whose it is.
    pub fn principal(&self) -> Principal {
        let address = self.account.parse().unwrap_or_default();
        let chain = self.chain_id.unsigned_abs();
        if self.is_contract {
            Principal::Contract { chain, address }
        } else {
            Principal::Account(address)
        }
    }
}

/// Gives a nonce away.
pub async fn challenge(tx: &mut Tx) -> Result<Challenge> {
    let challenge = Challenge {
        nonce: secret::nonce()?,
        expires_at: tx.now() + PATIENCE,
    };
    sqlx::query!(
        "INSERT INTO access.challenges (nonce, expires_at) VALUES ($1, $2)",
        challenge.nonce,
        challenge.expires_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(challenge)
}

/// Whether a message is for this office, as it is reached at `here`, and now. Errors with [`Error::Unproven`]; the
/// signature and the nonce are still to be looked at.
pub fn check(message: &Message, here: &Origin, now: DateTime<Utc>) -> Result<()> {
    let refused = |why: String| Err(Error::Unproven(why));
    let is_of_scheme = message
        .scheme
        .as_deref()
        .is_none_or(|scheme| scheme == here.scheme());
    if message.domain != here.authority() || !is_of_scheme {
        return refused(format!(
            "the message is for another domain: here is {}",
            here.authority()
        ));
    }
    let uri = message.uri.strip_prefix(&here.text());
    if !uri.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#'])) {
        return refused(format!(
            "the message's URI is of another place: here is {}",
            here.text()
        ));
    }
    if message.issued_at > now + SKEW || message.not_before.is_some_and(|from| from > now + SKEW) {
        return refused("the message is of the future: look at the wallet's clock".to_owned());
    }
    let is_old = message.issued_at + PATIENCE + SKEW < now;
    if is_old || message.expires_at.is_some_and(|end| end <= now) {
        return refused("the message is over: sign in anew".to_owned());
    }
    Ok(())
}

/// Whether a message names a nonce that we gave away and that nobody came back with, so that it is worth asking a chain
/// who signed it. Errors as [`open`], which takes the nonce.
pub async fn expect(db: &Db, message: &Message) -> Result<()> {
    let expected = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM access.challenges WHERE nonce = $1 AND expires_at > $2) AS "expected!""#,
        message.nonce,
        db.clock().now(),
    );
    if expected.fetch_one(db.pool()).await? {
        return Ok(());
    }
    Err(no_nonce_of_ours())
}

fn no_nonce_of_ours() -> Error {
    let why = "the nonce is none of ours, was used, or is over: ask for another one";
    Error::Unproven(why.to_owned())
}

/// Begins a session of whoever signed, by his key or (`is_contract`) by the contract that he is: takes the message's
/// nonce back, and gives a token that is shown once. Errors with [`Error::Unproven`] where the nonce is not one of ours,
/// was used, or is over.
pub async fn open(
    tx: &mut Tx,
    message: &Message,
    is_contract: bool,
    longest: TimeDelta,
) -> Result<(String, Session)> {
    let now = tx.now();
    let taken = sqlx::query_scalar!(
        "DELETE FROM access.challenges WHERE nonce = $1 RETURNING expires_at",
        message.nonce,
    )
    .fetch_optional(tx.conn())
    .await?;
    if taken.is_none_or(|end| end <= now) {
        return Err(no_nonce_of_ours());
    }
    let secret = secret::session()?;
    let end = now + longest;
    let session = Session {
        account: message.address.to_string(),
        chain_id: i64::try_from(message.chain).unwrap_or(i64::MAX),
        is_contract,
        created_at: now,
        expires_at: message.expires_at.map_or(end, |asked| asked.min(end)),
    };
    sqlx::query!(
        "INSERT INTO access.sessions (token_hash, account, chain_id, is_contract, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        secret::digest(&secret),
        format!("{:#x}", message.address),
        session.chain_id,
        is_contract,
        session.created_at,
        session.expires_at,
    )
    .execute(tx.conn())
    .await?;
    Ok((secret, session))
}

/// A token as a browser gets it: the half for a cookie, which scripts do not see, and the half for the page, which no
/// other port of its host does. One is no session, and says nothing of the other.
pub fn halves(token: &str) -> (&str, &str) {
    token.split_at(token.len().saturating_sub(HALF))
}

/// The session of a token, if it is in force.
pub async fn find(db: &Db, token: &str) -> Result<Option<Session>> {
    let Some(digest) = secret::digest(token) else {
        return Ok(None);
    };
    let row = sqlx::query!(
        "SELECT account, chain_id, is_contract, created_at, expires_at FROM access.sessions
          WHERE token_hash = $1 AND expires_at > $2",
        digest,
        db.clock().now(),
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(row.map(|row| Session {
        account: row
            .account
            .parse::<Address>()
            .unwrap_or_default()
            .to_string(),
        chain_id: row.chain_id,
        is_contract: row.is_contract,
        created_at: row.created_at,
        expires_at: row.expires_at,
    }))
}

/// Ends a session; one that is over ends, too.
pub async fn close(tx: &mut Tx, token: &str) -> Result<()> {
    sqlx::query!(
        "DELETE FROM access.sessions WHERE token_hash = $1",
        secret::digest(token),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Forgets what is over.
pub async fn expire(tx: &mut Tx) -> Result<()> {
    let now = tx.now();
    sqlx::query!("DELETE FROM access.challenges WHERE expires_at < $1", now)
        .execute(tx.conn())
        .await?;
    sqlx::query!("DELETE FROM access.sessions WHERE expires_at < $1", now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use store::{Cause, Clock};

    use super::*;

    const HOUR: TimeDelta = TimeDelta::hours(1);

    fn message(nonce: &str, now: DateTime<Utc>) -> Message {
        Message {
            scheme: None,
            domain: "office.example".to_owned(),
            address: Address::repeat_byte(0xaa),
            statement: None,
            uri: "https://office.example/v1/sessions".to_owned(),
            chain: 1,
            nonce: nonce.to_owned(),
            issued_at: now,
            expires_at: None,
            not_before: None,
            request_id: None,
            resources: Vec::new(),
        }
    }

    #[test]
    fn a_message_is_for_one_office_and_for_now() {
        type Change<'a> = &'a dyn Fn(&mut Message);
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let here = Origin::parse("https://office.example").unwrap();
        let why = |change: &dyn Fn(&mut Message)| {
            let mut message = message("12345678", now);
            change(&mut message);
            check(&message, &here, now).map_err(|error| error.to_string())
        };
        assert_eq!(why(&|_| {}), Ok(()));
        assert_eq!(why(&|m| m.uri = here.text()), Ok(()));
        assert_eq!(why(&|m| m.scheme = Some("https".to_owned())), Ok(()));
        assert_eq!(why(&|m| m.issued_at = now - TimeDelta::minutes(6)), Ok(()));
        assert_eq!(why(&|m| m.not_before = Some(now)), Ok(()));
        let cases: [(Change<'_>, &str); 10] = [
            (&|m| m.domain = "evil.example".to_owned(), "another domain"),
            (
                &|m| m.domain = "a@office.example".to_owned(),
                "another domain",
            ),
            (&|m| m.scheme = Some("http".to_owned()), "another domain"),
            (
                &|m| m.uri = "https://evil.example/".to_owned(),
                "another place",
            ),
            (
                &|m| m.uri = "https://office.example.evil/".to_owned(),
                "another place",
            ),
            (
                &|m| m.uri = "http://office.example/".to_owned(),
                "another place",
            ),
            (&|m| m.issued_at = now + TimeDelta::minutes(2), "future"),
            (&|m| m.not_before = Some(now + HOUR), "future"),
            (&|m| m.issued_at = now - HOUR, "over"),
            (&|m| m.expires_at = Some(now), "over"),
        ];
        for (change, word) in cases {
            let why = why(change).unwrap_err();
            assert!(why.contains(word), "{word}: {why}");
        }
    }

    #[sqlx::test(migrations = "../../migrations")]
    async fn a_nonce_opens_one_session(pool: sqlx::PgPool) -> anyhow::Result<()> {
        let clock = Clock::manual(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let db = Db::from_pool(pool, clock.clone());
        let give = async || -> anyhow::Result<String> {
            let mut tx = db.begin(Cause::Job("test")).await?;
            let challenge = challenge(&mut tx).await?;
            tx.commit().await?;
            Ok(challenge.nonce)
        };
        let begin = async |message: &Message| -> Result<(String, Session)> {
            let mut tx = db.begin(Cause::Job("test")).await?;
            let opened = open(&mut tx, message, false, HOUR).await?;
            tx.commit().await?;
            Ok(opened)
        };
        let nonce = give().await?;
        let asked = message(&nonce, clock.now());
        expect(&db, &asked).await?;
        let (token, session) = begin(&asked).await?;
        assert_eq!(session.expires_at, clock.now() + HOUR);
        assert_eq!(find(&db, &token).await?, Some(session));
        let (kept, half) = halves(&token);
        assert_eq!((format!("{kept}{half}"), half.len()), (token.clone(), 22));
        for part in [kept, half] {
            assert_eq!(find(&db, part).await?, None);
        }
        let stored = sqlx::query_scalar!(r#"SELECT s::text AS "s!" FROM access.sessions s"#);
        assert!(!stored.fetch_one(db.pool()).await?.contains(&token));
        for used in [nonce.as_str(), "12345678"] {
            let asked = message(used, clock.now());
            assert!(expect(&db, &asked).await.unwrap_err().is_unproven());
            assert!(begin(&asked).await.unwrap_err().is_unproven());
        }
        let late = give().await?;
        clock.advance(PATIENCE);
        assert!(expect(&db, &message(&late, clock.now())).await.is_err());
        assert!(begin(&message(&late, clock.now())).await.is_err());
        let mut short = message(&give().await?, clock.now());
        short.expires_at = Some(clock.now() + TimeDelta::minutes(1));
        let (second, session) = begin(&short).await?;
        assert_eq!(Some(session.expires_at), short.expires_at);
        clock.advance(TimeDelta::minutes(1));
        assert_eq!(find(&db, &second).await?, None, "over");
        clock.advance(TimeDelta::seconds(1));
        let mut tx = db.begin(Cause::Job("test")).await?;
        close(&mut tx, &token).await?;
        expire(&mut tx).await?;
        tx.commit().await?;
        assert_eq!(find(&db, &token).await?, None);
        let rows = sqlx::query_scalar!(
            r#"SELECT (SELECT count(*) FROM access.sessions) + (SELECT count(*) FROM access.challenges) AS "n!""#
        );
        assert_eq!(rows.fetch_one(db.pool()).await?, 0);
        Ok(())
    }
}
