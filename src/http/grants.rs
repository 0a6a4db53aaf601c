//! The table of grants: who may ask what. Every route stands here, and nowhere else is it decided; where one is
//! forgotten the operator alone writes, and a test walks `/openapi.json` against this table.

use std::{collections::HashMap, sync::LazyLock};

use axum::http::Method;
use kernel::Principal;

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Everybody, with or without a proof.
    Everybody,
    /// Whoever proved who he is, for what is his.
    Proven,
    /// The operator alone.
    Operator,
}

impl Who {
    /// Whether this principal is one of them.
    pub fn includes(self, principal: &Principal) -> bool {
        match self {
            Self::Everybody => true,
            Self::Proven => *principal != Principal::Anonymous,
            Self::Operator => *principal == Principal::Operator,
        }
    }
}

/// What an answer leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// Rows that no journal tells of.
    Kept,
    /// Entries of the journal, which must have room.
    Journaled,
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The method.
    pub method: &'static str,
    /// The route, as the router has it; `/openapi.json` writes `{rest}` for its `{*rest}`.
    pub route: &'static str,
    /// Who may.
    pub who: Who,
    /// What an API key needs for it; none: a key opens nothing that is not everybody's.
    pub scope: Option<&'static str>,
    /// What it leaves behind.
    pub effect: Effect,
}

impl Grant {
    /// Whether it changes nothing, so that a page of another origin gains nothing by having a browser ask for it.
    pub fn is_harmless(&self) -> bool {
        self.effect == Effect::None
    }

    /// Whether requests count against a limit. What machines watch does not, nor the files of the page, nor the log,
    /// whose readers verify it whole and whose files caches keep.
    pub fn is_counted(&self) -> bool {
        let free = ["/livez", "/readyz", "/metrics"];
        !self.route.is_empty() && !free.contains(&self.route) && !self.route.starts_with("/audit/")
    }
}

const fn open(route: &'static str) -> Grant {
    grant("GET", route, Who::Everybody, None, Effect::None)
}

/// A question that is asked with POST: nothing changes.
const fn ask(route: &'static str) -> Grant {
    grant("POST", route, Who::Everybody, None, Effect::None)
}

/// A way for heartbeats, which their agents sign.
const fn beat(method: &'static str, route: &'static str) -> Grant {
    grant(method, route, Who::Everybody, None, Effect::Kept)
}

const fn grant(
    method: &'static str,
    route: &'static str,
    who: Who,
    scope: Option<&'static str>,
    effect: Effect,
) -> Grant {
    Grant {
        method,
        route,
        who,
        scope,
        effect,
    }
}

/// What an API key needs to look at its principal's watches, also as a filter of the changes, which are everybody's.
pub const WATCHES_READ: &str = "watches:read";

