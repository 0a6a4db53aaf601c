//! What sort of failure an error is: the one thing that doors need to know about it.

use serde::Serialize;

/// The class of an error. HTTP turns it into a status, the command line into an exit code, jobs
/// retry [`Kind::Unavailable`] and [`Kind::Limited`] and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The thing that was named does not exist.
    NotFound,
    /// The input is wrong; the same input fails again.
    Invalid,
    /// The input is right but contradicts what is stored now.
    Conflict,
    /// Whoever asks may not do this.
    Denied,
    /// A limit was reached; later it may work.
    Limited,
    /// Something that we depend on does not answer; later it may work.
    Unavailable,
    /// Our own fault.
    Internal,
}

impl Kind {
    /// Whether the same attempt can succeed later without a change of its input.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Limited | Self::Unavailable)
    }
}
