//! Which event rule made a value: for whoever has to find out what is wrong.

use chain::{Said, SeenTopics, decode_token, rule};
use store::Tx;

use super::compare::{Ours, What};
use crate::{Result, ground};

/// A rule and the log that it read last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its short name.
    pub rule: &'static str,
    /// Block and index of the log; `None`: no log says anything of the value.
    pub by: Option<(i64, i32)>,
}

impl Made {
    /// The rule of the count.
    pub const COUNT: Self = Self {
        rule: "agents = mints",
        by: None,
    };

    const UNSAID: Self = Self {
        rule: "no event says anything",
        by: None,
    };
}

/// The rules that made some of an agent's values, from its stored logs.
pub async fn made(
    tx: &mut Tx,
    chain: u64,
    topics: SeenTopics,
    ours: &Ours,
    whats: &[What],
) -> Result<Vec<Made>> {
    let logs = ground::of_subject(tx, chain, ours.agent).await?;
    let said = decode_token(&logs, topics);
    let made = |what: &What| {
        let of_what = said.iter().rev().filter_map(|(index, said)| {
            let said = said.as_ref().ok().filter(|said| sets(said, what))?;
            let log = &logs[*index];
            let by = (log.block_number.cast_signed(), log.log_index.cast_signed());
            rule(said, log).map(|rule| Made { rule, by: Some(by) })
        });
        of_what.into_iter().next().unwrap_or(Made::UNSAID)
    };
    Ok(whats.iter().map(made).collect())
}

fn sets(said: &Said, what: &What) -> bool {
    match (said, what) {
        (Said::Founded { .. } | Said::OwnerMoved { .. } | Said::Burned { .. }, What::Owner)
        | (Said::WalletSet { .. }, What::Wallet)
        | (Said::UriSet { .. }, What::Uri) => true,
        (Said::MetadataSet { key: set, .. }, What::Metadata(key)) => set.as_ref() == key.as_bytes(),
        _ => false,
    }
}
