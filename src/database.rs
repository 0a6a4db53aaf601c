//! The owner's way to the database for one command: `migrate`, `psql`.

use crate::{
    Error,
    config::{Config, Environment},
    data_dir::{self, DataDir, Lock},
    postgres::{self, Cluster},
};

/// A database that is there until [`Session::close`].
pub struct Session {
    /// The owner's URL.
    pub url: String,
    /// The private cluster, where nobody else ran it.
    private: Option<(Cluster, Lock)>,
}

impl Session {
    /// The configured database, else the private one: that of the running instance, or started for
    /// this command.
    pub async fn open(config: &Config, environment: &Environment) -> Result<Self, Error> {
        if let Some(url) = config.database.owner_url() {
            return Ok(Self {
                url: url.to_owned(),
                private: None,
            });
        }
        let data_dir = DataDir::open(config, environment)?;
        let lock = match data_dir.lock() {
            Ok(lock) => lock,
            Err(held @ data_dir::Error::InUse { .. }) => {
                let url = postgres::running_url(&data_dir, postgres::OWNER).ok_or(held)?;
                return Ok(Self { url, private: None });
            }
            Err(error) => return Err(error.into()),
        };
        let cluster = Cluster::start(&data_dir, &config.postgres, environment).await?;
        Ok(Self {
            url: cluster.url(postgres::OWNER),
            private: Some((cluster, lock)),
        })
    }

    /// Whether the database goes away with this session.
    pub fn is_temporary(&self) -> bool {
        self.private.is_some()
    }

    /// Stops what was started for it.
    pub async fn close(self) {
        if let Some((cluster, lock)) = self.private {
            cluster.stop().await;
            drop(lock);
        }
    }
}
