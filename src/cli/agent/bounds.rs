//! What a transaction from here may do at most: whom it calls, and what it costs. Any instance may have prepared it.

use chain::{Prepared, preset};
use kernel::{Address, Kind, U256};

use crate::cli::{exit::Failure, show};

/// What is signed at most.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Bounds {
    /// The most that the transaction may cost, of the chain's coin; also in gwei, such as 500000gwei
    #[arg(long, value_name = "AMOUNT", value_parser = amount, default_value = "0.05")]
    max_fee: U256,
    /// The identity registry, where it is another one than all know on a chain
    #[arg(long, value_name = "ADDRESS", value_parser = kernel::written_address)]
    registry: Option<Address>,
}

/// Whom a transaction is to call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callee {
    /// The chain's identity registry; where an agent is named, the one that has its token.
    Registry(Option<Address>),
    /// Its `AgentStatus`. No chain has one that all know, and what is said to it means nothing to other contracts.
    Status,
}

impl Bounds {
    /// Refuses to sign what calls somebody else than was meant, or may cost more than was allowed. Where nobody knows
    /// the chain's registry and none was named, the instance's word counts.
    pub fn check(&self, callee: Callee, prepared: &Prepared) -> Result<(), Failure> {
        if let Callee::Registry(of_agent) = callee {
            let preset = preset::by_id(prepared.chain_id).map(|preset| preset.registry);
            let called = prepared.to.unwrap_or_default();
            let mut meant = [self.registry.or(preset), of_agent].into_iter().flatten();
            if let Some(meant) = meant.find(|meant| *meant != called) {
                let why = format!(
                    "the transaction calls {called}, and the registry of chain {} is {meant}: nothing was signed; \
                     where {called} is the one that you mean, say --registry {called}",
                    prepared.chain_id
                );
                return Err(Failure::Unverified(why));
            }
        }
        let most = prepared.fees().most(prepared.gas);
        if most > self.max_fee {
            let (most, allowed) = (show::coins(most), show::coins(self.max_fee));
            let why = format!(
                "the transaction may cost {most} of the chain's coin, and --max-fee allows {allowed}: nothing was \
                 signed; to pay as much, say --max-fee {most}"
            );
            return Err(Failure::Of(Kind::Conflict, why));
        }
        Ok(())
    }
}

/// Reads `0.05` or `500000gwei`: wei.
fn amount(text: &str) -> Result<U256, String> {
    let wrong = || {
        format!(
            "`{text}` is no amount: expected 0.05, of the chain's coin, or gwei such as 500000gwei"
        )
    };
    let (number, places) = match text.strip_suffix("gwei") {
        Some(number) => (number, 9),
        None => (text.strip_suffix("ether").unwrap_or(text), 18),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction:0<places$}");
    let is_number = !whole.is_empty()
        && fraction.len() <= places
        && digits.len() <= 60
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return Err(wrong());
    }
    U256::from_str_radix(&digits, 10).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use kernel::Bytes;

    use super::*;

    fn prepared(chain_id: u64, to: Address) -> Prepared {
        Prepared {
            chain_id,
            from: Address::repeat_byte(1),
            nonce: 0,
            to: Some(to),
            data: Bytes::new(),
            gas: 1_000_000,
            max_fee_per_gas: 20_000_000_000,
            max_priority_fee_per_gas: 1,
            value: U256::ZERO,
        }
    }

    fn bounds(max_fee: &str, registry: Option<Address>) -> Bounds {
        Bounds {
            max_fee: amount(max_fee).expect("an amount"),
            registry,
        }
    }

    #[test]
    fn amounts_are_of_the_coin_or_in_gwei() {
        for (text, wei) in [
            ("0.02", 20_000_000_000_000_000_u64),
            ("0.02ether", 20_000_000_000_000_000),
            ("20000000gwei", 20_000_000_000_000_000),
            ("1.5gwei", 1_500_000_000),
            ("3", 3_000_000_000_000_000_000),
            ("0", 0),
        ] {
            assert_eq!(amount(text).expect(text), U256::from(wei), "{text}");
        }
        for wrong in [
            "",
            ".5",
            "-1",
            "1e18",
            "1,5",
            "0.1234567890123456789",
            "1.0000000001gwei",
            "gwei",
            "wei",
            "0x1",
            "1 000",
        ] {
            assert!(amount(wrong).is_err(), "{wrong}");
        }
        assert!(amount(&"9".repeat(80)).is_err());
    }

    #[test]
    fn nothing_dearer_than_allowed_is_signed() {
        let to = Address::repeat_byte(2);
        let dear = bounds("0.019999999999999999", None);
        let refused = dear.check(Callee::Status, &prepared(31_337, to));
        let Err(Failure::Of(Kind::Conflict, why)) = refused else {
            panic!("{refused:?}");
        };
        assert!(
            why.contains("cost 0.02 of") && why.contains("allows 0.019999999999999999"),
            "{why}"
        );
        let enough = bounds("0.02", None).check(Callee::Status, &prepared(31_337, to));
        assert_eq!(enough, Ok(()));
    }

    #[test]
    fn nobody_but_the_registry_is_called() {
        let (own, other) = (Address::repeat_byte(2), Address::repeat_byte(3));
        let known = preset::MAINNET_REGISTRY;
        let check = |registry, callee, chain, to| {
            bounds("1", registry)
                .check(callee, &prepared(chain, to))
                .is_ok()
        };
        assert!(check(None, Callee::Registry(None), 1, known));
        assert!(!check(None, Callee::Registry(None), 1, own));
        // Also where the instance says of the agent that its token is elsewhere.
        assert!(!check(None, Callee::Registry(Some(own)), 1, own));
        assert!(check(Some(own), Callee::Registry(Some(own)), 1, own));
        assert!(!check(Some(own), Callee::Registry(None), 1, known));
        // A chain that nobody knows.
        assert!(check(None, Callee::Registry(None), 31_337, own));
        assert!(!check(None, Callee::Registry(Some(own)), 31_337, other));
        let mut creation = prepared(31_337, own);
        creation.to = None;
        assert!(
            bounds("1", None)
                .check(Callee::Registry(Some(own)), &creation)
                .is_err()
        );
    }
}
