use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::SecondsFormat;
use ed25519_dalek::{Signer as _, SigningKey};
use sqlx::{AssertSqlSafe, PgPool, Row as _};
use store::{Clock, Outcome};

use super::*;
use crate::dirty;

const OFFICE: &str = "office.example";

/// Plain SQL does not rewrite keys: what changes them has a cause.
const CAUSE: &str = "SELECT set_config('chancery.cause', 'job:test', true)";

/// A database with agents `did:vexel:a`, `b` and `c`, each with a key of its own, in the year 2100: acts of plain SQL take
/// the machine's clock, and what beats lead to comes after them.
struct Office {
    db: Db,
    keys: HashMap<&'static str, SigningKey>,
}

impl Office {
    async fn open(pool: PgPool) -> anyhow::Result<Self> {
        let start = DateTime::from_timestamp(4_102_444_800, 0).expect("a time");
        let db = Db::from_pool(pool, Clock::manual(start));
        let mut office = Self {
            db,
            keys: HashMap::new(),
        };
        for (name, seed) in [("a", 1), ("b", 2), ("c", 3)] {
            let insert = format!(
                "INSERT INTO identity.agents (did, name) VALUES ('did:vexel:{name}', '{name}')"
            );
            office.sql(&insert).await?;
            office.rotate(name, seed).await?;
        }
        office.sweep().await?;
        Ok(office)
    }

    async fn sql(&self, text: &str) -> anyhow::Result<()> {
        sqlx::raw_sql(AssertSqlSafe(text.to_owned()))
            .execute(self.db.pool())
            .await?;
        Ok(())
    }

    async fn one(&self, query: &str) -> anyhow::Result<String> {
        let query = format!("SELECT q.v::text FROM ({query}) AS q(v)");
        let row = sqlx::query(AssertSqlSafe(query))
            .fetch_one(self.db.pool())
            .await?;
        Ok(row.get::<Option<String>, _>(0).unwrap_or_default())
    }

    /// Gives an agent another key.
    async fn rotate(&mut self, name: &'static str, seed: u8) -> anyhow::Result<()> {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let of = format!("(SELECT id FROM identity.agents WHERE did = 'did:vexel:{name}')");
        self.sql(&format!(
            "{CAUSE};
             UPDATE identity.keys SET until = now() WHERE agent_id = {of};
             INSERT INTO identity.keys (public_key, agent_id, since) VALUES (decode('{}', 'hex'), {of}, now())",
            hex::encode(key.verifying_key().to_bytes())
        ))
        .await?;
        self.keys.insert(name, key);
        Ok(())
    }

    /// An agent's beat, `seconds` from our clock.
    fn beat(&self, name: &'static str, seconds: i64) -> Beat {
        self.beat_in(name, TimeDelta::seconds(seconds))
    }

    fn beat_in(&self, name: &'static str, off: TimeDelta) -> Beat {
        let at = self.db.clock().now() + off;
        let timestamp = at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let message = own_message(OFFICE, &format!("did:vexel:{name}"), &timestamp);
        let signature = self.keys[name].sign(message.as_bytes());
        Beat {
            agent: format!("did:vexel:{name}"),
            timestamp,
            signature: format!("ed25519:{}", STANDARD.encode(signature.to_bytes())),
            form: Form::Own,
        }
    }

    async fn record(&self, beats: impl IntoIterator<Item = Beat>) -> anyhow::Result<Vec<Answer>> {
        let now = self.db.clock().now();
        let heard = beats.into_iter().map(|beat| Heard::read(beat, now));
        let checked = check(&self.db, OFFICE, heard.collect()).await?;
        Ok(checked.keep(&self.db).await?)
    }

    async fn transit(&self) -> anyhow::Result<()> {
        while transit(&self.db).await? == Outcome::Busy {}
        Ok(())
    }

    async fn sweep(&self) -> anyhow::Result<()> {
        while dirty::sweep(&self.db).await? == Outcome::Busy {}
        Ok(())
    }

    /// Liveness of an agent, how often it changed, and how many entries the journal has.
    async fn alive(&self, name: &str) -> anyhow::Result<(String, String, String)> {
        let of = format!(
            "WHERE agent_id = (SELECT id FROM identity.agents WHERE did = 'did:vexel:{name}')"
        );
        Ok((
            self.one(&format!("SELECT liveness FROM identity.agents WHERE did = 'did:vexel:{name}'")).await?,
            self.one(&format!(
                "SELECT string_agg(coalesce(previous, '') || '>' || new || ' ' || who, ', ' ORDER BY seq)
                   FROM identity.status_changes {of} AND dimension = 'liveness'"
            ))
            .await?,
            self.one(&format!("SELECT count(*) FROM journal.entries {of}")).await?,
        ))
    }
}

