//! The two clients, as one.

use crate::kit::{
    anvil::{Anvil, Chain, Wanted},
    geth::Geth,
};

/// A chain of the test's own on one of them.
pub enum Client {
    /// foundry's.
    Anvil(Box<Chain>),
    /// go-ethereum's.
    Geth(Box<Geth>),
}

impl Client {
    /// anvil with our contracts.
    pub async fn anvil() -> Self {
        Self::anvil_with(&[]).await
    }

    /// The same with flags.
    pub async fn anvil_with(flags: &[&str]) -> Self {
        Self::Anvil(Box::new(Chain::on(Anvil::start_with(flags)).await))
    }

    /// geth with our contracts.
    pub async fn geth() -> Self {
        Self::Geth(Box::new(Geth::start().await))
    }

    /// What is on it.
    pub fn chain(&self) -> &Chain {
        match self {
            Self::Anvil(chain) => chain,
            Self::Geth(geth) => &geth.chain,
        }
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        match self {
            Self::Anvil(chain) => chain.url(),
            Self::Geth(geth) => &geth.url,
        }
    }

    /// Mines one block that holds all of these.
    pub async fn block(&self, wanted: &[Wanted]) {
        match self {
            Self::Anvil(chain) => chain.block(wanted).await,
            Self::Geth(geth) => {
                geth.block(wanted).await;
            }
        }
    }

    /// Mines empty blocks.
    pub async fn mine(&self, blocks: u64) {
        match self {
            Self::Anvil(chain) => chain.mine(blocks).await,
            Self::Geth(geth) => geth.mine(blocks).await,
        }
    }
}
