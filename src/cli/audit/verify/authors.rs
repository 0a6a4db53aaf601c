//! What entries hold of their authors: statements, with the signatures of keys and wallets.

use identity::statement::{Authors, Spoken};
use journal::{Entry, audit::Signatures};

use crate::cli::show;

/// The statements in an entry of the log of this name. By what right somebody speaks, one entry alone seldom shows.
pub fn of(entry: &Entry, origin: &str) -> Result<Vec<Spoken>, String> {
    let Some(agent) = entry.agent else {
        return Ok(Vec::new());
    };
    let spoken = Authors::new(agent, origin, None).take(entry);
    spoken.map_err(|error| error.to_string())
}

/// The same, for who reads a whole log.
pub fn count(entry: &Entry, origin: &str) -> Result<Signatures, String> {
    let mut signatures = Signatures::default();
    for speaker in of(entry, origin)?.iter().flat_map(|spoken| &spoken.by) {
        match speaker.contract {
            None => signatures.verified += 1,
            Some(_) => signatures.told += 1,
        }
    }
    Ok(signatures)
}

/// How many there are, for people; `None`: none.
pub fn counted(signatures: Signatures) -> Option<String> {
    let Signatures { verified, told } = signatures;
    let keys = match verified {
        1 => "1 signature of an author is right".to_owned(),
        more => format!("{more} signatures of authors are right"),
    };
    match (verified, told) {
        (0, 0) => None,
        (_, 0) => Some(keys),
        _ => Some(format!(
            "{keys}, {told} of contract wallets only their chains can tell"
        )),
    }
}

/// Who signed, for people: a line for each.
pub fn lines(spoken: &[Spoken]) -> Vec<String> {
    let line = |spoken: &Spoken| {
        let what = format!("{}, {}", show::clean(&spoken.cause), spoken.action.as_str());
        let by = spoken.by.iter().map(move |one| {
            let by = show::clean(&one.by);
            match one.contract {
                None => format!("  {what}, is signed by {by}"),
                Some(at) => format!(
                    "  {what}: whether the contract wallet {by} signed it, only its chain can tell, at block {}, {}",
                    at.block, at.hash
                ),
            }
        });
        by.collect::<Vec<_>>()
    };
    spoken.iter().flat_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_signature_is_one() {
        let counted = |verified, told| counted(Signatures { verified, told });
        assert_eq!(counted(0, 0), None);
        for (verified, told, text) in [
            (1, 0, "1 signature of an author is right"),
            (2, 0, "2 signatures of authors are right"),
            (
                1,
                1,
                "1 signature of an author is right, 1 of contract wallets only their chains can tell",
            ),
        ] {
            assert_eq!(counted(verified, told).as_deref(), Some(text));
        }
    }
}
