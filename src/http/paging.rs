//! Lists in pages, and answers that are not sent twice.

use axum::{
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use kernel::{Limit, Page, sha256};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::{Code, Problem, conditional};

/// The longest cursor that any list gives, with room.
const LONGEST_CURSOR: usize = 1024;

/// Which page.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Most items, 1 to 200; 50 unless told.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
}

impl Paging {
    /// The limit, checked.
    pub fn limit(&self) -> Result<Limit, Problem> {
        limit(self.limit)
    }

    /// The cursor, checked for its length alone: the list knows what it means.
    pub fn cursor(&self) -> Result<Option<&str>, Problem> {
        cursor(self.cursor.as_deref())
    }
}

/// A limit, checked.
pub fn limit(limit: Option<u32>) -> Result<Limit, Problem> {
    limit.map_or(Ok(Limit::default()), |limit| {
        Limit::new(limit).map_err(|error| Problem::new(Code::Invalid, error.to_string()))
    })
}

/// A cursor, checked for its length.
pub fn cursor(cursor: Option<&str>) -> Result<Option<&str>, Problem> {
    if cursor.is_some_and(|text| text.len() > LONGEST_CURSOR) {
        return Err(Problem::new(
            Code::Invalid,
            "this cursor is none that a page gave",
        ));
    }
    Ok(cursor)
}

/// A cursor that is a number.
pub fn number(text: Option<&str>) -> Result<Option<i64>, Problem> {
    let wrong = |_| Problem::new(Code::Invalid, "this cursor is none that a page gave");
    text.map(str::parse).transpose().map_err(wrong)
}

/// A page of a list, with `Link: <...>; rel="next"` where there is more. `uri` is the request's.
pub fn listed<T: Serialize>(request: &HeaderMap, uri: &Uri, page: &Page<T>) -> Response {
    let mut response = json(request, page);
    if let Some(next) = &page.next_cursor {
        link(&mut response, uri, &[("cursor", Some(next))]);
    }
    response
}

/// Adds `Link: <...>; rel="next"`: the same query but for what is turned.
pub fn link(response: &mut Response, uri: &Uri, turned: &[(&str, Option<&str>)]) {
    let link = format!("<{}>; rel=\"next\"", turn(uri, turned));
    if let Ok(link) = HeaderValue::from_str(&link) {
        response.headers_mut().insert(header::LINK, link);
    }
}

/// A JSON body under the digest of its bytes as ETag.
pub fn json<T: Serialize>(request: &HeaderMap, value: &T) -> Response {
    let body = match serde_json::to_vec(value) {
        Ok(body) => body,
        Err(error) => return Problem::of(kernel::Kind::Internal, error).into_response(),
    };
    let tag = hex::encode(&sha256(&body)[..16]);
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    conditional(request, &tag, (headers, body))
}

/// The same query with other values for these names; without those that have none.
pub fn turn(uri: &Uri, turned: &[(&str, Option<&str>)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        if turned.iter().all(|(other, _)| *other != name) {
            query.append_pair(&name, &value);
        }
    }
    for (name, value) in turned {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{}{mark}{query}", uri.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_keeps_what_was_asked() {
        let uri: Uri = "/v1/agents?q=a%26b&cursor=old&limit=2".parse().unwrap();
        assert_eq!(
            turn(&uri, &[("cursor", Some("1_é")), ("before", None)]),
            "/v1/agents?q=a%26b&limit=2&cursor=1_%C3%A9"
        );
    }
}
