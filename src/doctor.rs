//! What this machine has and lacks for `chancery up`.

use std::fmt::Display;

use nix::sys::statvfs::statvfs;
use serde::Serialize;

use crate::{
    Error,
    config::{Config, Environment, Gathered},
    data_dir::{self, DataDir},
    devchain, http, postgres,
};

/// Less free space than this is worth a word.
const LITTLE_SPACE: u64 = 2 << 30;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Something will not work, the rest will.
    Warn,
    /// `up` will not start.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// How it is.
    pub state: State,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Check {
    fn new(name: &'static str, state: State, detail: impl Display) -> Self {
        Self {
            name,
            state,
            detail: format!("{detail}"),
            remedy: None,
        }
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// Looks at everything; a wrong configuration hides the rest.
pub async fn checks(gathered: Result<Gathered, Error>, environment: &Environment) -> Vec<Check> {
    let gathered = match gathered {
        Ok(gathered) => gathered,
        Err(error) => return vec![Check::new("config", State::Fail, error)],
    };
    let file = gathered
        .file
        .as_ref()
        .map_or("no file, defaults".to_owned(), |f| f.display().to_string());
    let config = gathered.config;
    let mut checks = vec![Check::new("config", State::Ok, file)];
    checks.push(postgres(&config, environment).await);
    checks.push(
        match postgres::find_psql(&config.postgres, environment).await {
            Some(psql) => Check::new("psql", State::Ok, psql.display()),
            None => Check::new(
                "psql",
                State::Warn,
                "not found: `chancery psql` will not work",
            )
            .remedy("apt-get install postgresql-client, or brew install libpq"),
        },
    );
    checks.push(match devchain::find(&config.devchain, environment) {
        Some(anvil) => Check::new("anvil", State::Ok, anvil.display()),
        None => Check::new("anvil", State::Fail, devchain::Error::NotInstalled),
    });
    let (folder, running) = data_dir(&config, environment);
    let fits = folder.state != State::Fail;
    checks.push(folder);
    checks.push(port(&config, running).await);
    if fits {
        checks.extend(space(&config, environment));
    }
    checks
}

async fn postgres(config: &Config, environment: &Environment) -> Check {
    if let Some(url) = config.database.url.as_deref() {
        let db = store::Db::connect(url, &config.database.pool, store::Clock::System).await;
        return match db {
            Ok(_) => Check::new("database", State::Ok, "the configured database answers"),
            Err(error) => Check::new("database", State::Fail, error).remedy("see database.url"),
        };
    }
    match postgres::find(&config.postgres, environment, None).await {
        Ok(found) => {
            let detail = format!(
                "Postgres {} in {}",
                found.version,
                found.directory.display()
            );
            Check::new("postgres", State::Ok, detail)
        }
        Err(error) => Check::new("postgres", State::Fail, error),
    }
}

/// The folder, and whether an instance runs on it.
fn data_dir(config: &Config, environment: &Environment) -> (Check, bool) {
    let name = "data";
    let open = || -> Result<(DataDir, bool), data_dir::Error> {
        let dir = DataDir::open(config, environment)?;
        match dir.lock() {
            Ok(_) => Ok((dir, false)),
            Err(data_dir::Error::InUse { .. }) => Ok((dir, true)),
            Err(error) => Err(error),
        }
    };
    match open() {
        Ok((dir, running)) => {
            let path = dir.path().display();
            let text = if running {
                format!("{path}, an instance runs on it")
            } else {
                path.to_string()
            };
            let open = dir.is_open_to_others();
            let check = Check::new(name, if open { State::Warn } else { State::Ok }, text);
            let remedy = format!("other users can read it: chmod 700 {path}");
            (if open { check.remedy(remedy) } else { check }, running)
        }
        Err(error) => (Check::new(name, State::Fail, error), false),
    }
}

async fn port(config: &Config, running: bool) -> Check {
    match http::bind(&config.http).await {
        Ok(_) => Check::new("port", State::Ok, format!("{} is free", config.http.listen)),
        Err(http::Error::Taken(address)) if running => Check::new(
            "port",
            State::Ok,
            format!("{address}, by the running instance"),
        ),
        Err(error) => Check::new("port", State::Fail, error),
    }
}

fn space(config: &Config, environment: &Environment) -> Option<Check> {
    let path = DataDir::locate(config, environment).ok()?;
    let found = match statvfs(&path) {
        Ok(found) => found,
        Err(error) => return Some(Check::new("space", State::Warn, error)),
    };
    // Its type differs between systems.
    let free = (found.blocks_available() as u64).saturating_mul(found.fragment_size());
    let tenths = (free / (1 << 30) * 10) + free % (1 << 30) * 10 / (1 << 30);
    let detail = format!("{}.{} GiB free", tenths / 10, tenths % 10);
    Some(match free {
        ..LITTLE_SPACE => Check::new("space", State::Warn, detail)
            .remedy("a chain's records grow: choose a --data-dir with more room"),
        _ => Check::new("space", State::Ok, detail),
    })
}
