//! Calldata that no product code needs, by the function's signature.

use kernel::{Address, Bytes, U256, keccak256};

/// An argument.
#[derive(Clone, Copy)]
pub enum Arg<'a> {
    /// `uint256`, or any other word.
    Number(U256),
    /// `address`.
    Account(Address),
    /// `bool`.
    Flag(bool),
    /// `string`.
    Text(&'a str),
}

/// Calldata of `signature`, such as `approve(address,uint256)`.
pub fn call(signature: &str, arguments: &[Arg<'_>]) -> Bytes {
    let mut data = keccak256(signature.as_bytes())[..4].to_vec();
    let mut tail = Vec::new();
    for argument in arguments {
        let word = match argument {
            Arg::Number(number) => *number,
            Arg::Account(address) => U256::from_be_bytes(address.into_word().0),
            Arg::Flag(flag) => U256::from(u8::from(*flag)),
            Arg::Text(text) => {
                let at = U256::from(arguments.len() * 32 + tail.len());
                tail.extend(U256::from(text.len()).to_be_bytes::<32>());
                tail.extend_from_slice(text.as_bytes());
                tail.resize(tail.len().next_multiple_of(32), 0);
                at
            }
        };
        data.extend(word.to_be_bytes::<32>());
    }
    data.extend(tail);
    data.into()
}

/// `approve`: whom the token's owner lets act for it.
pub fn approve(to: Address, id: U256) -> Bytes {
    call(
        "approve(address,uint256)",
        &[Arg::Account(to), Arg::Number(id)],
    )
}

/// `setApprovalForAll`: whom an owner lets act for all tokens.
pub fn operator(operator: Address, approved: bool) -> Bytes {
    let arguments = [Arg::Account(operator), Arg::Flag(approved)];
    call("setApprovalForAll(address,bool)", &arguments)
}
