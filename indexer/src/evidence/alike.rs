//! Evidence by two witnesses: of chains whose headers prove nothing of their logs.

use chain::{Header, Log};

use super::{Evidence, Witness, proof};
use crate::{
    Error, Result,
    level::Level,
    providers::{Id, Told},
};

impl Witness {
    /// Evidence about blocks whose headers prove nothing of their logs: what two providers tell alike, else what one
    /// tells. Where some tell something and no two of them the same, the error names a block in question.
    pub(super) async fn alike(&self, headers: Vec<Header>) -> Result<Evidence> {
        let mut heard: Vec<Told<Vec<Log>>> = Vec::new();
        let agreed = loop {
            let ids: Vec<Id> = heard.iter().map(|told| told.by).collect();
            let filter = self.sieve.filter();
            let Some(told) = self.providers.testimony(&headers, filter, &ids).await? else {
                break None;
            };
            if heard.iter().any(|other| other.value == told.value) {
                break Some(told.value);
            }
            heard.push(told);
        };
        if let Some(agreed) = &agreed {
            for told in heard.iter().filter(|told| told.value != *agreed) {
                let to = headers.last().map_or(0, |last| last.number);
                let message = format!("two others agree on other logs of blocks up to {to}");
                self.providers.refute(told.by, message);
            }
        }
        let (level, logs) = match (agreed, &mut *heard) {
            (Some(logs), _) => (Level::Agreed, logs),
            (None, [only]) => (Level::Reported, std::mem::take(&mut only.value)),
            (None, [one, other, ..]) => return Err(self.contradicted(&headers, one, other)),
            (None, []) => return Err(self.moved(&headers)),
        };
        Ok(Evidence {
            proof: proof(&headers, level, level == Level::Agreed),
            logs,
            receipts: Vec::new(),
            headers,
        })
    }

    /// Two who tell other logs of the same blocks.
    fn contradicted(
        &self,
        headers: &[Header],
        one: &Told<Vec<Log>>,
        other: &Told<Vec<Log>>,
    ) -> Error {
        let of = |logs: &[Log], header: &Header| -> Vec<Log> {
            let of_block = |log: &&Log| log.block_number == header.number;
            logs.iter().filter(of_block).cloned().collect()
        };
        let differ = |header: &&Header| of(&one.value, header) != of(&other.value, header);
        let Some(header) = headers.iter().find(differ) else {
            return self.moved(headers);
        };
        let (told, others) = (of(&one.value, header).len(), of(&other.value, header).len());
        let place = self.providers.place(other.by);
        let why = format!(
            "it tells {told} logs of this block and {place} tells {others}, which are not the same, and headers of this \
             chain do not say who is right"
        );
        self.unproven(header, one.by, why)
    }
}
