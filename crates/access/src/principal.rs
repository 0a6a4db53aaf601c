//! How a principal stands in a column: `operator`, an address in lower case (of a contract CAIP-10's, which names its
//! chain), or the id of a key.

use kernel::{Address, Principal};

/// The operator's text.
pub const OPERATOR: &str = "operator";

/// The column's text; nobody has none.
pub fn text(principal: &Principal) -> Option<String> {
    match principal {
        Principal::Operator => Some(OPERATOR.to_owned()),
        Principal::Account(address) => Some(format!("{address:#x}")),
        Principal::Contract { chain, address } => Some(format!("eip155:{chain}:{address:#x}")),
        Principal::Key(id) => Some(id.clone()),
        Principal::Anonymous => None,
    }
}

/// Reads it back.
pub fn parse(text: &str) -> Principal {
    if text == OPERATOR {
        return Principal::Operator;
    }
    if let Some((chain, address)) = contract(text) {
        return Principal::Contract { chain, address };
    }
    text.parse()
        .map_or_else(|_| Principal::Key(text.to_owned()), Principal::Account)
}

fn contract(text: &str) -> Option<(u64, Address)> {
    let (chain, address) = text.strip_prefix("eip155:")?.split_once(':')?;
    Some((chain.parse().ok()?, address.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_but_nobody_is_read_back() {
        let account = "0x52908400098527886E0F7030069857D2E4169EE7";
        for principal in [
            Principal::Operator,
            Principal::Account(account.parse().unwrap()),
            Principal::Contract {
                chain: 1,
                address: account.parse().unwrap(),
            },
            Principal::Key("did:key:z6MkhaXg".to_owned()),
        ] {
            let text = text(&principal).unwrap();
            assert_eq!(text, text.replace('E', "e"), "an address is lower case");
            assert_eq!(parse(&text), principal);
        }
        assert_eq!(text(&Principal::Anonymous), None);
    }
}
