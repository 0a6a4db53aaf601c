//! Short names of the rules by which events become values, for whoever has to find out which one is
//! wrong where a value is not the contract's.

use super::said::Said;
use crate::{contracts::topics, log::Log};

/// The rule that made `log` say this; `None` where it sets no value that the contract keeps.
pub fn rule(said: &Said, log: &Log) -> Option<&'static str> {
    let by = |topic| log.topic0() == Some(topic);
    Some(match said {
        Said::Founded { .. } if by(topics::TRANSFER) => "owner = receiver of the mint",
        Said::Founded { .. } => "owner = Registered's, without a Transfer",
        Said::OwnerMoved { .. } => "owner = last Transfer",
        Said::Burned { .. } => "no owner after a Transfer to nobody",
        Said::WalletSet {
            wallet: Some(_), ..
        } if by(topics::TRANSFER) => "wallet = receiver of the mint",
        Said::WalletSet {
            wallet: Some(_), ..
        } => "wallet = last MetadataSet(agentWallet) that follows no Registered",
        Said::WalletSet { wallet: None, .. } if by(topics::TRANSFER) => {
            "wallet cleared by Transfer, without MetadataSet"
        }
        Said::WalletSet { wallet: None, .. } => {
            "wallet cleared by an empty MetadataSet(agentWallet)"
        }
        Said::UriSet { .. } if by(topics::URI_UPDATED) => "URI = last URIUpdated",
        Said::UriSet {
            confirmed: true, ..
        } => "URI = Registered's, directly after MetadataUpdate",
        Said::UriSet { .. } => "URI = Registered's, without MetadataUpdate",
        Said::MetadataSet { .. } => "metadata = last MetadataSet of its key",
        Said::StatusSet { .. } | Said::Heartbeat | Said::Approved { .. } | Said::Noted => {
            return None;
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kernel::{Address, B256, Bytes};

    use super::*;

    fn log(topic0: B256) -> Log {
        Log {
            chain: 1,
            block_number: 1,
            block_hash: B256::ZERO,
            block_time: None,
            tx_hash: B256::ZERO,
            tx_index: 0,
            log_index: 0,
            address: Address::ZERO,
            topics: vec![topic0],
            data: Bytes::new(),
        }
    }

    #[test]
    fn each_way_to_a_value_has_a_name_of_its_own() {
        let (owner, from) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let (confirmed, uri) = (true, Bytes::new());
        let wallet = |wallet| Said::WalletSet { wallet, confirmed };
        let ways = [
            (Said::Founded { owner, confirmed }, topics::TRANSFER),
            (Said::Founded { owner, confirmed }, topics::REGISTERED),
            (Said::OwnerMoved { from, to: owner }, topics::TRANSFER),
            (Said::Burned { from }, topics::TRANSFER),
            (wallet(Some(owner)), topics::TRANSFER),
            (wallet(Some(owner)), topics::METADATA_SET),
            (wallet(None), topics::TRANSFER),
            (wallet(None), topics::METADATA_SET),
            (
                Said::UriSet {
                    uri: uri.clone(),
                    confirmed,
                },
                topics::URI_UPDATED,
            ),
            (
                Said::UriSet {
                    uri: uri.clone(),
                    confirmed,
                },
                topics::REGISTERED,
            ),
            (
                Said::UriSet {
                    uri: uri.clone(),
                    confirmed: false,
                },
                topics::REGISTERED,
            ),
            (
                Said::MetadataSet {
                    key: uri.clone(),
                    value: uri,
                },
                topics::METADATA_SET,
            ),
        ];
        let names: BTreeSet<_> = ways
            .iter()
            .map(|(said, topic)| rule(said, &log(*topic)).expect("a rule"))
            .collect();
        assert_eq!(names.len(), ways.len());
        assert_eq!(rule(&Said::Noted, &log(topics::REGISTERED)), None);
    }
}
