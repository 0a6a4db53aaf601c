//! `chancery changes`: what changed, page by page or as it comes.

use std::time::Duration;

use clap::{ValueEnum, builder::NonEmptyStringValueParser};
use kernel::Address;
use net::Events;
use serde_json::Value;

use super::{
    Context,
    client::Client,
    exit::{Failure, may_pass},
    show::{clean, cut, listed_as},
    signer::{Asking, Signer},
};

/// Where the feeds are.
const PATH: &str = "v1/changes";
/// Of the query: the watch.
const WATCH: &str = "watch";
/// The kind of a stream's last event, where its key or session is over.
const CLOSED: &str = "closed";
/// The longest page that the API gives.
const PAGE: usize = 200;
/// The first pause before a lost stream is opened again, and the longest one.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// Changes of one entry that a line shows.
const SHOWN: usize = 3;

/// Arguments of `changes`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// What is settled and stays, or what is seen at the head and may be undone
    #[arg(long, value_enum, default_value_t = Level::Settled)]
    level: Level,
    /// Only of agents of this owner
    #[arg(long, value_name = "ADDRESS")]
    owner: Option<Address>,
    /// Only of this agent, by any identifier
    #[arg(long, value_name = "AGENT", value_parser = NonEmptyStringValueParser::new())]
    agent: Option<String>,
    /// Only of the agent with this DID
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    did: Option<String>,
    /// Only these: agent, retracted, incident or act; at the head changed or undone
    #[arg(long)]
    kind: Option<String>,
    /// At the head: only of this column, such as runtime_status
    #[arg(long)]
    column: Option<String>,
    /// Only alerts of your watch with this name, at the head; see `chancery watch`
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    watch: Option<String>,
    /// Begin behind this cursor, at the `start`, at the `newest` ones, or `now`
    #[arg(long, value_name = "CURSOR", default_value = "newest")]
    after: String,
    /// At most so many; with --follow, so many of the past
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Go on: print what comes as it comes, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    asking: Asking,
}

/// Which feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    /// Sealed journal entries
    Settled,
    /// What is seen before it is settled
    Head,
}

/// Prints them.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let query = query(&args);
    let signer = args.asking.signer()?;
    let signer = signer.as_ref();
    let client = client(context, &query, signer)?;
    let (limit, after) = (args.limit as usize, args.after.as_str());
    if args.follow && after != "newest" {
        return follow(context, &query, signer, after).await;
    }
    let (items, next) = if after == "newest" {
        newest(&client, &query, limit).await?
    } else {
        forward(&client, &query, after, limit).await?
    };
    if args.follow {
        for item in &items {
            print(context, item)?;
        }
        return follow(context, &query, signer, &next).await;
    }
    listed_as(context, &items, || {
        items.iter().map(human).collect::<Vec<_>>().join("\n")
    })?;
    if items.is_empty() {
        eprintln!("no changes");
    }
    eprintln!("what comes next: --after {}", clean(&next));
    Ok(())
}

fn query(args: &Args) -> Vec<(&'static str, String)> {
    // Alerts are told at the head and nowhere else.
    let level = match (args.level, &args.watch) {
        (Level::Settled, None) => "settled",
        (Level::Head, _) | (_, Some(_)) => "head",
    };
    let mut query = vec![("level", level.to_owned())];
    query.extend(args.owner.map(|owner| ("owner", owner.to_string())));
    for (name, value) in [
        ("agent", &args.agent),
        ("did", &args.did),
        ("kind", &args.kind),
        ("column", &args.column),
        (WATCH, &args.watch),
    ] {
        query.extend(value.clone().map(|value| (name, value)));
    }
    query
}

/// Whom to ask: a watch is told to its owner alone.
fn client<'a>(
    context: &'a Context,
    query: &[(&'static str, String)],
    signer: Option<&Signer>,
) -> anyhow::Result<Client<'a>> {
    let client = Client::of(context)?.signed_by(signer.cloned());
    if query.iter().any(|(name, _)| *name == WATCH) {
        return client.known();
    }
    Ok(client)
}

/// One page of the feed.
struct Page {
    items: Vec<Value>,
    /// The cursor behind them.
    next: String,
    /// Whether there may be more behind it already.
    more: bool,
    /// Of the newest ones: the cursor before which there may be older ones.
    older: Option<String>,
}

