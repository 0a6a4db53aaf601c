//! Signed notes (c2sp.org/signed-note): a text, a blank line, and lines of signatures.
//!
//! ```text
//! text, every line ended by a newline
//!
//! — <key name> <base64 of the 4-byte key id and the signature>
//! ```
//!
//! A signature covers the text with its last newline. Lines of keys that the reader does not know
//! are ignored (cosigners, other algorithms); a line of a known key that does not verify rejects the note.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::vkey::{VerifierKey, is_name};

/// What a line of a signature begins with: an em dash and a space.
const LEAD: &str = "\u{2014} ";
/// Most lines of signatures; the specification asks for at least 16.
const MAX_SIGNATURES: usize = 100;
/// Most bytes of a note.
const MAX_BYTES: usize = 1_000_000;

/// A text with signatures, nothing verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<SignatureLine>,
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureLine {
    /// The signer's name.
    pub name: String,
    /// The key's id; a hint, not a secret.
    pub id: [u8; 4],
    /// The signature, in the form of the key's type.
    pub signature: Vec<u8>,
}

/// A note that is malformed or not signed as it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not of the strict form.
    #[error("not a signed note: {0}")]
    Form(&'static str),
    /// A known key's signature does not verify.
    #[error("the signature of {0} does not verify")]
    Signature(String),
    /// None of the known keys signed.
    #[error("no known key signed it")]
    Unsigned,
}

impl Note {
    /// A note from its parts; refuses what could not be read back.
    pub fn new(text: String, signatures: Vec<SignatureLine>) -> Result<Self, NoteError> {
        if !text.ends_with('\n') {
            return Err(NoteError::Form("the text does not end with a newline"));
        }
        if text.contains(|c: char| c < ' ' && c != '\n') {
            return Err(NoteError::Form("the text contains a control character"));
        }
        if signatures.is_empty() || signatures.len() > MAX_SIGNATURES {
            return Err(NoteError::Form(
                "it has no signature, or more than a hundred",
            ));
        }
        if signatures
            .iter()
            .any(|line| !is_name(&line.name) || line.signature.is_empty())
        {
            return Err(NoteError::Form(
                "a signature has no proper name or no bytes",
            ));
        }
        Ok(Self { text, signatures })
    }

    /// Reads a note in the one form that [`fmt::Display`] writes.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_BYTES {
            return Err(NoteError::Form("it is longer than a megabyte"));
        }
        let end = note
            .rfind("\n\n")
            .ok_or(NoteError::Form("no blank line before signatures"))?;
        let (text, lines) = (&note[..=end], &note[end + 2..]);
        let lines = lines
            .strip_suffix('\n')
            .ok_or(NoteError::Form("no newline at the end"))?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            signatures.push(parse_line(line).ok_or(NoteError::Form("a bad signature line"))?);
        }
        Self::new(text.to_owned(), signatures)
    }

    /// The signed text, with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signatures, known or not.
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// The keys of `known` that signed. Errors where there is none, or where a signature under the
    /// name and id of a known key does not verify.
    pub fn verify<'k>(&self, known: &'k [VerifierKey]) -> Result<Vec<&'k VerifierKey>, NoteError> {
        let mut signed: Vec<&VerifierKey> = Vec::new();
        for line in &self.signatures {
            let key = known
                .iter()
                .find(|key| key.name() == line.name && key.id() == line.id);
            let Some(key) = key else { continue };
            if !key.verifies(&self.text, &line.signature) {
                return Err(NoteError::Signature(line.name.clone()));
            }
            if !signed.contains(&key) {
                signed.push(key);
            }
        }
        if signed.is_empty() {
            Err(NoteError::Unsigned)
        } else {
            Ok(signed)
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for line in &self.signatures {
            let bytes = STANDARD.encode([&line.id[..], &line.signature].concat());
            writeln!(f, "{LEAD}{} {bytes}", line.name)?;
        }
        Ok(())
    }
}

