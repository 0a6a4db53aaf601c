//! What an agent's URI is. Takes bytes, because chains hold anything.

use kernel::Cid;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::{Error, block::parse_cid};

/// The longest URI that may hold its document, in bytes: 64 KiB, percent-encoded, and a header.
const MAX_DOCUMENT: usize = 3 * crate::data_uri::MAX_BYTES + 1024;
/// The longest URI that only names its document, in bytes.
const MAX_NAME: usize = 8 * 1024;

/// A URI, by how its document is had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uri<'a> {
    /// Nothing, or white space.
    Empty,
    /// `data:...`, the document itself; [`crate::data_uri::decode`] unpacks it.
    Data(&'a [u8]),
    /// JSON without any scheme, the document itself.
    RawJson(&'a [u8]),
    /// Named by its hash, whatever form it was written in.
    Ipfs {
        /// The root.
        cid: Cid,
        /// Names of directory entries below it.
        path: Vec<String>,
        /// Where the URI named a gateway: `https://host`, which may be asked when nobody else has
        /// the bytes. They are verified all the same.
        gateway: Option<String>,
    },
    /// A mutable IPFS name.
    Ipns {
        /// The key or DNS name, with its path.
        name: String,
    },
    /// http or https, any other address.
    Web(Url),
    /// `ar://`.
    Arweave {
        /// The transaction's id, with its path.
        id: String,
    },
    /// A form that we do not fetch.
    Unsupported {
        /// Its scheme in lower case, empty where it has none.
        scheme: String,
        /// What it is.
        what: String,
    },
    /// A form that we fetch, but broken.
    Malformed {
        /// What is wrong.
        why: String,
    },
    /// Longer than any honest URI; nothing of it was looked at.
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
}

/// Tells what `raw` is. Never copies more than a name.
pub fn classify(raw: &[u8]) -> Uri<'_> {
    if raw.len() > MAX_DOCUMENT {
        return Uri::TooLarge {
            limit: MAX_DOCUMENT,
        };
    }
    let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
    let start = raw
        .iter()
        .position(|byte| !blank(byte))
        .unwrap_or(raw.len());
    let end = raw
        .iter()
        .rposition(|byte| !blank(byte))
        .map_or(start, |last| last + 1);
    let raw = &raw[start..end];
    match raw {
        [] => return Uri::Empty,
        [b'{' | b'[', ..] if raw.len() <= crate::data_uri::MAX_BYTES => return Uri::RawJson(raw),
        [b'{' | b'[', ..] => {
            return Uri::TooLarge {
                limit: crate::data_uri::MAX_BYTES,
            };
        }
        _ => {}
    }
    if raw
        .get(..5)
        .is_some_and(|head| head.eq_ignore_ascii_case(b"data:"))
    {
        return Uri::Data(raw);
    }
    if raw.len() > MAX_NAME {
        return Uri::TooLarge { limit: MAX_NAME };
    }
    match std::str::from_utf8(raw) {
        Ok(text) => name(text),
        Err(_) => Uri::Malformed {
            why: "the URI is not UTF-8".to_owned(),
        },
    }
}

/// A URI that names its document.
fn name(text: &str) -> Uri<'static> {
    let Some((scheme, rest)) = split_scheme(text) else {
        return no_scheme(text);
    };
    let rest = rest.trim_start_matches('/');
    match scheme.as_str() {
        "ipfs" => decoded(rest, ipfs),
        "ipns" => Uri::Ipns {
            name: rest.to_owned(),
        },
        "ar" => Uri::Arweave {
            id: rest.to_owned(),
        },
        "http" | "https" => match Url::parse(text) {
            Ok(url) => of_gateway(&url).unwrap_or(Uri::Web(url)),
            Err(error) => Uri::Malformed {
                why: format!("no URL: {error}"),
            },
        },
        _ => Uri::Unsupported {
            what: format!("scheme `{scheme}`"),
            scheme,
        },
    }
}

/// The scheme in lower case (RFC 3986) and what follows its colon.
fn split_scheme(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let valid = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    valid.then(|| (scheme.to_ascii_lowercase(), rest))
}

