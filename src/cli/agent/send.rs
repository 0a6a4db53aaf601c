//! A transaction from here: the instance prepares and relays it, we look at it and sign.

use std::time::{Duration, Instant};

use chain::{Prepared, PrivateKeySigner};
use indicatif::ProgressBar;
use kernel::{Bytes, Kind, U256};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    bounds::{Bounds, Callee},
    view::Entry,
};
use crate::cli::{
    client::Client,
    exit::Failure,
    show::{self, clean},
};

/// How long people wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Wait {
    /// Until the node has it
    Seen,
    /// Until its block is indexed
    Indexed,
    /// Until what it changed is sealed in the journal
    Journaled,
    /// Until its block is final: no reorganisation takes it back
    Finalized,
}

/// How to wait.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Waiting {
    /// What to wait for
    #[arg(long, value_enum, default_value = "indexed")]
    wait: Wait,
    /// How long at most [default: 300, with --wait journaled or finalized 3600]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

impl Waiting {
    /// Refuses to wait for less than the agent's number, which its proof of a domain has to say.
    pub fn needs_a_number(self) -> Result<(), Failure> {
        if self.wait == Wait::Seen {
            let why = "--as https writes the agent's number into /.well-known/agent-registration.json, and \
                       --wait seen does not wait for it: say --wait indexed, or register the file's address with --uri";
            return Err(Failure::invalid(why));
        }
        Ok(())
    }
}

/// What shall be sent.
pub struct Action {
    /// As the API takes it.
    pub json: Value,
    /// The call that it must become.
    pub data: Bytes,
    /// The chain, where one was named.
    pub chain: Option<u64>,
    /// Whom it must call.
    pub callee: Callee,
}

/// A transaction that may be signed.
pub struct Ready {
    chain: u64,
    prepared: Prepared,
}

/// A transaction that the node has.
pub struct Sent {
    /// Its chain.
    pub chain: u64,
    /// Its hash.
    pub tx: String,
}

/// What became of a transaction.
#[derive(Debug, Clone, Deserialize)]
pub struct Progress {
    /// `pending`, `mined` or `failed`.
    pub state: String,
    /// Its block.
    pub block: Option<u64>,
    /// Whether that is indexed.
    #[serde(default)]
    pub indexed: bool,
    /// Whether nothing takes it back any more, where somebody says what is final.
    #[serde(default)]
    pub finalized: Option<bool>,
    /// The agents that it speaks of.
    #[serde(default)]
    pub agents: Vec<Value>,
    /// What the journal says because of it.
    #[serde(default)]
    pub entries: Vec<Entry>,
    /// Why it failed.
    #[serde(default)]
    reason: Option<String>,
}

/// Has it prepared, and refuses to sign anything but what was asked for, within what is allowed.
pub async fn prepare(
    client: &Client<'_>,
    signer: &PrivateKeySigner,
    action: &Action,
    bounds: &Bounds,
) -> Result<Ready, Failure> {
    let request = json!({
        "from": signer.address().to_string(), "chain": action.chain, "action": action.json,
    });
    let mut answer = client.ask("v1/transactions/prepare", &request).await?;
    let transaction = answer.get_mut("transaction").map(Value::take);
    let prepared = transaction.and_then(|value| serde_json::from_value::<Prepared>(value).ok());
    let (Some(prepared), Some(chain)) = (prepared, answer["chain"].as_u64()) else {
        return Err(client.stranger());
    };
    let right = prepared.data == action.data
        && prepared.value == U256::ZERO
        && prepared.from == signer.address()
        && prepared.to.is_some()
        && prepared.chain_id == chain
        && action.chain.is_none_or(|asked| asked == chain);
    if !right {
        let why =
            "the instance prepared another transaction than was asked for: nothing was signed";
        return Err(Failure::Unverified(why.to_owned()));
    }
    bounds.check(action.callee, &prepared)?;
    Ok(Ready { chain, prepared })
}

impl Ready {
    /// What it will do and cost, for people.
    pub fn preview(&self) -> String {
        show::transaction(self.chain, &self.prepared)
    }

    /// Signs it and hands it over.
    pub async fn send(
        self,
        client: &Client<'_>,
        signer: &PrivateKeySigner,
    ) -> anyhow::Result<Sent> {
        let (hash, raw) = self
            .prepared
            .sign(signer)
            .map_err(|error| Failure::Of(error.kind(), error.to_string()))?;
        let body = json!({ "chain": self.chain, "raw": raw });
        client.post_as(signer, "v1/transactions", &body).await?;
        let sent = Sent {
            chain: self.chain,
            tx: hash.to_string(),
        };
        eprintln!("sent {}", sent.tx);
        Ok(sent)
    }
}

