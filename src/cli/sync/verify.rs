//! `chancery sync verify`: what is stored is proven again, piece by piece, by the instance.

use std::{collections::BTreeMap, io::IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::{Context, client::Client, exit::Failure, show};

/// Blocks that one request proves.
const PIECE: i64 = 512;

/// Where everything is proven, so many pieces are proven again, spread over the chain.
const SAMPLES: i64 = 16;

/// Blocks of such a piece.
const SAMPLE: i64 = 64;

/// Lines of one sort that are printed for people.
const SHOWN: usize = 20;

/// A range of blocks as it is typed: `from..to`, both included, or one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks {
    from: i64,
    to: i64,
}

impl std::str::FromStr for Blocks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let number = |text: &str| text.parse::<u32>().map(i64::from).ok();
        match (number(from), number(to)) {
            (Some(from), Some(to)) if from <= to => Ok(Self { from, to }),
            _ => Err("expected FROM..TO, both included, or one block".to_owned()),
        }
    }
}

/// A chain as `/v1/sync` shows it.
#[derive(Debug, Deserialize)]
struct Followed {
    chain: Option<u64>,
    origin: Option<String>,
    start_block: Option<i64>,
    head: Option<i64>,
}

/// A range as `/v1/sync/ranges` shows it.
#[derive(Debug, Deserialize)]
struct Range {
    from: i64,
    to: i64,
    level: String,
}

/// The answer to one piece.
#[derive(Debug, Deserialize)]
struct Verified {
    level: Option<String>,
    incidents: Vec<Incident>,
    problem: Option<String>,
}

/// A log that was stored wrongly.
#[derive(Debug, Deserialize, Serialize)]
struct Incident {
    block: u64,
    log_index: u32,
    kind: String,
}

/// What came of a chain.
#[derive(Debug, Serialize)]
struct Report {
    chain: u64,
    /// Blocks that were proven, by the level.
    blocks: BTreeMap<String, i64>,
    incidents: Vec<Incident>,
    problems: Vec<String>,
}

/// Verifies a chain or all of them.
pub async fn run(
    context: &Context,
    only: Option<u64>,
    blocks: Option<Blocks>,
) -> anyhow::Result<()> {
    let client = Client::of(context)?.patient()?;
    let answer = client.get("v1/sync").await?;
    let chains: Vec<Followed> =
        serde_json::from_value(answer["chains"].clone()).map_err(|_| client.stranger())?;
    let chains = chosen(chains, only)?;
    if blocks.is_some() && chains.len() > 1 {
        let why = "several chains are indexed: say which one with --chain ID";
        return Err(Failure::invalid(why).into());
    }
    let mut reports = Vec::new();
    for (id, start, head) in chains {
        let pieces = match blocks {
            Some(Blocks { from, to }) => pieces(from, to),
            None => plan(&client, id, start, head).await?,
        };
        reports.push(verify(&client, id, &pieces).await?);
    }
    context.output.many(&reports, human)?;
    let wrong: usize = reports
        .iter()
        .map(|one| one.incidents.len() + one.problems.len())
        .sum();
    if wrong > 0 {
        let why =
            format!("{wrong} things were wrong; logs that were stored wrongly are put right now");
        return Err(Failure::Unverified(why).into());
    }
    Ok(())
}

/// Chains that come from nodes: id, first block and head of each.
fn chosen(chains: Vec<Followed>, only: Option<u64>) -> Result<Vec<(u64, i64, i64)>, Failure> {
    let from_node = |chain: &Followed| {
        chain
            .origin
            .as_deref()
            .is_some_and(|origin| origin != "replay")
    };
    let found: Vec<(u64, i64, i64)> = chains
        .into_iter()
        .filter(|chain| from_node(chain) && only.is_none_or(|only| chain.chain == Some(only)))
        .filter_map(|chain| Some((chain.chain?, chain.start_block?, chain.head?)))
        .collect();
    if found.is_empty() {
        let what = only.map_or_else(|| "no chain".to_owned(), |id| format!("no chain {id}"));
        return Err(Failure::not_found(format!(
            "{what} is indexed from a node here"
        )));
    }
    Ok(found)
}

