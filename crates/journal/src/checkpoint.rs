//! Checkpoints, the signed heads of a log (c2sp.org/tlog-checkpoint): a note whose text is origin, size
//! and root, a line each. The lines after them are extensions, which the specification advises
//! against; ours have none, others' are kept.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::tree::Hash;

/// The text of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name; the same as its key's.
    pub origin: String,
    /// Leaves of the tree.
    pub size: u64,
    /// The tree's root.
    pub root: Hash,
    /// Extension lines.
    pub extensions: Vec<String>,
}

/// A text that is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a checkpoint: {0}")]
pub struct CheckpointError(&'static str);

impl Checkpoint {
    /// Reads the text of a note, in the one form that [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let wrong = |what| CheckpointError(what);
        let text = text
            .strip_suffix('\n')
            .ok_or(wrong("no newline at its end"))?;
        let mut lines = text.split('\n');
        let origin = lines
            .next()
            .filter(|line| !line.is_empty())
            .ok_or(wrong("no origin"))?;
        let size = lines.next().ok_or(wrong("no size"))?;
        let size: u64 = size
            .parse()
            .ok()
            .filter(|number: &u64| number.to_string() == size)
            .ok_or(wrong("the size is no plain decimal number"))?;
        let root = lines.next().ok_or(wrong("no root"))?;
        let root = STANDARD
            .decode(root)
            .ok()
            .and_then(|root| Hash::try_from(root).ok());
        let root = root.ok_or(wrong("the root is not the base64 of 32 bytes"))?;
        let extensions: Vec<String> = lines.map(ToOwned::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(wrong("an extension line is empty"));
        }
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
            extensions,
        })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}\n{}\n{}",
            self.origin,
            self.size,
            STANDARD.encode(self.root)
        )?;
        self.extensions
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{note::Note, vkey::VerifierKey};

    #[test]
    fn tesseras_checkpoint_verifies() {
        let text =
            std::fs::read_to_string("../../tests/vectors/journal/tessera-15.note").expect("vector");
        let key = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";
        let key: VerifierKey = key.parse().expect("a verifier key");
        let note = Note::parse(&text).expect("a note");
        assert_eq!(
            note.verify(std::slice::from_ref(&key)).expect("signed"),
            [&key]
        );
        let checkpoint = Checkpoint::parse(note.text()).expect("a checkpoint");
        assert_eq!(
            (checkpoint.origin.as_str(), checkpoint.size),
            (key.name(), 15)
        );
        assert_eq!(checkpoint.to_string(), note.text());
    }

    #[test]
    fn other_forms_are_refused() {
        let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
        assert!(Checkpoint::parse(&format!("o\n0\n{root}\nmore\n")).is_ok());
        for wrong in [
            String::new(),
            format!("o\n1\n{root}"),
            format!("\n1\n{root}\n"),
            format!("o\n01\n{root}\n"),
            format!("o\n+1\n{root}\n"),
            format!("o\n18446744073709551616\n{root}\n"),
            "o\n1\n".to_owned(),
            format!("o\n1\n{root}\n\n"),
            "o\n1\nAAAA\n".to_owned(),
            format!("o\n1\n{}\n", &root[..43]),
        ] {
            assert!(Checkpoint::parse(&wrong).is_err(), "{wrong:?}");
        }
    }
}
