//! The feeds for readers of news: Atom (RFC 4287), newest first.

use axum::{
    extract::{OriginalUri, State},
    http::{HeaderMap, Uri, header},
    response::Response,
};
use chrono::{DateTime, SecondsFormat, Utc};
use kernel::{Address, Principal, sha256};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{
    From, Wanted,
    feed::{self, Filter, Level, Part},
    item::Item,
};
use crate::http::{
    Problem, Query, Shared, conditional,
    guard::Proof,
    paging::{self, turn},
};

/// The longest value that a line shows, in characters.
const SHOWN: usize = 200;

/// Which changes: what a page may be asked for, but always the newest ones.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// `settled` (unless told) or `head`.
    #[param(inline)]
    level: Option<Level>,
    /// The newest changes before this cursor.
    before: Option<String>,
    /// Most items, 1 to 200; 50 unless told.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Of agents of this owner, any hex case.
    #[param(value_type = Option<String>)]
    owner: Option<Address>,
    /// Of the agent with this DID.
    did: Option<String>,
    /// Of this agent, by any identifier.
    agent: Option<String>,
    /// Of what is settled `agent`, `retracted`, `incident` or `act`; at the head `changed` or `undone`.
    kind: Option<String>,
    /// At the head: of this column, such as `runtime_status`.
    column: Option<String>,
}

impl Asked {
    fn wanted(self) -> Wanted {
        Wanted {
            level: self.level,
            after: None,
            before: self.before,
            limit: self.limit,
            owner: self.owner,
            did: self.did,
            agent: self.agent,
            kind: self.kind,
            column: self.column,
            // Readers of Atom cannot say who they are.
            watch: None,
        }
    }
}

/// The newest changes as an Atom feed, newest first. Its link `next` leads to older ones.
#[utoipa::path(
    get, path = "/v1/changes.atom", tag = "journal", params(Asked),
    responses(
        (status = OK, body = String, content_type = "application/atom+xml"),
        (status = BAD_REQUEST, body = Problem),
        (status = NOT_FOUND, body = Problem, description = "No such agent"),
        (status = GONE, body = Problem, description = "What precedes the cursor is not kept any more"),
    ),
)]
pub async fn show(
    State(app): State<Shared>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let wanted = asked.wanted();
    let filter = wanted
        .filter(&app, &Principal::Anonymous, &Proof::Nothing)
        .await?;
    let limit = wanted.limit()?;
    let (From::Newest(until) | From::After(until)) = wanted.from(&app, "newest").await?;
    let part = feed::newest(&app.db, &filter, until, limit).await?;
    let newest = if let Some(item) = part.items.last() {
        Some(item.time())
    } else {
        // Nothing that is wanted is near: what was looked through is as new as the newest change.
        let (all, one) = (Filter::all(wanted.level()), paging::limit(Some(1))?);
        let newest = feed::newest(&app.db, &all, until, one).await?;
        newest.items.last().map(Item::time)
    };
    let updated = newest.unwrap_or(DateTime::UNIX_EPOCH);
    let text = document(
        app.sealer.vkey().name(),
        &uri,
        wanted.level(),
        updated,
        &part,
    );
    let tag = hex::encode(&sha256(text.as_bytes())[..16]);
    let kind = [
        (header::CONTENT_TYPE, "application/atom+xml; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    Ok(conditional(&headers, &tag, (kind, text)))
}

/// The document; `origin` is the journal's name.
fn document(origin: &str, uri: &Uri, level: Level, updated: DateTime<Utc>, part: &Part) -> String {
    let of = match level {
        Level::Settled => "settled changes",
        Level::Head => "changes at the head",
    };
    let own = turn(uri, &[("before", None), ("limit", None)]);
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n");
    text.push_str("<feed xmlns=\"http://www.w3.org/2005/Atom\">\n");
    text.push_str(&element("id", &urn(origin, &own)));
    text.push_str(&element("title", &format!("{origin}: {of}")));
    text.push_str(&element("updated", &time(updated)));
    text.push_str("<author>\n");
    text.push_str(&element("name", origin));
    text.push_str("</author>\n");
    text.push_str(&link("self", &turn(uri, &[])));
    if let Some(before) = part.older.map(|older| older.to_string()) {
        text.push_str(&link("next", &turn(uri, &[("before", Some(&before))])));
    }
    for item in part.items.iter().rev() {
        text.push_str(&entry(origin, item));
    }
    text.push_str("</feed>\n");
    text
}

fn entry(origin: &str, item: &Item) -> String {
    let whom = item.agent().map(|agent| {
        let name = agent.name.clone().or_else(|| agent.did.clone());
        name.unwrap_or_else(|| agent.id.to_string())
    });
    let mut columns: Vec<&str> = item
        .changes()
        .iter()
        .map(|change| change.column.as_str())
        .collect();
    columns.dedup();
    let what = match item.kind() {
        _ if item.lacks_body() => "its body is not to be had now".to_owned(),
        kind @ ("retracted" | "undone") => format!("{} {kind}", columns.join(", ")),
        _ => columns.join(", "),
    };
    let title = format!("{}: {what}", whom.as_deref().unwrap_or(item.kind()));
    let lines = item.changes().iter().map(|change| {
        let value = change
            .value
            .as_str()
            .map_or_else(|| change.value.to_string(), str::to_owned);
        format!("{} = {}\n", change.column, cut(&value))
    });
    let shown = match (item.cid(), item.agent()) {
        (Some(cid), _) => format!("/v1/entries/{cid}"),
        (None, Some(agent)) => format!("/v1/agents/{}", agent.id),
        (None, None) => "/v1/changes".to_owned(),
    };
    let mut text = String::from("<entry>\n");
    text.push_str(&element("id", &urn(origin, &item.cursor().to_string())));
    text.push_str(&element("title", &cut(&title)));
    text.push_str(&element("updated", &time(item.time())));
    text.push_str(&link("alternate", &shown));
    for part in ["<category term=\"", item.kind(), "\"/>\n"] {
        text.push_str(part);
    }
    text.push_str(&element("content", &lines.collect::<String>()));
    text.push_str("</entry>\n");
    text
}

/// A name that stays: UUIDv5 of the journal's origin and what is meant in it.
fn urn(origin: &str, what: &str) -> String {
    let name = format!("{origin}/{what}");
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes())
        .urn()
        .to_string()
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn element(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>\n", escaped(text))
}

fn link(rel: &str, href: &str) -> String {
    format!("<link rel=\"{rel}\" href=\"{}\"/>\n", escaped(href))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Text of strangers as XML 1.0 may hold it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_text_stays_text() {
        assert_eq!(
            escaped("<a b=\"c\">&\u{0}\u{1b}\n"),
            "&lt;a b=&quot;c&quot;&gt;&amp;\u{fffd}\u{fffd}\n"
        );
        assert_eq!(cut(&"é".repeat(300)).chars().count(), SHOWN + 1);
    }
}
