//! did:pkh (w3c-ccg/did-pkh) for Ethereum accounts: `did:pkh:eip155:<chain>:<address>`.
//!
//! The document is computed: one account that may log in and sign. An address may be written in
//! lower case, in upper case, or with its EIP-55 checksum; a checksum that is wrong makes the DID
//! invalid. Other CAIP-2 namespaces (Solana, Bitcoin, …) are a feature that we do not have.

use kernel::Address;

use crate::{
    Code, Did, Document, DocumentMetadata, Error, Material, Relationship, Resolution,
    VerificationMethod,
};

/// The method's name.
pub const NAME: &str = "pkh";

/// The DID of an account, its address with the EIP-55 checksum.
pub fn did(chain: u64, address: Address) -> String {
    format!("did:pkh:{}", account_id(chain, address))
}

/// The CAIP-10 id of an account, its address with the EIP-55 checksum.
pub fn account_id(chain: u64, address: Address) -> String {
    format!("eip155:{chain}:{}", address.to_checksum(None))
}

/// Chain and address of a did:pkh.
pub fn parse(did: &Did) -> Result<(u64, Address), Error> {
    let id = did.id_of(NAME)?;
    let wrong = |detail: &str| Error::new(Code::InvalidDid, detail);
    let Some((namespace, account)) = id.split_once(':') else {
        return Err(wrong(
            "a did:pkh is `did:pkh:<namespace>:<chain>:<account>`",
        ));
    };
    if namespace != "eip155" {
        let detail = format!("did:pkh is supported for eip155, not for `{namespace}`");
        return Err(Error::new(Code::FeatureNotSupported, detail));
    }
    let (chain, address) = account.split_once(':').unwrap_or((account, ""));
    let chain = parse_chain(chain).ok_or_else(|| wrong("the chain is no EIP-155 chain id"))?;
    Ok((chain, parse_address(address)?))
}

/// The document of a did:pkh.
pub fn resolve(did: &Did) -> Result<Resolution, Error> {
    let (chain, address) = parse(did)?;
    let mut document = Document::new(did.as_str());
    add_account(&mut document, "blockchainAccountId", chain, address);
    Ok(Resolution::of(document, DocumentMetadata::default()))
}

/// Adds an account under `#<name>` that may log in and sign for the document's subject.
pub(crate) fn add_account(document: &mut Document, name: &str, chain: u64, address: Address) {
    let material = Material::EcdsaSecp256k1RecoveryMethod2020(account_id(chain, address));
    if let Some(context) = material.context() {
        document.add_context(context);
    }
    let id = format!("{}#{name}", document.id);
    document
        .authentication
        .push(Relationship::Reference(id.clone()));
    document
        .assertion_method
        .push(Relationship::Reference(id.clone()));
    let controller = document.id.clone();
    document.verification_method.push(VerificationMethod {
        id,
        controller,
        material,
    });
}

/// An EIP-155 chain id in its one decimal form.
fn parse_chain(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    canonical.then(|| text.parse().ok())?
}

/// `0x` and 40 hex digits of one case, or of both with the checksum of EIP-55.
pub(crate) fn parse_address(text: &str) -> Result<Address, Error> {
    let wrong = |detail: &str| Err(Error::new(Code::InvalidDid, detail));
    let digits = text.strip_prefix("0x").unwrap_or_default();
    if digits.len() != 40 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return wrong("an address is 0x and 40 hex digits");
    }
    let Ok(address) = digits.to_ascii_lowercase().parse::<Address>() else {
        return wrong("an address is 0x and 40 hex digits");
    };
    let has_upper = digits.bytes().any(|byte| byte.is_ascii_uppercase());
    let has_lower = digits.bytes().any(|byte| byte.is_ascii_lowercase());
    if has_upper && has_lower && address.to_checksum(None) != text {
        return wrong("the address has a wrong EIP-55 checksum");
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A vector of EIP-55.
    const ADDRESS: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

    fn code(did: &str) -> Option<Code> {
        resolve(&Did::parse(did).expect("a DID"))
            .err()
            .map(|error| error.code)
    }

    #[test]
    fn the_document_names_the_account() {
        let text = format!("did:pkh:eip155:1:{}", ADDRESS.to_lowercase());
        let resolution = resolve(&Did::parse(&text).expect("a DID")).expect("a document");
        let id = format!("{text}#blockchainAccountId");
        assert_eq!(
            resolution.to_json()["didDocument"],
            json!({
                "@context": [
                    "https://www.w3.org/ns/did/v1.1",
                    "https://w3id.org/security/suites/secp256k1recovery-2020/v2",
                ],
                "id": text,
                "verificationMethod": [{
                    "id": id,
                    "type": "EcdsaSecp256k1RecoveryMethod2020",
                    "controller": text,
                    "blockchainAccountId": format!("eip155:1:{ADDRESS}"),
                }],
                "authentication": [id],
                "assertionMethod": [id],
            })
        );
    }

    #[test]
    fn one_address_has_three_spellings() {
        for spelling in [
            ADDRESS.to_owned(),
            ADDRESS.to_lowercase(),
            format!("0x{}", ADDRESS[2..].to_uppercase()),
        ] {
            let did = Did::parse(&format!("did:pkh:eip155:8453:{spelling}")).expect("a DID");
            let (chain, address) = parse(&did).expect("an account");
            assert_eq!(
                super::did(chain, address),
                format!("did:pkh:eip155:8453:{ADDRESS}")
            );
        }
    }

    #[test]
    fn what_is_no_account_is_refused() {
        let wrong_checksum = ADDRESS.replace("0x5a", "0x5A");
        for wrong in [
            format!("did:pkh:eip155:1:{wrong_checksum}"),
            format!("did:pkh:eip155:01:{ADDRESS}"),
            format!("did:pkh:eip155:0:{ADDRESS}"),
            format!("did:pkh:eip155::{ADDRESS}"),
            format!("did:pkh:eip155:99999999999999999999:{ADDRESS}"),
            format!("did:pkh:eip155:1:{ADDRESS}:x"),
            format!("did:pkh:eip155:1:{}", &ADDRESS[2..]),
            format!("did:pkh:eip155:{ADDRESS}"),
            "did:pkh:eip155".to_owned(),
            format!("did:ethr:{ADDRESS}"),
        ] {
            assert_eq!(code(&wrong), Some(Code::InvalidDid), "{wrong}");
        }
        assert_eq!(
            code(
                "did:pkh:bip122:000000000019d6689c085ae165831e93:128Lkh3S7CkDTBZ8W7BbpsN3YYizJMp8p6"
            ),
            Some(Code::FeatureNotSupported)
        );
    }

    proptest! {
        #[test]
        fn hostile_ids_never_panic(id in "(eip155:)?[0-9:]{0,8}(0x)?[0-9a-fA-F]{0,44}(%20)?") {
            if let Ok(did) = Did::parse(&format!("did:pkh:{id}")) {
                let _ = resolve(&did);
            }
        }
    }
}