fn parse_line(line: &str) -> Option<SignatureLine> {
    let (name, bytes) = line.strip_prefix(LEAD)?.split_once(' ')?;
    // The engine refuses missing padding and bits that decode to nothing.
    let bytes = STANDARD.decode(bytes).ok()?;
    let (id, signature) = bytes.split_first_chunk::<4>()?;
    Some(SignatureLine {
        name: name.to_owned(),
        id: *id,
        signature: signature.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EXAMPLE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    const KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

    fn key(text: &str) -> VerifierKey {
        text.parse().expect("a verifier key")
    }

    #[test]
    fn the_specifications_example_verifies() {
        let note = Note::parse(EXAMPLE).expect("a note");
        assert_eq!(note.to_string(), EXAMPLE);
        assert_eq!(note.verify(&[key(KEY)]).expect("signed"), [&key(KEY)]);
        let other = key("sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8");
        assert_eq!(
            note.verify(std::slice::from_ref(&other)),
            Err(NoteError::Unsigned)
        );
        // The same by Cloudflare's implementation.
        let theirs = signed_note::Note::from_bytes(EXAMPLE.as_bytes()).expect("a note");
        let verifier = signed_note::StandardVerifier::new(KEY).expect("a key");
        let verifiers = signed_note::VerifierList::new(vec![Box::new(verifier)]);
        assert_eq!(theirs.verify(&verifiers).expect("signed").0.len(), 1);
    }

    /// The signature in the specification of checkpoints is really sum.golang.org's, over this text.
    #[test]
    fn the_go_checksum_databases_signature_verifies() {
        let vkey = key("sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8");
        let text = "go.sum database tree\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let lines =
            std::fs::read_to_string("../../tests/vectors/journal/go-sum.note").expect("vector");
        let note = Note::parse(&lines).expect("a note");
        assert_eq!(note.text(), text);
        assert_eq!(note.verify(&[vkey]).expect("signed").len(), 1);
    }

    #[test]
    fn unknown_signers_are_ignored_and_known_ones_must_be_right() {
        let cosigned = format!("{EXAMPLE}\u{2014} witness.example/w AAAAAQID\n");
        let note = Note::parse(&cosigned).expect("a note");
        assert_eq!((note.signatures().len(), note.to_string()), (2, cosigned));
        assert!(note.verify(&[key(KEY)]).is_ok());
        let wrong = EXAMPLE.replace("example message", "other message");
        let known = [key(KEY)];
        let error = Note::parse(&wrong)
            .expect("a note")
            .verify(&known)
            .expect_err("altered");
        assert_eq!(error, NoteError::Signature("example.com/foo".to_owned()));
        // Right once and wrong once is wrong.
        let line = EXAMPLE
            .lines()
            .last()
            .expect("a line")
            .replace("Uw2QOkn8", "Uw2QOkn9");
        let note = Note::parse(&format!("{EXAMPLE}{line}\n")).expect("a note");
        assert!(note.verify(&[key(KEY)]).is_err());
    }

    #[test]
    fn other_forms_are_refused() {
        let sixteen = (0..16).fold(EXAMPLE.to_owned(), |note, n| {
            format!("{note}{LEAD}w{n} AAAAAQ==\n")
        });
        assert!(Note::parse(&sixteen.replace("AAAAAQ==", "AAAAAQID")).is_ok());
        for wrong in [
            String::new(),
            "\n\n".to_owned(),
            sixteen,
            EXAMPLE.replace("\n\n", "\n"),
            EXAMPLE.replace('\u{2014}', "-"),
            EXAMPLE.replace("\u{2014} ", "\u{2014}  "),
            EXAMPLE.replace("QM=", "QM"),
            EXAMPLE.replace("QM=", "QN="),
            EXAMPLE.replace("QM=\n", "QM="),
            EXAMPLE.replace("QM=\n", "QM=\r\n"),
            EXAMPLE.replace("QM=\n", "QM=\n\n"),
            EXAMPLE.replace("This", "Th\tis"),
            EXAMPLE.replace("foo", "f+o"),
            format!("{EXAMPLE}x"),
        ] {
            assert!(Note::parse(&wrong).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn hostile_text_does_not_panic(text in "(\\PC|\n|\u{2014} )*") {
            if let Ok(note) = Note::parse(&text) {
                prop_assert_eq!(note.to_string(), text);
            }
        }
    }
}
