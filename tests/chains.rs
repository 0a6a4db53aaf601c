//! Several chains in one process: each ends in its own state, and what is wrong with one does not hold
//! up another.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;
mod kit;
#[path = "kill/network.rs"]
mod network;

use std::{fmt::Write, fs, time::Duration};

use instance::{Instance, Place};
use kit::{index::list, until};
use network::MadeUp;
use nix::sys::signal::Signal;
use replay_rpc::node::{Faults, Lose};
use serde_json::Value;
use sqlx::{ConnectOptions, PgPool};
use store::{Clock, Db};

const PATIENCE: Duration = Duration::from_mins(1);

const ONE: u64 = 7_001;
const TWO: u64 = 7_002;

/// Configured chains on one database, of which each process has so many connections.
struct Stage {
    pool: PgPool,
    db: Db,
    place: Place,
    connections: u32,
}

impl Stage {
    fn new(pool: PgPool, connections: u32) -> Self {
        let db = Db::from_pool(pool.clone(), Clock::System);
        Self {
            pool,
            db,
            place: Place::new("data"),
            connections,
        }
    }

    /// `serve` on these entries of `indexer.chains`, in this order.
    fn serve(&self, entries: &[String]) -> Instance {
        let file = self.place.dir().with_file_name("chancery.toml");
        let url = self.pool.connect_options().to_url_lossy();
        let mut config = format!(
            "[database]\nurl = \"{url}\"\nmax_connections = {}\n[content]\nfetch = false\n[indexer]\npoll_ms = 50\nprovider_timeout_seconds = 3600\n",
            self.connections
        );
        for entry in entries {
            config.write_str(entry).unwrap();
        }
        fs::write(&file, config).unwrap();
        self.place.serve(&["--config", file.to_str().unwrap()])
    }

    async fn until_known(&self, chain: &MadeUp) {
        let what = format!("chain {} is known to its head", chain.id);
        until(&what, PATIENCE, || async {
            chain.is_known(&self.db).await.then_some(())
        })
        .await;
    }

