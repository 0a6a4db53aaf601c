//! Who asks, where that is proven by a signature of each request and not by a token: an account's key (EIP-712) or an
//! agent's (RFC 9421). The key goes nowhere, and what it signs counts once, at one office.

use std::path::PathBuf;

use access::{
    message_signature,
    origin::Origin,
    outgoing::{Outgoing, Stamp},
    typed_request::TypedRequest,
};
use chain::PrivateKeySigner;
use did::ed25519::SecretKey;
use net::Call;
use store::Clock;

use super::{agent_key, exit::Failure, key};

/// Which key proves who asks.
#[derive(Debug, Clone, clap::Args)]
pub struct Asking {
    /// Ask as the account of this key, without a token: a keystore (JSON) or a file of 0x and 64 hex digits, mode 0600
    #[arg(long, value_name = "FILE", conflicts_with = "agent_key")]
    key: Option<PathBuf>,
    /// Ask as the agent of this Ed25519 key, without a token: a file of {"public_key", "private_key"} or 64 hex digits,
    /// mode 0600
    #[arg(long, value_name = "FILE")]
    agent_key: Option<PathBuf>,
}

/// Signs requests.
#[derive(Debug, Clone)]
pub enum Signer {
    /// A wallet's key.
    Account(PrivateKeySigner),
    /// An agent's.
    Key(SecretKey),
}

impl Asking {
    /// Reads the key that was named; `None`: none was.
    pub fn signer(&self) -> Result<Option<Signer>, Failure> {
        Ok(match (&self.key, &self.agent_key) {
            (Some(file), _) => Some(Signer::Account(key::read(file)?)),
            (None, Some(file)) => Some(Signer::Key(agent_key::read(file)?)),
            (None, None) => None,
        })
    }
}

impl Signer {
    /// Signs a call as it stands. `chain` is one that the office follows; agents' keys know none.
    pub fn sign(&self, call: Call, chain: u64) -> Result<Call, Failure> {
        let headers = self
            .headers(&call, chain)
            .map_err(|error| Failure::Of(error.kind(), error.to_string()))?;
        let signed = headers.into_iter();
        Ok(signed.fold(call, |call, (name, value)| call.header(name, value)))
    }

    fn headers(&self, call: &Call, chain: u64) -> access::Result<Vec<(&'static str, String)>> {
        let url = call.url();
        let origin =
            Origin::parse(&url.origin().ascii_serialization()).map_err(access::Error::Invalid)?;
        let request = Outgoing {
            origin: &origin,
            method: call.method(),
            path: url.path(),
            query: url.query(),
            body: call.bytes(),
        };
        let stamp = Stamp::new(Clock::System.now())?;
        match self {
            Self::Account(signer) => {
                let signed = TypedRequest::sign(signer, chain, &request, &stamp)?;
                Ok(vec![("authorization", signed.authorization())])
            }
            Self::Key(key) => message_signature::sign(key, &request, &stamp),
        }
    }
}
