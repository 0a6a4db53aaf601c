//! Which addresses a stranger may send us to: the guard against server-side request forgery.
//!
//! A name is judged when it is resolved for the connection itself, so that it cannot be public
//! while it is checked and private while it is used (DNS rebinding). An address that stands in
//! the URL is never resolved and is judged there, at each hop.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::{Error, Result, address::is_public_name, is_public};

/// The rule that refused an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Neither http nor https.
    #[error("only https is fetched")]
    Scheme,
    /// http, and the host is not on `net.allow`.
    #[error("plain http is not fetched")]
    PlainHttp,
    /// User or password in the URL.
    #[error("the URL holds credentials")]
    Credentials,
    /// A port that the web does not use.
    #[error("only the ports 443 and 80 are reached")]
    Port,
    /// No host, or one that is not on the public internet.
    #[error("the address is not on the public internet")]
    Address,
    /// https redirected to http.
    #[error("https was redirected to http")]
    Downgrade,
}

impl From<Why> for Error {
    fn from(why: Why) -> Self {
        Self::Blocked { why }
    }
}

/// The rules, with the configured exceptions.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    allow: Vec<(String, u16)>,
}

/// How a URL that passed may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// Through [`PublicOnly`].
    Public,
    /// To whatever the name resolves to: host and port are on the list.
    Allowed,
}

impl Guard {
    /// Reads the configured `host:port` pairs.
    pub(crate) fn new(allow: &[String]) -> Result<Self> {
        let allow = allow
            .iter()
            .map(|entry| host_and_port(entry))
            .collect::<Result<_>>()?;
        Ok(Self { allow })
    }

    /// Judges everything about `url` that can be judged without resolving its name.
    pub(crate) fn route(&self, url: &Url) -> Result<Route, Why> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Why::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Why::Credentials);
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(Why::Address);
        };
        let name = host.to_string();
        if self
            .allow
            .iter()
            .any(|(host, allowed)| *host == name && *allowed == port)
        {
            return Ok(Route::Allowed);
        }
        if url.scheme() == "http" {
            return Err(Why::PlainHttp);
        }
        if ![443, 80].contains(&port) {
            return Err(Why::Port);
        }
        let public = match host {
            // What it resolves to is judged by the resolver.
            Host::Domain(name) => is_public_name(name),
            Host::Ipv4(v4) => is_public(IpAddr::V4(v4)),
            Host::Ipv6(v6) => is_public(IpAddr::V6(v6)),
        };
        if public {
            Ok(Route::Public)
        } else {
            Err(Why::Address)
        }
    }
}

fn host_and_port(entry: &str) -> Result<(String, u16)> {
    let wrong = || Error::Config(format!("net.allow: `{entry}` is not host:port"));
    let (host, port) = entry.rsplit_once(':').ok_or_else(wrong)?;
    let url = Url::parse(&format!("http://{host}/")).map_err(|_| wrong())?;
    if url.path() != "/" || !url.username().is_empty() || url.port().is_some() {
        return Err(wrong());
    }
    let host = url.host().ok_or_else(wrong)?.to_string();
    Ok((host, port.parse().map_err(|_| wrong())?))
}

/// Resolves names with the system's resolver and lets only public addresses through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|found| is_public(found.ip())).collect();
            if public.is_empty() {
                return Err(Why::Address.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(url: &str) -> Result<Route, Why> {
        let allow = ["localhost:8080", "127.0.0.1:9", "[::1]:9"].map(str::to_owned);
        Guard::new(&allow)
            .expect("valid")
            .route(&Url::parse(url).expect(url))
    }

    #[test]
    fn urls_are_judged_by_scheme_credentials_port_and_address() {
        for (url, expected) in [
            ("https://example.com/a", Ok(Route::Public)),
            ("HTTPS://EXAMPLE.com", Ok(Route::Public)),
            ("https://1.1.1.1/", Ok(Route::Public)),
            ("https://example.com:80/", Ok(Route::Public)),
            ("http://example.com/", Err(Why::PlainHttp)),
            ("ftp://example.com/", Err(Why::Scheme)),
            ("file:///etc/passwd", Err(Why::Scheme)),
            ("https://example.com:8443/", Err(Why::Port)),
            ("https://u@example.com/", Err(Why::Credentials)),
            ("https://:p@example.com/", Err(Why::Credentials)),
            ("https://127.0.0.1/", Err(Why::Address)),
            ("https://0x7f.1/", Err(Why::Address)),
            ("https://2130706433/", Err(Why::Address)),
            ("https://017700000001/", Err(Why::Address)),
            ("https://127.0.0.1./", Err(Why::Address)),
            ("https://localhost/", Err(Why::Address)),
            ("https://intranet/", Err(Why::Address)),
            ("https://[::ffff:127.0.0.1]/", Err(Why::Address)),
            ("https://[64:ff9b::a9fe:a9fe]/", Err(Why::Address)),
            ("https://169.254.169.254/latest/", Err(Why::Address)),
            ("http://localhost:8080/", Ok(Route::Allowed)),
            ("http://LOCALHOST:8080/", Ok(Route::Allowed)),
            ("https://127.0.0.1:9/", Ok(Route::Allowed)),
            ("http://[::1]:9/", Ok(Route::Allowed)),
            ("http://u:p@localhost:8080/", Err(Why::Credentials)),
            ("http://localhost:8081/", Err(Why::PlainHttp)),
            ("https://localhost:8081/", Err(Why::Port)),
        ] {
            assert_eq!(route(url), expected, "{url}");
        }
    }

    #[test]
    fn exceptions_name_host_and_port() {
        for wrong in [
            "localhost",
            "localhost:",
            "localhost:99999",
            "a/b:80",
            "u@h:80",
            ":80",
            "",
        ] {
            assert!(Guard::new(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_a_private_address_is_refused() {
        let error = PublicOnly
            .resolve("localhost".parse().expect("name"))
            .await
            .err();
        assert_eq!(
            error
                .and_then(|error| error.downcast::<Why>().ok())
                .as_deref(),
            Some(&Why::Address)
        );
    }
}
