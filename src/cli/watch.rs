//! `chancery watch`: whose changes you want to hear of. `chancery changes --follow --watch NAME` tells them.

use clap::{Subcommand, builder::NonEmptyStringValueParser};
use serde_json::{Value, json};

use super::{
    Context,
    client::{Client, segment},
    show::{clean, listed_as, short_address, table},
    signer::Asking,
};

/// Where watches are.
const PATH: &str = "v1/watches";

/// Verbs of `watch`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch an owner's agents, or one agent
    Add {
        /// An owner's address, or an agent by its DID or any identifier; a DID may be of an agent to come
        #[arg(value_name = "OWNER|DID|AGENT", value_parser = NonEmptyStringValueParser::new())]
        target: String,
        /// The watch's name
        #[arg(long, value_name = "NAME", default_value = "mine")]
        name: String,
        #[command(flatten)]
        asking: Asking,
    },
    /// List what you watch
    List {
        /// Only the watch of this name
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Watch no more
    Rm {
        /// The watch's name
        #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// Only this target of it
        #[arg(value_name = "OWNER|DID|AGENT")]
        target: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
}

impl Command {
    fn asking(&self) -> &Asking {
        match self {
            Self::Add { asking, .. } | Self::List { asking, .. } | Self::Rm { asking, .. } => {
                asking
            }
        }
    }
}

/// Does it.
pub async fn run(command: Command, context: &Context) -> anyhow::Result<()> {
    let client = Client::of(context)?.signed_by(command.asking().signer()?);
    match command {
        Command::Add { target, name, .. } => {
            let body = json!({ "target": target, "name": name });
            let watch = client.post(PATH, &body).await?;
            context.output.one(&watch, || {
                let name = clean(watch["name"].as_str().unwrap_or_default());
                format!(
                    "{} is watched\nhear of it: chancery changes --follow --watch {name}",
                    clean(&target)
                )
            })?;
        }
        Command::List { name, .. } => {
            let query: Vec<_> = name.map(|name| ("name", name)).into_iter().collect();
            let listed = client.known()?.list(PATH, &query, None).await?;
            listed_as(context, &listed.items, || as_table(&listed.items))?;
            if listed.items.is_empty() {
                eprintln!("nothing is watched: chancery watch add OWNER|DID|AGENT");
            }
        }
        Command::Rm { name, target, .. } => {
            let query: Vec<_> = target
                .map(|target| ("target", target))
                .into_iter()
                .collect();
            let gone = client
                .delete(&format!("{PATH}/{}", segment(&name)), &query)
                .await?;
            context
                .output
                .one(&gone, || match gone["removed"].as_u64() {
                    Some(1) => format!("1 target of {} is watched no more", clean(&name)),
                    count => format!(
                        "{} targets of {} are watched no more",
                        count.unwrap_or(0),
                        clean(&name)
                    ),
                })?;
        }
    }
    Ok(())
}

fn as_table(watches: &[Value]) -> String {
    let text = |watch: &Value, field: &str| watch[field].as_str().map(clean).unwrap_or_default();
    let rows: Vec<Vec<String>> = watches
        .iter()
        .map(|watch| {
            let target = match watch["owner"].as_str() {
                Some(owner) => short_address(owner),
                None => text(watch, "target"),
            };
            let kind = if watch["owner"].is_null() {
                "agent"
            } else {
                "owner"
            };
            let since = text(watch, "created_at");
            let since = since.get(..10).unwrap_or(&since).to_owned();
            vec![text(watch, "name"), kind.to_owned(), target, since]
        })
        .collect();
    table(&["WATCH", "KIND", "TARGET", "SINCE"], &rows, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_a_line_whatever_it_was_called() {
        let watches = [
            json!({"name": "mine", "target": "x", "owner": "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
                   "agent": null, "created_at": "2026-01-02T03:04:05Z"}),
            json!({"name": "a", "target": "did:x:\u{1b}[2J", "owner": null, "agent": "5", "created_at": "x"}),
        ];
        assert_eq!(
            as_table(&watches),
            "WATCH  KIND   TARGET       SINCE\n\
             mine   owner  0xf39F…2266  2026-01-02\n\
             a      agent  did:x:\u{fffd}[2J   x"
        );
    }
}
