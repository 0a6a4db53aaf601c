//! `chancery sync status`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::cli::{Context, client::Client, show};

/// A chain as `/v1/sync` shows it.
#[derive(Debug, Deserialize)]
struct Row {
    /// Unknown while the chain could not be opened.
    chain: Option<u64>,
    name: String,
    /// Unknown where this instance does not follow it.
    state: Option<String>,
    head: Option<i64>,
    settled: Option<i64>,
    source_head: Option<i64>,
    lag: Option<i64>,
    start_block: Option<i64>,
    levels: Vec<LevelBlocks>,
    checked: i64,
    synced: bool,
    census: Vec<Census>,
    incidents: i64,
    rate: Option<Rate>,
    eta_seconds: Option<u64>,
    providers: Vec<Provider>,
    error: Option<String>,
    watched: Option<Watched>,
}

/// For whom a chain is kept, where that is not everybody.
#[derive(Debug, Deserialize)]
struct Watched {
    owners: i64,
    tokens: i64,
    pending: i64,
}

impl Watched {
    fn line(&self) -> String {
        let pending = match self.pending {
            0 => String::new(),
            more => format!(" ({more} not fetched yet)"),
        };
        let Self { owners, tokens, .. } = self;
        format!("watched: {owners} owners, {tokens} tokens{pending}; no census")
    }
}

/// A node that this instance reads a chain from.
#[derive(Debug, Deserialize)]
struct Provider {
    place: String,
    calls: u64,
    latency_ms: u64,
    error_rate: f64,
    rests_ms: u64,
    opinion: String,
    last_error: Option<String>,
    errors: BTreeMap<String, u64>,
}

impl Provider {
    /// How it does, and how often it refused what.
    fn line(&self) -> String {
        let mut parts = vec![
            show::clean(&self.opinion),
            format!("{} calls, {} ms", self.calls, self.latency_ms),
        ];
        if self.error_rate >= 0.005 {
            parts.push(format!("{:.0}% fail", self.error_rate * 100.0));
        }
        let refused: Vec<String> = self
            .errors
            .iter()
            .map(|(kind, count)| format!("{count} {}", show::clean(kind)))
            .collect();
        if !refused.is_empty() {
            parts.push(format!("refused {}", refused.join(", ")));
        }
        if self.rests_ms > 0 {
            let seconds = self.rests_ms.div_ceil(1_000);
            parts.push(format!("not asked for {}", show::duration(seconds)));
        }
        let failing = self.rests_ms > 0 || self.error_rate >= 0.005;
        if let (true, Some(error)) = (failing, &self.last_error) {
            parts.push(show::clean(error));
        }
        format!("{}: {}", show::clean(&self.place), parts.join("; "))
    }
}

/// A registry's agents as the instance has them, held against the registry's own state.
#[derive(Debug, Deserialize)]
struct Census {
    registry: String,
    block: Option<i64>,
    agents: Option<i64>,
    counted: Option<String>,
    count_level: String,
    values_level: Option<String>,
    through: bool,
    mismatches: i64,
    differences: Vec<Difference>,
    obstacle: Option<String>,
}

/// A value that is not the registry's.
#[derive(Debug, Deserialize)]
struct Difference {
    /// Nobody's: it is the number of all.
    agent_id: Option<String>,
    what: String,
    rule: String,
    ours: Option<String>,
    theirs: Option<String>,
    level: String,
}

/// Why a registry that serves values does not serve their number.
const UNCOUNTED: &str =
    "the registry keeps no counter where ERC-8004's own does, or no node serves its storage";

