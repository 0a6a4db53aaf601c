//! Requests that a wallet signed (EIP-712): for programs that hold an account's key and want no session.
//!
//! `Authorization: EIP712 account="0x...", chain="1", nonce="<32 hex digits>", issued="...", expires="...",
//! signature="0x..."`. What is signed is the struct `Request(address account,string method,string target,bytes32
//! content,bytes16 nonce,uint64 issued,uint64 expires)` in the domain of the office's web origin: `target` is path and
//! query as they are sent, `content` keccak-256 of the body, times are seconds since 1970. The account is signed, too:
//! contracts take their owner's signature for any hash, and he may own several.

use chain::{
    PrivateKeySigner,
    typed::{Domain, Field, Typed},
};
use chrono::{DateTime, TimeDelta, Utc};
use kernel::{Address, B256, keccak256};

use crate::{
    Error, Result, freshness,
    origin::Origin,
    outgoing::{Outgoing, Stamp},
};

/// The scheme's name in `Authorization`.
pub const SCHEME: &str = "EIP712";
/// The longest time for which a request is believed.
pub const LONGEST: TimeDelta = TimeDelta::seconds(300);
/// No header is longer; contract wallets' signatures are long.
const LONGEST_FIELD: usize = 40_000;

/// What was signed, read from the header and not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedRequest {
    /// Who signed, by his own word.
    pub account: Address,
    /// The chain on which a contract account is asked.
    pub chain: u64,
    nonce: [u8; 16],
    issued: u64,
    expires: u64,
    /// Of a key, or as the account's contract takes it.
    pub signature: Vec<u8>,
}

impl TypedRequest {
    /// Reads what stands behind the scheme's name.
    pub fn parse(parameters: &str) -> Result<Self> {
        if parameters.len() > LONGEST_FIELD {
            return Err(refused("the header is too long"));
        }
        let mut values = [None; 6];
        let names = [
            "account",
            "chain",
            "nonce",
            "issued",
            "expires",
            "signature",
        ];
        for part in parameters.split(',') {
            let found = part.trim().split_once('=').and_then(|(name, value)| {
                let at = names.iter().position(|known| *known == name)?;
                let value = value.strip_prefix('"')?.strip_suffix('"')?;
                Some((at, value))
            });
            let Some((at, value)) = found.filter(|(at, _)| values[*at].is_none()) else {
                return Err(refused(
                    "expected account=\"...\", chain, nonce, issued, expires and signature, each once",
                ));
            };
            values[at] = Some(value);
        }
        let value =
            |at: usize| values[at].ok_or_else(|| refused(format!("{} is missing", names[at])));
        let number = |at: usize| {
            let digits = value(at)?;
            let number = digits.parse().ok();
            number.ok_or_else(|| refused(format!("{} is a number", names[at])))
        };
        let nonce = hex::decode(value(2)?).ok();
        let nonce = nonce.and_then(|bytes| bytes.try_into().ok());
        let signature = value(5)?
            .strip_prefix("0x")
            .and_then(|digits| hex::decode(digits).ok());
        Ok(Self {
            account: value(0)?
                .parse()
                .map_err(|_| refused("account is 0x and 40 hex digits"))?,
            chain: number(1)?,
            nonce: nonce.ok_or_else(|| refused("nonce is 32 hex digits"))?,
            issued: number(3)?,
            expires: number(4)?,
            signature: signature.ok_or_else(|| refused("signature is 0x and hex digits"))?,
        })
    }

    /// Signs a request with an account's key. `chain` is one that the office follows; a key's signature is good on all.
    pub fn sign(
        signer: &PrivateKeySigner,
        chain: u64,
        request: &Outgoing<'_>,
        stamp: &Stamp,
    ) -> Result<Self> {
        let seconds = |time: DateTime<Utc>| u64::try_from(time.timestamp()).unwrap_or_default();
        let mut signed = Self {
            account: signer.address(),
            chain,
            nonce: stamp.nonce,
            issued: seconds(stamp.issued),
            expires: seconds(stamp.expires),
            signature: Vec::new(),
        };
        let query = request.query.map(|query| format!("?{query}"));
        let target = format!("{}{}", request.path, query.unwrap_or_default());
        let digest = signed.digest(request.origin, request.method, &target, request.body);
        signed.signature =
            chain::key::sign(signer, digest).map_err(|error| Error::Invalid(error.to_string()))?;
        Ok(signed)
    }

    /// What `Authorization` says, the scheme included.
    pub fn authorization(&self) -> String {
        format!(
            r#"{SCHEME} account="{}", chain="{}", nonce="{}", issued="{}", expires="{}", signature="0x{}""#,
            self.account,
            self.chain,
            self.nonce(),
            self.issued,
            self.expires,
            hex::encode(&self.signature),
        )
    }

    /// Whether it is believed now. The signature and the nonce are still to be looked at.
    pub fn check(&self, now: DateTime<Utc>) -> Result<()> {
        freshness::check(seconds(self.issued)?, self.expires_at()?, now, LONGEST)
    }

    /// Until when it is believed.
    pub fn expires_at(&self) -> Result<DateTime<Utc>> {
        seconds(self.expires)
    }

