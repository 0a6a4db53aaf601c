//! A request that somebody is about to sign: what the client's sides of both ways have in common.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{Result, origin::Origin, secret};

/// A signature counts for so long. A request is on its way for seconds; the rest is for clocks that differ.
const LASTS: TimeDelta = TimeDelta::seconds(120);

/// What of a request is signed.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The office that it goes to, under the name by which it is asked.
    pub origin: &'a Origin,
    /// The method, in capitals.
    pub method: &'a str,
    /// The path, as it is sent.
    pub path: &'a str,
    /// The query without its `?`, if there is one.
    pub query: Option<&'a str>,
    /// The body; empty where there is none.
    pub body: &'a [u8],
}

/// From when to when a signature counts, and what makes it count once.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    pub(crate) issued: DateTime<Utc>,
    pub(crate) expires: DateTime<Utc>,
    pub(crate) nonce: [u8; 16],
}

impl Stamp {
    /// One that nobody had before. Errors with [`crate::Error::Chance`].
    pub fn new(now: DateTime<Utc>) -> Result<Self> {
        Ok(Self {
            issued: now,
            expires: now + LASTS,
            nonce: secret::once()?,
        })
    }
}
