//! Browsers: which page asks, and the cookie of a session. A browser adds the cookie by itself, so who asks with it is
//! believed only where the page is ours; scripts never see it.

use access::origin::{Origin, Origins};
use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
};

use crate::http::{Code, Problem};

/// The cookie's name over plain http, which only this machine's own names are reached by.
pub const COOKIE: &str = "chancery_session";
/// Over https: browsers let nobody set it but this very host.
const HOST_COOKIE: &str = "__Host-chancery_session";

/// Has the page's half of its session's token. What a page keeps is its origin's, so no other port of our host has it,
/// and no page of another origin may send it.
pub const HALF: HeaderName = HeaderName::from_static("chancery-session");

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Where this request was sent to, if it is one of our names: what is signed counts for it alone.
pub fn here<'a>(origins: &'a Origins, headers: &HeaderMap) -> Result<&'a Origin, Problem> {
    let host = text(headers, &header::HOST).unwrap_or_default();
    origins.of_host(host).ok_or_else(|| {
        let detail =
            "this office is not reached by this name: see access.origins in its configuration";
        Problem::new(Code::Invalid, detail)
    })
}

/// Whether a browser asks.
pub fn is_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(SEC_FETCH_SITE) || headers.contains_key(header::ORIGIN)
}

/// Whether a page of ours asks: browsers say of which site it is, older ones of which origin.
pub fn is_ours(headers: &HeaderMap, origins: &Origins) -> bool {
    let is_of_origin = text(headers, &header::ORIGIN).map(|origin| origins.has(origin));
    match text(headers, &SEC_FETCH_SITE) {
        Some(site) => site == "same-origin" && is_of_origin.unwrap_or(true),
        None => is_of_origin.unwrap_or(false),
    }
}

/// Refuses a socket to a page of another origin: browsers let any page open one, and say of which origin it is.
pub fn no_strangers_socket(headers: &HeaderMap, origins: &Origins) -> Result<(), Problem> {
    match text(headers, &header::ORIGIN) {
        Some(origin) if !origins.has(origin) => {
            let detail = "a page of another origin asked for this socket: it is refused";
            Err(Problem::new(Code::Denied, detail))
        }
        _ => Ok(()),
    }
}

/// The token of the page's session, of both its halves. A cookie alone is nobody's: a browser brings it to whatever
/// listens on any port of our host.
pub fn token(headers: &HeaderMap, origins: &Origins) -> Option<String> {
    let (kept, half) = (cookie(headers, origins)?, text(headers, &HALF)?);
    Some(format!("{kept}{half}"))
}

/// The cookie's half of a session's token. Where we are reached over https only the name counts that no neighbour can
/// set: else a page of a host beside ours could sign its visitors in as somebody else.
fn cookie<'a>(headers: &'a HeaderMap, origins: &Origins) -> Option<&'a str> {
    let here = origins.of_host(text(headers, &header::HOST).unwrap_or_default());
    let wanted = name_of(here.is_some_and(|here| here.scheme() == "https"));
    let all = headers.get_all(header::COOKIE).iter();
    let mut pairs = all.flat_map(|value| value.to_str().unwrap_or_default().split(';'));
    pairs.find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == wanted).then_some(value)
    })
}

/// The name of the cookie.
fn name_of(is_secure: bool) -> &'static str {
    if is_secure { HOST_COOKIE } else { COOKIE }
}

/// Has the browser keep its half of a token for so many seconds; for none: forget it.
pub fn set_cookie(response: &mut Response, here: &Origin, kept: &str, seconds: i64) {
    let is_secure = here.scheme() == "https";
    let name = name_of(is_secure);
    let secure = if is_secure { "; Secure" } else { "" };
    let cookie =
        format!("{name}={kept}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}

/// A header's text; of bytes that are none, none of anybody's.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get(name)?;
    Some(value.to_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use access::origin::Whence;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (
                name.parse::<HeaderName>().unwrap(),
                value.parse::<HeaderValue>().unwrap(),
            )
        });
        pairs.collect()
    }

    fn origins() -> Origins {
        let configured = ["https://office.example".to_owned()];
        let listening = "127.0.0.1:8004".parse().unwrap();
        Origins::new(&configured, listening, Whence::Here).unwrap()
    }

    #[test]
    fn only_our_own_page_asks_with_the_cookie() {
        let origins = origins();
        let pages: [(&[(&str, &str)], bool); 11] = [
            (&[], false),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("origin", "https://office.example")], true),
            (&[("origin", "http://localhost:8004")], true),
            (&[("origin", "http://localhost:3000")], false),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "null")], false),
            (
                &[
                    ("origin", "https://evil.example"),
                    ("sec-fetch-site", "same-origin"),
                ],
                false,
            ),
        ];
        for (pairs, ours) in pages {
            assert_eq!(is_ours(&headers(pairs), &origins), ours, "{pairs:?}");
        }
    }

    #[test]
    fn a_cookie_alone_is_no_session() {
        let token = |pairs: &[(&str, &str)]| token(&headers(pairs), &origins());
        let (host, cookie) = (("host", "localhost:8004"), ("cookie", "chancery_session=a"));
        let half = ("chancery-session", "b");
        assert_eq!(token(&[host, cookie, half]).as_deref(), Some("ab"));
        assert_eq!(token(&[host, cookie]), None);
        assert_eq!(token(&[host, half]), None);
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let both = "chancery_session=a; __Host-chancery_session=b";
        for (host, value, token) in [
            ("localhost:8004", "chancery_session=a", Some("a")),
            ("localhost:8004", "x=1; chancery_session=a;y=2", Some("a")),
            ("localhost:8004", both, Some("a")),
            ("localhost:8004", "xchancery_session=a", None),
            ("localhost:8004", "chancery_session", None),
            ("office.example", both, Some("b")),
            ("office.example", "chancery_session=a", None),
        ] {
            let headers = headers(&[("host", host), ("cookie", value)]);
            assert_eq!(cookie(&headers, &origins()), token, "{host}: {value}");
        }
    }
}
