//! Exit codes: the one place that knows them.

use std::process::ExitCode;

use kernel::Kind;

/// For `--help`.
pub const HELP: &str = "Exit codes: 0 ok, 1 failed, 2 usage or invalid input, 3 not found, 4 denied, \
                        5 conflict, 6 verification failed.";

/// Why a command that asks an instance, or checks something, failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Something of this class, in words.
    #[error("{1}")]
    Of(Kind, String),
    /// What was to be verified is not so.
    #[error("{0}")]
    Unverified(String),
}

impl Failure {
    /// What was typed, or given in a file, is wrong.
    pub fn invalid(why: impl Into<String>) -> Self {
        Self::Of(Kind::Invalid, why.into())
    }

    /// There is no such thing.
    pub fn not_found(why: impl Into<String>) -> Self {
        Self::Of(Kind::NotFound, why.into())
    }

    /// It did not work now.
    pub fn unavailable(why: impl Into<String>) -> Self {
        Self::Of(Kind::Unavailable, why.into())
    }

    /// Whether the same may work later.
    fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Of(Kind::Unavailable | Kind::Limited | Kind::Internal, _)
        )
    }

    /// What the shell is told.
    fn code(&self) -> u8 {
        match self {
            Self::Of(kind, _) => code(*kind),
            Self::Unverified(_) => 6,
        }
    }
}

/// The code of a kind of failure.
fn code(kind: Kind) -> u8 {
    match kind {
        Kind::Limited | Kind::Unavailable | Kind::Internal => 1,
        Kind::Invalid => 2,
        Kind::NotFound => 3,
        Kind::Denied => 4,
        Kind::Conflict => 5,
    }
}

/// Whether what goes on may try the same again later.
pub fn may_pass(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Failure>()
        .is_some_and(Failure::may_pass)
}

/// Tells people what failed and the shell how.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    {
        // Whoever read our output has seen enough.
        return ExitCode::SUCCESS;
    }
    eprintln!("chancery: {error}");
    let failure = error.downcast_ref::<Failure>().map(Failure::code);
    let broken = error
        .downcast_ref::<crate::Error>()
        .map(|error| code(error.kind()));
    ExitCode::from(failure.or(broken).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_the_published_ones() {
        let kinds = [
            (Kind::Internal, 1),
            (Kind::Unavailable, 1),
            (Kind::Limited, 1),
            (Kind::Invalid, 2),
            (Kind::NotFound, 3),
            (Kind::Denied, 4),
            (Kind::Conflict, 5),
        ];
        for (kind, expected) in kinds {
            assert_eq!(code(kind), expected, "{kind:?}");
        }
        assert_eq!(Failure::Unverified(String::new()).code(), 6);
    }
}
