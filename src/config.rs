//! The configuration: flags over `CHANCERY__SECTION__KEY` over `chancery.toml` over defaults.
//!
//! Each room owns its section's struct; this file only gathers them. A new key is a field in its
//! room's struct and a line in `config/keys.rs`; a new section is also a field of [`Config`].
//! `std::env` is read here and in `config/environment.rs`, nowhere else.

mod environment;
mod error;
mod gather;
mod keys;
mod layer;
mod show;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use environment::{Environment, is_executable};
pub use error::Error;
pub use gather::{Flag, Gathered, gather};
pub use keys::{KEYS, Key};
pub use show::{example, masked, render};

use crate::{devchain, http, logging, postgres};

/// Everything that can be configured. It holds secrets, so it has no `Debug`: print [`masked`].
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Where this instance keeps what it must find again.
    pub data_dir: Option<PathBuf>,
    /// What is logged.
    pub log: logging::Config,
    /// The HTTP door.
    pub http: http::Config,
    /// Who may ask, and what is kept of those who did.
    pub access: access::Config,
    /// The database, where it is not the private one.
    pub database: Database,
    /// What leaves this machine for strangers' addresses.
    pub net: net::Config,
    /// Blockstore, Kubo, gateways.
    pub content: content::Config,
    /// Agents.
    pub identity: identity::Config,
    /// The journal's key and name.
    pub journal: journal::Config,
    /// The chains.
    pub indexer: indexer::Config,
    /// What of the chains is kept.
    pub sync: indexer::SyncConfig,
    /// The private Postgres of `up`.
    pub postgres: postgres::Config,
    /// The dev chain of `up`.
    pub devchain: devchain::Config,
}

/// How the database is reached.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Database {
    /// The application's role; absent: the private Postgres of `up`.
    pub url: Option<String>,
    /// The owner's role, for migrations and `psql`; absent: `url`.
    pub migrate_url: Option<String>,
    /// The role that migrations grant the application's rights to.
    pub app_role: String,
    /// The pool's sizes and times.
    #[serde(flatten)]
    pub pool: store::PoolConfig,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: None,
            migrate_url: None,
            app_role: "chancery_app".to_owned(),
            pool: store::PoolConfig::default(),
        }
    }
}

impl Database {
    /// The owner's URL, where a database is configured.
    pub fn owner_url(&self) -> Option<&str> {
        self.migrate_url.as_deref().or(self.url.as_deref())
    }
}

impl Config {
    /// Checks what types cannot: every section on its own.
    pub fn check(&self) -> Result<(), Error> {
        let invalid = |key: &str, why: String| Error::Value {
            key: key.to_owned(),
            why,
        };
        logging::filter(&self.log.level).map_err(|why| invalid("log.level", why))?;
        let urls = [
            ("database.url", &self.database.url),
            ("database.migrate_url", &self.database.migrate_url),
        ];
        for (key, value) in urls {
            let Some(value) = value else { continue };
            let url = url::Url::parse(value).map_err(|why| invalid(key, why.to_string()))?;
            if !["postgres", "postgresql"].contains(&url.scheme()) {
                return Err(invalid(
                    key,
                    "the URL must begin with postgres://".to_owned(),
                ));
            }
        }
        if self.database.pool.max_connections == 0 {
            return Err(invalid(
                "database.max_connections",
                "at least 1 is needed".to_owned(),
            ));
        }
        self.check_anchor()?;
        let access = self.access.check();
        access.map_err(|(key, why)| invalid(&format!("access.{key}"), why))?;
        let indexer = self.indexer.check();
        indexer.map_err(|wrong| invalid(&format!("indexer.{}", wrong.key), wrong.why))?;
        let watch = self.sync.watch();
        watch.map_err(|why| invalid("sync.watch", why))?;
        if !(1..=86_400).contains(&self.http.socket_silence_seconds) {
            let why = "1 to 86400 are possible".to_owned();
            return Err(invalid("http.socket_silence_seconds", why));
        }
        if self
            .http
            .token
            .as_deref()
            .is_some_and(|token| token.len() < http::SHORTEST_TOKEN)
        {
            let why = format!("a token has at least {} characters", http::SHORTEST_TOKEN);
            return Err(invalid("http.token", why));
        }
        Ok(())
    }

    fn check_anchor(&self) -> Result<(), Error> {
        let invalid = |key: &str, why: String| Error::Value {
            key: format!("journal.anchor{key}"),
            why,
        };
        let anchor = &self.journal.anchor;
        anchor.is_on().map_err(|why| invalid("", why))?;
        if let Some(rpc) = &anchor.rpc {
            url::Url::parse(rpc).map_err(|why| invalid(".rpc", why.to_string()))?;
        }
        if let Some(contract) = &anchor.contract
            && contract.parse::<kernel::Address>().is_err()
        {
            let why = format!("`{contract}` is no address: expected 0x and 40 hex digits");
            return Err(invalid(".contract", why));
        }
        Ok(())
    }
}
