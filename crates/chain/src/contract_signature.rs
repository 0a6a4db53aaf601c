//! Whether an Ethereum account signed a hash: by its key, by what its contract says (ERC-1271), or
//! by what the contract will say once it is deployed (ERC-6492).
//!
//! A key's signature is right for ever. What a contract says may be another thing tomorrow, so the
//! block at which it said so is part of the answer. Contracts are strangers: they get so much gas
//! and so long, and whatever they do but say yes is a no.

use std::{future::Future, time::Duration};

use alloy::{
    primitives::Signature,
    sol_types::{SolCall, SolConstructor, SolValue},
};
use kernel::{Address, B256, Bytes, Kind};

use crate::{
    contracts::{PredeployCheck, SignatureWallet::isValidSignatureCall},
    deploy,
    rpc::{At, Call, Rpc, RpcError},
};

/// No signature is longer: a wallet of many keys, together with the call that deploys it, fits.
pub const MOST_BYTES: usize = 16 * 1024;

/// A contract may use so much gas to answer, its deployment included.
const GAS: u64 = 5_000_000;

/// The node and the contract have so long for all questions together.
const WITHIN: Duration = Duration::from_secs(5);

/// The last word of an ERC-6492 signature.
const PREDEPLOY_MARK: [u8; 2] = [0x64, 0x92];

/// How a signature was found to be an account's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// The account's key made it.
    ByKey,
    /// The account is a contract, which said so at this block (ERC-1271).
    ByContract {
        /// The block's height.
        block: u64,
        /// Its hash.
        hash: B256,
    },
    /// The account will be a contract, which said so when it was deployed on this block's state
    /// in a trial (ERC-6492).
    BeforeDeployment {
        /// The block's height.
        block: u64,
        /// Its hash.
        hash: B256,
    },
}

/// A signature that proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// No signature has this form.
    #[error("no signature of a wallet: {0}")]
    Malformed(&'static str),
    /// Somebody else made it, or for something else.
    #[error("the signature is not {account}'s for this")]
    NotBy {
        /// Who was said to have signed.
        account: Address,
    },
    /// It is no signature of the account's key, and there is no node to ask whether the account is
    /// a contract.
    #[error(
        "the signature is not by {account}'s key, and no node of its chain is configured here that could ask a contract wallet"
    )]
    NobodyToAsk {
        /// Who was said to have signed.
        account: Address,
    },
    /// The node could not be asked.
    #[error("the wallet's chain could not be asked")]
    Unanswered(#[source] RpcError),
}

impl SignatureError {
    /// The class of the failure.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Malformed(_) => Kind::Invalid,
            Self::NotBy { .. } | Self::NobodyToAsk { .. } => Kind::Denied,
            Self::Unanswered(_) => Kind::Unavailable,
        }
    }
}

/// Whose key made a signature of 65 bytes: r, s, and v, which is 27 or 28, or 0 or 1 as some
/// hardware wallets write it. `s` must be the lower of its two values (EIP-2), so that a signature
/// has one form.
pub fn recover(digest: B256, signature: &[u8]) -> Result<Address, SignatureError> {
    let bytes: &[u8; 65] = signature
        .try_into()
        .map_err(|_| SignatureError::Malformed("a key's signature has 65 bytes"))?;
    let odd = match bytes[64] {
        0 | 27 => false,
        1 | 28 => true,
        _ => return Err(SignatureError::Malformed("v is neither 27 nor 28")),
    };
    let signature = Signature::from_bytes_and_parity(&bytes[..64], odd);
    if signature.normalize_s().is_some() {
        return Err(SignatureError::Malformed(
            "s is the higher of its two values",
        ));
    }
    signature
        .recover_address_from_prehash(&digest)
        .map_err(|_| SignatureError::Malformed("no key makes such a signature"))
}

/// Whether `account` signed `digest`. Its key is tried first, which needs no node; then the
/// contract at the newest block of `rpc`'s chain. `None`: no node of the account's chain is
/// configured, and only keys can be verified.
pub async fn verify(
    rpc: Option<&Rpc>,
    account: Address,
    digest: B256,
    signature: &[u8],
) -> Result<Checked, SignatureError> {
    if signature.len() > MOST_BYTES {
        return Err(SignatureError::Malformed("it has more than 16384 bytes"));
    }
    let recovered = recover(digest, signature);
    if matches!(&recovered, Ok(signer) if *signer == account) {
        return Ok(Checked::ByKey);
    }
    let Some(rpc) = rpc else {
        // What is wrong with a key's signature says more than that nobody could be asked.
        if signature.len() == 65 {
            recovered?;
        }
        return Err(SignatureError::NobodyToAsk { account });
    };
    let checked = in_time(ask(rpc, account, digest, signature)).await?;
    match (checked, recovered) {
        (Some(checked), _) => Ok(checked),
        (None, Err(error)) if signature.len() == 65 => Err(error),
        (None, _) => Err(SignatureError::NotBy { account }),
    }
}

