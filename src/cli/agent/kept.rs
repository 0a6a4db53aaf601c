//! `--as ipfs`: who keeps a registration file, and where it can be read. Nothing is paid before somebody else than the
//! instance keeps it: a URI on the chain that leads to bytes which nobody has is worth nothing.

use std::time::{Duration, Instant};

use kernel::Kind;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::{client::Client, exit::Failure, ipfs, show::clean};

/// A pin has so long; what is not pinned by then may be so later, and nothing was paid.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks, for the first seconds and after: an address may ask 60 times in a minute.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
const SOON: Duration = Duration::from_secs(3);

/// Whether it has to be kept by others.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Keeping {
    /// With --as ipfs: go on although nobody but the instance keeps the file yet
    #[arg(long)]
    unpinned: bool,
}

/// Where a file is kept, and can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// `kubo`: the instance's Kubo says that it keeps it. `instance`: nobody but the instance does.
    by: &'static str,
    /// Whether the instance's operator says that the world reads from that Kubo.
    public: bool,
    /// Where it can be read.
    at: Vec<String>,
}

/// What an instance says of a CID at Kubo.
#[derive(Debug, Clone, Deserialize)]
struct Pin {
    store: String,
    state: String,
    attempts: i64,
    last_error: Option<String>,
}

impl Keeping {
    /// Stores the file, and waits until somebody else than the instance keeps it.
    pub async fn store(self, client: &Client<'_>, file: Vec<u8>) -> anyhow::Result<Kept> {
        let (answer, cid) = ipfs::store(client, file).await.map_err(denied)?;
        let pin = match (at_kubo(client, &answer)?, self.unpinned) {
            (None, false) => return Err(nobody(&cid).into()),
            (Some(first), false) => Some(pinned(client, &cid, first).await?),
            (found, true) => found,
        };
        let is_pinned = pin.is_some_and(|pin| pin.is_pinned());
        if !is_pinned {
            return Ok(Kept {
                by: "instance",
                public: false,
                at: vec![format!("{}/ipfs/{cid}", client.url())],
            });
        }
        let sync = client.get("v1/sync").await?;
        Ok(Kept {
            by: "kubo",
            public: sync["public_pin"] == true,
            at: vec![
                format!("ipfs://{cid}"),
                format!("{}/ipfs/{cid}", client.url()),
            ],
        })
    }
}

impl Kept {
    /// For people: by whom, and where to read it.
    pub fn words(&self, cid: &str) -> [(&'static str, Option<String>); 2] {
        let (by, at) = match (self.by, self.public) {
            ("kubo", true) => (
                "by the instance's Kubo, for the world",
                format!("ipfs://{cid}"),
            ),
            ("kubo", false) => ("by the instance's Kubo", format!("ipfs://{cid}")),
            _ => ("by this instance alone", format!("/ipfs/{cid} there")),
        };
        [("kept", Some(by.to_owned())), ("read", Some(at))]
    }
}

impl Pin {
    fn is_pinned(&self) -> bool {
        self.state == "pinned"
    }

    /// What its last attempt said.
    fn why(&self) -> String {
        let said = self.last_error.as_deref().map(clean);
        said.map_or_else(String::new, |said| format!(" ({said})"))
    }
}

/// Waits until Kubo keeps it. An attempt that fails after `first` was said is enough.
async fn pinned(client: &Client<'_>, cid: &str, first: Pin) -> Result<Pin, Failure> {
    let path = format!("v1/ipfs/{cid}");
    let (begun, attempts) = (Instant::now(), first.attempts);
    let mut now = first;
    loop {
        if now.is_pinned() {
            return Ok(now);
        }
        let why = now.why();
        if now.attempts > attempts {
            return Err(Failure::unavailable(format!(
                "the instance's Kubo did not pin the file{why}: nothing was paid; it is tried again, so come back, \
                 or say --as data"
            )));
        }
        if begun.elapsed() >= PATIENCE {
            return Err(Failure::unavailable(format!(
                "the file is {} at the instance's Kubo after {} s{why}: nothing was paid; come back, or say --as data",
                clean(&now.state),
                PATIENCE.as_secs()
            )));
        }
        let is_early = begun.elapsed() < SOON;
        tokio::time::sleep(if is_early { PAUSES.0 } else { PAUSES.1 }).await;
        match client.get(&path).await {
            Ok(answer) => now = at_kubo(client, &answer)?.ok_or_else(|| client.stranger())?,
            Err(Failure::Of(Kind::Unavailable | Kind::Limited, _)) => {}
            Err(error) => return Err(error),
        }
    }
}

/// What an answer says of Kubo; nothing where none is configured.
fn at_kubo(client: &Client<'_>, answer: &Value) -> Result<Option<Pin>, Failure> {
    let pins = Vec::<Pin>::deserialize(&answer["pins"]).map_err(|_| client.stranger())?;
    Ok(pins.into_iter().find(|pin| pin.store == "kubo"))
}

fn nobody(cid: &str) -> Failure {
    let why = format!(
        "nobody but the instance would keep the file: it has no Kubo (content.kubo_url), so the world cannot read \
         ipfs://{cid}. Nothing was paid; say --as data, or --unpinned to go on all the same"
    );
    Failure::Of(Kind::Conflict, why)
}

/// Storing is the operator's.
fn denied(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Failure>() {
        Ok(Failure::Of(Kind::Denied, why)) => {
            let why = format!(
                "{why}\nStoring is its operator's: say --as data to keep the file on the chain"
            );
            Failure::Of(Kind::Denied, why).into()
        }
        Ok(other) => other.into(),
        Err(other) => other,
    }
}