fn refused(answer: &Answer) -> &Refusal {
    answer.as_ref().expect_err("refused")
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_beat_counts_once_and_only_from_the_key_in_force(pool: PgPool) -> anyhow::Result<()> {
    let mut office = Office::open(pool).await?;
    let (first, second) = (office.beat("a", -5), office.beat("a", -4));
    let answers = office
        .record([
            first.clone(),
            second.clone(),
            first.clone(),
            office.beat("b", 0),
        ])
        .await?;
    assert!(
        answers[0].is_ok() && answers[1].is_ok() && answers[3].is_ok(),
        "{answers:?}"
    );
    assert!(
        matches!(refused(&answers[2]), Refusal::Replayed(_)),
        "in the same batch"
    );
    for again in [first, second] {
        let answers = office.record([again]).await?;
        assert!(
            matches!(refused(&answers[0]), Refusal::Replayed(_)),
            "later, by any process"
        );
    }
    let taken = *office.record([office.beat("a", 1)]).await?[0]
        .as_ref()
        .expect("later than the last one");
    assert_eq!(taken.next_due - taken.at, TTL);

    let mut others = office.beat("b", 5);
    others.agent = "did:vexel:c".to_owned();
    let mut nobody = office.beat("b", 5);
    nobody.agent = "did:vexel:d".to_owned();
    let old = office.beat("c", 5);
    office.rotate("c", 9).await?;
    let answers = office
        .record([
            others,
            nobody,
            old,
            office.beat("c", 6),
            office.beat("b", 61),
            office.beat("b", -61),
        ])
        .await?;
    assert_eq!(
        refused(&answers[0]),
        &Refusal::Forged,
        "another agent's key"
    );
    assert_eq!(
        refused(&answers[1]),
        &Refusal::NoAgent("did:vexel:d".to_owned())
    );
    assert_eq!(
        refused(&answers[2]),
        &Refusal::Forged,
        "a key that was rotated away"
    );
    assert!(answers[3].is_ok(), "the new one");
    assert_eq!(refused(&answers[4]), &Refusal::Skewed(61));
    assert_eq!(refused(&answers[5]), &Refusal::Skewed(-61));

    let ended = "UPDATE identity.keys SET until = now()
                  WHERE agent_id IN (SELECT id FROM identity.agents WHERE did = 'did:vexel:c')";
    office.sql(&format!("{CAUSE}; {ended}")).await?;
    office
        .sql("UPDATE identity.agents SET runtime_status = 'TERMINATED' WHERE did = 'did:vexel:b'")
        .await?;
    let answers = office
        .record([office.beat("c", 7), office.beat("b", 7)])
        .await?;
    assert_eq!(refused(&answers[0]), &Refusal::NoKey);
    assert_eq!(refused(&answers[1]), &Refusal::Ended);
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn two_processes_take_one_beat_once(pool: PgPool) -> anyhow::Result<()> {
    let office = Office::open(pool).await?;
    let beats = [
        office.beat("a", 0),
        office.beat("b", 0),
        office.beat("c", 0),
    ];
    let once = office.record(beats.clone());
    let twice = office.record(beats);
    let (once, twice) = tokio::join!(once, twice);
    for (one, other) in once?.iter().zip(&twice?) {
        assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    }
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn only_changes_of_liveness_become_acts_and_entries(pool: PgPool) -> anyhow::Result<()> {
    let office = Office::open(pool).await?;
    office
        .sql("UPDATE identity.agents SET ttl = 10 WHERE did = 'did:vexel:b'")
        .await?;
    office.sweep().await?;
    let before = office.alive("a").await?;
    assert_eq!((before.0.as_str(), before.1.as_str()), ("unknown", ""));
    let entries = |more: usize| (before.2.parse::<usize>().expect("a number") + more).to_string();
    let alive = || (">active liveness".to_owned(), entries(1));

    assert!(
        office
            .record([office.beat("a", 0), office.beat("b", 0)])
            .await?
            .iter()
            .all(Result::is_ok)
    );
    office.transit().await?;
    assert_eq!(
        office.alive("a").await?,
        ("active".to_owned(), alive().0, alive().1)
    );
    for _ in 0..9 {
        office.db.clock().advance(TimeDelta::seconds(30));
        assert!(office.record([office.beat("a", 0)]).await?[0].is_ok());
        office.transit().await?;
    }
    assert_eq!(
        office.alive("a").await?,
        ("active".to_owned(), alive().0, alive().1),
        "nothing new"
    );
    let (liveness, changes, _) = office.alive("b").await?;
    assert_eq!(liveness, "inactive", "its own ttl is over");
    assert_eq!(changes, ">active liveness, active>inactive liveness");

    office.db.clock().advance(TTL + TimeDelta::seconds(1));
    office.transit().await?;
    let dead = (
        ">active liveness, active>inactive liveness".to_owned(),
        entries(2),
    );
    assert_eq!(
        office.alive("a").await?,
        ("inactive".to_owned(), dead.0, dead.1)
    );
    assert!(office.record([office.beat("a", 0)]).await?[0].is_ok());
    office.transit().await?;
    let (liveness, changes, said) = office.alive("a").await?;
    assert_eq!((liveness.as_str(), said), ("active", entries(3)));
    assert!(changes.ends_with("inactive>active liveness"), "{changes}");
    let status = office
        .one("SELECT runtime_status FROM identity.agents WHERE did = 'did:vexel:a'")
        .await?;
    assert_eq!(status, "ACTIVE", "beats move liveness alone");
    Ok(())
}

/// However often an agent says that it lives, and however little it says that this lasts, the journal hears little of it.
#[sqlx::test(migrations = "../../migrations")]
async fn beats_lie_a_second_apart_and_last_half_a_minute(pool: PgPool) -> anyhow::Result<()> {
    let office = Office::open(pool).await?;
    office
        .sql("UPDATE identity.agents SET ttl = 1 WHERE did = 'did:vexel:a'")
        .await?;
    office.sweep().await?;
    let beat = |ms: i64| office.beat_in("a", TimeDelta::milliseconds(ms));
    let answers = office.record([beat(0), beat(999), beat(1_000)]).await?;
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    let soon = refused(&answers[1]);
    assert!(matches!(soon, Refusal::TooSoon(_)), "{soon}");
    assert_eq!(soon.kind(), Kind::Limited);
    let soon = office.record([beat(1_999)]).await?;
    assert!(matches!(refused(&soon[0]), Refusal::TooSoon(_)), "{soon:?}");
    let taken = office.record([beat(2_000)]).await?.remove(0)?;
    assert_eq!(taken.next_due - taken.at, LEAST_TTL);

    let alive = ">active liveness".to_owned();
    for _ in 0..20 {
        office.db.clock().advance(TimeDelta::seconds(4));
        assert!(office.record([office.beat("a", 0)]).await?[0].is_ok());
        office.transit().await?;
        // It is not overdue before the half minute is over.
        office.db.clock().advance(LEAST_TTL - TimeDelta::seconds(1));
        office.transit().await?;
        assert_eq!(office.alive("a").await?.1, alive);
    }
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn rows_show_the_last_beat_once_per_ttl_and_the_projection_keeps_it(
    pool: PgPool,
) -> anyhow::Result<()> {
    let office = Office::open(pool).await?;
    let shown = "SELECT extract(epoch FROM last_heartbeat)::bigint FROM identity.agents WHERE did = 'did:vexel:a'";
    let now = || office.db.clock().now().timestamp().to_string();
    let first = now();
    assert!(office.record([office.beat("a", 0)]).await?[0].is_ok());
    office.transit().await?;
    show(&office.db).await?;
    assert_eq!(office.one(shown).await?, first);
    office.db.clock().advance(TimeDelta::seconds(30));
    assert!(office.record([office.beat("a", 0)]).await?[0].is_ok());
    show(&office.db).await?;
    assert_eq!(office.one(shown).await?, first, "not with each beat");
    office
        .sql("UPDATE identity.agents SET summary = 'told' WHERE did = 'did:vexel:a'")
        .await?;
    office.sweep().await?;
    assert_eq!(office.one(shown).await?, first, "a projection keeps it");
    let agent = crate::agent::get(&office.db, "did:vexel:a").await?;
    let latest = agent.last_heartbeat.map(|at| at.timestamp().to_string());
    assert_eq!(
        latest,
        Some(now()),
        "who asks for the agent sees the last one"
    );
    office.db.clock().advance(TTL);
    assert!(office.record([office.beat("a", 0)]).await?[0].is_ok());
    show(&office.db).await?;
    assert_eq!(office.one(shown).await?, now());
    Ok(())
}
