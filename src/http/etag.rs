//! Strong ETags: a record's revision, or the digest of what is served.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// `Cache-Control` of what stays as it is: what a hash names, what was sealed.
pub const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Answers with `response` under this ETag (without quotes), or 304 if the client has it already.
pub fn conditional(request: &HeaderMap, tag: &str, response: impl IntoResponse) -> Response {
    let tag = format!("\"{tag}\"");
    let Ok(value) = HeaderValue::from_str(&tag) else {
        return response.into_response();
    };
    let mut response = if matches(request, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        response.into_response()
    };
    response.headers_mut().insert(header::ETAG, value);
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
}
