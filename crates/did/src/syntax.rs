//! The syntax of DIDs and DID URLs (DID Core v1.1, section 3), read strictly.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::{Code, Error};

/// The longest DID or DID URL that is read, in bytes.
pub const MAX_LENGTH: usize = 2048;

/// A decentralised identifier without path, query or fragment, spelled as it was given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Did {
    text: String,
    /// Where the method-specific id starts in `text`.
    id_at: usize,
}

/// A DID with what may follow it: `did:example:1/path?name=value#fragment`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DidUrl {
    text: String,
    did: Did,
    path: String,
    query: Option<String>,
    parameters: Vec<(String, String)>,
    fragment: Option<String>,
}

impl Did {
    /// Reads a DID; a DID URL that is more than a DID is refused.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |detail: &str| Err(Error::new(Code::InvalidDid, detail));
        if text.len() > MAX_LENGTH {
            return wrong("the DID is longer than 2048 bytes");
        }
        let Some((method, id)) = text
            .strip_prefix("did:")
            .and_then(|rest| rest.split_once(':'))
        else {
            return wrong("a DID is `did:<method>:<id>`");
        };
        let is_method_char = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if method.is_empty() || !method.bytes().all(is_method_char) {
            return wrong("the method name has characters other than a-z and 0-9, or none");
        }
        if id.is_empty() || id.ends_with(':') || !consists_of(id, is_id_char) {
            return wrong(
                "the method-specific id is empty, ends with a colon, or has characters that a DID may not have",
            );
        }
        Ok(Self {
            text: text.to_owned(),
            id_at: text.len() - id.len(),
        })
    }

    /// The method's name: `key` of `did:key:z6Mk…`.
    pub fn method(&self) -> &str {
        &self.text["did:".len()..self.id_at - 1]
    }

    /// What the method calls the subject: `z6Mk…` of `did:key:z6Mk…`.
    pub fn id(&self) -> &str {
        &self.text[self.id_at..]
    }

    /// The whole DID.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The id, or an error where the DID is of another method.
    pub(crate) fn id_of(&self, method: &str) -> Result<&str, Error> {
        if self.method() == method {
            return Ok(self.id());
        }
        Err(Error::new(
            Code::InvalidDid,
            format!("this is a did:{}, not a did:{method}", self.method()),
        ))
    }
}

impl DidUrl {
    /// Reads a DID URL. A query parameter that is there twice, or that hides a control character
    /// behind its percent encoding, makes it invalid.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |detail: &str| Error::new(Code::InvalidDidUrl, detail);
        let did_ends = text.find(['/', '?', '#']).unwrap_or(text.len());
        let (did, rest) = text.split_at(did_ends);
        let did = Did::parse(did)?;
        if text.len() > MAX_LENGTH {
            return Err(wrong("the DID URL is longer than 2048 bytes"));
        }
        let (rest, fragment) = split_off(rest, '#');
        let (path, query) = split_off(rest, '?');
        if !consists_of(path, |byte| byte == b'/' || is_path_char(byte)) {
            return Err(wrong("the path has characters that a URI may not have"));
        }
        let is_query_char = |byte| byte == b'/' || byte == b'?' || is_path_char(byte);
        if [query, fragment]
            .into_iter()
            .flatten()
            .any(|part| !consists_of(part, is_query_char))
        {
            return Err(wrong(
                "the query or the fragment has characters that a URI may not have",
            ));
        }
        Ok(Self {
            text: text.to_owned(),
            did,
            path: path.to_owned(),
            query: query.map(str::to_owned),
            parameters: parameters(query.unwrap_or_default())?,
            fragment: fragment.map(str::to_owned),
        })
    }

    /// The DID before everything else.
    pub fn did(&self) -> &Did {
        &self.did
    }

    /// The path with its leading slash, or nothing.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query as it was given, without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The query's parameters, decoded, in the order given.
    pub fn parameters(&self) -> &[(String, String)] {
        &self.parameters
    }

    /// One parameter of the query, decoded.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The fragment, still percent-encoded, without its hash sign.
    pub fn fragment(&self) -> Option<&str> {
        self.fragment.as_deref()
    }

    /// Whether there is nothing but the DID.
    pub fn is_did(&self) -> bool {
        self.text.len() == self.did.text.len()
    }

    /// The whole DID URL.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for DidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What stands before the first `mark`, and what stands behind it.
