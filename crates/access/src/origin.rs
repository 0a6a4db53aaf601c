//! Where this office is reached. Whoever signs something says for which office, and it counts here alone if that is one
//! of these.

use std::net::SocketAddr;

/// A web origin: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: &'static str,
    authority: String,
}

impl Origin {
    /// Reads `https://host:port`, in lower case and without the scheme's own port. Errors, in words, with what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no origin: expected https://host, with a port if need be");
        let text = text.trim_end_matches('/');
        let (scheme, authority) = text.split_once("://").ok_or_else(wrong)?;
        let scheme = ["https", "http"]
            .into_iter()
            .find(|known| scheme.eq_ignore_ascii_case(known))
            .ok_or_else(wrong)?;
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
        if authority.is_empty() || !authority.chars().all(is_host) {
            return Err(wrong());
        }
        Ok(Self {
            scheme,
            authority: plain(scheme, authority),
        })
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Host, and the port if it is not the scheme's own.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// `https://host:port`.
    pub fn text(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }
}

fn plain(scheme: &str, authority: &str) -> String {
    let authority = authority.to_ascii_lowercase();
    let port = if scheme == "https" { ":443" } else { ":80" };
    match authority.strip_suffix(port) {
        Some(host) => host.to_owned(),
        None => authority,
    }
}

/// Whom an office's names are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whence {
    /// A program of the office's own machine, which reached it without a proxy.
    Here,
    /// Everybody else.
    Elsewhere,
}

/// All of this office.
#[derive(Debug, Clone, Default)]
pub struct Origins(Vec<Origin>);

impl Origins {
    /// The configured ones, the address that is listened on, and the names that each machine has for itself. Where some
    /// are configured these last are ours for this machine alone: whoever signed for his own `localhost` signed nothing
    /// that anybody may bring to an office that others reach. Errors, in words, where a configured one is none.
    pub fn new(configured: &[String], listening: SocketAddr, from: Whence) -> Result<Self, String> {
        let mut origins: Vec<Origin> = configured
            .iter()
            .map(|text| Origin::parse(text))
            .collect::<Result<_, _>>()?;
        let port = listening.port();
        let mut hosts = Vec::new();
        if origins.is_empty() || from == Whence::Here {
            hosts.extend(["localhost", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{port}")));
        }
        let ip = listening.ip();
        if !ip.is_unspecified() && (!ip.is_loopback() || !hosts.is_empty()) {
            hosts.push(listening.to_string());
        }
        origins.extend(hosts.iter().map(|authority| Origin {
            scheme: "http",
            authority: plain("http", authority),
        }));
        Ok(Self(origins))
    }

    /// The one that a request's `Host` names.
    pub fn of_host(&self, host: &str) -> Option<&Origin> {
        let is = |origin: &&Origin| plain(origin.scheme, host) == origin.authority;
        self.0.iter().find(is)
    }

    /// Whether a page of this origin (the header `Origin`) is ours.
    pub fn has(&self, origin: &str) -> bool {
        Origin::parse(origin).is_ok_and(|origin| self.0.contains(&origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins() -> Origins {
        of("127.0.0.1:8004", Whence::Here)
    }

    fn of(listening: &str, from: Whence) -> Origins {
        let configured =
            ["https://Office.example/", "http://intern.example:8080"].map(str::to_owned);
        Origins::new(&configured, listening.parse().unwrap(), from).unwrap()
    }

    #[test]
    fn an_office_knows_its_names() {
        for (host, origin) in [
            ("office.example", "https://office.example"),
            ("OFFICE.example:443", "https://office.example"),
            ("intern.example:8080", "http://intern.example:8080"),
            ("localhost:8004", "http://localhost:8004"),
            ("127.0.0.1:8004", "http://127.0.0.1:8004"),
            ("[::1]:8004", "http://[::1]:8004"),
        ] {
            assert_eq!(
                origins().of_host(host).map(Origin::text).as_deref(),
                Some(origin)
            );
            assert!(origins().has(origin));
        }
        for stranger in [
            "",
            "evil.example",
            "localhost",
            "localhost:1",
            "office.example:8443",
            "office.example.evil",
        ] {
            assert_eq!(origins().of_host(stranger), None, "{stranger}");
        }
        for stranger in [
            "null",
            "http://office.example",
            "https://evil.example",
            "https://office.example.evil",
        ] {
            assert!(!origins().has(stranger), "{stranger}");
        }
    }

    #[test]
    fn the_names_of_every_machine_are_no_strangers_where_an_office_has_its_own() {
        let own = [
            "localhost:8004",
            "127.0.0.1:8004",
            "[::1]:8004",
            "127.0.0.9:8004",
        ];
        let elsewhere = of("127.0.0.9:8004", Whence::Elsewhere);
        for host in own {
            assert!(of("127.0.0.9:8004", Whence::Here).of_host(host).is_some());
            assert_eq!(elsewhere.of_host(host), None, "{host}");
            assert!(!elsewhere.has(&format!("http://{host}")), "{host}");
            // Who configured none is reached by these alone.
            let listening = "127.0.0.9:8004".parse().unwrap();
            let unnamed = Origins::new(&[], listening, Whence::Elsewhere).unwrap();
            assert!(unnamed.of_host(host).is_some(), "{host}");
        }
        assert!(elsewhere.of_host("office.example").is_some());
        let other = of("192.0.2.1:8004", Whence::Elsewhere);
        assert!(other.of_host("192.0.2.1:8004").is_some());
        assert_eq!(other.of_host("localhost:8004"), None);
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for wrong in [
            "",
            "office.example",
            "ftp://x",
            "https://",
            "https://a/b",
            "https://a@b",
            "https://a?b",
            "https://ä",
        ] {
            assert!(Origin::parse(wrong).is_err(), "{wrong}");
        }
    }
}