/// What the contract says; `None`: no, or there is none.
async fn ask(
    rpc: &Rpc,
    account: Address,
    digest: B256,
    signature: &[u8],
) -> Result<Option<Checked>, RpcError> {
    let head = rpc.block(At::Latest).await?;
    let head = head.ok_or_else(|| RpcError::unexpected("the node has no newest block"))?;
    let (block, hash) = (head.number, head.hash);
    let at = At::Hash(hash);
    let predeploy = Predeploy::parse(signature);
    let deployed = !rpc.code(account, at).await?.is_empty();
    let answer = match (&predeploy, deployed) {
        (Some(predeploy), false) => {
            let said = predeploy.ask(rpc, account, digest, at).await?;
            said.then_some(Checked::BeforeDeployment { block, hash })
        }
        (predeploy, true) => {
            // Once it is deployed it is asked as it is. ERC-6492 would let the signature bring a
            // call that prepares the wallet; but then whoever sends it chooses the wallet's state.
            let signature = predeploy
                .as_ref()
                .map_or(signature, |predeploy| &predeploy.signature);
            let said = said_yes(rpc, account, digest, signature, at).await?;
            said.then_some(Checked::ByContract { block, hash })
        }
        (None, false) => None,
    };
    Ok(answer)
}

/// `isValidSignature`: yes is one word, the function's own selector.
async fn said_yes(
    rpc: &Rpc,
    account: Address,
    digest: B256,
    signature: &[u8],
    at: At,
) -> Result<bool, RpcError> {
    let question = isValidSignatureCall {
        hash: digest,
        signature: Bytes::copy_from_slice(signature),
    };
    let call = Call::new(account, question.abi_encode().into());
    let answer = own_failure(rpc.call_within(&call, GAS, at).await)?;
    let yes = B256::right_padding_from(&isValidSignatureCall::SELECTOR);
    Ok(answer.is_some_and(|answer| answer.len() >= 32 && answer[..32] == yes[..]))
}

/// A signature of a wallet that may not be deployed yet (ERC-6492).
struct Predeploy {
    factory: Address,
    creation: Bytes,
    signature: Bytes,
}

impl Predeploy {
    fn parse(signature: &[u8]) -> Option<Self> {
        let (body, mark) = signature.split_at_checked(signature.len().checked_sub(32)?)?;
        if mark.chunks(2).any(|pair| pair != PREDEPLOY_MARK) {
            return None;
        }
        let (factory, creation, signature) =
            <(Address, Bytes, Bytes)>::abi_decode_params(body).ok()?;
        Some(Self {
            factory,
            creation,
            signature,
        })
    }

    /// Deploys the wallet and asks it, within one call that leaves nothing behind.
    async fn ask(
        &self,
        rpc: &Rpc,
        account: Address,
        digest: B256,
        at: At,
    ) -> Result<bool, RpcError> {
        let question = PredeployCheck::constructorCall {
            wallet: account,
            digest,
            factory: self.factory,
            creation: self.creation.clone(),
            signature: self.signature.clone(),
        };
        let code = deploy::predeploy_check()?;
        let call = Call {
            data: [code.as_ref(), &question.abi_encode()].concat().into(),
            ..Call::default()
        };
        let answer = own_failure(rpc.call_within(&call, GAS, at).await)?;
        Ok(answer.is_some_and(|answer| answer[..] == [1]))
    }
}

/// A contract that reverts or uses up its gas has not said yes; a node that does not answer has
/// said nothing.
fn own_failure(answer: Result<Bytes, RpcError>) -> Result<Option<Bytes>, RpcError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(RpcError::Revert { .. }) => Ok(None),
        Err(RpcError::Other { message, .. }) if is_of_execution(&message) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a node says of a call that its code failed, apart from reverting: nodes agree about neither
/// codes nor words.
fn is_of_execution(message: &str) -> bool {
    let lower = message.to_lowercase();
    [
        "out of gas",
        "outofgas",
        "gas uint64 overflow",
        "gas required exceeds",
        "evm error",
        "invalid opcode",
        "opcode",
        "invalid jump",
        "invalidjump",
        "stack underflow",
        "stackunderflow",
        "stack limit",
        "stack overflow",
        "write protection",
        "bad instruction",
    ]
    .iter()
    .any(|words| lower.contains(words))
}

