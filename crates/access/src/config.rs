//! Configuration of who may ask.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{
    Limiter, Quotas,
    address::Network,
    limit::{PATIENCE, Shared},
    origin::{Origins, Whence},
};

/// Section `access`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where this instance is reached from elsewhere: what people sign names one of them.
    pub origins: Vec<String>,
    /// How long a session lasts.
    pub session_seconds: u32,
    /// Requests in a minute from one address, and of one agent to one endpoint.
    pub per_minute: u32,
    /// The same for an hour.
    pub per_hour: u32,
    /// Proxies whose `X-Forwarded-For` is believed: they set it themselves, and pass on nobody's.
    pub trusted_proxies: Vec<String>,
    /// Keeps one limit over several processes.
    pub redis: Option<String>,
    /// How long the addresses and the programs of those who asked are kept, in days.
    pub ip_days: u32,
    /// How long the audit log is kept, in days.
    pub audit_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            session_seconds: 3_600,
            per_minute: 60,
            per_hour: 1_000,
            trusted_proxies: vec!["127.0.0.0/8".to_owned(), "::1/128".to_owned()],
            redis: None,
            ip_days: 30,
            audit_days: 365,
        }
    }
}

impl Config {
    /// Checks what types cannot; gives the key that is wrong, and why.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        for (key, number) in [
            ("session_seconds", self.session_seconds),
            ("per_minute", self.per_minute),
            ("per_hour", self.per_hour),
            ("ip_days", self.ip_days),
            ("audit_days", self.audit_days),
        ] {
            if number == 0 {
                return Err((key, "at least 1 is needed".to_owned()));
            }
        }
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Origins::new(&self.origins, anywhere, Whence::Here).map_err(|why| ("origins", why))?;
        self.trusted().map_err(|why| ("trusted_proxies", why))?;
        self.limiter().map_err(|why| ("redis", why))?;
        Ok(())
    }

    /// The networks of trusted proxies. Errors, in words, where one is none.
    pub fn trusted(&self) -> Result<Vec<Network>, String> {
        let networks = self.trusted_proxies.iter().map(|text| text.parse());
        let networks: Result<_, crate::address::NetworkError> = networks.collect();
        networks.map_err(|error| error.to_string())
    }

    /// What counts requests. Errors, in words, where the Redis cannot be meant.
    pub fn limiter(&self) -> Result<Limiter, String> {
        let shared = self.redis.as_deref();
        let shared = shared.map(|url| Shared::new(url, PATIENCE)).transpose()?;
        Ok(Limiter::new(shared))
    }

    /// What everybody has who has no key with quotas of its own.
    pub fn quotas(&self) -> Quotas {
        Quotas {
            minute: self.per_minute,
            hour: self.per_hour,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_named() {
        let config = Config::default;
        assert_eq!(config().check(), Ok(()));
        for (config, key) in [
            (
                Config {
                    per_minute: 0,
                    ..config()
                },
                "per_minute",
            ),
            (
                Config {
                    trusted_proxies: vec!["x".to_owned()],
                    ..config()
                },
                "trusted_proxies",
            ),
            (
                Config {
                    origins: vec!["x".to_owned()],
                    ..config()
                },
                "origins",
            ),
            (
                Config {
                    redis: Some("http://x".to_owned()),
                    ..config()
                },
                "redis",
            ),
        ] {
            let (wrong, _) = config.check().unwrap_err();
            assert_eq!(wrong, key);
        }
    }
}
