//! Addresses as people write them.

use alloy_primitives::Address;

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It has another form.
    #[error("an address is 0x and 40 hex digits")]
    Malformed,
    /// It is in mixed case, and its case is not that of EIP-55.
    #[error("its checksum (EIP-55) does not hold: there is a slip in it, or in its case")]
    Checksum,
}

/// An address that somebody wrote. Where it is in mixed case, its checksum must hold (EIP-55): whom a slip names, nobody
/// may be, and what he is given is lost.
pub fn written_address(text: &str) -> Result<Address, AddressError> {
    let address = text.parse().map_err(|_| AddressError::Malformed)?;
    let digits = text.trim_start_matches("0x");
    let is_mixed = digits.contains(|c: char| c.is_ascii_uppercase())
        && digits.contains(|c: char| c.is_ascii_lowercase());
    if is_mixed && Address::parse_checksummed(text, None).is_err() {
        return Err(AddressError::Checksum);
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first address is of EIP-55's own test cases.
    #[test]
    fn mixed_case_is_that_of_eip_55() {
        let right = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        for (text, expected) in [
            (right.to_owned(), None),
            (right.to_lowercase(), None),
            (right.to_uppercase().replace("0X", "0x"), None),
            (right.replace("aA", "Aa"), Some(AddressError::Checksum)),
            (right.replace("Ae", "Ad"), Some(AddressError::Checksum)),
            (right[..41].to_owned(), Some(AddressError::Malformed)),
            ("vitalik.eth".to_owned(), Some(AddressError::Malformed)),
        ] {
            assert_eq!(written_address(&text).err(), expected, "{text}");
        }
    }
}
