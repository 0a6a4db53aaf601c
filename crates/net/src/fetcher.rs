//! Fetching what a stranger's URL names.

use std::{sync::Arc, time::Duration};

use reqwest::{
    Client,
    header::{ACCEPT, CONTENT_TYPE, ETAG, LOCATION},
    redirect::Policy,
};
use url::Url;

use crate::{
    Config, Error, HARD_MAX_BYTES, Result, Why, body,
    egress::Egress,
    guard::{Guard, PublicOnly, Route},
};

/// What we call ourselves.
pub(crate) const AGENT: &str = concat!("chancery/", env!("CARGO_PKG_VERSION"));

/// Most redirects that are followed.
const MAX_REDIRECTS: usize = 3;

/// GET for hostile URLs: https to public addresses only, each redirect judged like the first URL,
/// with limits of size and time. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fetcher {
    /// Connects to public addresses only.
    public: Client,
    /// Connects to what `net.allow` names.
    allowed: Client,
    /// Takes the place of `public` where it is configured.
    egress: Option<Egress>,
    guard: Arc<Guard>,
    timeout: Duration,
    max_bytes: usize,
}

/// What a fetch asks for beyond the URL.
#[derive(Debug, Clone, Copy, Default)]
pub struct Get<'a> {
    /// The `Accept` header; `*/*` without.
    pub accept: Option<&'a str>,
    /// Another limit than `net.max_bytes`; never more than [`HARD_MAX_BYTES`].
    pub max_bytes: Option<usize>,
}

/// A successful answer (2xx), all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status, 200 to 299.
    pub status: u16,
    /// The URL that answered, after redirects.
    pub final_url: String,
    /// `Content-Type` as given.
    pub content_type: Option<String>,
    /// `ETag` as given.
    pub etag: Option<String>,
    /// The body, decoded.
    pub bytes: Vec<u8>,
}

impl Fetcher {
    /// Builds the clients. Errors with [`Error::Config`].
    pub fn new(config: &Config) -> Result<Self> {
        config.check()?;
        let guard = Arc::new(Guard::new(&config.allow)?);
        let connect_timeout = config.connect_timeout();
        let egress = config.egress.as_deref();
        let failed = |error: reqwest::Error| Error::Config(format!("no HTTP client: {error}"));
        Ok(Self {
            public: builder(connect_timeout)
                .dns_resolver(PublicOnly)
                .build()
                .map_err(failed)?,
            allowed: builder(connect_timeout).build().map_err(failed)?,
            egress: egress
                .map(|url| Egress::new(url, connect_timeout))
                .transpose()?,
            guard,
            timeout: config.timeout(),
            max_bytes: config.max_bytes,
        })
    }

    /// Fetches `url`. Every failure, a status outside 2xx included, is an [`Error`].
    pub async fn get(&self, url: &str, get: Get<'_>) -> Result<Response> {
        let url = Url::parse(url).map_err(|error| Error::Url(error.to_string()))?;
        tokio::time::timeout(self.timeout, self.follow(url, get))
            .await
            .unwrap_or(Err(Error::Timeout))
    }

    async fn follow(&self, mut url: Url, get: Get<'_>) -> Result<Response> {
        let limit = get.max_bytes.unwrap_or(self.max_bytes).min(HARD_MAX_BYTES);
        for _ in 0..=MAX_REDIRECTS {
            let response = match (self.guard.route(&url)?, &self.egress) {
                (Route::Public, Some(egress)) => egress.get(&url, get.accept).await?,
                (Route::Public, None) => ask(&self.public, &url, get.accept).await?,
                (Route::Allowed, _) => ask(&self.allowed, &url, get.accept).await?,
            };
            let status = response.status();
            if status.is_success() {
                return Ok(Response {
                    status: status.as_u16(),
                    final_url: url.into(),
                    content_type: body::text(response.headers(), CONTENT_TYPE),
                    etag: body::text(response.headers(), ETAG),
                    bytes: body::read(response, limit).await?,
                });
            }
            match body::text(response.headers(), LOCATION).filter(|_| status.is_redirection()) {
                Some(location) => url = next_hop(&url, &location)?,
                None => return Err(body::status_error(status, response.headers())),
            }
        }
        Err(Error::Unavailable(format!(
            "more than {MAX_REDIRECTS} redirects"
        )))
    }
}

async fn ask(client: &Client, url: &Url, accept: Option<&str>) -> Result<reqwest::Response> {
    let mut request = client.get(url.clone());
    if let Some(accept) = accept {
        request = request.header(ACCEPT, accept);
    }
    Ok(request.send().await?)
}

/// Where a redirect leads; the guard judges it next.
fn next_hop(from: &Url, location: &str) -> Result<Url> {
    let to = from
        .join(location)
        .map_err(|_| Error::Unavailable("a redirect to what is no URL".to_owned()))?;
    if from.scheme() == "https" && to.scheme() == "http" {
        return Err(Why::Downgrade.into());
    }
    Ok(to)
}

/// What all clients of this crate share.
#[expect(clippy::disallowed_methods, reason = "the owner of outbound HTTP")]
pub(crate) fn builder(connect_timeout: Duration) -> reqwest::ClientBuilder {
    Client::builder()
        .user_agent(AGENT)
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(connect_timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_is_never_redirected_to_http() {
        let from = Url::parse("https://a.example/x/y").expect("url");
        assert_eq!(
            next_hop(&from, "http://b.example/"),
            Err(Why::Downgrade.into())
        );
        let hop = next_hop(&from, "../z").expect("relative");
        assert_eq!(hop.as_str(), "https://a.example/z");
        assert!(next_hop(&from, "https://").is_err());
    }
}
