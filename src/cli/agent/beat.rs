//! `chancery agent beat`: an agent says that it lives. Its key, or that of its wallet, signs here, and goes nowhere.

use std::{path::PathBuf, time::Duration};

use chain::typed;
use chrono::{DateTime, SecondsFormat, Utc};
use did::ed25519;
use identity::heartbeat::own_message;
use journal::vkey::VerifierKey;
use kernel::Kind;
use serde::Deserialize;
use serde_json::json;
use store::Clock;

use super::{Which, find};
use crate::cli::{
    Context, agent_key,
    client::Client,
    exit::{Failure, may_pass},
    key,
    show::{clean, time},
    signer::Signer,
};

/// Arguments of `agent beat`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// The agent's Ed25519 key: a file of {"public_key", "private_key"} or 64 hex digits, mode 0600
    #[arg(long, value_name = "FILE", required_unless_present = "wallet_key")]
    key: Option<PathBuf>,
    /// The key of the agent's wallet or owner: a keystore (JSON) or a file of 0x and 64 hex digits, mode 0600. Agents of
    /// tokens have no other, unless a key claimed them
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    wallet_key: Option<PathBuf>,
    /// Beat again every so many seconds, until Ctrl-C: sooner than a beat lasts, which is the agent's ttl, or 300
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    every: Option<u32>,
}

/// What all beats of one run have in common.
struct Beating<'a> {
    which: &'a Which,
    signer: &'a Signer,
    did: String,
    /// The journal's origin: what is signed counts at this office alone.
    office: String,
}

/// A beat that counts.
#[derive(Deserialize)]
struct Counted {
    timestamp: DateTime<Utc>,
    next_due: DateTime<Utc>,
}

impl Args {
    /// Reads the key that was named.
    fn signer(&self) -> Result<Signer, Failure> {
        match (&self.key, &self.wallet_key) {
            (Some(file), _) => Ok(Signer::Key(agent_key::read(file)?)),
            (None, Some(file)) => Ok(Signer::Account(key::read(file)?)),
            (None, None) => Err(Failure::invalid("a beat needs --key or --wallet-key FILE")),
        }
    }
}

/// Beats once, or goes on whatever happens to the instance, also where it is not there yet, but for an answer that says
/// that this cannot go on.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let signer = args.signer()?;
    let Some(seconds) = args.every else {
        let beating = Beating::begin(&args.which, &signer, context).await?;
        return beating.once(context).await;
    };
    let mut beating = None;
    loop {
        if beating.is_none() {
            beating =
                unless_it_passes(Beating::begin(&args.which, &signer, context).await, seconds)?;
        }
        if let Some(beating) = &beating {
            unless_it_passes(beating.once(context).await, seconds)?;
        }
        tokio::time::sleep(Duration::from_secs(seconds.into())).await;
    }
}

/// What came of it; `None`, and a word to whoever looks, where it may work the next time.
fn unless_it_passes<T>(outcome: anyhow::Result<T>, seconds: u32) -> anyhow::Result<Option<T>> {
    match outcome {
        Err(error) if may_pass(&error) => {
            eprintln!("{error}: trying again in {seconds} s");
            Ok(None)
        }
        outcome => outcome.map(Some),
    }
}

/// The signature of a beat in our own form.
fn sign(signer: &Signer, message: &str) -> Result<String, Failure> {
    let bytes = message.as_bytes();
    match signer {
        Signer::Key(key) => Ok(ed25519::signature_wire(&key.sign(bytes))),
        Signer::Account(account) => {
            let signature = chain::key::sign(account, typed::personal(bytes))
                .map_err(|error| Failure::Of(Kind::Internal, error.to_string()))?;
            Ok(kernel::hex_0x(&signature))
        }
    }
}

/// For whom beats are signed. The key's name is the origin, also while nothing is sealed yet.
async fn office(client: &Client<'_>) -> Result<String, Failure> {
    let vkey = client.raw("audit/vkey", &[]).await?.bytes;
    let vkey = String::from_utf8(vkey).map_err(|_| client.stranger())?;
    let vkey: VerifierKey = vkey.trim().parse().map_err(|_| client.stranger())?;
    Ok(vkey.name().to_owned())
}

impl<'a> Beating<'a> {
    /// Finds out whose beats they are, and at which office they count.
    async fn begin(
        which: &'a Which,
        signer: &'a Signer,
        context: &Context,
    ) -> anyhow::Result<Self> {
        let client = Client::of(context)?;
        let (_, agent) = find(&client, which).await?;
        let office = office(&client).await?;
        let did = agent.did;
        eprintln!("signing for {}: {} lives", clean(&office), clean(&did));
        Ok(Self {
            which,
            signer,
            did,
            office,
        })
    }

    /// One beat, now. The instance is looked up each time: it may answer elsewhere after a restart.
    async fn once(&self, context: &Context) -> anyhow::Result<()> {
        let client = Client::of(context)?;
        let now = Clock::System
            .now()
            .to_rfc3339_opts(SecondsFormat::Micros, true);
        let message = own_message(&self.office, &self.did, &now);
        let beat = json!({
            "timestamp": now,
            "signature": sign(self.signer, &message)?,
            "form": "chancery",
        });
        let path = format!("{}/heartbeat", self.which.path());
        let answer = client.ask(&path, &beat).await?;
        let counted = Counted::deserialize(&answer).map_err(|_| client.stranger())?;
        Ok(context.output.one(&answer, || human(&counted))?)
    }
}

fn human(beat: &Counted) -> String {
    let (at, due) = (time(beat.timestamp), time(beat.next_due));
    format!("{at}  alive until {due} UTC")
}
