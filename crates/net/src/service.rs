//! Calling a service that the operator configured.

use std::{fmt, time::Duration};

use reqwest::{
    Client, Method, RequestBuilder,
    header::{ACCEPT, CONTENT_TYPE},
    multipart::{Form, Part},
};
use url::Url;

use crate::{Error, Result, body, fetcher::builder};

/// How long a service may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of one HTTP service at a trusted address, loopback included. Redirects are not
/// followed: the operator chose this address and no other. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    client: Client,
    base: Url,
    bearer: Option<String>,
    timeout: Duration,
    max_bytes: usize,
}

/// A call in the making.
#[must_use = "a call does nothing before `send`"]
pub struct Call {
    client: Client,
    method: Method,
    url: Url,
    bearer: Option<String>,
    accept: Option<&'static str>,
    headers: Vec<(&'static str, String)>,
    pub(crate) timeout: Duration,
    pub(crate) max_bytes: usize,
    body: Option<Body>,
}

/// What a call sends.
enum Body {
    /// The file of a `multipart/form-data` body.
    File(Vec<u8>),
    /// Bytes of this media type.
    Bytes(&'static str, Vec<u8>),
}

/// An answer with whatever status; its body is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// `Content-Type` as given.
    pub content_type: Option<String>,
    /// How long the service asks us to wait (`Retry-After`), where it said so in seconds.
    pub retry_after: Option<Duration>,
    /// The body, decoded.
    pub bytes: Vec<u8>,
}

/// What a [`Service::endpoint`] is asked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a whole call, the body included.
    pub timeout: Duration,
    /// The most that is read of an answer, in bytes after decoding.
    pub max_bytes: usize,
    /// Whether answers may come compressed: less to carry and more to compute, which does not pay
    /// on one's own machine.
    pub compressed: bool,
}

impl Service {
    /// A client of the service at `base` (`http://127.0.0.1:5001`, with a path if need be).
    /// `bearer` is sent as `Authorization: Bearer`. `timeout` holds for a whole call and
    /// `max_bytes` for an answer, unless the call says otherwise.
    pub fn new(
        base: &str,
        bearer: Option<String>,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<Self> {
        let wrong = |what: &str| Error::Config(format!("`{}` {what}", body::cut(base)));
        let mut base = Url::parse(base).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(wrong("is no http or https URL"));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(wrong("must not hold a query or a fragment"));
        }
        let path = format!("{}/", base.path().trim_end_matches('/'));
        base.set_path(&path);
        let client = builder(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| Error::Config(format!("no HTTP client: {error}")))?;
        Ok(Self {
            client,
            base,
            bearer,
            timeout,
            max_bytes,
        })
    }

    /// A client of exactly this URL, credentials, path and query included: `post("")` calls it.
    pub fn endpoint(url: &Url, limits: Limits) -> Result<Self> {
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            let wrong = format!("`{}://...` is no http or https URL", url.scheme());
            return Err(Error::Config(wrong));
        }
        let client = builder(CONNECT_TIMEOUT)
            .gzip(limits.compressed)
            .build()
            .map_err(|error| Error::Config(format!("no HTTP client: {error}")))?;
        Ok(Self {
            client,
            base: url.clone(),
            bearer: None,
            timeout: limits.timeout,
            max_bytes: limits.max_bytes,
        })
    }

    /// Host and port, for messages: never credentials.
    pub fn name(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        self.base
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// GET `path`, which is appended to the base.
    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// POST `path`, which is appended to the base.
    pub fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    /// PUT `path`, which is appended to the base.
    pub fn put(&self, path: &str) -> Call {
        self.call(Method::PUT, path)
    }

    /// DELETE `path`, which is appended to the base.
    pub fn delete(&self, path: &str) -> Call {
        self.call(Method::DELETE, path)
    }

    fn call(&self, method: Method, path: &str) -> Call {
        let mut url = self.base.clone();
        if !path.is_empty() {
            url.set_path(&format!(
                "{}{}",
                self.base.path(),
                path.trim_start_matches('/')
            ));
        }
        Call {
            client: self.client.clone(),
            method,
            url,
            bearer: self.bearer.clone(),
            accept: None,
            headers: Vec::new(),
            timeout: self.timeout,
            max_bytes: self.max_bytes,
            body: None,
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

impl Call {
    /// Adds a query argument; a name may be given more than once.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// The `Accept` header.
    pub fn accept(mut self, media_type: &'static str) -> Self {
        self.accept = Some(media_type);
        self
    }

    /// A header of this call.
    pub fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The method, in capitals.
    pub fn method(&self) -> &str {
        self.method.as_str()
    }

    /// What is called: path and query are sent as they stand in it.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The body, where it is sent as it was given: a file of a form is not.
    pub fn bytes(&self) -> &[u8] {
        match &self.body {
            Some(Body::Bytes(_, bytes)) => bytes,
            Some(Body::File(_)) | None => &[],
        }
    }

    /// How long this call may take, body included.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The most that is read of this call's answer, in bytes.
    pub fn max_bytes(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Sends `bytes` as the file of a `multipart/form-data` body.
    pub fn file(mut self, bytes: Vec<u8>) -> Self {
        self.body = Some(Body::File(bytes));
        self
    }

    /// Sends `bytes` as the body, named `media_type`.
    pub fn body(mut self, media_type: &'static str, bytes: Vec<u8>) -> Self {
        self.body = Some(Body::Bytes(media_type, bytes));
        self
    }

    /// Calls, and reads the whole answer.
    pub async fn send(self) -> Result<Reply> {
        let (timeout, max_bytes) = (self.timeout, self.max_bytes);
        let response = self.request().timeout(timeout).send().await?;
        Reply::read(response, max_bytes).await
    }

    /// The request, without its time limit.
    pub(crate) fn request(self) -> RequestBuilder {
        let mut request = self.client.request(self.method, self.url);
        if let Some(bearer) = &self.bearer {
            request = request.bearer_auth(bearer);
        }
        if let Some(accept) = self.accept {
            request = request.header(ACCEPT, accept);
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        match self.body {
            Some(Body::File(bytes)) => {
                let part = Part::bytes(bytes).file_name("file");
                request.multipart(Form::new().part("file", part))
            }
            Some(Body::Bytes(media_type, bytes)) => {
                request.header(CONTENT_TYPE, media_type).body(bytes)
            }
            None => request,
        }
    }
}

impl Reply {
    pub(crate) async fn read(response: reqwest::Response, max_bytes: usize) -> Result<Self> {
        Ok(Self {
            status: response.status().as_u16(),
            content_type: body::text(response.headers(), CONTENT_TYPE),
            retry_after: body::retry_after(response.headers()),
            bytes: body::read(response, max_bytes).await?,
        })
    }
}
