//! Exit codes: the one place that knows them.

use std::process::ExitCode;

use kernel::Kind;

/// For `--help`.
pub const HELP: &str = "Exit codes: 0 ok, 1 failed, 2 usage or invalid input, 3 not found, 4 denied, \
                        5 conflict, 6 verification failed.";

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
    ExitCode::from(
        error
            .downcast_ref::<crate::Error>()
            .map_or(1, |error| code(error.kind())),
    )
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
    }
}