    fn status(&self, of: &Instance) -> String {
        let url = of.ready["url"].as_str().unwrap();
        let output = self.place.run(&["--url", url, "sync", "status"]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// What `/v1/sync` says of a chain.
fn of_chain(instance: &Instance, id: u64) -> Value {
    let mut found = chains(instance);
    found.retain(|chain| chain["chain"] == id);
    assert!(found.len() < 2, "one chain is one row: {found:#?}");
    found.pop().unwrap_or_default()
}

fn chains(instance: &Instance) -> Vec<Value> {
    let sync: Value = serde_json::from_str(&instance.get("/v1/sync").1).unwrap();
    sync["chains"].as_array().unwrap().clone()
}

/// The chain's row once it is in a state.
async fn until_state(instance: &Instance, id: u64, state: &str) -> Value {
    let what = format!("chain {id} is {state}");
    until(&what, PATIENCE, || async {
        Some(of_chain(instance, id)).filter(|chain| chain["state"] == state)
    })
    .await
}

/// What the alarm looks at.
fn is_in_metric(instance: &Instance, id: u64, state: &str) -> bool {
    let line = format!("chancery_chain_state{{chain=\"{id}\",state=\"{state}\"}} 1");
    instance.get("/metrics").1.lines().any(|told| told == line)
}

fn entries(chains: &[&MadeUp]) -> Vec<String> {
    chains.iter().map(|chain| chain.entry()).collect()
}

#[sqlx::test(migrations = "./migrations")]
async fn two_chains_share_the_smallest_pool_and_end_in_their_own_states(pool: PgPool) {
    // Slow enough that both are in their backfills at once.
    let slow = Faults {
        latency_ms: 10,
        max_range: 25,
        ..Faults::default()
    };
    let one = MadeUp::another(ONE, 600, slow.clone());
    let two = MadeUp::another(TWO, 900, slow);
    let stage = Stage::new(pool, 1);
    let instance = stage.serve(&entries(&[&one, &two]));
    for chain in [&one, &two] {
        stage.until_known(chain).await;
    }
    for chain in [&one, &two] {
        chain.network.mine(3);
    }
    for chain in [&one, &two] {
        stage.until_known(chain).await;
        let told = until_state(&instance, chain.id, "following").await;
        assert_eq!(told["error"], Value::Null, "{told}");
        let logs = format!(
            "SELECT count(*) FROM chain.logs WHERE chain_id = {}",
            chain.id
        );
        let all = (chain.head() + 1) * 10;
        assert_eq!(list(&stage.pool, &logs).await, [all.to_string()]);
    }
    let missing = list(&stage.pool, "SELECT count(*) FROM store.deferred").await;
    assert_eq!(missing, ["0"], "every index was built");
    let log = instance.log();
    assert!(!log.contains("tried again"), "nobody waited in vain: {log}");
    assert!(instance.stop(Signal::SIGTERM).success());
    let held = "SELECT count(*) FROM store.leases WHERE name LIKE 'index:%' AND until > now()";
    assert_eq!(list(&stage.pool, held).await, ["0"], "nobody has to wait");
}

#[sqlx::test(migrations = "./migrations")]
async fn a_chain_that_nobody_can_prove_stops_and_the_other_goes_on(pool: PgPool) {
    let one = MadeUp::another(ONE, 40, Faults::default());
    let two = MadeUp::another(TWO, 40, Faults::default());
    let stage = Stage::new(pool, 5);
    let instance = stage.serve(&entries(&[&one, &two]));
    for chain in [&one, &two] {
        stage.until_known(chain).await;
    }
    // Its one provider hides logs, also in receipts: they do not have the header's root.
    one.provider.set_faults(Faults {
        lose: Lose::All,
        lose_one_in: 2,
        lie_in_receipts: true,
        ..Faults::default()
    });
    let stands = one.head();
    one.network.mine(1);
    let told = until_state(&instance, ONE, "halted").await;
    let error = told["error"].as_str().unwrap();
    let block = format!("block {} cannot be proven", one.head());
    assert!(error.contains(&block), "{error}");
    assert!(error.contains(&one.provider.url()), "{error}");
    assert!(is_in_metric(&instance, ONE, "halted"));

    two.network.mine(7);
    stage.until_known(&two).await;
    let told = until_state(&instance, TWO, "following").await;
    assert_eq!(told["error"], Value::Null, "{told}");
    assert!(is_in_metric(&instance, TWO, "following"));
    let told = until_state(&instance, ONE, "halted").await;
    assert_eq!(told["head"], stands, "nothing of it was taken in: {told}");
    // Serving, not synced.
    assert_eq!(instance.get("/readyz").0, 200);
    let status = stage.status(&instance);
    let row = |id: u64| {
        let of = |line: &&str| line.starts_with(&format!("{id} "));
        status.lines().find(of).unwrap()
    };
    assert!(row(ONE).contains(" halted "), "{status}");
    assert!(row(TWO).contains(" following "), "{status}");
    assert!(status.contains(&block), "{status}");
    assert!(instance.stop(Signal::SIGTERM).success());
}

#[sqlx::test(migrations = "./migrations")]
async fn a_provider_that_hangs_or_is_gone_holds_up_its_own_chain_alone(pool: PgPool) {
    let gone = MadeUp::another(9_001, 1, Faults::default()).entry();
    // Longer than anybody here waits.
    let hangs = Faults {
        hang_every: 1,
        hang_ms: 3 * 60_000,
        ..Faults::default()
    };
    let silent = MadeUp::another(9_002, 1, hangs.clone());
    let one = MadeUp::another(ONE, 40, Faults::default());
    let two = MadeUp::another(TWO, 40, Faults::default());
    let stage = Stage::new(pool, 5);
    // Those that do not answer come first.
    let instance = stage.serve(&[gone, silent.entry(), one.entry(), two.entry()]);
    for chain in [&one, &two] {
        stage.until_known(chain).await;
        chain.network.mine(5);
        stage.until_known(chain).await;
    }
    assert_eq!(instance.get("/readyz").0, 200);
    let told = until("what is gone is told", PATIENCE, || async {
        let mut told = chains(&instance);
        told.retain(|chain| chain["chain"].is_null());
        let gone = |chain: &Value| chain["state"] == "retrying" && chain["error"].is_string();
        told.iter().any(gone).then_some(told)
    })
    .await;
    assert_eq!(told.len(), 2, "{told:#?}");
    let waits = |chain: &Value| chain["state"] == "starting" && chain["error"].is_null();
    assert!(told.iter().any(waits), "nobody waited for it: {told:#?}");
    let metrics = instance.get("/metrics").1;
    for state in ["starting", "retrying"] {
        let line = format!("chancery_chain_state{{chain=\"unknown\",state=\"{state}\"}} 1");
        assert!(metrics.contains(&line), "{metrics}");
    }

    // At the head, too.
    one.provider.set_faults(hangs);
    for chain in [&one, &two] {
        chain.network.mine(5);
    }
    stage.until_known(&two).await;
    until("it is asked", PATIENCE, || async {
        (one.provider.stats().fault("hang") > 0).then_some(())
    })
    .await;
    // And nobody waits for them when it ends.
    instance.signal(Signal::SIGTERM);
    until("it ends", PATIENCE, || async {
        stage.place.processes().is_empty().then_some(())
    })
    .await;
    assert!(instance.stop(Signal::SIGTERM).success());
}

#[sqlx::test(migrations = "./migrations")]
async fn another_chain_or_start_under_a_stored_id_is_refused_and_the_other_goes_on(pool: PgPool) {
    let one = MadeUp::another(ONE, 40, Faults::default());
    let two = MadeUp::another(TWO, 40, Faults::default());
    let stage = Stage::new(pool, 5);
    let instance = stage.serve(&entries(&[&one, &two]));
    for chain in [&one, &two] {
        stage.until_known(chain).await;
    }
    assert!(instance.stop(Signal::SIGTERM).success());

    // Its id, and other blocks.
    let mut impostor = MadeUp::of(60, Faults::default());
    impostor.provider.set_faults(Faults {
        chain_id: Some(ONE),
        ..Faults::default()
    });
    impostor.id = ONE;
    let stands = one.head();
    let instance = stage.serve(&entries(&[&impostor, &two]));
    let told = until_state(&instance, ONE, "halted").await;
    let error = told["error"].as_str().unwrap();
    assert!(error.contains("is another one"), "{error}");
    assert_eq!(
        told["head"], stands,
        "what is stored is still shown: {told}"
    );
    assert!(is_in_metric(&instance, ONE, "halted"));
    two.network.mine(5);
    stage.until_known(&two).await;
    let status = stage.status(&instance);
    assert!(status.contains("is another one"), "{status}");
    assert!(one.is_known(&stage.db).await, "nothing was changed");
    assert_eq!(instance.get("/readyz").0, 200);
    assert!(instance.stop(Signal::SIGTERM).success());

    // The same chain from another block on.
    let later = format!("{}from_block = 5\n", one.entry());
    let instance = stage.serve(&[later, two.entry()]);
    let told = until_state(&instance, ONE, "halted").await;
    let error = told["error"].as_str().unwrap();
    assert!(error.contains("from block 0 on"), "{error}");
    two.network.mine(5);
    stage.until_known(&two).await;
    assert!(instance.stop(Signal::SIGTERM).success());
}
