//! did:vexel: the DIDs of the VEXEL system, `did:vexel:<address>` or `did:vexel:<any name>`.
//!
//! VEXEL wrote documents for them and never resolved one. Here such a DID resolves to what the
//! registry knows of the agent; an id that is an address also names the owner when nothing better
//! does.

use kernel::Address;

use crate::{AgentFacts, Did, Error, Resolution, agent, methods::pkh};

/// The method's name.
pub const NAME: &str = "vexel";

/// The address that a did:vexel is made of, if it is made of one. A wrong EIP-55 checksum makes it
/// a name like any other.
pub fn parse(did: &Did) -> Result<Option<Address>, Error> {
    Ok(pkh::parse_address(did.id_of(NAME)?).ok())
}

/// The document of an agent that has this DID.
pub fn resolve(did: &Did, facts: &AgentFacts) -> Result<Resolution, Error> {
    let address = parse(did)?;
    let facts = AgentFacts {
        owner: facts.owner.or(address),
        ..facts.clone()
    };
    Ok(agent::resolve(did, &facts, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_owner_of_last_resort() {
        let did =
            Did::parse("did:vexel:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed").expect("a DID");
        let facts = AgentFacts {
            chain: Some(1),
            ..AgentFacts::default()
        };
        let json = resolve(&did, &facts).expect("a document").to_json();
        assert_eq!(
            json["didDocument"]["controller"],
            "did:pkh:eip155:1:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
        );
        let name = Did::parse("did:vexel:agent1").expect("a DID");
        assert_eq!(parse(&name), Ok(None));
        let json = resolve(&name, &facts).expect("a document").to_json();
        assert!(json["didDocument"].get("controller").is_none());
    }
}
