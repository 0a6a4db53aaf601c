//! did:web (w3c-ccg/did-method-web): where the document of a did:web lies, and the documents of
//! our own agents.
//!
//! An agent of this instance is `did:web:<host>:agents:<id>`: the instance serves its document at
//! `https://<host>/agents/<id>/did.json`. Host, and port behind `%3A`, are the instance's public
//! ones, which the caller knows. Documents of strangers are fetched elsewhere, guarded; nothing
//! here leaves the machine.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::{Host, Url};

use crate::{AgentFacts, Code, Did, Error, Resolution, agent};

/// The method's name.
pub const NAME: &str = "web";

/// Everything but `idchar` of DID Core.
const NOT_ID_CHAR: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');

/// The HTTPS URL of the document of a did:web. A host that is an IP address, or no DNS name, makes
/// the DID invalid.
pub fn location(did: &Did) -> Result<Url, Error> {
    let wrong = |detail: &str| Error::new(Code::InvalidDid, detail);
    let mut parts = did.id_of(NAME)?.split(':');
    let authority = decoded(parts.next().unwrap_or_default())?;
    let (host, port) = split_authority(&authority)?;
    let mut path = String::new();
    for part in parts {
        let name = decoded(part)?;
        let leads_elsewhere =
            matches!(name.as_str(), "" | "." | "..") || name.contains(['/', '\\']);
        if leads_elsewhere || name.chars().any(char::is_control) {
            return Err(wrong(
                "the path of a did:web has an empty part, a dot part or a slash in it",
            ));
        }
        path.push('/');
        path.push_str(part);
    }
    let path = if path.is_empty() {
        "/.well-known"
    } else {
        path.as_str()
    };
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    Url::parse(&format!("https://{host}{port}{path}/did.json"))
        .map_err(|_| wrong("the did:web leads to no URL"))
}

/// The did:web of one of our own agents; `authority` is this instance's host, with its port where
/// it has one, and `id` any identifier of the agent.
pub fn of_agent(authority: &str, id: &str) -> Result<Did, Error> {
    let (host, port) = split_authority(authority)?;
    let port = port.map(|port| format!("%3A{port}")).unwrap_or_default();
    Did::parse(&format!(
        "did:web:{host}{port}:agents:{}",
        utf8_percent_encode(id, NOT_ID_CHAR)
    ))
}

/// The identifier of our own agent that this did:web names; none where it names something else or
/// is of another host.
pub fn own_agent(did: &Did, authority: &str) -> Option<String> {
    let parts: Vec<&str> = did.id_of(NAME).ok()?.split(':').collect();
    let [host, "agents", id] = parts.as_slice() else {
        return None;
    };
    let same = decoded(host).ok()?.eq_ignore_ascii_case(authority);
    same.then(|| decoded(id).ok())?.filter(|id| !id.is_empty())
}

/// The document of one of our own agents.
pub fn resolve(did: &Did, facts: &AgentFacts) -> Result<Resolution, Error> {
    did.id_of(NAME)?;
    Ok(agent::resolve(did, facts, None))
}

/// Host in lower case, and port.
fn split_authority(authority: &str) -> Result<(String, Option<u16>), Error> {
    let wrong = |detail: &str| Error::new(Code::InvalidDid, detail);
    let (host, port) = match authority.split_once(':') {
        None => (authority, None),
        Some((host, port)) => {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            let port = port.parse::<u16>().ok().filter(|port| digits && *port != 0);
            (
                host,
                Some(port.ok_or_else(|| wrong("the port of a did:web is no port"))?),
            )
        }
    };
    let is_name_char = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_name = host.len() <= 253 && host.bytes().all(is_name_char);
    match Host::parse(host) {
        Ok(Host::Domain(name)) if is_name && !name.split('.').any(str::is_empty) => {
            Ok((name, port))
        }
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) => Err(wrong("the host of a did:web is no IP address")),
        _ => Err(wrong("the host of a did:web is a DNS name")),
    }
}

