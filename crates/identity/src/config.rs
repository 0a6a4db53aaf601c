//! The section `identity`.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// What is configured about agents.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// How long lists show the agent of a key that was deregistered.
    pub tombstone_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { tombstone_days: 30 }
    }
}

impl Config {
    /// The same as a span of time.
    pub fn tombstone(&self) -> TimeDelta {
        TimeDelta::days(i64::from(self.tombstone_days))
    }
}