fn split_off(text: &str, mark: char) -> (&str, Option<&str>) {
    match text.split_once(mark) {
        Some((before, behind)) => (before, Some(behind)),
        None => (text, None),
    }
}

fn parameters(query: &str) -> Result<Vec<(String, String)>, Error> {
    let mut parameters: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decoded(name)?, decoded(value)?);
        if name.is_empty() || parameters.iter().any(|(known, _)| *known == name) {
            let detail = format!("the query parameter `{name}` has no name or is there twice");
            return Err(Error::new(Code::InvalidDidUrl, detail));
        }
        parameters.push((name, value));
    }
    Ok(parameters)
}

fn decoded(text: &str) -> Result<String, Error> {
    match percent_decode_str(text).decode_utf8() {
        Ok(text) if !text.chars().any(char::is_control) => Ok(text.into_owned()),
        _ => Err(Error::new(
            Code::InvalidDidUrl,
            "the query hides bytes that are no printable text",
        )),
    }
}

/// Whether `text` has only allowed bytes and complete `%XX` triples.
fn consists_of(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => (0..2).all(|_| bytes.next().is_some_and(|digit| digit.is_ascii_hexdigit())),
            other => allowed(other),
        };
        if !fits {
            return false;
        }
    }
    true
}

/// `idchar` of DID Core, and the colon that separates its parts.
fn is_id_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_:".contains(&byte)
}

/// `pchar` of RFC 3986 without percent signs.
fn is_path_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_did_has_a_method_and_an_id() {
        let did = Did::parse("did:web:example.com%3A8443:agents:1").expect("a DID");
        assert_eq!(
            (did.method(), did.id()),
            ("web", "example.com%3A8443:agents:1")
        );
        for right in ["did:a:b", "did:0:.", "did:example::a", "did:example:%4A"] {
            assert!(Did::parse(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "did",
            "did:",
            "did:example",
            "did:example:",
            "did::a",
            "did:Example:a",
            "DID:a:b",
            "did:example:a:",
            "did:example:%4",
            "did:example:%GG",
            "did:example:ä",
            "did:example:a b",
            "did:example:a/b",
            "did:example:a?b",
            "did:example:a#b",
            " did:a:b",
            "not-a-did",
        ] {
            assert_eq!(
                Did::parse(wrong).map_err(|error| error.code),
                Err(Code::InvalidDid),
                "{wrong}"
            );
        }
        assert!(Did::parse(&format!("did:a:{}", "b".repeat(MAX_LENGTH))).is_err());
    }

    #[test]
    fn a_did_url_has_parts() {
        let url = DidUrl::parse("did:a:b/p/%20?service=files&relativeRef=%2Fx%3Fy#k?/1")
            .expect("a DID URL");
        assert_eq!(url.did().as_str(), "did:a:b");
        assert_eq!(url.path(), "/p/%20");
        assert_eq!(url.parameter("relativeRef"), Some("/x?y"));
        assert_eq!(url.parameter("service"), Some("files"));
        assert_eq!(url.fragment(), Some("k?/1"));
        assert!(!url.is_did());
        assert!(DidUrl::parse("did:a:b").expect("a DID").is_did());
        assert_eq!(
            DidUrl::parse("did:a:b?x")
                .expect("a DID URL")
                .parameter("x"),
            Some("")
        );
    }

    #[test]
    fn a_did_url_with_a_wrong_part_is_refused() {
        for (wrong, code) in [
            ("did:a/b", Code::InvalidDid),
            ("did:a:b?x=1&x=2", Code::InvalidDidUrl),
            ("did:a:b?x=1&%78=2", Code::InvalidDidUrl),
            ("did:a:b?=1", Code::InvalidDidUrl),
            ("did:a:b?x=%0D%0ASet-Cookie:y", Code::InvalidDidUrl),
            ("did:a:b?x=%FF", Code::InvalidDidUrl),
            ("did:a:b#x#y", Code::InvalidDidUrl),
            ("did:a:b/ä", Code::InvalidDidUrl),
            ("did:a:b?x y", Code::InvalidDidUrl),
        ] {
            assert_eq!(
                DidUrl::parse(wrong).map_err(|error| error.code),
                Err(code),
                "{wrong}"
            );
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_keeps_the_text(text in "(did:[a-z:]{0,6})?\\PC{0,60}") {
            if let Ok(url) = DidUrl::parse(&text) {
                prop_assert_eq!(url.to_string(), text);
            }
        }
    }
}