/// A range in pieces, from its top down: each hangs on the hash that the one above it names.
fn pieces(from: i64, to: i64) -> Vec<Blocks> {
    let tops = std::iter::successors(Some(to), |top| Some(top - PIECE));
    tops.take_while(|top| *top >= from)
        .map(|to| Blocks {
            from: from.max(to - PIECE + 1),
            to,
        })
        .collect()
}

/// Everything that is one provider's word; where nothing is, a sample.
async fn plan(
    client: &Client<'_>,
    chain: u64,
    start: i64,
    head: i64,
) -> anyhow::Result<Vec<Blocks>> {
    let query = [("chain", chain.to_string())];
    let mut answer = client.query("v1/sync/ranges", &query).await?;
    let ranges: Vec<Range> =
        serde_json::from_value(answer["ranges"].take()).map_err(|_| client.stranger())?;
    let unproven = ranges
        .iter()
        .filter(|range| range.level == "reported")
        .flat_map(|range| pieces(range.from, range.to));
    let unproven: Vec<Blocks> = unproven.collect();
    if !unproven.is_empty() {
        return Ok(unproven);
    }
    Ok(sample(start, head))
}

/// Pieces spread over a chain, others with every new head.
fn sample(start: i64, head: i64) -> Vec<Blocks> {
    let stride = ((head - start + 1) / SAMPLES).max(SAMPLE);
    let shift = head.rem_euclid(stride - SAMPLE + 1);
    (0..SAMPLES)
        .map(|n| start + n * stride + shift)
        .map(|from| Blocks {
            from,
            to: head.min(from + SAMPLE - 1),
        })
        .filter(|piece| piece.from <= piece.to)
        .collect()
}

async fn verify(client: &Client<'_>, chain: u64, pieces: &[Blocks]) -> anyhow::Result<Report> {
    let mut report = Report {
        chain,
        blocks: BTreeMap::new(),
        incidents: Vec::new(),
        problems: Vec::new(),
    };
    let bar = bar(chain, pieces);
    for Blocks { from, to } in pieces {
        let wanted = json!({ "chain": chain, "from": from, "to": to });
        let answer: Value = client.post("v1/sync/verify", &wanted).await?;
        let answer: Verified = serde_json::from_value(answer).map_err(|_| client.stranger())?;
        if let Some(level) = answer.level {
            *report.blocks.entry(level).or_default() += to - from + 1;
        }
        report.incidents.extend(answer.incidents);
        report.problems.extend(answer.problem);
        bar.inc((to - from + 1).unsigned_abs());
    }
    bar.finish_and_clear();
    Ok(report)
}

/// On a terminal, how far it is.
fn bar(chain: u64, pieces: &[Blocks]) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let blocks: i64 = pieces.iter().map(|piece| piece.to - piece.from + 1).sum();
    let bar = ProgressBar::new(blocks.unsigned_abs()).with_prefix(format!("chain {chain}"));
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} blocks, {eta}");
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn human(report: &Report) -> String {
    let chain = report.chain;
    let mut lines: Vec<String> = report
        .blocks
        .iter()
        .map(|(level, blocks)| format!("chain {chain}: {blocks} blocks {}", show::clean(level)))
        .collect();
    lines.extend(found(&report.incidents).map(|line| format!("chain {chain}: {line}")));
    let problems: Vec<String> = report.problems.iter().map(|one| show::clean(one)).collect();
    lines.extend(some(problems, "problems"));
    lines.join("\n")
}

