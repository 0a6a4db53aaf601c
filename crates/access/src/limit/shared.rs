//! One exact limit over several processes: the buckets stand in a Redis, which counts by its own clock.
//!
//! A Redis that does not answer holds nobody up: each process counts by itself then, for some seconds, and looks again.
//! Keys are `chancery:1:ratelimit:<who>:<endpoint>`, as DukeNET has them behind our prefix, and go by
//! themselves when they are full again.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use redis::{Script, aio::ConnectionManager, aio::ConnectionManagerConfig};
use tokio::{sync::OnceCell, time::Instant};

use super::{Charge, Left, Quotas, WINDOWS, decide};

const PREFIX: &str = "chancery:1:ratelimit:";
/// It is beside us, or it is not worth asking.
pub const PATIENCE: Duration = Duration::from_millis(100);
/// After a failure nobody asks for so long.
const REST: Duration = Duration::from_secs(2);

/// Times in microseconds. What is used up of each window is told before this request; it is charged if both take it, and
/// nobody only looks.
const TAKE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local kept = redis.call('HMGET', KEYS[1], 'minute', 'hour')
local used, after, taken = {}, {}, true
for i = 1, 2 do
    local window, quota = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    used[i] = math.max(tonumber(kept[i] or now) - now, 0)
    after[i] = used[i] + math.max(math.floor(window / quota), 1)
    if after[i] > window then taken = false end
end
if taken and ARGV[5] == '1' then
    redis.call('HSET', KEYS[1], 'minute', string.format('%.0f', now + after[1]),
               'hour', string.format('%.0f', now + after[2]))
    redis.call('PEXPIRE', KEYS[1], math.ceil(math.max(after[1], after[2]) / 1000) + 1000)
end
return { string.format('%.0f', used[1]), string.format('%.0f', used[2]) }
";

/// The buckets of several processes.
pub struct Shared {
    client: redis::Client,
    connection: OnceCell<ConnectionManager>,
    script: Script,
    patience: Duration,
    began: Instant,
    /// Milliseconds from the beginning until which nobody asks.
    resting: AtomicU64,
}

impl Shared {
    /// At this URL, `redis://host:port/db`, waiting for each answer so long; nothing is asked yet. Errors, in words,
    /// where it is no such URL.
    pub fn new(url: &str, patience: Duration) -> Result<Self, String> {
        let client = redis::Client::open(url)
            .map_err(|_| "expected redis://[user:password@]host[:port][/db]".to_owned())?;
        Ok(Self {
            client,
            connection: OnceCell::new(),
            script: Script::new(TAKE),
            patience,
            began: Instant::now(),
            resting: AtomicU64::new(0),
        })
    }

    /// One more request on a bucket; `None` where the Redis does not say.
    pub(super) async fn ask(
        &self,
        bucket: &str,
        quotas: Quotas,
        charge: Charge,
    ) -> Option<[Left; 2]> {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if now < self.resting.load(Relaxed) {
            return None;
        }
        let asked = tokio::time::timeout(self.patience, self.used(bucket, quotas, charge)).await;
        let why = match asked {
            Ok(Ok(used)) => return Some(decide(used, quotas)),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer in {} ms", self.patience.as_millis()),
        };
        let rest = u64::try_from(REST.as_millis()).unwrap_or(u64::MAX);
        self.resting.store(now + rest, Relaxed);
        metrics::counter!("chancery_limits_alone_total").increment(1);
        tracing::warn!(
            "the Redis of rate limits does not answer, each process counts by itself: {why}"
        );
        None
    }

    async fn used(
        &self,
        bucket: &str,
        quotas: Quotas,
        charge: Charge,
    ) -> redis::RedisResult<[Duration; 2]> {
        let connect = || async {
            let config = ConnectionManagerConfig::new()
                .set_number_of_retries(1)
                .set_connection_timeout(Some(self.patience))
                .set_response_timeout(Some(self.patience));
            self.client.get_connection_manager_lazy(config)
        };
        let mut connection = self.connection.get_or_try_init(connect).await?.clone();
        let micros = |window: usize| u64::try_from(WINDOWS[window].1.as_micros()).unwrap_or(0);
        let used: (u64, u64) = self
            .script
            .key(format!("{PREFIX}{bucket}"))
            .arg(micros(0))
            .arg(quotas.minute.max(1))
            .arg(micros(1))
            .arg(quotas.hour.max(1))
            .arg(u32::from(charge == Charge::Taken))
            .invoke_async(&mut connection)
            .await?;
        Ok([Duration::from_micros(used.0), Duration::from_micros(used.1)])
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The client holds a password.
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
