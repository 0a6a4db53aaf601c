//! Whence where somebody asks, and with which program.

use std::net::{IpAddr, SocketAddr};

use access::{
    address::{self, Network},
    audit_log::Event,
    origin::{Origins, Whence},
};
use axum::{
    extract::{ConnectInfo, Request},
    http::{HeaderMap, HeaderName, HeaderValue, header, uri::Authority},
};

use crate::http::Shared;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What proxies add to what they pass on, beside all that begins with [`X_FORWARDED`]; any of them says that somebody
/// else asked.
static PASSED_ON: [HeaderName; 6] = [
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
];
const X_FORWARDED: &str = "x-forwarded-";

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
        Self {
            from: if is_near && !is_passed_on(headers) {
                Whence::Here
            } else {
                Whence::Elsewhere
            },
            // IPv4 over a socket that takes both is IPv4.
            ip: peer.map(|peer| address::caller(peer.0.ip().to_canonical(), &forwarded, proxies)),
            user_agent: agent.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
        }
    }

    /// What is counted of it. Programs on this machine share an address and are its owner's: they are not counted,
    /// unless it says that others reach it. Then something on this machine passes their requests on, and need not say so.
    pub fn caller(&self, app: &Shared) -> Option<Network> {
        let is_owners = self.from == Whence::Here && app.config.access.origins.is_empty();
        self.ip.filter(|_| !is_owners).map(address::of_one_caller)
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

/// Whether a proxy passed this on: it says so, or passes on the name that somebody elsewhere asked for.
fn is_passed_on(headers: &HeaderMap) -> bool {
    let says_so =
        |name: &HeaderName| PASSED_ON.contains(name) || name.as_str().starts_with(X_FORWARDED);
    let host = headers.get(header::HOST);
    headers.keys().any(says_so) || host.is_some_and(|host| !is_every_machines(host))
}

/// Whether a `Host` is one of the names that each machine has for itself.
fn is_every_machines(host: &HeaderValue) -> bool {
    let host: Option<Authority> = host.to_str().ok().and_then(|host| host.parse().ok());
    let Some(host) = host else {
        return false;
    };
    let name = host.host().to_ascii_lowercase();
    let ip = name.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = ip
        .parse::<IpAddr>()
        .is_ok_and(|ip| ip.to_canonical().is_loopback());
    is_loopback || name == "localhost" || name.ends_with(".localhost")
}
