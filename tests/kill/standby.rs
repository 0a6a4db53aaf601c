//! Two processes on one database: one leads, and when it is killed the other goes on.

use std::{fs, time::Duration};

use nix::sys::signal::Signal;
use replay_rpc::node::Faults;
use serde_json::Value;
use sqlx::{ConnectOptions, PgPool};
use store::{Clock, Db};

use super::{
    instance::{Instance, Place},
    kit::{index::list, until},
    network::MadeUp,
};

const PATIENCE: Duration = Duration::from_mins(1);

fn state(of: &Instance) -> Option<String> {
    let sync: Value = serde_json::from_str(&of.get("/v1/sync").1).unwrap();
    let state = sync["chains"][0]["state"].as_str();
    state.map(str::to_owned)
}

#[sqlx::test(migrations = "./migrations")]
async fn a_standby_takes_over_where_the_killed_one_stood(pool: PgPool) {
    let slow = Faults {
        latency_ms: 20,
        max_range: 10,
        ..Faults::default()
    };
    let made_up = MadeUp::of(300, slow);
    let db = Db::from_pool(pool.clone(), Clock::System);
    let url = pool.connect_options().to_url_lossy();
    let places = [Place::new("one"), Place::new("other")];
    // All nodes of one journal share its key.
    let key = places[0].dir().with_file_name("key");
    let config = format!(
        "{}[database]\nurl = \"{url}\"\n[journal]\nkey_file = \"{}\"\n",
        made_up.config(),
        key.display()
    );
    let start = |place: &Place| {
        let file = place.dir().with_file_name("chancery.toml");
        fs::write(&file, &config).unwrap();
        place.serve(&["--config", file.to_str().unwrap()])
    };
    let mut leader = start(&places[0]);
    for round in 0..4 {
        // In the first round in the middle of the backfill, after that at the head.
        let reached = || async {
            let ground = list(&pool, "SELECT ground_number FROM chain.chains").await;
            let begun = ground.first().is_some_and(|ground| ground != "-1");
            let there = if round == 0 {
                begun
            } else {
                made_up.is_known(&db).await
            };
            there.then_some(())
        };
        until("the leader comes so far", PATIENCE, reached).await;
        let standby = start(&places[(round + 1) % 2]);
        until("the other waits", PATIENCE, || async {
            (state(&standby)? == "standby").then_some(())
        })
        .await;
        leader.stop(Signal::SIGKILL);
        made_up.network.mine(2);
        until("the standby takes over", PATIENCE, || async {
            made_up.is_known(&db).await.then_some(())
        })
        .await;
        let state = state(&standby);
        assert!(
            matches!(state.as_deref(), Some("following" | "backfilling")),
            "{state:?}"
        );
        leader = standby;
    }
    let twice = "SELECT count(*) FROM (SELECT FROM journal.said, unnest(digests) AS digest
                  WHERE sign > 0 GROUP BY digest HAVING count(*) > 1) AS x";
    assert_eq!(list(&pool, twice).await, ["0"]);
    assert!(leader.stop(Signal::SIGTERM).success());
}
