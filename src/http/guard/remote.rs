//! Whence where somebody asks, and with which program.

use std::net::{IpAddr, SocketAddr};

use access::{
    address::{self, Network},
    audit_log::Event,
    origin::{Origins, Whence},
};
use axum::{
    extract::{ConnectInfo, Request},
    http::{HeaderName, header},
};

use crate::http::Shared;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What proxies add to what they pass on; any of them says that somebody else asked.
static PASSED_ON: [HeaderName; 4] = [
    X_FORWARDED_FOR,
    HeaderName::from_static("x-forwarded-host"),
    header::FORWARDED,
    header::VIA,
];

/// The other side: take it as `Extension<Remote>`.
#[derive(Debug, Clone)]
pub struct Remote {
    /// Its address; none where there is no connection (a router that is called directly).
    pub ip: Option<IpAddr>,
    /// What it says of itself.
    pub user_agent: Option<String>,
    /// Whether it is a program of this machine that asks by itself.
    from: Whence,
}

impl Remote {
    /// Of this request; behind proxies that are trusted, of whoever asked them.
    pub fn of(request: &Request, proxies: &[Network]) -> Self {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let headers = request.headers();
        let forwarded = headers.get_all(X_FORWARDED_FOR).iter();
        // Whatever bytes the caller put first, what the proxy appended to them is read.
        let forwarded: Vec<String> = forwarded
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        let forwarded: Vec<&str> = forwarded.iter().flat_map(|text| text.split(',')).collect();
        let agent = headers.get(header::USER_AGENT);
        let is_near = peer.is_some_and(|peer| peer.0.ip().to_canonical().is_loopback());
        let is_passed_on = PASSED_ON.iter().any(|name| headers.contains_key(name));
        Self {
            from: if is_near && !is_passed_on {
                Whence::Here
            } else {
                Whence::Elsewhere
            },
            // IPv4 over a socket that takes both is IPv4.
            ip: peer.map(|peer| address::caller(peer.0.ip().to_canonical(), &forwarded, proxies)),
            user_agent: agent.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
        }
    }

    /// The names that are ours for it.
    pub fn origins<'a>(&self, app: &'a Shared) -> &'a Origins {
        app.origins(self.from)
    }

    /// The beginning of an event of the audit log.
    pub fn event(&self, action: &str) -> Event {
        Event {
            action: action.to_owned(),
            ip_address: self.ip.map(|ip| ip.to_string()),
            user_agent: self.user_agent.clone(),
            ..Event::default()
        }
    }
}
