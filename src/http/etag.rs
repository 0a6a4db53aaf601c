//! Strong ETags: a record's revision, or the digest of what is served.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// `Cache-Control` of what stays as it is: what a hash names, what was sealed.
pub const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// What a 304 repeats of the answer in whose place it stands (RFC 9110 §15.4.5).
const REPEATED: [HeaderName; 3] = [
    header::CACHE_CONTROL,
    header::CONTENT_LOCATION,
    header::VARY,
];

/// Answers with `response` under this ETag (without quotes), or 304 if the client has it already.
pub fn conditional(request: &HeaderMap, tag: &str, response: impl IntoResponse) -> Response {
    let tag = format!("\"{tag}\"");
    let Ok(value) = HeaderValue::from_str(&tag) else {
        return response.into_response();
    };
    let mut response = response.into_response();
    if matches(request, &tag) {
        response = not_modified(&response);
    }
    response.headers_mut().insert(header::ETAG, value);
    response
}

/// Caches take its headers over: what it leaves out would end with the kept answer.
fn not_modified(whole: &Response) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    for name in REPEATED {
        for value in whole.headers().get_all(&name) {
            response.headers_mut().append(&name, value.clone());
        }
    }
    response
}

fn matches(request: &HeaderMap, tag: &str) -> bool {
    request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|candidate| {
            candidate == "*" || candidate.strip_prefix("W/").unwrap_or(candidate) == tag
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_tag_is_not_sent_again() {
        let status = |known: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, known.parse().unwrap());
            conditional(&headers, "r7", "body").status()
        };
        assert_eq!(status("\"r6\", W/\"r7\""), StatusCode::NOT_MODIFIED);
        assert_eq!(status("*"), StatusCode::NOT_MODIFIED);
        assert_eq!(status("\"r6\""), StatusCode::OK);
        let fresh = conditional(&HeaderMap::new(), "r7", "body");
        assert_eq!(fresh.headers()[header::ETAG], "\"r7\"");
    }

    #[test]
    fn what_caches_go_by_is_said_again_without_the_answer() {
        let mut known = HeaderMap::new();
        known.insert(header::IF_NONE_MATCH, "\"r7\"".parse().unwrap());
        let whole = [
            (header::CACHE_CONTROL, FOR_EVER),
            (header::VARY, "accept"),
            (header::CONTENT_TYPE, "text/plain"),
        ];
        let answer = conditional(&known, "r7", (whole, "body"));
        let headers = answer.headers();
        assert_eq!(headers[header::CACHE_CONTROL], FOR_EVER);
        assert_eq!(headers[header::VARY], "accept");
        assert_eq!(headers[header::ETAG], "\"r7\"");
        assert!(!headers.contains_key(header::CONTENT_TYPE));
    }
}