fn decoded(part: &str) -> Result<String, Error> {
    percent_decode_str(part)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Error::new(Code::InvalidDid, "the did:web hides bytes that are no text"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn locate(did: &str) -> Result<String, Code> {
        let url = location(&Did::parse(did).expect("a DID"));
        url.map(String::from).map_err(|error| error.code)
    }

    /// The examples of the did:web specification, and one more.
    #[test]
    fn a_did_web_leads_to_a_url() {
        for (did, url) in [
            (
                "did:web:w3c-ccg.github.io",
                "https://w3c-ccg.github.io/.well-known/did.json",
            ),
            (
                "did:web:w3c-ccg.github.io:user:alice",
                "https://w3c-ccg.github.io/user/alice/did.json",
            ),
            (
                "did:web:example.com%3A3000",
                "https://example.com:3000/.well-known/did.json",
            ),
            (
                "did:web:example.com%3A3000:user:alice",
                "https://example.com:3000/user/alice/did.json",
            ),
            (
                "did:web:EXAMPLE.com:a%20b",
                "https://example.com/a%20b/did.json",
            ),
        ] {
            assert_eq!(locate(did).as_deref(), Ok(url));
        }
    }

    #[test]
    fn a_did_web_leads_nowhere_else() {
        for wrong in [
            "did:web:127.0.0.1",
            "did:web:127.1",
            "did:web:0x7f000001",
            "did:web:2130706433",
            "did:web:%5B%3A%3A1%5D",
            "did:web:example.com%3A0",
            "did:web:example.com%3A70000",
            "did:web:example.com%3A+1",
            "did:web:example.com%2Fx",
            "did:web:a%40example.com",
            "did:web:example.com:..:x",
            "did:web:example.com:%2e%2e:x",
            "did:web:example.com:a%2Fb",
            "did:web:example.com::x",
            "did:web:example.com:%00",
            "did:web:example..com",
            "did:web:%FF",
            "did:web:example.com:%5C",
            "did:web:example.com%3A",
            "did:web:ex%C3%A4mple.com",
        ] {
            // A plus sign is no DID character, so that one fails even before.
            if let Ok(did) = Did::parse(wrong) {
                assert_eq!(
                    location(&did).map_err(|error| error.code),
                    Err(Code::InvalidDid),
                    "{wrong}"
                );
            }
        }
    }

    #[test]
    fn an_agent_of_ours_is_found_again() {
        let id = "eip155:1:0x8004a169fb4a3325136eb29fa0ceb6d2e539a432/22";
        let did = of_agent("Registry.example:8443", id).expect("a DID");
        assert!(
            did.as_str()
                .starts_with("did:web:registry.example%3A8443:agents:eip155%3A1%3A0x8004"),
            "{did}"
        );
        assert_eq!(
            own_agent(&did, "registry.example:8443").as_deref(),
            Some(id)
        );
        assert_eq!(own_agent(&did, "registry.example"), None);
        let short = of_agent("localhost", "0b6c1c3e-9e0c-5c8e-8f59-2f6f7f6f7a11").expect("a DID");
        assert_eq!(
            locate(short.as_str()).as_deref(),
            Ok("https://localhost/agents/0b6c1c3e-9e0c-5c8e-8f59-2f6f7f6f7a11/did.json")
        );
        assert!(of_agent("10.0.0.1", "1").is_err());
    }

    proptest! {
        #[test]
        fn hostile_ids_stay_on_their_host(id in "[a-z0-9.%:_-]{1,40}", tail in "(:[a-zA-Z0-9.%_-]{1,10}){0,3}") {
            if let Ok(did) = Did::parse(&format!("did:web:{id}{tail}"))
                && let Ok(url) = location(&did)
            {
                prop_assert_eq!(url.scheme(), "https");
                prop_assert!(url.path().ends_with("/did.json"));
                prop_assert!(matches!(url.host(), Some(Host::Domain(_))));
                prop_assert!(url.username().is_empty() && url.query().is_none());
            }
        }
    }
}