/// A path of IPFS, a bare CID, or junk.
fn no_scheme(text: &str) -> Uri<'static> {
    let path = text.strip_prefix('/').unwrap_or(text);
    if let Some(rest) = path.strip_prefix("ipfs/") {
        return ipfs(rest);
    }
    if let Some(rest) = path.strip_prefix("ipns/") {
        return Uri::Ipns {
            name: rest.to_owned(),
        };
    }
    match ipfs(text) {
        Uri::Malformed { .. } => Uri::Unsupported {
            scheme: String::new(),
            what: "a URI without a scheme".to_owned(),
        },
        found => found,
    }
}

/// `[ipfs/]<cid>[/path]`.
fn ipfs(text: &str) -> Uri<'static> {
    let mut names = text
        .split('/')
        .filter(|name| !name.is_empty() && *name != ".");
    let first = names.find(|name| *name != "ipfs").unwrap_or_default();
    match parse_cid(first) {
        Ok(cid) => Uri::Ipfs {
            cid,
            path: names.map(str::to_owned).collect(),
            gateway: None,
        },
        Err(Error::Unsupported(what)) => Uri::Unsupported {
            scheme: "ipfs".to_owned(),
            what,
        },
        Err(error) => Uri::Malformed {
            why: error.to_string(),
        },
    }
}

/// The same with the encoding of URLs taken off: no query, no fragment, percent-decoded.
fn decoded(text: &str, read: fn(&str) -> Uri<'static>) -> Uri<'static> {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => read(&text),
        Err(_) => Uri::Malformed {
            why: "the URI's path is not UTF-8".to_owned(),
        },
    }
}

