//! Anchoring the journal's checkpoints: where, by whose key, and at start whether our log may go on.

use std::{num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use chain::{At, Limits, PrivateKeySigner, Rpc, Sender, SenderConfig, deploy};
use chrono::TimeDelta;
use journal::AnchorConfig;
use kernel::Address;
use publish::anchor::{Anchor, Terms};
use store::Outcome;
use tokio_util::sync::CancellationToken;

use crate::{
    Error,
    app::App,
    config::{self, Config},
};

/// anvil's last account, known to everybody: the first ones are for people and for our other contracts.
const DEV_KEY: &str = "2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6";

/// The least time between two anchors on the dev chain, in seconds, unless less is configured.
const DEV_INTERVAL: u64 = 5;

/// Pause between two looks on somebody's chain, and on ours, which mines at once.
const LOOK: Duration = Duration::from_secs(12);
const LOOK_DEV: Duration = Duration::from_millis(500);

/// Pause after a failed round.
const AFTER_ERROR: Duration = Duration::from_secs(5);

/// Where checkpoints are anchored.
#[derive(Clone)]
pub enum Place {
    /// Where the configuration says.
    Configured {
        /// The node.
        rpc: String,
        /// The contract.
        contract: Address,
        /// The key of the account that pays.
        key_file: PathBuf,
    },
    /// On the dev chain that we started, by its URL; the contract is deployed there.
    Dev(String),
}

impl Place {
    /// What the configuration names; `None`: anchoring is off.
    pub fn configured(config: &Config) -> Result<Option<Self>, Error> {
        let AnchorConfig {
            rpc: Some(rpc),
            contract: Some(contract),
            key_file: Some(key_file),
            ..
        } = &config.journal.anchor
        else {
            return Ok(None);
        };
        let contract = contract
            .parse()
            .map_err(|_| wrong("contract", format!("`{contract}` is no address")))?;
        Ok(Some(Self::Configured {
            rpc: rpc.clone(),
            contract,
            key_file: key_file.clone(),
        }))
    }

    /// The dev chain at `url`, unless the configuration names another place or does not want it.
    pub fn dev(config: &Config, url: &str) -> Result<Option<Self>, Error> {
        let configured = Self::configured(config)?;
        let dev = || {
            config
                .journal
                .anchor
                .dev_chain
                .then(|| Self::Dev(url.to_owned()))
        };
        Ok(configured.or_else(dev))
    }

    fn url(&self) -> &str {
        match self {
            Self::Configured { rpc, .. } | Self::Dev(rpc) => rpc,
        }
    }
}

fn wrong(key: &str, why: String) -> Error {
    let key = format!("journal.anchor.{key}");
    config::Error::Value { key, why }.into()
}

/// Before anything is sealed or answered: errors where the contract holds what our log does not begin
/// with, and where what is configured cannot work. A node that does not answer now is asked later, and nothing is
/// sealed until then: database and data directory may both have been restored from older copies.
pub async fn check(app: &App, place: &Place) -> Result<(), Error> {
    let checked = async {
        let Some(anchor) = open(app, place, false).await? else {
            return Ok(());
        };
        anchor.check(&app.db).await?;
        Ok(())
    };
    match checked.await {
        Err(error @ Error::Publish(_)) if error.kind().is_transient() => {
            app.anchor_unread.send_replace(Some(error.to_string()));
            tracing::warn!("{}", app.unanchored().unwrap_or_default());
            Ok(())
        }
        checked => checked,
    }
}

/// Anchors until `stop`. Ends with an error only where nothing must go on.
pub async fn run(app: Arc<App>, place: Place, stop: CancellationToken) -> Result<(), Error> {
    let look = match place {
        Place::Configured { .. } => LOOK,
        Place::Dev(_) => LOOK_DEV,
    };
    let mut opened = None;
    while !stop.is_cancelled() {
        let pause = match round(&app, &place, &mut opened).await {
            Ok(Outcome::Busy) => continue,
            Ok(Outcome::Idle) => look,
            Err(Error::Publish(error)) if error.is_refusal() => return Err(Error::Publish(error)),
            Err(error) => {
                tracing::warn!(%error, "anchoring failed: {error}: it is tried again");
                app.anchor_unread.send_if_modified(|unread| {
                    unread.as_mut().is_some_and(|why| {
                        *why = error.to_string();
                        true
                    })
                });
                // A dev chain may have lost the contract.
                opened = None;
                AFTER_ERROR
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    Ok(())
}

async fn round(app: &App, place: &Place, opened: &mut Option<Anchor>) -> Result<Outcome, Error> {
    if opened.is_none() {
        *opened = open(app, place, true).await?;
    }
    let Some(anchor) = opened else {
        return Ok(Outcome::Idle);
    };
    if app.unanchored().is_some() {
        anchor.check(&app.db).await?;
        app.anchor_unread.send_replace(None);
        tracing::info!("the journal begins with what is anchored");
    }
    Ok(anchor.round(&app.db, app.process).await?)
}

/// Connects and finds the contract. On the dev chain a missing one is deployed where `may_deploy`; `None`
/// where it may not.
async fn open(app: &App, place: &Place, may_deploy: bool) -> Result<Option<Anchor>, Error> {
    let config = &app.config.journal.anchor;
    let url = place.url().parse();
    let url = url.map_err(|error| wrong("rpc", format!("it is no URL: {error}")))?;
    let rpc = Rpc::connect(url, Limits::default())
        .await
        .map_err(publish::Error::from)?;
    let (sender, contract) = match place {
        Place::Configured {
            contract, key_file, ..
        } => {
            let password = || {
                config.password.clone().ok_or_else(|| {
                    std::io::Error::other("it is a keystore: name journal.anchor.password")
                })
            };
            let key = chain::key::read(&app.data_dir.path().join(key_file), password)?;
            (Sender::new(rpc, key, sending()), *contract)
        }
        Place::Dev(_) => {
            let key: PrivateKeySigner = DEV_KEY
                .parse()
                .map_err(|error| wrong("dev_chain", format!("the dev account's key: {error}")))?;
            let sender = Sender::new(rpc, key, sending());
            match dev_contract(app, &sender, may_deploy).await? {
                Some(contract) => (sender, contract),
                None => return Ok(None),
            }
        }
    };
    let vkey = app.sealer.vkey().to_string();
    Ok(Some(Anchor::new(
        sender,
        contract,
        &vkey,
        terms(config, place),
    )))
}

/// That of an earlier start, or deployed now.
async fn dev_contract(
    app: &App,
    sender: &Sender,
    may_deploy: bool,
) -> Result<Option<Address>, Error> {
    let stored = publish::anchor::standing(&app.db).await?;
    let chain = sender.rpc().chain();
    if let Some(stored) = stored.filter(|stored| stored.chain == chain) {
        let code = sender.rpc().code(stored.contract, At::Latest).await;
        if !code.map_err(publish::Error::from)?.is_empty() {
            return Ok(Some(stored.contract));
        }
    }
    if !may_deploy {
        return Ok(None);
    }
    let deployed = deploy::audit_anchor(sender)
        .await
        .map_err(publish::Error::from)?;
    tracing::info!("deployed AuditAnchor at {}", deployed.address);
    Ok(Some(deployed.address))
}

fn terms(config: &AnchorConfig, place: &Place) -> Terms {
    let seconds =
        |seconds: u64| TimeDelta::seconds(i64::from(u32::try_from(seconds).unwrap_or(u32::MAX)));
    let terms = Terms {
        interval: seconds(config.interval_seconds),
        heartbeat: (config.heartbeat_seconds > 0).then(|| seconds(config.heartbeat_seconds)),
        daily_budget_gwei: Some(config.daily_budget_gwei),
        settled_depth: config.settled_depth,
        patience: seconds(config.patience_seconds),
    };
    match place {
        Place::Configured { .. } => terms,
        Place::Dev(_) => Terms {
            interval: seconds(config.interval_seconds.min(DEV_INTERVAL)),
            daily_budget_gwei: None,
            settled_depth: Some(0),
            patience: seconds(config.patience_seconds.min(DEV_INTERVAL)),
            ..terms
        },
    }
}

/// How the sender waits where it does (deploying); anchors wait in rounds.
fn sending() -> SenderConfig {
    SenderConfig {
        answer_within: Duration::from_secs(30),
        poll: Duration::from_millis(20),
        replace_after: NonZeroU32::MAX,
        most_replacements: 0,
        gas_margin: 20,
        most_fee: None,
    }
}