impl Sent {
    /// Waits for it, with a progress line where a terminal shows it.
    pub async fn wait(&self, client: &Client<'_>, how: Waiting) -> Result<Progress, Failure> {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(120));
        let outcome = self.poll(client, how, &bar).await;
        bar.finish_and_clear();
        outcome
    }

    async fn poll(
        &self,
        client: &Client<'_>,
        how: Waiting,
        bar: &ProgressBar,
    ) -> Result<Progress, Failure> {
        let usual = match how.wait {
            Wait::Seen | Wait::Indexed => 300,
            Wait::Journaled | Wait::Finalized => 3_600,
        };
        let patience = Duration::from_secs(how.timeout.unwrap_or(usual));
        let begun = Instant::now();
        let path = format!("v1/transactions/{}/{}", self.chain, self.tx);
        let mut doing = "unknown to the node".to_owned();
        loop {
            match client.get(&path).await {
                Ok(answer) => {
                    let progress = Progress::deserialize(answer).map_err(|_| client.stranger())?;
                    if progress.state == "failed" {
                        return Err(self.failed(&progress));
                    }
                    if progress.reached(how.wait) {
                        return Ok(progress);
                    }
                    doing = progress.words(how.wait);
                }
                // The node may not show it yet, the instance may be starting again.
                Err(Failure::Of(Kind::NotFound | Kind::Unavailable | Kind::Limited, _)) => {}
                Err(error) => return Err(error),
            }
            if begun.elapsed() >= patience {
                let why = format!(
                    "transaction {} was sent, and is {doing} after {} s: it may still succeed",
                    self.tx,
                    patience.as_secs()
                );
                return Err(Failure::unavailable(why));
            }
            bar.set_message(format!("the transaction is {doing}"));
            let pause = if begun.elapsed() < Duration::from_secs(15) {
                200
            } else {
                2_000
            };
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    fn failed(&self, progress: &Progress) -> Failure {
        let block = progress
            .block
            .map_or_else(String::new, |block| format!(" in block {block}"));
        let reason = progress
            .reason
            .as_deref()
            .map_or_else(String::new, |reason| format!(": {}", clean(reason)));
        Failure::Of(
            Kind::Conflict,
            format!("transaction {} failed{block}{reason}", self.tx),
        )
    }
}

impl Progress {
    fn reached(&self, wait: Wait) -> bool {
        match wait {
            Wait::Seen => true,
            Wait::Indexed => self.indexed,
            Wait::Journaled => {
                let sealed = |entry: &Entry| entry.state != "queued";
                self.indexed && !self.entries.is_empty() && self.entries.iter().all(sealed)
            }
            Wait::Finalized => self.indexed && self.finalized == Some(true),
        }
    }

    fn words(&self, wait: Wait) -> String {
        match (self.indexed, self.block) {
            (true, _) if wait == Wait::Finalized && self.finalized.is_none() => {
                "indexed, and nobody says what is final on its chain".to_owned()
            }
            (true, _) if wait == Wait::Finalized => "indexed, not final yet".to_owned(),
            (true, _) => "indexed, not sealed yet".to_owned(),
            (false, Some(block)) => format!("in block {block}, not indexed yet"),
            (false, None) => clean(&self.state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journaled_means_sealed() {
        let progress = |entries: Value| -> Progress {
            let answer = json!({"state": "mined", "block": 1, "indexed": true, "entries": entries});
            serde_json::from_value(answer).expect("progress")
        };
        let entry = |state: &str| json!([{"cid": "b", "state": state}]);
        assert!(progress(json!([])).reached(Wait::Indexed));
        assert!(!progress(json!([])).reached(Wait::Journaled));
        assert!(!progress(entry("queued")).reached(Wait::Journaled));
        assert!(progress(entry("stored")).reached(Wait::Journaled));
    }

    #[test]
    fn final_is_what_somebody_calls_so() {
        for (finalized, reached, words) in [
            (json!(null), false, "nobody says"),
            (json!(false), false, "not final yet"),
            (json!(true), true, ""),
        ] {
            let answer =
                json!({"state": "mined", "block": 1, "indexed": true, "finalized": finalized});
            let progress: Progress = serde_json::from_value(answer).expect("progress");
            assert_eq!(progress.reached(Wait::Finalized), reached, "{finalized}");
            assert!(
                progress.words(Wait::Finalized).contains(words),
                "{finalized}"
            );
        }
        let answer = json!({"state": "mined", "block": 1, "finalized": true});
        let progress: Progress = serde_json::from_value(answer).expect("progress");
        assert!(
            !progress.reached(Wait::Finalized),
            "its agents are not known yet"
        );
    }
}