impl Census {
    fn lines(&self) -> Vec<String> {
        let registry = show::clean(&self.registry);
        if let Some(why) = &self.obstacle {
            let why = show::clean(why);
            return vec![format!(
                "registry {registry}: its state is unavailable: {why}"
            )];
        }
        let (Some(block), Some(agents)) = (self.block, self.agents) else {
            return vec![format!("registry {registry}: not compared yet")];
        };
        let counted = match &self.counted {
            Some(counted) => format!(
                "{agents} agents, {} counted ({})",
                show::clean(counted),
                show::clean(&self.count_level)
            ),
            None => format!(
                "{agents} agents are known; how many there are cannot be counted:\n  {UNCOUNTED}"
            ),
        };
        let values = match (&self.values_level, self.through) {
            (_, false) => "not all compared yet".to_owned(),
            (Some(level), true) if agents > 0 => format!("all compared ({})", show::clean(level)),
            (_, true) => "none to compare".to_owned(),
        };
        let wrong = match self.mismatches {
            0 if agents == 0 && self.counted.is_none() => String::new(),
            0 => "; equal".to_owned(),
            more => format!("; {more} NOT EQUAL"),
        };
        // In lines that fit a terminal.
        let mut lines = vec![
            format!("registry {registry}"),
            format!("  {counted}"),
            format!("  {values}{wrong}, at block {block}"),
        ];
        lines.extend(self.differences.iter().map(Difference::line));
        lines
    }
}

impl Difference {
    /// Whose, which value, both of them, and what made ours.
    fn line(&self) -> String {
        let text = |value: &Option<String>| {
            let value = value.as_deref().unwrap_or("none");
            show::clean(value)
        };
        let agent = self.agent_id.as_deref().map(show::clean);
        let whose = agent.map_or_else(String::new, |agent| format!("agent {agent}: "));
        let (what, rule) = (show::clean(&self.what), show::clean(&self.rule));
        let (ours, theirs) = (text(&self.ours), text(&self.theirs));
        let level = show::clean(&self.level);
        format!("{whose}{what} is {ours} here and {theirs} there, {level} (rule: {rule})")
    }
}

/// Blocks of one proof level.
#[derive(Debug, Deserialize)]
struct LevelBlocks {
    level: String,
    blocks: i64,
    from: i64,
    to: i64,
}

/// How fast a chain is read.
#[derive(Debug, Deserialize)]
struct Rate {
    events_per_s: f64,
    blocks_per_s: f64,
}

impl Row {
    fn id(&self) -> String {
        self.chain
            .map_or_else(|| "-".to_owned(), |chain| chain.to_string())
    }

    /// `1 ethereum`, before what is said of it.
    fn title(&self) -> String {
        format!("{} {}", self.id(), show::clean(&self.name))
    }

    /// How many of a hundred blocks are checked; never 100 where one is not.
    fn proven(&self) -> String {
        let (Some(start), Some(head)) = (self.start_block, self.head) else {
            return "-".to_owned();
        };
        let all = i128::from(head - start + 1);
        if all <= 0 {
            return "-".to_owned();
        }
        format!("{}%", i128::from(self.checked) * 100 / all)
    }

    fn cells(&self) -> Vec<String> {
        let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
        vec![
            self.id(),
            self.name.clone(),
            self.state.clone().unwrap_or_else(|| "-".to_owned()),
            number(self.source_head),
            number(self.head),
            number(self.lag),
            number(self.settled),
            self.proven(),
            match (&self.watched, self.synced) {
                (Some(_), _) => "watched",
                (None, true) => "yes",
                (None, false) => "no",
            }
            .to_owned(),
            self.incidents.to_string(),
        ]
    }

    /// What does not fit into the table: ranges, census, speed, providers, what is wrong.
    fn lines(&self) -> Vec<String> {
        let title = self.title();
        let mut lines: Vec<String> = self
            .levels
            .iter()
            .map(|level| {
                let LevelBlocks {
                    blocks, from, to, ..
                } = level;
                let word = show::clean(&level.level);
                format!("{title}: {blocks} blocks {word}, in {from}..{to}")
            })
            .collect();
        let watched = self.watched.as_ref().map(Watched::line);
        lines.extend(watched.map(|line| format!("{title}: {line}")));
        let census = self.census.iter().flat_map(Census::lines);
        lines.extend(census.map(|line| format!("{title}: {line}")));
        if let (Some(rate), true) = (&self.rate, self.state.as_deref() == Some("backfilling")) {
            let end = self
                .eta_seconds
                .map(|seconds| format!(", at the head in {}", show::duration(seconds)));
            lines.push(format!(
                "{title}: {:.0} events/s, {:.0} blocks/s{}",
                rate.events_per_s,
                rate.blocks_per_s,
                end.unwrap_or_default()
            ));
        }
        let providers = self.providers.iter();
        lines.extend(providers.map(|one| format!("{title}: {}", one.line())));
        if let Some(error) = &self.error {
            lines.push(format!("{title}: {}", show::clean(error)));
        }
        lines
    }
}

