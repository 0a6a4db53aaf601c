//! What was wrong with a registration file, named.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that was wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Its name.
    pub code: WarningCode,
    /// JSON pointer (RFC 6901) to the place in the document; empty for the whole.
    pub pointer: String,
    /// A sentence for the file's author.
    pub message: String,
}

/// The names of what can be wrong. They are stored and shown: never rename one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarningCode {
    /// No bytes, or only white space.
    Empty,
    /// Not UTF-8.
    InvalidUtf8,
    /// A web page.
    HtmlPage,
    /// No JSON.
    InvalidJson,
    /// One object has a key twice: two readers may take different values.
    DuplicateKey,
    /// Lists and objects are nested deeper than 32 levels.
    TooDeep,

    /// JSON, but no object.
    NotAnObject,
    /// An error message of a server.
    ErrorBody,
    /// An encrypted document.
    Encrypted,
    /// No `type`.
    MissingType,
    /// A `type` of something else.
    UnknownType,
    /// No `name`.
    MissingName,
    /// No `description`.
    MissingDescription,
    /// A value of a type that cannot be read there; it was left out.
    WrongShape,
    /// A service without name or endpoint.
    ServiceIncomplete,
    /// An entry of `registrations` without an id.
    AgentIdMissing,

    /// The text starts with a byte order mark.
    ByteOrderMark,
    /// A misspelled `type`.
    TypeVariant,
    /// No `image`.
    MissingImage,
    /// The list of services is called `endpoints`, as in the drafts before 2026.
    LegacyEndpoints,
    /// The services are an object by name, not a list.
    ServicesObject,
    /// A service is a text, not an object.
    BareService,
    /// A key is spelled differently from the standard.
    MisspeltKey,
    /// A text where a number belongs, or the other way round; it was understood.
    Converted,
    /// U+0000, which Postgres refuses, became U+FFFD.
    NulReplaced,
    /// A number that does not fit 64 bits was kept as text.
    NumberOutOfRange,
    /// A text was too long and was cut, or left out where a part of it would be wrong.
    TooLong,
    /// A list was too long; its end was left out.
    TooMany,
    /// An ENS name or DID that a service claims is none, or none that is read: it filters no list.
    NameNotRead,
    /// There were more warnings than are kept.
    MoreWarnings,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// It was understood all the same.
    Note,
    /// The standard is broken.
    Violation,
    /// Nothing can be read.
    Malformed,
}

impl WarningCode {
    /// How bad it is.
    pub fn level(self) -> Level {
        match self {
            Self::Empty
            | Self::InvalidUtf8
            | Self::HtmlPage
            | Self::InvalidJson
            | Self::DuplicateKey
            | Self::TooDeep => Level::Malformed,
            Self::NotAnObject
            | Self::ErrorBody
            | Self::Encrypted
            | Self::MissingType
            | Self::UnknownType
            | Self::MissingName
            | Self::MissingDescription
            | Self::WrongShape
            | Self::ServiceIncomplete
            | Self::AgentIdMissing => Level::Violation,
            Self::ByteOrderMark
            | Self::TypeVariant
            | Self::MissingImage
            | Self::LegacyEndpoints
            | Self::ServicesObject
            | Self::BareService
            | Self::MisspeltKey
            | Self::Converted
            | Self::NulReplaced
            | Self::NumberOutOfRange
            | Self::TooLong
            | Self::TooMany
            | Self::NameNotRead
            | Self::MoreWarnings => Level::Note,
        }
    }
}

impl fmt::Display for WarningCode {
    /// The name as it is stored: `legacy-endpoints`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// The most warnings that are kept of one document.
const MOST: usize = 256;

/// The warnings of one document, while it is read.
#[derive(Debug, Default)]
pub(super) struct Warnings(Vec<Warning>);

impl Warnings {
    pub(super) fn push(
        &mut self,
        code: WarningCode,
        pointer: impl Into<String>,
        message: impl Into<String>,
    ) {
        let (code, pointer, message) = match self.0.len() {
            ..MOST => (code, pointer.into(), message.into()),
            MOST => (
                WarningCode::MoreWarnings,
                String::new(),
                "more is wrong than is told".into(),
            ),
            _ => return,
        };
        self.0.push(Warning {
            code,
            pointer,
            message,
        });
    }

    pub(super) fn into_vec(self) -> Vec<Warning> {
        self.0
    }
}

/// The pointer to a member of what `pointer` points at.
pub(super) fn member(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}
