//! Data on stdout, for people or for programs.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

/// How data is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Human,
    /// One JSON value
    Json,
    /// One JSON value per line
    Jsonl,
}

/// Stdout in the chosen format.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
}

impl Output {
    /// Prints in this format.
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    /// One thing: its text for people, or itself.
    pub fn one(self, value: &impl Serialize, human: impl FnOnce() -> String) -> io::Result<()> {
        match self.format {
            Format::Human => text(&human()),
            Format::Json => text(&serde_json::to_string_pretty(value)?),
            Format::Jsonl => text(&serde_json::to_string(value)?),
        }
    }

    /// Many things: a line for each, or one JSON array.
    pub fn many<T: Serialize>(self, values: &[T], human: impl Fn(&T) -> String) -> io::Result<()> {
        match self.format {
            Format::Human => values.iter().try_for_each(|value| text(&human(value))),
            Format::Json => text(&serde_json::to_string_pretty(values)?),
            Format::Jsonl => values
                .iter()
                .try_for_each(|value| text(&serde_json::to_string(value)?)),
        }
    }
}

/// Text as it is, with a line's end.
pub fn text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}
