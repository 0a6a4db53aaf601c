//! `chancery key log`: the audit log, where the operator sees who asked. The journal, which `chancery audit` is about,
//! is another thing.

use access::audit_log::EventType;
use clap::builder::PossibleValuesParser;
use kernel::Address;
use serde_json::Value;

use super::day;
use crate::cli::{
    Context,
    client::Client,
    show::{clean, listed_as, who},
};

/// Arguments of `key log`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Only of this sort
    #[arg(long, value_name = "SORT", value_parser = PossibleValuesParser::new(EventType::ALL.map(EventType::as_str)))]
    event: Option<String>,
    /// Only of this client: operator, an address, a did:key, or another name that the log shows
    #[arg(long, value_name = "WHO")]
    client: Option<String>,
    /// Only what was asked with this key, key_...
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only what was done, or only what was refused
    #[arg(long, value_name = "BOOL")]
    success: Option<bool>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// All of them
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// Prints them.
pub async fn run(client: &Client<'_>, args: Args, context: &Context) -> anyhow::Result<()> {
    let limit = (!args.all).then_some(args.limit as usize);
    let query = query(args);
    let listed = client.list("v1/audit-logs", &query, limit).await?;
    listed_as(context, &listed.items, || {
        let lines: Vec<String> = listed.items.iter().map(human).collect();
        lines.join("\n")
    })?;
    if listed.items.is_empty() {
        eprintln!("no events");
    } else if listed.more {
        eprintln!("there are more: --limit N or --all shows them");
    }
    Ok(())
}

fn query(args: Args) -> Vec<(&'static str, String)> {
    let wanted = [
        ("event_type", args.event),
        ("client_id", args.client.map(|name| stored(&name))),
        ("key_id", args.key),
        ("success", args.success.map(|success| success.to_string())),
    ];
    wanted
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// A client's name as the log has it: addresses are shown as EIP-55 has them, and stored without capitals.
fn stored(name: &str) -> String {
    name.parse::<Address>()
        .map_or_else(|_| name.to_owned(), |address| format!("{address:#x}"))
}

/// An event in one line: `2026-01-02 03:04:05  api key created: POST /v1/keys by operator on key_... from 127.0.0.1`.
fn human(event: &Value) -> String {
    let text = |name: &str| event[name].as_str().map(clean);
    let sort = text("event_type").unwrap_or_default().replace('_', " ");
    let mut line = format!("{}  {sort}:", day(event, "created_at", "-"));
    let parts = [
        ("", text("action")),
        (" by", event["client_id"].as_str().map(who)),
        (" with", text("key_id")),
        (" on", text("resource_id")),
        (" from", text("ip_address")),
        (", refused:", text("error_message")),
    ];
    for (before, part) in parts {
        if let Some(part) = part {
            line.push_str(before);
            line.push(' ');
            line.push_str(&part);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_it_holds() {
        let mut event = json!({
            "event_type": "authentication", "created_at": "2026-01-02T03:04:05.123456Z", "client_id": null,
            "key_id": null, "action": "GET /v1/keys", "resource_id": null, "ip_address": "127.0.0.1",
            "error_message": "wrong\n\u{1b}[2J",
        });
        assert_eq!(
            human(&event),
            "2026-01-02 03:04:05  authentication: GET /v1/keys from 127.0.0.1, refused: wrong \u{fffd}[2J"
        );
        event["event_type"] = json!("api_key_created");
        event["client_id"] = json!("0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266");
        event["key_id"] = json!("key_1");
        event["resource_id"] = json!("key_2");
        event["ip_address"] = Value::Null;
        event["error_message"] = Value::Null;
        let shown = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
        assert_eq!(
            human(&event),
            format!(
                "2026-01-02 03:04:05  api key created: GET /v1/keys by {shown} with key_1 on key_2"
            )
        );
        assert_eq!(stored(shown), event["client_id"]);
        assert_eq!(stored("operator"), "operator");
    }
}
