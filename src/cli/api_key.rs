//! `chancery key`: API keys, and who asked. The private key that signs is `key.rs`, which is another thing.

mod log;
mod usage;

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Context,
    client::{Client, segment},
    show::{clean, fields, listed_as, table, who},
    signer::Asking,
};

/// The verbs of `key`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key; it is printed once
    Create(Create),
    /// List keys, newest first
    List(List),
    /// Give a key a successor with the same rights, which is printed once; the old one ends later, and the one before
    /// that at once
    Rotate(Rotate),
    /// End a key at once, and those that were made with it
    Revoke(Revoke),
    /// Show how often a key was used, newest first
    Usage(usage::Args),
    /// Show who proved himself, failed to, made keys, registered agents or asked too often, newest first
    Log(log::Args),
}

impl Command {
    /// Whose key signs; the log is the operator's alone, who has a token.
    fn asking(&self) -> Option<&Asking> {
        match self {
            Self::Create(args) => Some(&args.asking),
            Self::List(args) => Some(&args.asking),
            Self::Rotate(args) => Some(&args.asking),
            Self::Revoke(args) => Some(&args.asking),
            Self::Usage(args) => Some(&args.asking),
            Self::Log(_) => None,
        }
    }
}

/// Arguments of `key create`.
#[derive(Debug, Clone, Args)]
pub struct Create {
    /// What it is for
    name: String,
    /// What it may do, such as agents:write; once for each
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// For whom it acts: operator, an address, eip155:CHAIN:ADDRESS (a contract wallet, there alone), a did:key, or
    /// nobody (a client that is nobody else) [default: whoever makes it]
    #[arg(long = "for", value_name = "WHO")]
    acts_for: Option<String>,
    /// Whose it is, in your words
    #[arg(long, value_name = "TEXT")]
    client: Option<String>,
    /// It ends after so many seconds (s), minutes (m), hours (h) or days (d), such as 30d [default: 90d, which is the
    /// most; a key of the operator's making never]
    #[arg(long, value_name = "TIME", value_parser = length)]
    expires: Option<TimeDelta>,
    /// Requests in a minute [default: 60]
    #[arg(long, value_name = "N")]
    per_minute: Option<u32>,
    /// Requests in an hour [default: 1000]
    #[arg(long, value_name = "N")]
    per_hour: Option<u32>,
    /// More about it
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

/// Arguments of `key list`.
#[derive(Debug, Clone, Args)]
pub struct List {
    /// Those that are revoked, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    asking: Asking,
}

/// Arguments of `key rotate`.
#[derive(Debug, Clone, Args)]
pub struct Rotate {
    /// The key's id, key_...
    id: String,
    /// For so long the old key holds, too, such as 1h
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = length)]
    overlap: TimeDelta,
    #[command(flatten)]
    asking: Asking,
}

/// Arguments of `key revoke`.
#[derive(Debug, Clone, Args)]
pub struct Revoke {
    /// The key's id, key_...
    id: String,
    #[command(flatten)]
    asking: Asking,
}

