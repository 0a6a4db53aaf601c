//! Accounts that are contracts: a wallet that is deployed (ERC-1271), and one that is not yet (ERC-6492). What their
//! keeper signs counts as signed by them.

use chain::{At, Call};
use kernel::{Address, Bytes};
use serde_json::Value;

use super::{
    anvil::Chain,
    calls::{Arg, call},
};

const WALLET: &str = include_str!("../../contracts/artifacts/ContractWallet.json");
const FACTORY: &str = include_str!("../../contracts/artifacts/ContractWalletFactory.json");

fn code(artifact: &str) -> Bytes {
    let artifact: Value = serde_json::from_str(artifact).expect("JSON");
    serde_json::from_value(artifact["bytecode"].clone()).expect("bytecode")
}

/// What deploys a wallet of this keeper.
pub fn creation(keeper: Address) -> Bytes {
    let keeper = keeper.into_word();
    [code(WALLET).as_ref(), keeper.as_slice()].concat().into()
}

/// Two wallets of one keeper.
pub struct Wallets {
    /// It is there.
    pub deployed: Address,
    /// Where the factory will deploy the other one.
    pub future: Address,
    factory: Address,
    keeper: Address,
}

impl Wallets {
    /// Deploys one of them, and the factory of the other.
    pub async fn of(chain: &Chain, keeper: Address) -> Self {
        let deployed = chain.deploy(creation(keeper)).await;
        let factory = chain.deploy(code(FACTORY)).await;
        let asked = call("addressOf(address)", &[Arg::Account(keeper)]);
        let answer = chain.rpc.call(&Call::new(factory, asked), At::Latest).await;
        let future = Address::from_slice(&answer.expect("answered")[12..]);
        Self {
            deployed,
            future,
            factory,
            keeper,
        }
    }

    /// The keeper's signature as that of the wallet that is not deployed: who deploys it, by which call, and what it will
    /// accept.
    pub fn before_deployment(&self, signature: &[u8]) -> Vec<u8> {
        let word = |number: usize| {
            let mut word = [0; 32];
            word[24..].copy_from_slice(&(number as u64).to_be_bytes());
            word
        };
        let padded = |bytes: &[u8]| {
            let mut padded = bytes.to_vec();
            padded.resize(bytes.len().next_multiple_of(32), 0);
            padded
        };
        let creation = call("create(address)", &[Arg::Account(self.keeper)]);
        let whole_creation = padded(&creation);
        let mut all = self.factory.into_word().to_vec();
        all.extend(word(96));
        all.extend(word(96 + 32 + whole_creation.len()));
        all.extend(word(creation.len()));
        all.extend(whole_creation);
        all.extend(word(signature.len()));
        all.extend(padded(signature));
        all.extend([0x64, 0x92].repeat(16));
        all
    }
}