/// A gateway's URL: `https://host/ipfs/<cid>[/path]` or `https://<cid>.ipfs.host/[path]`.
fn of_gateway(url: &Url) -> Option<Uri<'static>> {
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    let gateway = |host: &str| Some(format!("{}://{host}{port}", url.scheme()));
    let (found, asked) = match (url.path().strip_prefix("/ipfs/"), url.host()?) {
        (Some(rest), host) => (decoded(rest, ipfs), gateway(&host.to_string())),
        (None, Host::Domain(host)) => {
            let (cid, host) = host.split_once(".ipfs.")?;
            (
                decoded(&format!("{cid}{}", url.path()), ipfs),
                gateway(host),
            )
        }
        (None, _) => return None,
    };
    match found {
        Uri::Ipfs { cid, path, .. } => Some(Uri::Ipfs {
            cid,
            path,
            gateway: asked,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V0: &str = "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o";
    const V1: &str = "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4";

    fn ipfs(cid: &str, path: &[&str], gateway: Option<&str>) -> Uri<'static> {
        Uri::Ipfs {
            cid: parse_cid(cid).expect("a CID"),
            path: path.iter().map(ToString::to_string).collect(),
            gateway: gateway.map(str::to_owned),
        }
    }

    #[test]
    fn every_way_to_write_a_cid_is_ipfs() {
        for (uri, expected) in [
            (format!("ipfs://{V0}"), ipfs(V0, &[], None)),
            (format!("IPFS://{V1}"), ipfs(V1, &[], None)),
            (format!(" ipfs://{V1}/\n"), ipfs(V1, &[], None)),
            (
                format!("ipfs://{V1}/a/b%20c.json?x=1#f"),
                ipfs(V1, &["a", "b c.json"], None),
            ),
            (format!("ipfs://ipfs/{V1}/a"), ipfs(V1, &["a"], None)),
            (format!("ipfs:/ipfs/{V1}"), ipfs(V1, &[], None)),
            (format!("ipfs:{V1}"), ipfs(V1, &[], None)),
            (V0.to_owned(), ipfs(V0, &[], None)),
            (format!("{V1}/agent.json"), ipfs(V1, &["agent.json"], None)),
            (format!("/ipfs/{V1}/a%20b"), ipfs(V1, &["a%20b"], None)),
            (format!("ipfs/{V1}"), ipfs(V1, &[], None)),
            (
                format!("https://ipfs.io/ipfs/{V0}/a"),
                ipfs(V0, &["a"], Some("https://ipfs.io")),
            ),
            (
                format!("HTTPS://G.example:8443/ipfs/{V1}?a"),
                ipfs(V1, &[], Some("https://g.example:8443")),
            ),
            (
                format!("https://{V1}.ipfs.dweb.link/x.json"),
                ipfs(V1, &["x.json"], Some("https://dweb.link")),
            ),
            (
                format!("http://127.0.0.1:8080/ipfs/{V1}"),
                ipfs(V1, &[], Some("http://127.0.0.1:8080")),
            ),
        ] {
            assert_eq!(classify(uri.as_bytes()), expected, "{uri}");
        }
    }

    #[test]
    fn other_forms_are_told_apart() {
        let web = |url: &str| Uri::Web(Url::parse(url).expect(url));
        for (uri, expected) in [
            ("", Uri::Empty),
            (" \n\0", Uri::Empty),
            (
                "data:application/json,{}",
                Uri::Data(b"data:application/json,{}"),
            ),
            ("DATA:,x", Uri::Data(b"DATA:,x")),
            (" {\"name\":1} ", Uri::RawJson(b"{\"name\":1}")),
            (
                "https://example.com/agent.json",
                web("https://example.com/agent.json"),
            ),
            ("HTTPS://EXAMPLE.com", web("https://example.com/")),
            ("http://example.com/", web("http://example.com/")),
            (
                "https://example.com/ipfs/nothing",
                web("https://example.com/ipfs/nothing"),
            ),
            ("https://x.ipfs.example/", web("https://x.ipfs.example/")),
            (
                "ipns://k51/a",
                Uri::Ipns {
                    name: "k51/a".to_owned(),
                },
            ),
            (
                "/ipns/docs.ipfs.tech",
                Uri::Ipns {
                    name: "docs.ipfs.tech".to_owned(),
                },
            ),
            (
                "ar://abc",
                Uri::Arweave {
                    id: "abc".to_owned(),
                },
            ),
        ] {
            assert_eq!(classify(uri.as_bytes()), expected, "{uri:?}");
        }
    }

    #[test]
    fn junk_is_unsupported_or_malformed_and_never_fetched() {
        for (uri, expected) in [
            ("cd", ""),
            ("0x8004a169fb4a3325136eb29fa0ceb6d2e539a432", ""),
            ("example.com/agent.json", ""),
            ("mailto:a@example.com", "mailto"),
            ("ftp://example.com/", "ftp"),
            ("file:///etc/passwd", "file"),
            ("eip155:1/erc721:0x00/1", "eip155"),
            ("javascript:alert(1)", "javascript"),
        ] {
            let found = classify(uri.as_bytes());
            assert!(
                matches!(&found, Uri::Unsupported { scheme, .. } if scheme == expected),
                "{uri}: {found:?}"
            );
        }
        for uri in [
            &b"ipfs://"[..],
            b"ipfs://cd",
            b"/ipfs/",
            b"ipfs://%ff",
            b"https://",
            b"ipfs://x\xff",
        ] {
            let found = classify(uri);
            assert!(matches!(found, Uri::Malformed { .. }), "{uri:?}: {found:?}");
        }
        // A CID of git's codec.
        let git = format!(
            "ipfs://{}",
            Cid::new_v1(0x78, *kernel::cid_of_raw(b"x").hash())
        );
        assert!(matches!(classify(git.as_bytes()), Uri::Unsupported { .. }));
    }

    #[test]
    fn long_uris_are_refused_by_their_length() {
        let mut huge = b"data:application/json,".to_vec();
        huge.resize(10 << 20, b'x');
        assert_eq!(
            classify(&huge),
            Uri::TooLarge {
                limit: MAX_DOCUMENT
            }
        );
        let long = format!("https://example.com/{}", "x".repeat(MAX_NAME));
        assert_eq!(classify(long.as_bytes()), Uri::TooLarge { limit: MAX_NAME });
        let json = format!("{{{}", "x".repeat(64 << 10));
        assert_eq!(classify(json.as_bytes()), Uri::TooLarge { limit: 64 << 10 });
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            drop(classify(&bytes));
        }

        #[test]
        fn no_text_makes_it_panic(text in "(ipfs|https|data|ar|)(:|//|:///|)[ -~\u{80}-\u{200}]{0,60}") {
            drop(classify(text.as_bytes()));
        }
    }
}