/// What was wrong, first by kind and then by block, the lowest first: one bad node can have told thousands wrongly.
fn found(incidents: &[Incident]) -> impl Iterator<Item = String> {
    let mut kinds: BTreeMap<&str, (usize, u64, u64)> = BTreeMap::new();
    let mut blocks: BTreeMap<(u64, &str), usize> = BTreeMap::new();
    for Incident { block, kind, .. } in incidents {
        let (count, first, last) = kinds.entry(kind).or_insert((0, *block, *block));
        *count += 1;
        *first = (*first).min(*block);
        *last = (*last).max(*block);
        *blocks.entry((*block, kind)).or_default() += 1;
    }
    let kinds = kinds.into_iter().map(|(kind, (count, first, last))| {
        format!("{}: {count} in blocks {first}..{last}", show::clean(kind))
    });
    let kinds: Vec<String> = kinds.collect();
    let blocks = blocks
        .into_iter()
        .map(|((block, kind), count)| format!("block {block}: {count} {}", show::clean(kind)));
    kinds.into_iter().chain(some(blocks.collect(), "blocks"))
}

/// The first lines, and how many there are besides.
fn some(mut lines: Vec<String>, what: &str) -> Vec<String> {
    let more = lines.len().saturating_sub(SHOWN);
    if more > 0 {
        lines.truncate(SHOWN);
        lines.push(format!("and {more} more {what}; -o json has them all"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_typed_as_two_ends_or_one_block() {
        assert_eq!("5..9".parse(), Ok(Blocks { from: 5, to: 9 }));
        assert_eq!("7".parse(), Ok(Blocks { from: 7, to: 7 }));
        for wrong in ["", "9..5", "5..", "..5", "-1..2", "5-9", "5..6..7"] {
            assert!(wrong.parse::<Blocks>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_was_wrong_is_told_by_kind_and_block_in_few_lines() {
        let wrong = |block, log_index, kind: &str| Incident {
            block,
            log_index,
            kind: kind.to_owned(),
        };
        let mut report = Report {
            chain: 7,
            blocks: [("proven".to_owned(), 512)].into(),
            incidents: vec![
                wrong(9, 4, "lost_log"),
                wrong(5, 0, "lost_log"),
                wrong(9, 1, "lost_log"),
                wrong(9, 7, "extra_log"),
            ],
            problems: Vec::new(),
        };
        let lines = [
            "chain 7: 512 blocks proven",
            "chain 7: extra_log: 1 in blocks 9..9",
            "chain 7: lost_log: 3 in blocks 5..9",
            "chain 7: block 5: 1 lost_log",
            "chain 7: block 9: 1 extra_log",
            "chain 7: block 9: 2 lost_log",
        ];
        assert_eq!(human(&report), lines.join("\n"));

        let many = (0..3_000).map(|log| wrong(100 + u64::from(log) / 2, log, "lost_log"));
        report.incidents = many.collect();
        report.problems = vec!["nobody proves it".to_owned(); 50];
        let told = human(&report);
        assert_eq!(told.lines().count(), 2 + 21 + 21, "{told}");
        for line in [
            "chain 7: lost_log: 3000 in blocks 100..1599\n",
            "chain 7: and 1480 more blocks; -o json has them all\n",
            "\nand 30 more problems; -o json has them all",
        ] {
            assert!(told.contains(line), "{told}");
        }
    }

    #[test]
    fn pieces_and_samples_lie_inside_and_do_not_overlap() {
        let all = pieces(3, 1_500);
        assert_eq!(all.first().map(|top| top.to), Some(1_500));
        assert_eq!(all.last().map(|low| low.from), Some(3));
        assert!(all.windows(2).all(|two| two[1].to + 1 == two[0].from));
        for (start, head) in [(0, 0), (0, 40), (100, 1_123), (0, 24_000_000)] {
            let sample = sample(start, head);
            let inside = |piece: &Blocks| start <= piece.from && piece.to <= head;
            assert!(sample.iter().all(inside), "{start}..{head}: {sample:?}");
            assert!(sample.windows(2).all(|two| two[0].to < two[1].from));
            assert!(!sample.is_empty(), "{start}..{head}");
        }
    }
}