/// Reads `90d`.
fn length(text: &str) -> Result<TimeDelta, String> {
    let wrong = || format!("`{text}` is no time: expected a number and s, m, h or d, such as 90d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    Ok(TimeDelta::seconds(i64::from(number) * seconds))
}

/// Runs the verb.
pub async fn run(command: Command, context: &Context) -> anyhow::Result<()> {
    let signer = match command.asking() {
        Some(asking) => asking.signer()?,
        None => None,
    };
    let client = Client::of(context)?.signed_by(signer).known()?;
    match command {
        Command::Create(args) => create(&client, args, context).await,
        Command::List(args) => list(&client, &args, context).await,
        Command::Rotate(args) => rotate(&client, &args, context).await,
        Command::Usage(args) => usage::run(&client, args, context).await,
        Command::Log(args) => log::run(&client, args, context).await,
        Command::Revoke(args) => {
            let path = format!("v1/keys/{}", segment(&args.id));
            let key = client.delete(&path, &[]).await?;
            context.output.one(&key, || human(&key))?;
            eprintln!("revoked: within a second nobody takes it any more");
            for other in texts(&key["also_revoked"]) {
                eprintln!("so is {}, which was made with it", clean(other));
            }
            Ok(())
        }
    }
}

async fn create(client: &Client<'_>, args: Create, context: &Context) -> anyhow::Result<()> {
    let wish = json!({
        "name": args.name,
        "scopes": args.scopes,
        "principal": args.acts_for,
        "client_id": args.client,
        "expires_in_seconds": args.expires.map(|length| length.num_seconds()),
        "rate_limit_per_minute": args.per_minute,
        "rate_limit_per_hour": args.per_hour,
        "description": args.description,
    });
    let key = client.post("v1/keys", &wish).await?;
    issued(client, &key, context)
}

async fn rotate(client: &Client<'_>, args: &Rotate, context: &Context) -> anyhow::Result<()> {
    let path = format!("v1/keys/{}/rotate", segment(&args.id));
    let wish = json!({ "overlap_seconds": args.overlap.num_seconds() });
    let key = client.post(&path, &wish).await?;
    issued(client, &key, context)?;
    if let Some(ended) = key["ended"].as_str() {
        let id = clean(&args.id);
        eprintln!("{} is over now: {id} had replaced it", clean(ended));
    }
    Ok(())
}

/// Prints a key once: what a script takes is the whole of stdout.
fn issued(client: &Client<'_>, key: &Value, context: &Context) -> anyhow::Result<()> {
    let secret = key["key"].as_str().ok_or_else(|| client.stranger())?;
    context.output.one(key, || secret.to_owned())?;
    eprintln!("{}", human(key));
    eprintln!("Keep it now: it is shown once.");
    Ok(())
}

async fn list(client: &Client<'_>, args: &List, context: &Context) -> anyhow::Result<()> {
    let query = if args.all {
        Vec::new()
    } else {
        vec![("active", "true".to_owned())]
    };
    let listed = client.list("v1/keys", &query, None).await?;
    listed_as(context, &listed.items, || {
        let rows: Vec<Vec<String>> = listed.items.iter().map(row).collect();
        table(&["KEY", "NAME", "FOR", "USED", "ENDS"], &rows, 1)
    })?;
    if listed.items.is_empty() {
        eprintln!("no keys");
    }
    Ok(())
}

fn row(key: &Value) -> Vec<String> {
    vec![
        text(key, "key_id"),
        text(key, "name"),
        acts_for(key),
        day(key, "last_used_at", "never"),
        if key["active"] == false {
            "revoked".to_owned()
        } else {
            day(key, "expires_at", "never")
        },
    ]
}

fn human(key: &Value) -> String {
    let scopes: Vec<&str> = texts(&key["scopes"]).collect();
    fields(&[
        ("key", Some(text(key, "key_id"))),
        ("name", Some(text(key, "name"))),
        ("for", Some(acts_for(key))),
        ("may", Some(clean(&scopes.join(" ")))),
        ("ends", Some(day(key, "expires_at", "never"))),
        ("replaces", key["replaces"].as_str().map(clean)),
        ("made with", key["made_with"].as_str().map(clean)),
    ])
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

fn text(key: &Value, name: &str) -> String {
    clean(key[name].as_str().unwrap_or("-"))
}

/// A client that is nobody else goes by its own words.
fn acts_for(key: &Value) -> String {
    key["principal"]
        .as_str()
        .filter(|principal| !principal.starts_with("key_"))
        .map_or_else(|| text(key, "client_id"), who)
}

fn day(key: &Value, name: &str, never: &str) -> String {
    let time = key[name].as_str().unwrap_or_default();
    match time.parse::<DateTime<Utc>>() {
        Ok(time) => super::show::time(time),
        Err(_) => never.to_owned(),
    }
}
