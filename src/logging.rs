//! What is logged: always on stderr, because stdout is data.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering},
    },
};

use indicatif::MultiProgress;
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

/// Bars of progress on stderr, of which lines of the log stand clear.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Whether somebody looks at stderr.
static WATCHED: AtomicBool = AtomicBool::new(false);

/// Where bars are drawn: only where a person reads the log on a terminal.
pub fn bars() -> Option<&'static MultiProgress> {
    WATCHED.load(Ordering::Relaxed).then(|| &*BARS)
}

/// Stderr above the bars.
struct AboveBars;

impl Write for AboveBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match bars() {
            Some(bars) => bars.suspend(|| io::stderr().write_all(bytes)),
            None => io::stderr().write_all(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Installs the logger of this process; a second call changes nothing.
pub fn install(config: &Config) {
    let terminal = io::stderr().is_terminal();
    WATCHED.store(
        terminal && config.format == Format::Human,
        Ordering::Relaxed,
    );
    let filter = filter(&config.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| AboveBars);
    let installed = match config.format {
        Format::Human => builder.with_target(false).with_ansi(terminal).try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    if let Err(error) = installed {
        tracing::debug!(%error, "the logger was installed before");
    }
}
