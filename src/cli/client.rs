//! Asking a running instance: where it is, who we are to it, and what its answers mean.

use std::{path::Path, time::Duration};

use chain::PrivateKeySigner;
use kernel::Kind;
use net::{Call, Events, Opened, Reply, Service};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::sync::OnceCell;
use url::{Host, Url};

use super::{Context, exit::Failure, signer::Signer};
use crate::data_dir::DataDir;

/// One answer has so long.
const PATIENCE: Duration = Duration::from_mins(1);
/// One for which much has to be read or proven.
const MUCH_PATIENCE: Duration = Duration::from_mins(16);
/// A stream of events is never silent for so long: three times what the API promises.
const SILENCE: Duration = Duration::from_secs(45);
/// No answer is longer.
const MOST_BYTES: usize = 64 << 20;
/// The longest page that the API gives.
const PAGE: usize = 200;

/// What may stand in a path's segment as it is (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A running instance.
pub struct Client<'a> {
    context: &'a Context,
    url: String,
    /// Whether the URL is what `up` wrote into the data directory.
    ours: bool,
    patience: Duration,
    reader: Service,
    /// Signs what has to be proven, in a token's place.
    signer: Option<Box<Signer>>,
    /// Whether what is read is proven, too.
    is_known: bool,
    /// A chain that the instance follows, once somebody had to know.
    chain: OnceCell<u64>,
}

/// Items of a list.
pub struct Listed {
    /// As the API gave them.
    pub items: Vec<Value>,
    /// Whether there are more than were asked for.
    pub more: bool,
}

impl<'a> Client<'a> {
    /// The instance of `--url`, `CHANCERY_URL` or the data directory; nothing is asked yet.
    pub fn of(context: &'a Context) -> anyhow::Result<Self> {
        let given = context.global.url.as_deref();
        let given = given.or_else(|| context.environment.get("CHANCERY_URL"));
        let (url, ours) = match given {
            Some(url) => (url.trim_end_matches('/').to_owned(), false),
            None => (address(context)?, true),
        };
        let reader = service(&url, None, PATIENCE)?;
        Ok(Self {
            context,
            url,
            ours,
            patience: PATIENCE,
            reader,
            signer: None,
            is_known: false,
            chain: OnceCell::new(),
        })
    }

    /// Proves who asks by signing each request, where somebody signs; the token stays here then.
    pub fn signed_by(mut self, signer: Option<Signer>) -> Self {
        self.signer = signer.map(Box::new);
        self
    }

    /// Asks everything with a proof: what is read belongs to whoever asks.
    pub fn known(mut self) -> anyhow::Result<Self> {
        self.reader = self.writer()?;
        self.is_known = true;
        Ok(self)
    }

    /// The instance's URL, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// For questions that take minutes.
    pub fn patient(mut self) -> anyhow::Result<Self> {
        self.patience = MUCH_PATIENCE;
        self.reader = service(&self.url, None, self.patience)?;
        Ok(self)
    }

