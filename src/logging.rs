//! What is logged: always on stderr, because stdout is data.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// The section `log`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// A level, or a filter such as `info,store=debug`.
    pub level: String,
    /// For people or for machines.
    pub format: Format,
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            level: "info,sqlx::postgres::notice=warn".to_owned(),
            format: Format::Human,
        }
    }
}

/// Reads a filter; the error is its reason.
pub fn filter(level: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(level).map_err(|error| error.to_string())
}

/// Installs the logger of this process; a second call changes nothing.
pub fn install(config: &Config) {
    use std::io::IsTerminal;
    let filter = filter(&config.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let installed = match config.format {
        Format::Human => builder
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    if let Err(error) = installed {
        tracing::debug!(%error, "the logger was installed before");
    }
}