async fn page(
    client: &Client<'_>,
    query: &[(&'static str, String)],
    from: (&'static str, &str),
    limit: usize,
) -> Result<Page, Failure> {
    let mut query = query.to_vec();
    query.push((from.0, from.1.to_owned()));
    query.push(("limit", limit.min(PAGE).to_string()));
    let mut answer = client.query(PATH, &query).await?;
    match (answer["items"].take(), answer["next_cursor"].take()) {
        (Value::Array(items), Value::String(next)) => Ok(Page {
            items,
            next,
            more: answer["more"] == true,
            older: answer["prev_cursor"].as_str().map(str::to_owned),
        }),
        _ => Err(client.stranger()),
    }
}

/// What follows a cursor, and the cursor behind it.
async fn forward(
    client: &Client<'_>,
    query: &[(&'static str, String)],
    after: &str,
    limit: usize,
) -> Result<(Vec<Value>, String), Failure> {
    let (mut items, mut next) = (Vec::new(), after.to_owned());
    loop {
        let page = page(client, query, ("after", &next), limit - items.len()).await?;
        items.extend(page.items);
        next = page.next;
        if !page.more || items.len() >= limit {
            return Ok((items, next));
        }
    }
}

/// The newest ones, oldest first, and the cursor behind them.
async fn newest(
    client: &Client<'_>,
    query: &[(&'static str, String)],
    limit: usize,
) -> Result<(Vec<Value>, String), Failure> {
    let first = page(client, query, ("after", "newest"), limit).await?;
    let (mut items, mut older) = (first.items, first.older);
    while let Some(before) = older.filter(|_| items.len() < limit) {
        let mut page = page(client, query, ("before", &before), limit - items.len()).await?;
        page.items.append(&mut items);
        (items, older) = (page.items, page.older);
    }
    Ok((items, first.next))
}

/// Prints what comes behind a cursor. Once it was connected, it comes back whatever happens to the instance, but for
/// an answer that says that this cannot go on.
async fn follow(
    context: &Context,
    query: &[(&'static str, String)],
    signer: Option<&Signer>,
    after: &str,
) -> anyhow::Result<()> {
    let mut query = query.to_vec();
    query.push(("after", after.to_owned()));
    let mut events = open(context, &query, signer, None).await?;
    loop {
        let why = print_all(&mut events, context).await?;
        eprintln!("the stream is lost ({why}): coming back");
        events = reopen(context, &query, signer, events.last_id()).await?;
    }
}

/// The instance is looked up each time: it may answer elsewhere after a restart.
async fn open(
    context: &Context,
    query: &[(&'static str, String)],
    signer: Option<&Signer>,
    last: Option<&str>,
) -> anyhow::Result<Events> {
    Ok(client(context, query, signer)?
        .events(PATH, query, last)
        .await?)
}

/// Prints events until there are no more, and says why.
async fn print_all(events: &mut Events, context: &Context) -> anyhow::Result<String> {
    loop {
        match events.next().await {
            Ok(Some(event)) if event.kind == CLOSED => {
                let problem: Value = serde_json::from_str(&event.data)?;
                let why = problem["detail"].as_str().unwrap_or("it was closed");
                return Ok(clean(why));
            }
            Ok(Some(event)) => print(context, &serde_json::from_str(&event.data)?)?,
            Ok(None) => return Ok("the instance ended it".to_owned()),
            Err(error) => return Ok(error.to_string()),
        }
    }
}

async fn reopen(
    context: &Context,
    query: &[(&'static str, String)],
    signer: Option<&Signer>,
    last: Option<&str>,
) -> anyhow::Result<Events> {
    let mut pause = PAUSES.0;
    loop {
        tokio::time::sleep(pause).await;
        match open(context, query, signer, last).await {
            Err(error) if may_pass(&error) => pause = (pause * 2).min(PAUSES.1),
            outcome => return outcome,
        }
    }
}

fn print(context: &Context, item: &Value) -> std::io::Result<()> {
    context.output.one(item, || human(item))
}

/// A change in one line: `2026-01-02 03:04:05  Name: owner_address = 0x..., agent_uri = ...`.
fn human(item: &Value) -> String {
    let text = |value: &Value| value.as_str().map(clean);
    let time = text(&item["time"]).unwrap_or_default();
    let time = time.get(..19).unwrap_or(&time).replace('T', " ");
    let agent = &item["agent"];
    let kind = text(&item["kind"]).unwrap_or_default();
    let whom = ["name", "did", "id"]
        .iter()
        .find_map(|name| text(&agent[name]));
    let alert = text(&item["alert"]).filter(|_| kind != "undone");
    let mark = match (kind.as_str(), alert) {
        ("undone" | "retracted", _) => format!(" {kind}"),
        (_, Some(alert)) => format!(" [{}]", alert.replace('_', " ")),
        _ => String::new(),
    };
    let changes = item["changes"].as_array().map_or(&[][..], Vec::as_slice);
    let mut shown: Vec<String> = changes.iter().take(SHOWN).map(change).collect();
    if item["body"] == "unavailable" {
        shown.push("its body is not to be had now".to_owned());
    }
    if changes.len() > SHOWN {
        shown.push(format!("{} more", changes.len() - SHOWN));
    }
    format!(
        "{time}  {}{mark}: {}",
        whom.unwrap_or(kind),
        shown.join(", ")
    )
}

fn change(change: &Value) -> String {
    let value = match &change["value"] {
        Value::Null => "none".to_owned(),
        value => value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned),
    };
    let column = change["column"].as_str().unwrap_or_default();
    format!("{} = {}", cut(column, 40), cut(&value, 48))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_one_line_whatever_it_holds() {
        let item = json!({
            "kind": "undone", "time": "2026-01-02T03:04:05.123456Z",
            "agent": {"id": "5", "did": "did:x:1", "name": "A\u{1b}[2J\nB"},
            "changes": [{"column": "onchain:\u{202e}", "value": null}],
        });
        assert_eq!(
            human(&item),
            "2026-01-02 03:04:05  A\u{fffd}[2J B undone: onchain:\u{fffd} = none"
        );
        let item = json!({
            "kind": "changed", "time": "2026-01-02T03:04:05Z", "alert": "new_agent", "agent": {"name": "A"},
            "changes": [{"column": "owner_address", "value": "0x01"}],
        });
        assert_eq!(
            human(&item),
            "2026-01-02 03:04:05  A [new agent]: owner_address = 0x01"
        );
        let change = json!({"column": "c", "value": 1});
        let item = json!({
            "kind": "incident", "time": "2026-01-02T03:04:05Z", "agent": null, "changes": vec![change; 5],
        });
        assert_eq!(
            human(&item),
            "2026-01-02 03:04:05  incident: c = 1, c = 1, c = 1, 2 more"
        );
        let item = json!({"kind": "act", "time": "2026-01-02T03:04:05Z", "body": "unavailable"});
        assert_eq!(
            human(&item),
            "2026-01-02 03:04:05  act: its body is not to be had now"
        );
        assert_eq!(human(&json!({})), "  : ");
    }
}
