//! The way out through a gateway on our own side, where a network lets nothing else out.
//!
//! It is asked in the absolute form of a proxy, `GET https://host/path HTTP/1.1`, also for https, and
//! speaks TLS to the host for us: no tunnel, because a gateway that must see what leaves gives none.
//! So it is trusted as the operator's own machine is: it resolves the names, checks the certificates
//! and has to keep names that resolve to private addresses out. Everything that a URL shows by itself
//! is still judged here, hop by hop, and size and time are limited as without it.

use std::time::Duration;

use hyper::{
    Request, Uri,
    client::conn::http1,
    header::{ACCEPT, ACCEPT_ENCODING, CONNECTION, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::Url;

use crate::{Error, Result, fetcher::AGENT};

/// The gateway.
#[derive(Debug, Clone)]
pub(crate) struct Egress {
    /// `host:port`.
    address: String,
    connect_timeout: Duration,
}

impl Egress {
    /// Reads `net.egress`. Nothing of a wrong value is echoed: it may hold a password.
    pub(crate) fn new(url: &str, connect_timeout: Duration) -> Result<Self> {
        let wrong = |what: &str| Error::Config(format!("net.egress {what}"));
        let url = Url::parse(url).map_err(|error| wrong(&format!("is no URL: {error}")))?;
        if url.scheme() != "http" {
            return Err(wrong("must begin with http://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("must not hold credentials"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("must hold host and port alone"));
        }
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(wrong("names no host"));
        };
        Ok(Self {
            address: format!("{host}:{port}"),
            connect_timeout,
        })
    }

    /// Asks for `url`, which the guard has let through.
    pub(crate) async fn get(&self, url: &Url, accept: Option<&str>) -> Result<reqwest::Response> {
        let connect = TcpStream::connect(&self.address);
        let stream = tokio::time::timeout(self.connect_timeout, connect)
            .await
            .map_err(|_| Error::Timeout)?
            .map_err(|error| Error::Unavailable(format!("net.egress: {error}")))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(unavailable)?;
        // It ends with the request: nobody else has the sender.
        tokio::spawn(async move { drop(connection.await) });
        let answer = sender.send_request(request(url, accept)?).await;
        let answer = answer.map_err(unavailable)?;
        Ok(answer.map(reqwest::Body::wrap).into())
    }
}

fn request(url: &Url, accept: Option<&str>) -> Result<Request<String>> {
    let mut url = url.clone();
    url.set_fragment(None);
    let no_url = |error: &dyn std::error::Error| Error::Url(error.to_string());
    let uri: Uri = url.as_str().parse().map_err(|error| no_url(&error))?;
    let host = uri.authority().map(ToString::to_string).unwrap_or_default();
    Request::get(uri)
        .header(HOST, host)
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, accept.unwrap_or("*/*"))
        .header(ACCEPT_ENCODING, "identity")
        .header(CONNECTION, "close")
        .body(String::new())
        .map_err(|error| no_url(&error))
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err passes")]
fn unavailable(error: hyper::Error) -> Error {
    Error::Unavailable(format!("net.egress: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_host_and_port_and_nothing_wrong_is_echoed() {
        let read = |url| Egress::new(url, Duration::from_secs(1));
        for (url, address) in [
            ("http://127.0.0.1:3128", "127.0.0.1:3128"),
            ("http://proxy.corp/", "proxy.corp:80"),
            ("http://[::1]:3128", "[::1]:3128"),
        ] {
            assert_eq!(read(url).expect(url).address, address);
        }
        for wrong in [
            "",
            "secret",
            "https://secret:3128",
            "http://u:secret@proxy:3128",
            "http://proxy/secret",
            "http://proxy/?secret",
        ] {
            let error = read(wrong).expect_err(wrong);
            assert!(matches!(error, Error::Config(_)), "{wrong}: {error}");
            let text = error.to_string();
            assert!(
                text.starts_with("net.egress ") && !text.contains("secret"),
                "{text}"
            );
        }
    }
}