    /// Its nonce, in hex.
    pub fn nonce(&self) -> String {
        hex::encode(self.nonce)
    }

    /// The hash that the account signed, for this request.
    pub fn digest(&self, here: &Origin, method: &str, target: &str, body: &[u8]) -> B256 {
        let typed = Typed {
            name: "Request",
            fields: vec![
                ("account", Field::Account(self.account)),
                ("method", Field::Text(method.into())),
                ("target", Field::Text(target.into())),
                ("content", Field::Word(keccak256(body))),
                ("nonce", Field::Nonce(self.nonce)),
                ("issued", Field::Number(self.issued)),
                ("expires", Field::Number(self.expires)),
            ],
        };
        typed.digest(&Domain::new(self.chain, &here.text()))
    }
}

fn seconds(number: u64) -> Result<DateTime<Utc>> {
    freshness::time(i64::try_from(number).unwrap_or(i64::MAX))
}

fn refused(why: impl Into<String>) -> Error {
    Error::Unproven(format!("no signed request ({SCHEME}): {}", why.into()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &str = r#"account="0x52908400098527886E0F7030069857D2E4169EE7", chain="1", nonce="000102030405060708090a0b0c0d0e0f", issued="1800000000", expires="1800000060", signature="0x0102""#;

    #[test]
    fn a_header_is_read_whole_or_not_at_all() {
        let read = TypedRequest::parse(HEADER).unwrap();
        assert_eq!(
            read.account.to_string(),
            "0x52908400098527886E0F7030069857D2E4169EE7"
        );
        assert_eq!((read.chain, read.signature.as_slice()), (1, &[1, 2][..]));
        assert_eq!(read.nonce(), "000102030405060708090a0b0c0d0e0f");
        for part in HEADER.split(", ") {
            let without = HEADER.replace(part, "").replace(", , ", ", ");
            let without = without.trim_matches([',', ' ']);
            assert!(TypedRequest::parse(without).is_err(), "without {part}");
            assert!(
                TypedRequest::parse(&format!("{HEADER}, {part}")).is_err(),
                "{part} twice"
            );
        }
        for (from, to) in [
            ("chain=\"1\"", "chain=\"x\""),
            ("chain=\"1\"", "chain=\"99999999999999999999\""),
            ("chain=\"1\"", "chain=1"),
            ("0f\"", "0f00\""),
            ("0x0102", "0102"),
            ("0x0102", "0x012"),
            ("0x5290", "0x52"),
        ] {
            assert!(
                TypedRequest::parse(&HEADER.replacen(from, to, 1)).is_err(),
                "{to}"
            );
        }
    }

    #[test]
    fn each_part_of_a_request_changes_what_is_signed() {
        let read = TypedRequest::parse(HEADER).unwrap();
        let here = Origin::parse("https://office.example").unwrap();
        let there = Origin::parse("https://other.example").unwrap();
        let digest = read.digest(&here, "POST", "/v1/keys", b"{}");
        let mut other_chain = read.clone();
        other_chain.chain = 2;
        let mut other_account = read.clone();
        other_account.account = Address::repeat_byte(1);
        for other in [
            read.digest(&there, "POST", "/v1/keys", b"{}"),
            read.digest(&here, "PUT", "/v1/keys", b"{}"),
            read.digest(&here, "POST", "/v1/keys?a", b"{}"),
            read.digest(&here, "POST", "/v1/keys", b""),
            other_chain.digest(&here, "POST", "/v1/keys", b"{}"),
            other_account.digest(&here, "POST", "/v1/keys", b"{}"),
        ] {
            assert_ne!(other, digest);
        }
        let now = seconds(1_800_000_000).unwrap();
        assert!(read.check(now).is_ok());
        assert!(read.check(now + TimeDelta::seconds(60)).is_err());
        assert!(read.check(now - TimeDelta::seconds(61)).is_err());
    }

    #[test]
    fn what_a_client_signs_is_read_and_is_his() {
        let signer = PrivateKeySigner::from_slice(&[7; 32]).unwrap();
        let here = Origin::parse("http://127.0.0.1:8004").unwrap();
        let now = seconds(1_800_000_000).unwrap();
        let stamp = Stamp::new(now).unwrap();
        for (query, target) in [(None, "/v1/keys"), (Some("a=b%20c"), "/v1/keys?a=b%20c")] {
            let request = Outgoing {
                origin: &here,
                method: "POST",
                path: "/v1/keys",
                query,
                body: b"{}",
            };
            let signed = TypedRequest::sign(&signer, 31_337, &request, &stamp).unwrap();
            let sent = signed.authorization();
            let read = TypedRequest::parse(sent.strip_prefix("EIP712 ").unwrap()).unwrap();
            assert_eq!(read, signed);
            assert!(read.check(now).is_ok());
            let digest = read.digest(&here, "POST", target, b"{}");
            let by = chain::contract_signature::recover(digest, &read.signature);
            assert_eq!(by.unwrap(), signer.address());
        }
        let other = Stamp::new(now).unwrap();
        assert_ne!(other.nonce, stamp.nonce);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = TypedRequest::parse(&text);
        }
    }
}
