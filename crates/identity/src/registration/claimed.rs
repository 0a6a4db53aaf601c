//! Names that a registration file claims: the endpoint of a service that is called `ENS` or `DID`.
//!
//! Anybody can write any name into a file. So two agents may claim the same one, and neither is found under it
//! (`model.md` §1, docs/decisions/0025-names-that-files-claim.md).

use std::collections::BTreeSet;

use did::Did;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::identifier;

/// A name that a file claims, as identifiers have it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimedName {
    /// An ENS name in lower case.
    Ens(String),
    /// A DID, the hex of its addresses in lower case.
    Did(String),
}

/// The longest ENS name, in bytes: it is resolved in DNS's encoding, which has no longer ones.
const LONGEST_ENS: usize = 255;

impl ClaimedName {
    /// The name that a text may be claimed as: a DID begins with `did:`, and no ENS name has a colon.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        ens(text)
            .map(Self::Ens)
            .or_else(|| did(text).map(Self::Did))
    }

    /// What a service claims. `None` where it is called neither `ENS` nor `DID`; an error says what its endpoint
    /// should be.
    pub(super) fn of_service(name: &str, endpoint: &str) -> Option<Result<Self, &'static str>> {
        if name.eq_ignore_ascii_case("ENS") {
            let why = "this is no ENS name of a-z, 0-9 and - with a dot, such as `ada.eth`: it is not looked up";
            return Some(ens(endpoint).map(Self::Ens).ok_or(why));
        }
        if name.eq_ignore_ascii_case("DID") {
            let why = "this is no DID of at most 1024 bytes: it is not looked up";
            return Some(did(endpoint).map(Self::Did).ok_or(why));
        }
        None
    }

    /// What a file claims by its services, as the fields of its document have them. They are 256 at most.
    pub(crate) fn of_services(services: &Value) -> BTreeSet<Self> {
        let claimed = |service: &Value| {
            let name = service.get("name")?.as_str()?;
            let endpoint = service.get("endpoint")?.as_str()?;
            Self::of_service(name, endpoint)?.ok()
        };
        let services = services.as_array().into_iter().flatten();
        services.filter_map(claimed).collect()
    }

    /// The identifier's kind.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Ens(_) => "ens",
            Self::Did(_) => "did",
        }
    }

    /// The identifier's value.
    pub(crate) fn value(&self) -> &str {
        let (Self::Ens(value) | Self::Did(value)) = self;
        value
    }
}

/// An ENS name as its hash is made of it. Of what ENSIP-15 allows these are the names in ASCII alone: which others are
/// one and the same, and which look so, is read in tables of Unicode that change, and a name that is not normalized
/// to the letter is another name.
fn ens(text: &str) -> Option<String> {
    let fits = text.len() <= LONGEST_ENS && text.contains('.');
    let name = fits.then(|| text.to_ascii_lowercase())?;
    let is_name = name.split('.').all(is_label);
    is_name.then_some(name)
}

/// An underscore stands at the start alone, and two hyphens in the third place announce Punycode, which is none of
/// ENS's.
fn is_label(label: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let letters = label.trim_start_matches('_');
    !label.is_empty() && letters.bytes().all(is_letter) && label.get(2..4) != Some("--")
}

fn did(text: &str) -> Option<String> {
    let is_did = text.len() <= identifier::LONGEST && Did::parse(text).is_ok();
    is_did.then(|| identifier::fold_hex(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_ens_name_has_one_spelling_or_is_none() {
        let longest = format!("{}.eth", "a".repeat(LONGEST_ENS - 4));
        let longer = format!("a{longest}");
        for (text, name) in [
            ("ada.eth", Some("ada.eth")),
            ("Ada.ETH", Some("ada.eth")),
            ("a-1.sub.ada.xyz", Some("a-1.sub.ada.xyz")),
            ("_dnslink.ada.eth", Some("_dnslink.ada.eth")),
            (longest.as_str(), Some(longest.as_str())),
            (longer.as_str(), None),
            ("eth", None),
            ("", None),
            (".", None),
            (".eth", None),
            ("ada..eth", None),
            ("ada.eth.", None),
            ("a_b.eth", None),
            ("xn--ls8h.eth", None),
            ("ada .eth", None),
            ("ada\0.eth", None),
            ("ädä.eth", None),
            // Cyrillic, and K of Kelvin, whose lower case is in ASCII.
            ("аda.eth", None),
            ("\u{212a}ay.eth", None),
            ("https://ada.eth", None),
            ("ens:ada.eth", None),
            ("1:2", None),
        ] {
            assert_eq!(ens(text).as_deref(), name, "{text:?}");
        }
    }

    #[test]
    fn services_called_ens_and_did_claim_and_no_others_do() {
        let services = json!([
            { "name": "ens", "endpoint": "Ada.eth" },
            { "name": "ENS", "endpoint": "ada.eth" },
            { "name": "ENS", "endpoint": "https://ada.eth" },
            { "name": "ENS" },
            { "name": "DID", "endpoint": "did:pkh:eip155:1:0xABCDEF0123456789abcdef0123456789ABCDEF01" },
            { "name": "DID", "endpoint": "did:web:ada.example#key" },
            { "name": "DID", "endpoint": format!("did:x:{}", "a".repeat(identifier::LONGEST)) },
            { "name": "web", "endpoint": "bob.eth" },
            "carol.eth", 7, null,
        ]);
        let address = "did:pkh:eip155:1:0xabcdef0123456789abcdef0123456789abcdef01";
        let names = [
            ClaimedName::Ens("ada.eth".to_owned()),
            ClaimedName::Did(address.to_owned()),
        ];
        assert_eq!(ClaimedName::of_services(&services), BTreeSet::from(names));
        for nothing in [json!(null), json!([]), json!({ "name": "ENS" })] {
            assert_eq!(ClaimedName::of_services(&nothing), BTreeSet::new());
        }
    }
}
