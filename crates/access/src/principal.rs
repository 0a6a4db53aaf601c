//! How a principal stands in a column: `operator`, an address in lower case, or the id of a key.

use kernel::Principal;

/// The column's text; nobody has none.
pub fn text(principal: &Principal) -> Option<String> {
    match principal {
        Principal::Operator => Some("operator".to_owned()),
        Principal::Account(address) => Some(format!("{address:#x}")),
        Principal::Key(id) => Some(id.clone()),
        Principal::Anonymous => None,
    }
}

/// Reads it back.
pub fn parse(text: &str) -> Principal {
    if text == "operator" {
        return Principal::Operator;
    }
    text.parse()
        .map_or_else(|_| Principal::Key(text.to_owned()), Principal::Account)
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
            Principal::Key("did:key:z6MkhaXg".to_owned()),
        ] {
            let text = text(&principal).unwrap();
            assert_eq!(text, text.replace('E', "e"), "an address is lower case");
            assert_eq!(parse(&text), principal);
        }
        assert_eq!(text(&Principal::Anonymous), None);
    }
}
