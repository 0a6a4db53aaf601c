//! What no route says of itself because it is so for all of them: what the guard and the layers may answer in its place,
//! and what OpenAPI wants of a document that descriptions of single routes do not give.

use axum::http::Method;
use utoipa::openapi::{
    Content, OpenApi, Ref, RefOr, ResponseBuilder, Schema,
    path::{Operation, PathItem},
};

use super::schemes;
use crate::http::grants::{self, Grant, Who};

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// Completes the document.
pub fn complete(openapi: &mut OpenApi) {
    let paths = &mut openapi.paths.paths;
    for (route, item) in std::mem::take(paths) {
        let item = completed(&route, item);
        // The router's `{*rest}` takes slashes; to OpenAPI it would be another name than the parameter's.
        paths.insert(route.replace("{*", "{"), item);
    }
}

fn completed(route: &str, mut item: PathItem) -> PathItem {
    let operations = [
        ("GET", &mut item.get),
        ("PUT", &mut item.put),
        ("POST", &mut item.post),
        ("DELETE", &mut item.delete),
        ("PATCH", &mut item.patch),
    ];
    for (method, operation) in operations {
        let Some(operation) = operation else { continue };
        let name = Method::from_bytes(method.as_bytes()).unwrap_or_default();
        let grant = grants::of(&name, Some(route));
        operation.operation_id = Some(id(method, route));
        operation.security = schemes::of(grant);
        name_once(operation);
        for (status, description) in told(grant, operation) {
            tell(operation, status, description);
        }
        shape(operation);
    }
    item
}

/// Handlers of two files have the same name, operations have not.
fn id(method: &str, route: &str) -> String {
    let words = route.split(|sign: char| !sign.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    let mut id = method.to_lowercase();
    for word in words {
        id.push('_');
        id.push_str(word);
    }
    id
}

/// Parameters that a handler's signature tells of stand in its description as well, which says more.
fn name_once(operation: &mut Operation) {
    let Some(parameters) = &mut operation.parameters else {
        return;
    };
    let mut seen = Vec::new();
    parameters.retain(|parameter| {
        let RefOr::T(parameter) = parameter else {
            return true;
        };
        let name = (parameter.name.clone(), parameter.parameter_in.clone());
        let is_new = !seen.contains(&name);
        if is_new {
            seen.push(name);
        }
        is_new
    });
}

/// What may be answered before the handler is reached, or in its place.
fn told(grant: &Grant, operation: &Operation) -> Vec<(&'static str, &'static str)> {
    // Whoever sends a proof that does not hold is refused, also where none is needed; and of one address not more
    // proofs are looked at than requests.
    let mut told = vec![
        ("401", "Who asks did not prove who he is"),
        ("429", "Too many requests"),
        (
            "503",
            "The database, or what else is needed, does not answer",
        ),
        ("504", "It took too long"),
    ];
    if grant.who != Who::Everybody || !grant.is_harmless() {
        told.push(("403", "Who asks may not do this"));
    }
    let is_json = match &operation.request_body {
        Some(RefOr::T(body)) => Some(body.content.contains_key(JSON)),
        Some(RefOr::Ref(_)) => Some(true),
        None => None,
    };
    if is_json.is_some() {
        told.push(("413", "The body is too large"));
    }
    if is_json == Some(true) {
        told.push(("415", "The body is no JSON, or says so"));
    }
    let has_parameters = operation
        .parameters
        .as_ref()
        .is_some_and(|all| !all.is_empty());
    if has_parameters || is_json.is_some() {
        told.push(("400", "The request is wrong"));
    }
    told
}

/// Adds an answer, or the problem to one that is described with another body.
fn tell(operation: &mut Operation, status: &str, description: &str) {
    let problem = || Content::new(Some(Ref::from_schema_name("Problem")));
    let responses = &mut operation.responses.responses;
    let response = responses.entry(status.to_owned()).or_insert_with(|| {
        let response = ResponseBuilder::new().description(description);
        response.content(PROBLEM, problem()).build().into()
    });
    let RefOr::T(response) = response else { return };
    if !response.content.contains_key(JSON) {
        let content = response.content.entry(PROBLEM.to_owned());
        content.or_insert_with(|| RefOr::T(problem()));
    }
}

/// Bodies as they are sent: problems by their own type, bytes as such and not as lists of numbers.
fn shape(operation: &mut Operation) {
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        for (kind, content) in &mut body.content {
            bytes(kind, content);
        }
    }
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else {
            continue;
        };
        if response.description.is_empty() {
            response.description = words(status).to_owned();
        }
        let contents = std::mem::take(&mut response.content);
        for (kind, mut content) in contents {
            bytes(&kind, &mut content);
            let is_problem = is_problem(&content);
            let kind = if is_problem { PROBLEM.to_owned() } else { kind };
            response.content.insert(kind, content);
        }
    }
}

fn bytes(kind: &str, content: &mut RefOr<Content>) {
    if let RefOr::T(content) = content
        && !kind.contains("json")
        && matches!(content.schema, Some(RefOr::T(Schema::Array(_))))
    {
        content.schema = None;
    }
}

fn is_problem(content: &RefOr<Content>) -> bool {
    let RefOr::T(content) = content else {
        return false;
    };
    matches!(&content.schema, Some(RefOr::Ref(schema)) if schema.ref_location.ends_with("/Problem"))
}

/// OpenAPI wants a description of every answer.
fn words(status: &str) -> &'static str {
    match status {
        "200" => "It is answered",
        "201" => "It is made",
        "400" => "The request is wrong",
        "401" => "Who asks did not prove who he is",
        "403" => "Who asks may not do this",
        "404" => "It does not exist",
        "406" => "It is not offered in this form",
        "409" => "It contradicts what is stored now",
        "410" => "It is not here any more",
        "413" => "The body is too large",
        "429" => "Too many requests",
        "501" => "This is not supported",
        "503" => "The database, or what else is needed, does not answer",
        _ => "As its status says",
    }
}