/// All routes.
pub const GRANTS: &[Grant] = &[
    open("/v1/agents"),
    open("/v1/agents/{agent}"),
    open("/v1/agents/{agent}/history"),
    open("/v1/agents/{agent}/capabilities"),
    open("/v1/agents/{agent}/metadata"),
    open("/v1/agents/{agent}/events"),
    open("/v1/agents/{agent}/entries"),
    open("/v1/agents/{agent}/proof"),
    open("/v1/agents/{agent}/statements"),
    open("/v1/agents/{agent}/status-changes"),
    open("/v1/vexel/events"),
    open("/v1/owners/{address}/agents"),
    open("/v1/entries"),
    open("/v1/entries/{cid}"),
    open("/v1/entries/{cid}/proof"),
    open("/v1/changes"),
    open("/v1/changes.atom"),
    open("/v1/sync"),
    open("/v1/sync/ranges"),
    open("/v1/transactions/{chain}/{tx}"),
    open("/v1/ipfs/{cid}"),
    open("/ipfs/{cid}"),
    open("/ipfs/{cid}/{*path}"),
    open("/ipns"),
    open("/ipns/{name}"),
    open("/ipns/{name}/{*path}"),
    open("/1.0/identifiers/{*did}"),
    open("/1.0/methods"),
    open("/agents/{agent}/did.json"),
    open("/audit/anchor"),
    open("/audit/checkpoint"),
    open("/audit/vkey"),
    open("/audit/tile/{*path}"),
    open("/livez"),
    open("/readyz"),
    open("/metrics"),
    // Questions that are too long for a query.
    ask("/v1/transactions/prepare"),
    ask("/v1/transactions/wallet-consent"),
    ask("/v1/registration-files/check"),
    ask("/v1/statements/prepare"),
    // A statement authorises itself: its signature is the authority, whoever brings it.
    grant(
        "POST",
        "/v1/agents",
        Who::Everybody,
        None,
        Effect::Journaled,
    ),
    grant(
        "POST",
        "/v1/agents/{agent}/statements",
        Who::Everybody,
        None,
        Effect::Journaled,
    ),
    grant(
        "POST",
        "/v1/transactions",
        Who::Proven,
        Some("transactions:write"),
        Effect::Journaled,
    ),
    // So does a heartbeat; what it leads to waits for the journal by itself.
    beat("POST", "/v1/agents/{agent}/heartbeat"),
    beat("POST", "/v1/heartbeats"),
    beat("GET", "/v1/agents/{agent}/ws"),
    beat("GET", "/v1/heartbeat"),
    grant(
        "PUT",
        "/v1/agents/{agent}/status",
        Who::Operator,
        Some("agents:write"),
        Effect::Journaled,
    ),
    grant(
        "PUT",
        "/v1/agents/{agent}/admin_status",
        Who::Operator,
        Some("agents:write"),
        Effect::Journaled,
    ),
    grant(
        "PUT",
        "/v1/agents/{agent}/load",
        Who::Operator,
        Some("agents:write"),
        Effect::Journaled,
    ),
    grant(
        "POST",
        "/v1/ipfs",
        Who::Operator,
        Some("content:write"),
        Effect::Journaled,
    ),
    // It reads every row.
    grant(
        "GET",
        "/v1/sync/digest",
        Who::Operator,
        Some("sync:verify"),
        Effect::None,
    ),
    grant(
        "POST",
        "/v1/sync/verify",
        Who::Operator,
        Some("sync:verify"),
        Effect::Journaled,
    ),
    grant(
        "POST",
        "/v1/sessions/nonce",
        Who::Everybody,
        None,
        Effect::Kept,
    ),
    // The signature is the proof.
    grant("POST", "/v1/sessions", Who::Everybody, None, Effect::Kept),
    open("/v1/sessions/current"),
    grant(
        "DELETE",
        "/v1/sessions/current",
        Who::Proven,
        None,
        Effect::Kept,
    ),
    grant(
        "GET",
        "/v1/keys",
        Who::Proven,
        Some("keys:read"),
        Effect::None,
    ),
    grant(
        "POST",
        "/v1/keys",
        Who::Proven,
        Some("keys:write"),
        Effect::Journaled,
    ),
    grant(
        "GET",
        "/v1/keys/{key}",
        Who::Proven,
        Some("keys:read"),
        Effect::None,
    ),
    grant(
        "DELETE",
        "/v1/keys/{key}",
        Who::Proven,
        Some("keys:write"),
        Effect::Journaled,
    ),
    grant(
        "POST",
        "/v1/keys/{key}/rotate",
        Who::Proven,
        Some("keys:write"),
        Effect::Journaled,
    ),
    grant(
        "GET",
        "/v1/keys/{key}/usage",
        Who::Proven,
        Some("keys:read"),
        Effect::None,
    ),
    grant(
        "GET",
        "/v1/watches",
        Who::Proven,
        Some(WATCHES_READ),
        Effect::None,
    ),
    grant(
        "POST",
        "/v1/watches",
        Who::Proven,
        Some("watches:write"),
        Effect::Kept,
    ),
    grant(
        "DELETE",
        "/v1/watches/{name}",
        Who::Proven,
        Some("watches:write"),
        Effect::Kept,
    ),
    grant(
        "GET",
        "/v1/audit-logs",
        Who::Operator,
        Some("audit:read"),
        Effect::None,
    ),
];

/// Files of the page that ask the database, so that requests for them count. They are no API.
const PAGES: &[Grant] = &[open("/agents/{agent}")];

/// What a route that is not in the table is: reading files of the page is everybody's, all else the operator's.
const UNLISTED_READ: Grant = grant("GET", "", Who::Everybody, None, Effect::None);
const UNLISTED: Grant = grant("POST", "", Who::Operator, None, Effect::Journaled);

/// The line of a route; of none (nothing is there) as well.
pub fn of(method: &Method, route: Option<&str>) -> &'static Grant {
    static BY_ROUTE: LazyLock<HashMap<(&str, &str), &Grant>> = LazyLock::new(|| {
        let by_route = GRANTS
            .iter()
            .chain(PAGES)
            .map(|grant| ((grant.method, grant.route), grant));
        by_route.collect()
    });
    let method = match *method {
        Method::HEAD | Method::OPTIONS => "GET",
        ref method => method.as_str(),
    };
    let listed = route.and_then(|route| BY_ROUTE.get(&(method, route)).copied());
    let unlisted = if method == "GET" {
        &UNLISTED_READ
    } else {
        &UNLISTED
    };
    listed.unwrap_or(unlisted)
}

/// Every scope that a key may have.
pub fn scopes() -> Vec<&'static str> {
    let mut scopes: Vec<&str> = GRANTS.iter().filter_map(|grant| grant.scope).collect();
    scopes.sort_unstable();
    scopes.dedup();
    scopes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_is_forgotten_is_the_operators() {
        assert_eq!(of(&Method::POST, Some("/v1/new")).who, Who::Operator);
        assert_eq!(of(&Method::DELETE, None).who, Who::Operator);
        assert_eq!(of(&Method::GET, Some("/assets/app.js")).who, Who::Everybody);
        assert_eq!(of(&Method::HEAD, Some("/v1/keys")).who, Who::Proven);
    }

    #[test]
    fn nothing_stands_twice_and_scopes_are_words() {
        let mut lines: Vec<_> = GRANTS
            .iter()
            .map(|grant| (grant.method, grant.route))
            .collect();
        lines.sort_unstable();
        let all = lines.len();
        lines.dedup();
        assert_eq!(lines.len(), all);
        for scope in scopes() {
            let (thing, verb) = scope.split_once(':').unwrap();
            assert!(["read", "write", "verify"].contains(&verb), "{scope}");
            assert!(thing.chars().all(|c| c.is_ascii_lowercase()), "{scope}");
        }
        for grant in GRANTS {
            if grant.who == Who::Everybody {
                assert_eq!(grant.scope, None, "{} {}", grant.method, grant.route);
            }
        }
    }
}
