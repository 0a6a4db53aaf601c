//! The services of a registration file, from the current form and from those before it.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    claimed::ClaimedName,
    reader::{NAME, PROSE, Reader, SHORT, URL, text_of},
    warning::{WarningCode, member},
};

/// One way to reach the agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Service {
    /// `web`, `A2A`, `MCP`, `OASF`, `ENS`, `DID`, `email`, or any other name.
    pub name: String,
    /// A URL, mostly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The version of the protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Skills (`skills` of OASF, `a2aSkills`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<String>,
    /// Domains (OASF).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// Tools (`tools`, `mcpTools`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// Prompts (`mcpPrompts`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<String>,
    /// Resources (`mcpResources`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Bare `capabilities` of the service.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
}

impl Service {
    /// The endpoint, where a browser or an agent can call it.
    pub fn web_url(&self) -> Option<&str> {
        let url = self.endpoint.as_deref()?;
        let scheme = url.split_once("://")?.0.to_ascii_lowercase();
        (scheme == "https" || scheme == "http").then_some(url)
    }
}

/// Takes the services out of a file: `services`, or `endpoints` where there are no services.
pub(super) fn read(file: &mut Reader<'_>) -> Vec<Service> {
    let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    let current = file
        .take("services", &[])
        .filter(|(_, value)| !is_empty(value));
    let (key, value) = match current {
        Some(current) => current,
        None => match file.take("endpoints", &[]) {
            Some(legacy) => {
                let message = "the list is called `services` since January 2026";
                file.warn(WarningCode::LegacyEndpoints, &legacy.0, message);
                legacy
            }
            None => return Vec::new(),
        },
    };
    let items = match value {
        Value::Object(map) => by_name(map, &key, file),
        other => file.items(&key, other),
    };
    items
        .into_iter()
        .filter_map(|(place, item)| read_one(item, place, file))
        .collect()
}

/// Services as an object: the keys are names, unless the object is one service itself.
fn by_name(map: Map<String, Value>, key: &str, file: &mut Reader<'_>) -> Vec<(String, Value)> {
    file.warn(WarningCode::ServicesObject, key, "the services are a list");
    let place = format!("/{key}");
    if map.contains_key("endpoint") || map.contains_key("name") {
        return vec![(place, Value::Object(map))];
    }
    let named = |(name, value): (String, Value)| {
        let place = member(&place, &name);
        let service = match value {
            Value::Object(mut service) => {
                service.entry("name").or_insert(Value::String(name));
                Value::Object(service)
            }
            endpoint => json!({"name": name, "endpoint": endpoint}),
        };
        (place, service)
    };
    map.into_iter().map(named).collect()
}

fn read_one(item: Value, place: String, file: &mut Reader<'_>) -> Option<Service> {
    let warnings = file.warnings();
    let map = match item {
        Value::Object(map) => map,
        Value::String(_) => {
            warnings.push(WarningCode::BareService, &place, "a service is an object");
            return text_of(item, &place, URL, warnings).map(bare);
        }
        _ => {
            warnings.push(WarningCode::WrongShape, place, "a service is an object");
            return None;
        }
    };
    let mut service = Reader::new(map, place, warnings);
    let name = service.text("name", &["type", "protocol", "id"], NAME);
    let endpoint = service.text("endpoint", &["url", "serviceEndpoint", "uri"], URL);
    for (key, missing) in [("name", name.is_none()), ("endpoint", endpoint.is_none())] {
        if missing {
            service.warn(
                WarningCode::ServiceIncomplete,
                key,
                format!("a service has no `{key}`"),
            );
        }
    }
    if name.is_none() && endpoint.is_none() {
        return None;
    }
    if let (Some(name), Some(endpoint)) = (&name, &endpoint)
        && let Some(Err(why)) = ClaimedName::of_service(name, endpoint)
    {
        service.warn(WarningCode::NameNotRead, "endpoint", why);
    }
    Some(Service {
        name: name.unwrap_or_else(|| "service".to_owned()),
        endpoint,
        version: service.text("version", &[], SHORT),
        description: service.text("description", &[], PROSE),
        skills: both(
            service.names("skills", &[]),
            service.names("a2aSkills", &[]),
        ),
        domains: service.names("domains", &[]),
        tools: both(
            service.names("tools", &[]),
            service.names("mcpTools", &["x_mcpTools"]),
        ),
        prompts: both(
            service.names("prompts", &[]),
            service.names("mcpPrompts", &[]),
        ),
        resources: both(
            service.names("resources", &[]),
            service.names("mcpResources", &[]),
        ),
        capabilities: service.names("capabilities", &[]),
    })
}

/// A text alone is an endpoint if it looks like one, else a name.
fn bare(text: String) -> Service {
    if text.contains("://") {
        Service {
            name: "web".to_owned(),
            endpoint: Some(text),
            ..Service::default()
        }
    } else {
        Service {
            name: text.chars().take(255).collect(),
            ..Service::default()
        }
    }
}

fn both(mut first: Vec<String>, second: Vec<String>) -> Vec<String> {
    let news: Vec<String> = second
        .into_iter()
        .filter(|name| !first.contains(name))
        .collect();
    first.extend(news);
    first
}
