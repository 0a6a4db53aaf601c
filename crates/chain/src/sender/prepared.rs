//! Transactions for keys that somebody else holds: prepared here, signed there, relayed here.

use alloy::{
    consensus::{
        SignableTransaction, Transaction, TxEip1559, TxEnvelope, transaction::SignerRecoverable,
    },
    eips::{Decodable2718, Encodable2718, eip2930::AccessList},
    primitives::TxKind,
    signers::{SignerSync, local::PrivateKeySigner},
};
use kernel::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};

use super::SendError;
use crate::{
    quantity,
    rpc::{At, Call, Fees, Rpc},
};

/// A transaction (EIP-1559) that lacks only its signature.
///
/// Its JSON is that of a transaction in JSON-RPC: `from`, `to`, `data` and, as `0x`-hex numbers,
/// `chainId`, `nonce`, `gas`, `maxFeePerGas`, `maxPriorityFeePerGas`, `value`; so a wallet takes
/// it as it is (`eth_sendTransaction`, EIP-1193). Read back, numbers may also be plain or decimal
/// texts. Without `to` it creates a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prepared {
    /// EIP-155 chain id.
    #[serde(with = "quantity")]
    pub chain_id: u64,
    /// Who must sign.
    pub from: Address,
    /// The account's next nonce.
    #[serde(with = "quantity")]
    pub nonce: u64,
    /// Whom it calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Address>,
    /// What it says.
    pub data: Bytes,
    /// The most gas that it may use.
    #[serde(with = "quantity")]
    pub gas: u64,
    /// Wei per gas, the most in all.
    #[serde(with = "quantity")]
    pub max_fee_per_gas: u128,
    /// Wei per gas, the most for the block's builder.
    #[serde(with = "quantity")]
    pub max_priority_fee_per_gas: u128,
    /// Wei.
    #[serde(with = "quantity")]
    pub value: U256,
}

/// A transaction that was handed to the node for somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relayed {
    /// Its hash.
    pub hash: B256,
    /// Who signed it.
    pub from: Address,
    /// Whom it calls.
    pub to: Option<Address>,
    /// Its nonce.
    pub nonce: u64,
}

/// Fills in everything but the signature. `gas_margin` percent are added to the estimate. A call
/// that would revert now is an error with the contract's reason.
pub async fn prepare(
    rpc: &Rpc,
    from: Address,
    call: &Call,
    gas_margin: u32,
) -> Result<Prepared, SendError> {
    let call = Call {
        from: Some(from),
        ..call.clone()
    };
    let estimate = rpc
        .estimate_gas(&call)
        .await
        .map_err(|error| SendError::of_pool(error, 0))?;
    let fees = rpc.fees().await?;
    let nonce = rpc.nonce(from, At::Pending).await?;
    Ok(Prepared {
        chain_id: rpc.chain(),
        from,
        nonce,
        to: call.to,
        data: call.data,
        gas: estimate.saturating_add(estimate / 100 * u64::from(gas_margin)),
        max_fee_per_gas: fees.max_fee,
        max_priority_fee_per_gas: fees.max_priority_fee,
        value: call.value,
    })
}

/// Hands a transaction that somebody signed to the node. It must be for the node's chain; one that
/// the node has already is relayed.
pub async fn relay(rpc: &Rpc, raw: &[u8]) -> Result<Relayed, SendError> {
    let transaction = TxEnvelope::decode_2718_exact(raw)?;
    if transaction.chain_id() != Some(rpc.chain()) {
        let transaction = transaction.chain_id();
        return Err(SendError::WrongChain {
            transaction,
            node: rpc.chain(),
        });
    }
    let relayed = Relayed {
        hash: *transaction.tx_hash(),
        from: transaction
            .recover_signer()
            .map_err(|_| SendError::Signature)?,
        to: transaction.to(),
        nonce: transaction.nonce(),
    };
    match rpc.send_raw(raw).await {
        Ok(_) => Ok(relayed),
        Err(error) => match SendError::of_pool(error, relayed.nonce) {
            SendError::AlreadyKnown => Ok(relayed),
            error => Err(error),
        },
    }
}

impl Prepared {
    /// Signs with `signer`, who must be [`Prepared::from`]: its hash, and the bytes for [`relay`].
    pub fn sign(&self, signer: &PrivateKeySigner) -> Result<(B256, Bytes), SendError> {
        if signer.address() != self.from {
            return Err(SendError::WrongSigner {
                signer: signer.address(),
                from: self.from,
            });
        }
        let transaction = TxEip1559 {
            chain_id: self.chain_id,
            nonce: self.nonce,
            gas_limit: self.gas,
            max_fee_per_gas: self.max_fee_per_gas,
            max_priority_fee_per_gas: self.max_priority_fee_per_gas,
            to: self.to.map_or(TxKind::Create, TxKind::Call),
            value: self.value,
            access_list: AccessList::default(),
            input: self.data.clone(),
        };
        let signature = signer
            .sign_hash_sync(&transaction.signature_hash())
            .map_err(|_| SendError::Signature)?;
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        Ok((*envelope.tx_hash(), envelope.encoded_2718().into()))
    }

    /// What it pays per gas.
    pub fn fees(&self) -> Fees {
        Fees {
            max_fee: self.max_fee_per_gas,
            max_priority_fee: self.max_priority_fee_per_gas,
        }
    }

    pub(super) fn set_fees(&mut self, fees: Fees) {
        self.max_fee_per_gas = fees.max_fee;
        self.max_priority_fee_per_gas = fees.max_priority_fee;
    }

    /// The call alone.
    pub(super) fn call(&self) -> Call {
        Call {
            from: Some(self.from),
            to: self.to,
            data: self.data.clone(),
            value: self.value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared() -> Prepared {
        Prepared {
            chain_id: 31_337,
            from: PrivateKeySigner::from_slice(&[7; 32])
                .expect("a key")
                .address(),
            nonce: 3,
            to: Some(Address::repeat_byte(1)),
            data: Bytes::from_static(&[1, 2]),
            gas: 21_000,
            max_fee_per_gas: 10,
            max_priority_fee_per_gas: 1,
            value: U256::ZERO,
        }
    }

    #[test]
    fn its_json_is_what_a_wallet_takes() {
        let json = serde_json::to_value(prepared()).expect("json");
        assert_eq!(json["chainId"], "0x7a69");
        assert_eq!(json["maxFeePerGas"], "0xa");
        assert_eq!(json["value"], "0x0");
        assert_eq!(
            serde_json::from_value::<Prepared>(json).expect("read"),
            prepared()
        );
        let mut decimal = serde_json::to_value(prepared()).expect("json");
        decimal["chainId"] = 31_337.into();
        decimal["nonce"] = "3".into();
        assert_eq!(
            serde_json::from_value::<Prepared>(decimal).expect("read"),
            prepared()
        );
    }

    #[test]
    fn only_the_named_account_signs() {
        let signer = PrivateKeySigner::from_slice(&[7; 32]).expect("a key");
        let (hash, raw) = prepared().sign(&signer).expect("signed");
        let back = TxEnvelope::decode_2718_exact(&raw).expect("a transaction");
        assert_eq!(*back.tx_hash(), hash);
        assert_eq!(back.recover_signer().expect("a signer"), signer.address());
        let stranger = PrivateKeySigner::from_slice(&[8; 32]).expect("a key");
        let refused = prepared().sign(&stranger);
        assert!(matches!(refused, Err(SendError::WrongSigner { .. })));
    }
}