/// Asks and prints.
pub async fn run(context: &Context) -> anyhow::Result<()> {
    let client = Client::of(context)?;
    let answer = client.get("v1/sync").await?;
    let chains: Vec<Row> =
        serde_json::from_value(answer["chains"].clone()).map_err(|_| client.stranger())?;
    Ok(context.output.one(&answer, || human(&answer, &chains))?)
}

fn human(answer: &Value, chains: &[Row]) -> String {
    let rows: Vec<Vec<String>> = chains.iter().map(Row::cells).collect();
    let mut lines = Vec::new();
    if rows.is_empty() {
        lines.push("no chain is indexed".to_owned());
    } else {
        let heads = [
            "CHAIN",
            "NAME",
            "STATE",
            "HEAD",
            "READ",
            "LAG",
            "SETTLED",
            "PROVEN",
            "SYNCED",
            "INCIDENTS",
        ];
        lines.push(show::table(&heads, &rows, 1));
    }
    lines.extend(chains.iter().flat_map(Row::lines));
    let journal = &answer["journal"];
    lines.push(format!(
        "{} agents; journal: {} sealed, {} queued",
        answer["agents"], journal["size"], journal["queued"]
    ));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_cannot_be_counted_is_not_called_equal() {
        let census = |agents, counted: Option<&str>| Census {
            registry: "0x8004".to_owned(),
            block: Some(9),
            agents: Some(agents),
            counted: counted.map(str::to_owned),
            count_level: "reported".to_owned(),
            values_level: Some("reported".to_owned()),
            through: true,
            mismatches: 0,
            differences: Vec::new(),
            obstacle: None,
        };
        let counted = census(0, Some("0")).lines().join("\n");
        assert!(
            counted.ends_with(
                "  0 agents, 0 counted (reported)\n  none to compare; equal, at block 9"
            ),
            "{counted}"
        );
        let none = census(0, None).lines().join("\n");
        assert!(
            none.contains("cannot be counted:\n  the registry"),
            "{none}"
        );
        assert!(none.ends_with("\n  none to compare, at block 9"), "{none}");
        let some = census(3, None).lines().join("\n");
        assert!(some.contains("  3 agents are known; how many"), "{some}");
        assert!(
            some.ends_with("all compared (reported); equal, at block 9"),
            "{some}"
        );
    }

    #[test]
    fn a_provider_is_shown_with_what_it_refused_and_why_it_rests() {
        let well = Provider {
            place: "https://one.example".to_owned(),
            calls: 120,
            latency_ms: 35,
            error_rate: 0.0,
            rests_ms: 0,
            opinion: "its newest block is 100".to_owned(),
            last_error: Some("long ago".to_owned()),
            errors: BTreeMap::new(),
        };
        assert_eq!(
            well.line(),
            "https://one.example: its newest block is 100; 120 calls, 35 ms"
        );
        let errors = [("limited", 3), ("range", 2)].map(|(kind, count)| (kind.to_owned(), count));
        let ill = Provider {
            error_rate: 0.25,
            rests_ms: 6_500,
            opinion: "it does not answer".to_owned(),
            last_error: Some("status 429\u{1b}[2J".to_owned()),
            errors: errors.into(),
            ..well
        };
        let line = ill.line();
        assert!(
            line.starts_with(
                "https://one.example: it does not answer; 120 calls, 35 ms; 25% fail; refused 3 limited, \
                 2 range; not asked for 7 s; status 429"
            ),
            "{line}"
        );
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }
}