    /// GET of JSON.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.query(path, &[]).await
    }

    /// GET of JSON, with a query.
    pub async fn query(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Failure> {
        let call = with(self.reader.get(path).accept("application/json"), query);
        self.json(self.send(self.reading(call).await?).await?)
    }

    /// GET of whatever there is: a success or a problem.
    pub async fn raw(&self, path: &str, query: &[(&str, String)]) -> Result<Reply, Failure> {
        let reply = self.send(with(self.reader.get(path), query)).await?;
        self.success(reply)
    }

    /// The same with the token, where it was given or is this instance's own: strangers do not take its owner's place.
    pub async fn raw_of_owner(&self, path: &str) -> anyhow::Result<Reply> {
        let given = self.is_token_given();
        let writer = (given || self.ours).then(|| self.writer()).transpose();
        let call = match writer {
            Ok(Some(writer)) => writer.get(path),
            Err(error) if given => return Err(error),
            _ => self.reader.get(path),
        };
        Ok(self.success(self.send(call).await?)?)
    }

    /// GET of an answer whose status says no more than its body.
    pub async fn any(&self, path: &str, accept: &'static str) -> Result<Reply, Failure> {
        self.send(self.reader.get(path).accept(accept)).await
    }

    /// GET of a stream of events, behind the one with the id `last`.
    pub async fn events(
        &self,
        path: &str,
        query: &[(&str, String)],
        last: Option<&str>,
    ) -> Result<Events, Failure> {
        let call = with(self.reader.get(path), query);
        match self
            .reading(call)
            .await?
            .events(last, SILENCE)
            .await
            .map_err(|error| self.failed(error))?
        {
            Opened::Events(events) => Ok(events),
            Opened::Refused(reply) => Err(self.problem(&reply)),
        }
    }

    /// POST of JSON that needs no token: it changes nothing, or was signed itself.
    pub async fn ask(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let call = self.reader.post(path);
        self.json(self.send(json_body(call, body)).await?)
    }

    /// POST of JSON that changes something.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let call = json_body(self.writer()?.post(path), body);
        self.write(call).await
    }

    /// The same, signed by an account where no token was given for an instance that is not ours: its owner need not
    /// know us.
    pub async fn post_as(
        &self,
        account: &PrivateKeySigner,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        if self.ours || self.is_token_given() {
            return self.post(path, body).await;
        }
        let signer = Signer::Account(account.clone());
        let call = json_body(self.reader.post(path), body);
        let call = signer.sign(call, self.chain().await?)?;
        Ok(self.json(self.send(call).await?)?)
    }

    /// PUT of JSON.
    pub async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let call = json_body(self.writer()?.put(path), body);
        self.write(call).await
    }

    /// DELETE, with a query.
    pub async fn delete(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        let call = self.writer()?.delete(path).accept("application/json");
        self.write(with(call, query)).await
    }

    /// POST of bytes.
    pub async fn upload(&self, path: &str, bytes: Vec<u8>) -> anyhow::Result<Value> {
        let call = self.writer()?.post(path);
        self.write(call.body("application/octet-stream", bytes))
            .await
    }

    /// A list, page by page, up to `limit` items or to its end.
    pub async fn list(
        &self,
        path: &str,
        query: &[(&str, String)],
        limit: Option<usize>,
    ) -> Result<Listed, Failure> {
        let mut items: Vec<Value> = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let wanted = limit.map_or(PAGE, |limit| (limit - items.len()).min(PAGE));
            let mut page = query.to_vec();
            page.push(("limit", wanted.to_string()));
            page.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let mut answer = self.query(path, &page).await?;
            let Some(Value::Array(found)) = answer.get_mut("items").map(Value::take) else {
                return Err(self.stranger());
            };
            let got = found.len();
            items.extend(found);
            cursor = answer["next_cursor"].as_str().map(str::to_owned);
            let full = limit.is_some_and(|limit| items.len() >= limit);
            if cursor.is_none() || full || got == 0 {
                let more = cursor.is_some();
                return Ok(Listed { items, more });
            }
        }
    }

    /// Whether somebody said which token is sent.
    fn is_token_given(&self) -> bool {
        self.context.global.token_file.is_some()
            || self.context.environment.get("CHANCERY_TOKEN").is_some()
    }

    /// Sends what changes something.
    async fn write(&self, call: Call) -> anyhow::Result<Value> {
        let call = self.proven(call).await?;
        Ok(self.json(self.send(call).await?)?)
    }

    /// What is read, with a proof where it is somebody's own.
    async fn reading(&self, call: Call) -> Result<Call, Failure> {
        if self.is_known {
            return self.proven(call).await;
        }
        Ok(call)
    }

    /// A call with the signature of whoever signs; all others have the token already.
    async fn proven(&self, call: Call) -> Result<Call, Failure> {
        match self.signer.as_deref() {
            None => Ok(call),
            Some(key @ Signer::Key(_)) => key.sign(call, 0),
            Some(account @ Signer::Account(_)) => account.sign(call, self.chain().await?),
        }
    }

    /// A chain that the instance keeps, looked up once.
    async fn chain(&self) -> Result<u64, Failure> {
        let asked = self.chain.get_or_try_init(|| self.kept_chain()).await;
        asked.copied()
    }

    /// The first chain that the instance keeps; where it keeps none, any will do.
    async fn kept_chain(&self) -> Result<u64, Failure> {
        let call = self.reader.get("v1/sync").accept("application/json");
        let sync = self.json(self.send(call).await?)?;
        let chains = sync["chains"].as_array().into_iter().flatten();
        let mut kept = chains.filter(|chain| chain["head"].is_i64());
        Ok(kept.find_map(|chain| chain["chain"].as_u64()).unwrap_or(1))
    }

    /// An instance that may write.
    fn writer(&self) -> anyhow::Result<Service> {
        if self.signer.is_some() {
            return Ok(self.reader.clone());
        }
        Ok(service(&self.url, Some(self.token()?), self.patience)?)
    }

    /// The token: of `--token-file`, of `CHANCERY_TOKEN`, else this machine's own, which is told to
    /// nobody but this machine.
    fn token(&self) -> anyhow::Result<String> {
        if let Some(file) = &self.context.global.token_file {
            return Ok(read_token(file)?);
        }
        if let Some(token) = self.context.environment.get("CHANCERY_TOKEN") {
            return Ok(token.to_owned());
        }
        if !self.ours && !is_loopback(&self.url) {
            let why = format!(
                "{} needs a proof of who asks: a token by --token-file FILE or CHANCERY_TOKEN, or a signature by \
                 --key FILE where the command takes it",
                self.url
            );
            return Err(Failure::Of(Kind::Denied, why).into());
        }
        let config = self.context.gather(Vec::new())?.config;
        if let Some(token) = config.http.token {
            return Ok(token);
        }
        let dir =
            DataDir::locate(&config, &self.context.environment).map_err(crate::Error::from)?;
        Ok(read_token(&dir.join("token"))?)
    }

    async fn send(&self, call: Call) -> Result<Reply, Failure> {
        call.send().await.map_err(|error| self.failed(error))
    }

    /// Why there is no answer.
    fn failed(&self, error: net::Error) -> Failure {
        match error {
            net::Error::Unavailable(why) => Failure::unavailable(format!(
                "no instance answers at {} ({why}): start one with `chancery up`",
                self.url
            )),
            other => Failure::Of(other.kind(), format!("{}: {other}", self.url)),
        }
    }

    fn json(&self, reply: Reply) -> Result<Value, Failure> {
        let reply = self.success(reply)?;
        serde_json::from_slice(&reply.bytes).map_err(|_| self.stranger())
    }

    fn success(&self, reply: Reply) -> Result<Reply, Failure> {
        if (200..300).contains(&reply.status) {
            return Ok(reply);
        }
        Err(self.problem(&reply))
    }

    /// What an answer that is no success says.
    pub fn problem(&self, reply: &Reply) -> Failure {
        let problem: Value = serde_json::from_slice(&reply.bytes).unwrap_or_default();
        let said = problem["detail"].as_str().or(problem["title"].as_str());
        let Some(said) = said else {
            let why = format!("{} answered {}", self.url, reply.status);
            return Failure::Of(kind_of(reply.status), why);
        };
        Failure::Of(kind_of(reply.status), super::show::clean(said))
    }

    /// What answers there is something else.
    pub fn stranger(&self) -> Failure {
        Failure::Of(
            Kind::Internal,
            format!(
                "what answers at {} is not this version of Chancery",
                self.url
            ),
        )
    }
}

