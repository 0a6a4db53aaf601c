#[path = "kit/mod.rs"]
#[allow(dead_code, unused_imports)]
mod kit;
use kit::*;
use std::time::Instant;
#[sqlx::test(migrations = "../migrations")]
async fn perf(pool: sqlx::PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(987654));
    let mut seed = 1u64;
    let mut agents = 0u64;
    let n: u64 = std::env::var("CYCLES")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(2000);
    for cycle in 0..n / 2 {
        script.block(start() + i64::try_from(cycle)?, |b| {
            let mut b = b;
            for k in 0..2u64 {
                let mut pick = |agents: u64| {
                    seed = seed
                        .wrapping_mul(6364136223846793005)
                        .wrapping_add(1442695040888963407);
                    1 + (seed >> 33) % agents
                };
                agents += 1;
                let a = agents;
                b = b.transfer(a, NOBODY, ALICE);
                b = b.registered(
                    a,
                    ALICE,
                    &format!(
                        "ipfs://bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi/{a}"
                    ),
                );
                b = b
                    .metadata(pick(agents), "k1", &[1; 64])
                    .metadata(pick(agents), "k2", &[2; 64]);
                b = b.uri(pick(agents), &format!("ipfs://u/{cycle}/{k}"));
                agents += 1;
                let a = agents;
                b = b.transfer(a, NOBODY, BOB);
                b = b.registered(a, BOB, "");
                b = b
                    .metadata(pick(agents), "k3", &[1; 64])
                    .uri(pick(agents), &format!("ipfs://v/{cycle}/{k}"));
                b = b.transfer(pick(agents), ALICE, CAROL);
            }
            b
        });
    }
    world.open(&script).await?;
    world
        .sql("ALTER SYSTEM SET log_min_duration_statement = 12")
        .await?;
    world.sql("SELECT pg_reload_conf()").await?;
    let logs: usize = script.blocks.iter().map(|b| b.1.len()).sum();
    let t = Instant::now();
    let mut at = 0;
    while at < script.tip() {
        let to = (at + 500).min(script.tip());
        let s = Instant::now();
        let step = match world.step(&script, at, to) {
            indexer::Step::Extend(mut e) => {
                e.head = i64::MAX / 2;
                indexer::Step::Extend(e)
            }
            s => s,
        };
        let (cursor, _) = indexer::cursor(&world.db, script.id).await?;
        indexer::apply(
            &world.db,
            script.id,
            &script.contracts(),
            cursor,
            step,
            None,
        )
        .await?;
        eprintln!("step to {to}: {:?}", s.elapsed());
        at = to;
    }
    let e = t.elapsed();
    eprintln!(
        "{logs} events, {agents} agents in {e:?}: {:.0}/s",
        logs as f64 / e.as_secs_f64()
    );
    let log = world
        .one("SELECT pg_read_file(replace(current_setting('data_directory'), '/data', '/log'))")
        .await;
    let mut lines = log.lines().peekable();
    while let Some(line) = lines.next() {
        if line.contains("duration:") {
            let rest: Vec<&str> = std::iter::from_fn(|| {
                lines.next_if(|l| !l.contains(" UTC ") && !l.contains("LOG:"))
            })
            .take(3)
            .map(str::trim)
            .collect();
            let d = line.split("duration:").nth(1).unwrap_or("");
            eprintln!(
                "Q {} | {}",
                d.chars().take(150).collect::<String>(),
                rest.join(" ").chars().take(100).collect::<String>()
            );
        }
    }
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn hundred(pool: sqlx::PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    for block in 0..10u64 {
        script.block(start() + block as i64, |b| {
            (block * 10_000..block * 10_000 + 10_000)
                .fold(b, |b, t| b.register(t, ALICE, "https://x/s"))
        });
    }
    let t = Instant::now();
    world.follow(&script).await?;
    eprintln!("H follow {:?}", t.elapsed());
    for (v, active) in [(1, true), (2, false), (3, true)] {
        world.at(start() + 100 * v);
        let t = Instant::now();
        world.judge("https://x/s", &serde_json::json!({"name": "s", "active": active, "services": [{"name": "MCP", "endpoint": "https://a/m"}]})).await?;
        let j = t.elapsed();
        world.sweep().await;
        eprintln!("H version {v}: judged {j:?}, swept {:?}", t.elapsed());
    }
    eprintln!(
        "H {}",
        world
            .one("SELECT count(*) FROM identity.agents WHERE runtime_status = 'ACTIVE'")
            .await
    );
    Ok(())
}
