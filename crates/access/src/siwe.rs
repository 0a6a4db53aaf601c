//! Messages by which an Ethereum account signs in (EIP-4361), read as the EIP's grammar has them and no other way: what
//! a person was shown is what we believe.

use chrono::{DateTime, Utc};
use kernel::Address;

use crate::{Error, Result};

/// No message is longer.
pub const LONGEST: usize = 4096;

const GREETING: &str = " wants you to sign in with your Ethereum account:";
/// Resources that a message may list.
const MOST_RESOURCES: usize = 32;

/// A message, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The scheme before the domain, where one is given.
    pub scheme: Option<String>,
    /// Host and port of who asks for the signature.
    pub domain: String,
    /// The account.
    pub address: Address,
    /// What the person agreed to.
    pub statement: Option<String>,
    /// What the session is for.
    pub uri: String,
    /// EIP-155 chain id of the session; where a contract account is asked.
    pub chain: u64,
    /// Given by us, used once.
    pub nonce: String,
    /// When the message was made.
    pub issued_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it begins.
    pub not_before: Option<DateTime<Utc>>,
    /// Of whoever asked.
    pub request_id: Option<String>,
    /// What else was shown.
    pub resources: Vec<String>,
}

impl Message {
    /// Reads a message. Errors with [`Error::Invalid`], which names the line that is not as EIP-4361 has it.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > LONGEST {
            return Err(wrong(format!("a message has at most {LONGEST} characters")));
        }
        let mut lines = Lines(text.split('\n').collect());
        let (scheme, domain) = lines.greeting()?;
        let address = lines.next("the account's address")?;
        let address = Address::parse_checksummed(address, None)
            .map_err(|_| wrong("the second line is an address in the form of EIP-55"))?;
        let statement = lines.statement()?;
        let uri = lines.field("URI: ")?.to_owned();
        is_uri(&uri)?;
        if lines.field("Version: ")? != "1" {
            return Err(wrong("the version is 1"));
        }
        let chain = lines.field("Chain ID: ")?;
        let chain = Some(chain)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| wrong("the chain id is a number"))?;
        let nonce = lines.field("Nonce: ")?.to_owned();
        if nonce.len() < 8 || !nonce.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(wrong("a nonce has 8 or more letters and digits"));
        }
        let issued_at = time(lines.field("Issued At: ")?)?;
        let expires_at = lines.optional("Expiration Time: ").map(time).transpose()?;
        let not_before = lines.optional("Not Before: ").map(time).transpose()?;
        let request_id = lines.optional("Request ID: ").map(str::to_owned);
        let resources = lines.resources()?;
        lines.end()?;
        Ok(Self {
            scheme,
            domain,
            address,
            statement,
            uri,
            chain,
            nonce,
            issued_at,
            expires_at,
            not_before,
            request_id,
            resources,
        })
    }
}

/// Lines that are not read yet.
struct Lines<'a>(std::collections::VecDeque<&'a str>);

impl<'a> Lines<'a> {
    fn next(&mut self, what: &str) -> Result<&'a str> {
        self.0
            .pop_front()
            .ok_or_else(|| wrong(format!("the message ends before {what}")))
    }

    fn greeting(&mut self) -> Result<(Option<String>, String)> {
        let line = self.next("its first line")?;
        let domain = line
            .strip_suffix(GREETING)
            .ok_or_else(|| wrong(format!("the first line is `<domain>{GREETING}`")))?;
        let (scheme, domain) = match domain.split_once("://") {
            Some((scheme, domain)) => (Some(scheme.to_owned()), domain),
            None => (None, domain),
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._~%!$&'()*+,;=:@[]".contains(c);
        if domain.is_empty() || !domain.chars().all(fits) {
            return Err(wrong("the domain is a host, with a port if need be"));
        }
        Ok((scheme, domain.to_owned()))
    }

    fn statement(&mut self) -> Result<Option<String>> {
        let empty = || wrong("an empty line stands before and behind the statement");
        if !self.next("the statement")?.is_empty() {
            return Err(empty());
        }
        let statement = self.next("the statement")?;
        if statement.is_empty() {
            return Ok(None);
        }
        if statement.chars().any(char::is_control) {
            return Err(wrong("the statement is one line of text"));
        }
        if !self.next("the line behind the statement")?.is_empty() {
            return Err(empty());
        }
        Ok(Some(statement.to_owned()))
    }

    fn field(&mut self, name: &str) -> Result<&'a str> {
        let line = self.next(name)?;
        line.strip_prefix(name).ok_or_else(|| {
            wrong(format!(
                "`{}` is missing, or not in its place",
                name.trim_end()
            ))
        })
    }

    fn optional(&mut self, name: &str) -> Option<&'a str> {
        let value = self.0.front()?.strip_prefix(name)?;
        self.0.pop_front();
        Some(value)
    }

    fn resources(&mut self) -> Result<Vec<String>> {
        if self.0.front() != Some(&"Resources:") {
            return Ok(Vec::new());
        }
        self.0.pop_front();
        let mut resources = Vec::new();
        while let Some(uri) = self.optional("- ") {
            is_uri(uri)?;
            if resources.len() == MOST_RESOURCES {
                return Err(wrong(format!(
                    "a message lists at most {MOST_RESOURCES} resources"
                )));
            }
            resources.push(uri.to_owned());
        }
        Ok(resources)
    }

    fn end(&self) -> Result<()> {
        match self.0.front() {
            None => Ok(()),
            Some(_) => Err(wrong(
                "a line is there twice, not in its place, or not of EIP-4361",
            )),
        }
    }
}

/// A URI by RFC 3986, as far as it matters that it is one: a scheme, and no character that no URI has.
fn is_uri(text: &str) -> Result<()> {
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._~%!$&'()*+,;=:@/?#[]".contains(c);
    let split = text.split_once(':');
    if split.is_some_and(|(scheme, rest)| {
        is_scheme(scheme) && !rest.is_empty() && rest.chars().all(fits)
    }) {
        return Ok(());
    }
    Err(wrong("what stands for a URI is none"))
}

fn time(text: &str) -> Result<DateTime<Utc>> {
    let is_plain = text.get(10..11) == Some("T");
    DateTime::parse_from_rfc3339(text)
        .ok()
        .filter(|_| is_plain)
        .map(|time| time.to_utc())
        .ok_or_else(|| wrong("a time is written as 2026-11-22T05:27:34Z"))
}

fn wrong(why: impl Into<String>) -> Error {
    Error::Invalid(format!("no message of EIP-4361: {}", why.into()))
}

#[cfg(test)]
mod tests;