/// A name as one segment of a path.
pub fn segment(name: &str) -> String {
    // A URL takes a segment of dots for a step up or down, however it is written.
    let name = if name.trim_matches('.').is_empty() {
        "%"
    } else {
        name
    };
    utf8_percent_encode(name, SEGMENT).to_string()
}

fn with(call: Call, query: &[(&str, String)]) -> Call {
    query
        .iter()
        .fold(call, |call, (name, value)| call.query(name, value))
}

fn json_body(call: Call, body: &Value) -> Call {
    call.accept("application/json")
        .body("application/json", body.to_string().into_bytes())
}

fn service(url: &str, token: Option<String>, patience: Duration) -> Result<Service, Failure> {
    Service::new(url, token, patience, MOST_BYTES)
        .map_err(|error| Failure::invalid(format!("--url: {error}")))
}

/// Where the instance of the data directory answers.
fn address(context: &Context) -> anyhow::Result<String> {
    let config = context.gather(Vec::new())?.config;
    let dir = DataDir::locate(&config, &context.environment).map_err(crate::Error::from)?;
    match std::fs::read_to_string(dir.join("address")) {
        Ok(address) if !address.trim().is_empty() => Ok(address.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let why = format!(
                "{} belongs to another user: name the instance with --url",
                dir.display()
            );
            Err(Failure::Of(Kind::Denied, why).into())
        }
        _ => {
            let why = format!(
                "no instance runs on {}: start one with `chancery up`, or name one with --url",
                dir.display()
            );
            Err(Failure::unavailable(why).into())
        }
    }
}

fn read_token(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let why = format!("the token in {}: {error}", file.display());
        Failure::Of(Kind::Denied, why)
    })?;
    Ok(text.trim().to_owned())
}

fn is_loopback(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else {
        return false;
    };
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// The class that `http::problem` made this status of.
fn kind_of(status: u16) -> Kind {
    match status {
        404 | 410 => Kind::NotFound,
        401 | 403 => Kind::Denied,
        409 | 412 => Kind::Conflict,
        429 => Kind::Limited,
        502..=504 => Kind::Unavailable,
        400..=499 => Kind::Invalid,
        _ => Kind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_one_segment() {
        let name = "eip155:1:0xAb/7?#%";
        assert_eq!(segment(name), "eip155%3A1%3A0xAb%2F7%3F%23%25");
        assert_eq!(segment(".."), "%25");
        assert_eq!(segment("did:web:a.b%3A1"), "did%3Aweb%3Aa.b%253A1");
    }

    #[test]
    fn the_own_token_stays_on_this_machine() {
        for url in [
            "http://127.0.0.1:8004",
            "http://[::1]:1",
            "http://localhost",
        ] {
            assert!(is_loopback(url), "{url}");
        }
        for url in ["https://example.com", "http://127.0.0.1.example.com", "x"] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