async fn in_time<T>(
    answer: impl Future<Output = Result<T, RpcError>>,
) -> Result<T, SignatureError> {
    let answer = tokio::time::timeout(WITHIN, answer).await;
    let silent = || RpcError::Unavailable {
        message: "no answer in time".to_owned(),
    };
    answer
        .unwrap_or_else(|_| Err(silent()))
        .map_err(SignatureError::Unanswered)
}

#[cfg(test)]
mod tests {
    use kernel::U256;
    use serde_json::Value;

    use super::*;

    /// The order of secp256k1.
    const ORDER: &str = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

    fn vector() -> (B256, Address, Vec<u8>) {
        let text = include_str!("../../../tests/vectors/chain/typed-statement.json");
        let vector: Value = serde_json::from_str(text).expect("json");
        let text = |name: &str| vector[name].as_str().expect("text").to_owned();
        (
            text("digest").parse().expect("a hash"),
            text("signer").parse().expect("an address"),
            alloy::hex::decode(text("signature")).expect("hex"),
        )
    }

    fn why(signature: &[u8]) -> String {
        let (digest, ..) = vector();
        recover(digest, signature).expect_err("refused").to_string()
    }

    #[test]
    fn the_signer_of_viems_vector_is_recovered() {
        let (digest, signer, mut signature) = vector();
        assert_eq!(recover(digest, &signature).expect("recovered"), signer);
        signature[64] -= 27;
        assert_eq!(recover(digest, &signature).expect("recovered"), signer);
    }

    #[test]
    fn a_signature_has_one_form() {
        let (_, _, signature) = vector();
        let mut other = signature.clone();
        let order: U256 = ORDER.parse().expect("a number");
        let s = U256::from_be_slice(&signature[32..64]);
        other[32..64].copy_from_slice(&(order - s).to_be_bytes::<32>());
        other[64] = if signature[64] == 27 { 28 } else { 27 };
        assert!(why(&other).contains("higher"), "{}", why(&other));
        let mut other = signature.clone();
        other[64] = 29;
        assert!(why(&other).contains("27 nor 28"));
        other[64] = 35 + 2 * 8;
        assert!(why(&other).contains("27 nor 28"));
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        let (_, _, signature) = vector();
        assert!(why(&signature[..64]).contains("65 bytes"));
        assert!(why(&[&signature[..], &[0]].concat()).contains("65 bytes"));
        assert!(why(&[]).contains("65 bytes"));
        assert!(why(&[0; 65]).contains("no key"));
        assert!(why(&[[0xff; 32], [1; 32]].concat()).contains("65 bytes"));
    }

    #[tokio::test]
    async fn without_a_node_keys_alone_count() {
        let (digest, signer, signature) = vector();
        let checked = verify(None, signer, digest, &signature).await;
        assert_eq!(checked.expect("by key"), Checked::ByKey);
        let stranger = Address::repeat_byte(1);
        let error = verify(None, stranger, digest, &signature).await;
        assert!(matches!(
            error.expect_err("refused"),
            SignatureError::NobodyToAsk { account } if account == stranger
        ));
        let long = vec![0; MOST_BYTES + 1];
        let error = verify(None, signer, digest, &long)
            .await
            .expect_err("refused");
        assert_eq!(error.kind(), Kind::Invalid);
    }

    /// geth, anvil, Erigon, Nethermind.
    #[test]
    fn failures_of_code_are_told_from_failures_of_nodes() {
        for message in [
            "out of gas",
            "EVM error: OutOfGas",
            "invalid opcode: INVALID",
            "EVM error OpcodeNotFound",
            "invalid jump destination",
            "Bad instruction fe",
        ] {
            assert!(is_of_execution(message), "{message}");
        }
        for message in ["header not found", "method handler crashed", "unauthorized"] {
            assert!(!is_of_execution(message), "{message}");
        }
    }

    #[test]
    fn a_predeploy_signature_is_told_by_its_end() {
        let parts = (
            Address::repeat_byte(3),
            Bytes::from_static(b"create"),
            Bytes::from_static(b"signature"),
        );
        let body = parts.abi_encode_params();
        let mark = PREDEPLOY_MARK.repeat(16);
        let parsed = Predeploy::parse(&[body.clone(), mark.clone()].concat()).expect("parsed");
        assert_eq!(parsed.factory, parts.0);
        assert_eq!((parsed.creation, parsed.signature), (parts.1, parts.2));
        assert!(Predeploy::parse(&body).is_none(), "no mark");
        assert!(Predeploy::parse(&mark).is_none(), "nothing but the mark");
        assert!(Predeploy::parse(b"short").is_none());
    }
}
