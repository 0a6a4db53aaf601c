//! did:nft: the DID of a registered token,
//! `did:nft:eip155:<chain>_erc721:<registry>_<agentId>`.
//!
//! The syntax is that of CIP-94, a draft of the Ceramic project: a CAIP-19 asset id with its
//! slashes and the chain's colons kept apart by underscores. The draft says what the DID of an NFT
//! is controlled by; what else resolving one means is not written down anywhere, so this is **our**
//! meaning, for tokens of the ERC-8004 identity registries that this instance follows:
//!
//! - `id` is the DID as it was asked for. Hex case of the registry does not matter; the one form to
//!   store, in lower case, is `canonicalId` of the metadata.
//! - `controller` is the did:pkh of the token's owner at the block of `versionId`.
//! - `#owner` is the owner's account, `#agentWallet` the account that the contract keeps as the
//!   agent's wallet, where one is set and it is another one. Both may log in (`authentication`) and
//!   sign (`assertionMethod`). A transfer of the token changes both: the contract resets the wallet.
//! - `service` has what the agent's registration file offers, in its order, under `#service-1`, …;
//!   `type` is the service's name in the file (`A2A`, `MCP`, `web`). An endpoint that is no URI
//!   stands in a map under `value`.
//! - `alsoKnownAs` has the agent's other names that are URIs (a did:key, an `eip155:` name).
//! - `created` and `updated` are the block times of registration and of the last change,
//!   `versionId` the block of that change.
//! - A burned token is deactivated: no document, and the metadata says so. A token that was never
//!   minted is not found.

use kernel::Token;

use crate::{AgentFacts, Code, Did, Error, Resolution, agent};

/// The method's name.
pub const NAME: &str = "nft";

/// The token that a did:nft names.
pub fn parse(did: &Did) -> Result<Token, Error> {
    did.id_of(NAME)?;
    Token::from_did(did.as_str()).map_err(|_| {
        let detail = "a did:nft is `did:nft:eip155:<chain>_erc721:<registry>_<token id>`";
        Error::new(Code::InvalidDid, detail)
    })
}

/// The document of a registered token, from the facts that the registry has of it. The chain of
/// the facts is that of the DID, whatever they say.
pub fn resolve(did: &Did, facts: &AgentFacts) -> Result<Resolution, Error> {
    let token = parse(did)?;
    let facts = AgentFacts {
        chain: Some(token.chain),
        ..facts.clone()
    };
    Ok(agent::resolve(did, &facts, Some(token.did())))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::AgentService;

    const DID: &str = "did:nft:eip155:1_erc721:0x8004A169FB4a3325136EB29fA0ceB6D2e539a432_22";
    const OWNER: &str = "0xF3bFA3923490FBee92FE87D7269bF2A3b196B280";
    const WALLET: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

    fn facts() -> AgentFacts {
        AgentFacts {
            owner: OWNER.parse().ok(),
            wallet: WALLET.parse().ok(),
            services: vec![AgentService {
                name: "MCP".to_owned(),
                endpoint: "https://a.example/mcp".to_owned(),
                version: Some("2025-06-18".to_owned()),
            }],
            also_known_as: vec![
                "eip155:1:0x8004a169fb4a3325136eb29fa0ceb6d2e539a432/22".to_owned(),
                "no uri".to_owned(),
                DID.to_owned(),
            ],
            created: DateTime::from_timestamp(1_769_700_000, 0),
            block: Some(24_339_925),
            ..AgentFacts::default()
        }
    }

    #[test]
    fn the_document_says_owner_wallet_and_services() {
        let resolution = resolve(&Did::parse(DID).expect("a DID"), &facts()).expect("a document");
        let json = resolution.to_json();
        let (owner, wallet) = (format!("{DID}#owner"), format!("{DID}#agentWallet"));
        assert_eq!(
            json["didDocument"],
            json!({
                "@context": [
                    "https://www.w3.org/ns/did/v1.1",
                    "https://w3id.org/security/suites/secp256k1recovery-2020/v2",
                ],
                "id": DID,
                "controller": format!("did:pkh:eip155:1:{OWNER}"),
                "alsoKnownAs": ["eip155:1:0x8004a169fb4a3325136eb29fa0ceb6d2e539a432/22"],
                "verificationMethod": [
                    {
                        "id": owner,
                        "type": "EcdsaSecp256k1RecoveryMethod2020",
                        "controller": DID,
                        "blockchainAccountId": format!("eip155:1:{OWNER}"),
                    },
                    {
                        "id": wallet,
                        "type": "EcdsaSecp256k1RecoveryMethod2020",
                        "controller": DID,
                        "blockchainAccountId": format!("eip155:1:{WALLET}"),
                    },
                ],
                "authentication": [owner, wallet],
                "assertionMethod": [owner, wallet],
                "service": [{
                    "id": format!("{DID}#service-1"),
                    "type": "MCP",
                    "serviceEndpoint": "https://a.example/mcp",
                    "version": "2025-06-18",
                }],
            })
        );
        assert_eq!(
            json["didDocumentMetadata"],
            json!({
                "created": "2026-01-29T15:20:00Z",
                "versionId": "24339925",
                "canonicalId": DID.replace("0x8004A169FB4a3325136EB29fA0ceB6D2e539a432", "0x8004a169fb4a3325136eb29fa0ceb6d2e539a432"),
            })
        );
    }

    #[test]
    fn a_burned_token_has_no_document() {
        let facts = AgentFacts {
            deactivated: true,
            ..facts()
        };
        let json = resolve(&Did::parse(DID).expect("a DID"), &facts)
            .expect("a result")
            .to_json();
        assert_eq!(json["didDocument"], Value::Null);
        assert_eq!(json["didDocumentMetadata"]["deactivated"], true);
    }

    #[test]
    fn what_names_no_token_is_refused() {
        for wrong in [
            "did:nft:eip155:1_erc1155:0x8004A169FB4a3325136EB29fA0ceB6D2e539a432_22",
            "did:nft:eip155:1_erc721:0x8004_22",
            "did:nft:x",
            "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
        ] {
            let refused = parse(&Did::parse(wrong).expect("a DID")).map_err(|error| error.code);
            assert_eq!(refused, Err(Code::InvalidDid), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn hostile_facts_never_panic(name in "\\PC{0,20}", endpoint in "\\PC{0,40}", chain in any::<u64>()) {
            let facts = AgentFacts {
                chain: Some(chain),
                services: vec![AgentService { name: name.clone(), endpoint, version: None }],
                also_known_as: vec![name],
                ..facts()
            };
            prop_assert!(resolve(&Did::parse(DID).expect("a DID"), &facts).is_ok());
        }
    }
}
