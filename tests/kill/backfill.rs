//! A backfill from a node, killed again and again, and its database too.

use std::{fs, path::Path, time::Duration};

use chancery::{config, data_dir::DataDir, postgres};
use nix::sys::signal::{Signal, kill};
use replay_rpc::node::Faults;
use sqlx::{Row, postgres::PgPoolOptions};
use store::{Clock, Db};

use super::{
    instance::Place,
    kit::{index::list, left::Left, until},
    network::MadeUp,
};

/// Blocks of the chain.
const BLOCKS: i64 = 1_500;

/// Kills while ground is read; some more come after that, while it is projected.
const READING: i64 = 40;
const PROJECTING: i64 = 10;

/// Of so many kills, one is the database's besides.
const DATABASE: i64 = 10;

const PATIENCE: Duration = Duration::from_mins(2);

/// The instance's database, where it answers.
async fn database(place: &Path) -> Option<Db> {
    let config = config::Config {
        data_dir: Some(place.to_path_buf()),
        ..config::Config::default()
    };
    let data_dir = DataDir::open(&config, &config::Environment::default()).ok()?;
    let url = postgres::running_url(&data_dir, postgres::OWNER)?;
    let options = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_millis(500));
    let pool = options.connect(&url).await.ok()?;
    Some(Db::from_pool(pool, Clock::System))
}

/// How far ground is stored; `None` before it began, and where the database does not answer.
async fn ground(place: &Path) -> Option<i64> {
    let db = database(place).await?;
    let row = sqlx::query("SELECT ground_number FROM chain.chains").fetch_optional(db.pool());
    let ground = row.await.ok().flatten().map(|row| row.get(0));
    db.close().await;
    ground
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_and_five_of_the_database_leave_what_the_chain_says() {
    // Slow enough that it is killed on its way each time.
    let made_up = MadeUp::of(
        BLOCKS.unsigned_abs(),
        Faults {
            latency_ms: 20,
            max_range: 10,
            ..Faults::default()
        },
    );
    let place = Place::new("data");
    let left = Left::on(place.dir());
    let config = place.dir().with_file_name("chancery.toml");
    fs::write(&config, made_up.config()).unwrap();
    let flags = ["--config", config.to_str().unwrap()];
    let last = made_up.head();

    let mut on_its_way = 0;
    for number in 0..READING + PROJECTING {
        let up = place.up_with(&flags);
        let target = (last * number / READING).min(last);
        let reached = || async { ground(place.dir()).await.filter(|at| *at >= target) };
        let mut at = until("the backfill comes so far", PATIENCE, reached).await;
        if number % DATABASE == DATABASE / 2 {
            let postgres = left.process("postgres/data/postmaster.pid").unwrap();
            kill(postgres, Signal::SIGKILL).unwrap();
            let further = || async {
                let other = left.process("postgres/data/postmaster.pid") != Some(postgres);
                ground(place.dir()).await.filter(|_| other)
            };
            at = until("the database is there again", PATIENCE, further).await;
        }
        up.stop(Signal::SIGKILL);
        on_its_way += i64::from(at < last);
    }
    assert!(
        on_its_way >= READING - 5,
        "killed on its way {on_its_way} times"
    );

    let up = place.up_with(&flags);
    let db = until("the database answers", PATIENCE, || database(place.dir())).await;
    until("everything is known", PATIENCE, || async {
        made_up.is_known(&db).await.then_some(())
    })
    .await;
    let proven = "SELECT string_agg(DISTINCT level, ' ') FROM chain.v_ranges";
    until("everything is proven", PATIENCE, || async {
        let levels = list(db.pool(), proven).await;
        let done = !levels[0].contains("reported") && made_up.is_known(&db).await;
        done.then_some(())
    })
    .await;
    for (query, expected) in [
        // Ten in each block, the first one too.
        ("SELECT count(*) FROM chain.logs", (BLOCKS + 1) * 10),
        ("SELECT count(*) FROM chain.incidents", 0),
        ("SELECT count(*) FROM store.deferred", 0),
        // Nothing was taken back, and nothing was said twice.
        (
            "SELECT count(*) FROM journal.entries WHERE kind = 'retracted'",
            0,
        ),
        (
            "SELECT count(*) FROM (SELECT FROM journal.said, unnest(digests) AS digest
              WHERE sign > 0 GROUP BY digest HAVING count(*) > 1) AS x",
            0,
        ),
    ] {
        assert_eq!(
            list(db.pool(), query).await,
            [expected.to_string()],
            "{query}"
        );
    }
    db.close().await;
    assert!(up.stop(Signal::SIGTERM).success());
    assert_eq!(place.processes(), Vec::<String>::new());
}
