//! What a source told of a block's logs, held against the block's header.
//!
//! The header must be trusted already: hashed, and linked to a block that is. Then this says how
//! far the logs are shown to be all that there are, which of them are false or missing, and, where
//! receipts or the bloom show it, which they are in truth.

#[cfg(test)]
mod tests;

use kernel::B256;

use crate::{
    bloom::{Sieve, may_hold_log},
    log::Log,
    receipts::{BlockReceipts, ReceiptFormat},
    rpc::Header,
};

/// How far it is shown that a block's logs are all there and as they are. In rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// One source said so.
    Reported,
    /// It agrees with the header's bloom.
    Bloom,
    /// The header commits to it: by the root of its receipts, or by a bloom that lacks what was
    /// asked for.
    Proven,
}

/// What the receipts were worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// There were none.
    Missing,
    /// Their root is the header's: they are the block's receipts.
    Root,
    /// Their root cannot be recomputed on this chain; their bloom is the header's.
    Bloom,
    /// Nothing in the header tells whether they are the block's.
    Hearsay,
    /// They are not what the header commits to: another source has to be asked. Where the format
    /// is [`ReceiptFormat::Assumed`] and no block of the chain had equal receipts so far, the
    /// chain's receipts may be no Ethereum ones; then judge it as [`ReceiptFormat::Unknown`].
    Unequal,
}

/// What is wrong with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// It is in the block and was not told.
    Lost,
    /// It was told and is not in the block, or not a second time, or was not asked for.
    Extra,
    /// There is a log at its place, with other contents.
    Altered,
    /// It is in the block, and was told behind a later one.
    Reordered,
}

/// One log that was not told as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// Place of the log in its block: the told one's, or the lost one's.
    pub log_index: u32,
    /// What was told; `None`: nothing.
    pub told: Option<Log>,
    /// What the block holds at that place; `None`: nothing that was asked for, or not known.
    pub real: Option<Log>,
    /// How it was noticed, for people.
    pub why: &'static str,
}

/// The judgement on one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How far `truth` is shown; without one, how far the told logs are.
    pub level: Level,
    /// What the receipts were worth.
    pub evidence: Evidence,
    /// What was told wrongly, in the order in which it was noticed. Without receipts, what is
    /// missing cannot be named.
    pub findings: Vec<Finding>,
    /// The block holds, by its bloom, perhaps something that was asked for, and nothing was told.
    /// Often a chance of the bloom, but loss looks the same: receipts must settle it.
    pub suspicious: bool,
    /// Exactly the logs that were asked for, where that is known.
    pub truth: Option<Vec<Log>>,
}

impl Verdict {
    /// Whether receipts would show more than is shown.
    pub fn receipts_help(&self, format: ReceiptFormat) -> bool {
        self.evidence == Evidence::Missing
            && (self.suspicious
                || self.truth.is_none() && (format.has_root() || !self.findings.is_empty()))
    }
}

/// Judges the logs that a source told of the block with this header: `told` holds all of them that
/// the sieve's filter takes, as they came; `receipts` are the block's, where they were asked for.
pub fn examine(
    header: &Header,
    told: &[Log],
    receipts: Option<&BlockReceipts>,
    sieve: &Sieve,
    format: ReceiptFormat,
) -> Verdict {
    let excluded = format.has_bloom() && !sieve.may_hold(&header.logs_bloom);
    let evidence = receipts.map_or(Evidence::Missing, |receipts| {
        weigh(header, receipts, format)
    });
    let truth: Option<Vec<Log>> = match (evidence, receipts) {
        // First, because a header that nobody could hash may come with any bloom.
        (Evidence::Root | Evidence::Bloom | Evidence::Hearsay, Some(receipts)) => {
            let taken = receipts.logs().iter().filter(|log| sieve.takes(log));
            Some(taken.map(|log| dated(log, header)).collect())
        }
        _ if excluded => Some(Vec::new()),
        _ => None,
    };
    let findings = match &truth {
        Some(truth) => compare(told, truth, header, sieve),
        None => alone(told, header, sieve, format),
    };
    let suspicious = truth.is_none() && told.is_empty() && format.has_bloom();
    let fits_bloom = format.has_bloom() && truth.is_none() && findings.is_empty() && !suspicious;
    let level = if evidence == Evidence::Root || excluded && format.has_root() {
        Level::Proven
    } else if evidence == Evidence::Bloom || excluded || fits_bloom {
        Level::Bloom
    } else {
        Level::Reported
    };
    Verdict {
        level,
        evidence,
        findings,
        suspicious,
        truth,
    }
}

