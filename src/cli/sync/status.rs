//! `chancery sync status`.

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
    incidents: i64,
    rate: Option<Rate>,
    eta_seconds: Option<u64>,
    error: Option<String>,
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

    /// How many of a hundred blocks are proven, or fit their blooms; never 100 where one is not.
    fn proven(&self) -> String {
        let (Some(start), Some(head)) = (self.start_block, self.head) else {
            return "-".to_owned();
        };
        let checked =
            |level: &&LevelBlocks| matches!(&*level.level, "bloom" | "proven" | "finalized");
        let all = i128::from(head - start + 1);
        let proven: i64 = self
            .levels
            .iter()
            .filter(checked)
            .map(|level| level.blocks)
            .sum();
        if all <= 0 {
            return "-".to_owned();
        }
        format!("{}%", i128::from(proven) * 100 / all)
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
            self.incidents.to_string(),
        ]
    }

    /// What does not fit into the table: ranges, speed, what is wrong.
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
