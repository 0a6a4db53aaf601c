//! One limit over several processes, by a real Redis.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may panic")]

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use access::{Limiter, Quotas, limit::Shared};

/// A Redis of the test's own, behind a socket file.
struct Redis {
    child: Child,
    dir: tempfile::TempDir,
}

impl Redis {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test finds its binary by the environment"
    )]
    async fn start() -> Self {
        let program = std::env::var("CHANCERY_REDIS")
            .expect("CHANCERY_REDIS: run the tests by scripts/test, after scripts/setup --tests");
        let dir = tempfile::tempdir().unwrap();
        let child = Self::run(&program, dir.path());
        let redis = Self { child, dir };
        redis.wait().await;
        redis
    }

    fn run(program: &str, dir: &Path) -> Child {
        Command::new(program)
            .args([
                "--port",
                "0",
                "--save",
                "",
                "--appendonly",
                "no",
                "--unixsocket",
            ])
            .arg(dir.join("socket"))
            .current_dir(dir)
            .stdout(Stdio::null())
            .spawn()
            .expect("the Redis of CHANCERY_REDIS")
    }

    fn url(&self) -> String {
        format!("unix://{}", self.dir.path().join("socket").display())
    }

    async fn ask(&self, command: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut asked = redis::cmd(command[0]);
        for word in &command[1..] {
            asked.arg(*word);
        }
        asked.query_async(&mut connection).await
    }

    async fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(30);
        while self.ask(&["PING"]).await.is_err() {
            assert!(Instant::now() < end, "the Redis does not answer");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn limiter(&self) -> Limiter {
        Limiter::new(Some(
            Shared::new(&self.url(), Duration::from_secs(20)).unwrap(),
        ))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request comes back in six minutes: no test takes so long.
const QUOTAS: Quotas = Quotas {
    minute: 10,
    hour: 10,
};

async fn taken(limiters: &[&Limiter], bucket: &str, requests: usize) -> usize {
    let asked = (0..requests).map(|i| limiters[i % limiters.len()].take(bucket, QUOTAS));
    let verdicts = futures::future::join_all(asked).await;
    let taken = verdicts
        .iter()
        .filter(|verdict| verdict.retry_after().is_none());
    taken.count()
}

#[tokio::test]
async fn several_processes_keep_one_exact_limit() {
    let redis = Redis::start().await;
    let (one, two, three) = (redis.limiter(), redis.limiter(), redis.limiter());
    assert_eq!(
        taken(&[&one, &two, &three], "192.0.2.1/32:any", 40).await,
        10
    );
    assert_eq!(taken(&[&one, &two], "192.0.2.2/32:any", 4).await, 4);
    let refused = three.take("192.0.2.1/32:any", QUOTAS).await;
    assert_eq!(refused.left.map(|left| left.remaining), [0, 0]);
    let left = three.take("192.0.2.2/32:any", QUOTAS).await.left;
    assert_eq!(left.map(|left| left.remaining), [5, 5]);
    // Who only looks pays nothing, and sees what the others took.
    for _ in 0..20 {
        let looked = one.look("192.0.2.3/32:any", QUOTAS).await;
        assert_eq!(looked.left.map(|left| left.remaining), [9, 9]);
    }
    assert_eq!(taken(&[&two, &three], "192.0.2.3/32:any", 40).await, 10);
    let refused = one.look("192.0.2.3/32:any", QUOTAS).await;
    assert!(refused.retry_after().is_some());
    let key = "chancery:1:ratelimit:192.0.2.1/32:any";
    let kept: i64 = redis::from_redis_value(redis.ask(&["PTTL", key]).await.unwrap()).unwrap();
    // Until both windows are full again, and a second.
    assert!((3_000_000..=3_601_000).contains(&kept), "{kept}");
}

#[tokio::test]
async fn without_its_redis_each_process_counts_by_itself() {
    let redis = Redis::start().await;
    let (one, two) = (redis.limiter(), redis.limiter());
    assert_eq!(taken(&[&one, &two], "a", 5).await, 5);
    drop(redis);
    for limiter in [&one, &two] {
        assert_eq!(
            taken(&[limiter], "a", 40).await,
            10,
            "what it counted itself"
        );
    }
}