fn weigh(header: &Header, receipts: &BlockReceipts, format: ReceiptFormat) -> Evidence {
    let other_block = |block| block != (header.number, header.hash);
    if receipts.block().is_some_and(other_block) {
        return Evidence::Unequal;
    }
    let (equal, evidence) = match receipts.root(format) {
        Some(root) => (root == header.receipts_root, Evidence::Root),
        None if format.has_bloom() => (
            receipts.bloom().as_slice() == header.logs_bloom.as_ref(),
            Evidence::Bloom,
        ),
        None => (true, Evidence::Hearsay),
    };
    if equal { evidence } else { Evidence::Unequal }
}

/// A log of the block, with the block's time, which receipts need not tell.
fn dated(log: &Log, header: &Header) -> Log {
    Log {
        block_time: Some(header.time),
        ..log.clone()
    }
}

/// What was told, against what is so.
pub fn compare(told: &[Log], truth: &[Log], header: &Header, sieve: &Sieve) -> Vec<Finding> {
    let fits = |told: &Log, real: &Log| same(told, real) && timely(told, header);
    if told.len() == truth.len() && told.iter().zip(truth).all(|(told, real)| fits(told, real)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut seen = vec![false; truth.len()];
    let mut behind = None;
    for log in told {
        let at = truth.binary_search_by_key(&log.log_index, |real| real.log_index);
        let (kind, real, why) = match at {
            Err(_) => (FindingKind::Extra, None, unasked(log, header, sieve)),
            Ok(at) if seen[at] => (FindingKind::Extra, Some(at), "it was told twice"),
            Ok(at) => {
                seen[at] = true;
                if !fits(log, &truth[at]) {
                    let why = "the block holds another log at its place";
                    (FindingKind::Altered, Some(at), why)
                } else if behind > Some(log.log_index) {
                    (FindingKind::Reordered, Some(at), "it was told too late")
                } else {
                    behind = Some(log.log_index);
                    continue;
                }
            }
        };
        findings.push(Finding {
            kind,
            log_index: log.log_index,
            told: Some(log.clone()),
            real: real.map(|at| truth[at].clone()),
            why,
        });
    }
    let lost = truth.iter().zip(seen).filter(|(_, seen)| !seen);
    findings.extend(lost.map(|(real, _)| Finding {
        kind: FindingKind::Lost,
        log_index: real.log_index,
        told: None,
        real: Some(real.clone()),
        why: "the block holds it, and it was not told",
    }));
    findings
}

/// Why a log that the block does not hold is none of its logs.
fn unasked(log: &Log, header: &Header, sieve: &Sieve) -> &'static str {
    if !placed(log, header) {
        "it is a log of another block"
    } else if !sieve.takes(log) {
        "it was not asked for"
    } else if !may_hold_log(&header.logs_bloom, log) {
        "the header's bloom excludes it"
    } else {
        "the block does not hold it"
    }
}

/// What is wrong with the told logs, as far as they and the header show it themselves.
fn alone(told: &[Log], header: &Header, sieve: &Sieve, format: ReceiptFormat) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut last: Option<u32> = None;
    for log in told {
        let excluded = format.has_bloom() && !may_hold_log(&header.logs_bloom, log);
        let (kind, why) = if !placed(log, header) || !sieve.takes(log) || excluded {
            (FindingKind::Extra, unasked(log, header, sieve))
        } else if !timely(log, header) {
            (FindingKind::Altered, "it has another time than its block")
        } else if last == Some(log.log_index) {
            (FindingKind::Extra, "it was told twice")
        } else if last > Some(log.log_index) {
            (FindingKind::Reordered, "it was told too late")
        } else {
            last = Some(log.log_index);
            continue;
        };
        findings.push(Finding {
            kind,
            log_index: log.log_index,
            told: Some(log.clone()),
            real: None,
            why,
        });
    }
    findings
}

fn placed(log: &Log, header: &Header) -> bool {
    (log.block_number, log.block_hash) == (header.number, header.hash)
}

fn timely(log: &Log, header: &Header) -> bool {
    log.block_time.is_none_or(|time| time == header.time)
}

/// Equal in everything but the time, which only some sources tell.
fn same(a: &Log, b: &Log) -> bool {
    let place = |log: &Log| -> (u64, B256, u32, u32) {
        (
            log.block_number,
            log.block_hash,
            log.tx_index,
            log.log_index,
        )
    };
    place(a) == place(b)
        && a.tx_hash == b.tx_hash
        && a.address == b.address
        && a.topics == b.topics
        && a.data == b.data
}
