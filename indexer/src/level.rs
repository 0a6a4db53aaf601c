//! How far a range of blocks is proven (docs/decisions/0010).

use serde::Serialize;

/// What holds for every block of a range, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// One provider said so.
    Reported,
    /// Two providers said the same, and nothing in the headers says more.
    Agreed,
    /// What was told fits the blooms of headers that hash to their hashes.
    Bloom,
    /// Each header hashes and links, and each block's logs are absent by its bloom or complete by its
    /// receipts' root.
    Proven,
}

impl Level {
    /// The column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Agreed => "agreed",
            Self::Bloom => "bloom",
            Self::Proven => "proven",
        }
    }

    /// Reads the column; a word of another version of this program claims the least.
    pub fn parse(word: &str) -> Self {
        [Self::Agreed, Self::Bloom, Self::Proven]
            .into_iter()
            .find(|level| level.as_str() == word)
            .unwrap_or(Self::Reported)
    }
}

impl From<chain::Level> for Level {
    fn from(level: chain::Level) -> Self {
        match level {
            chain::Level::Reported => Self::Reported,
            chain::Level::Bloom => Self::Bloom,
            chain::Level::Proven => Self::Proven,
        }
    }
}
