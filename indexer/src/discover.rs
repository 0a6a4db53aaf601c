//! What is read of a chain that a person only gave a URL of (`model.md` §6).

use chain::{
    At, Registries, RpcError,
    preset::{self, Preset},
};
use kernel::Address;

use crate::{Error, Providers, Result, chain_row::Stored, config::ChainConfig};

/// What was found out about a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// Its name, for people.
    pub name: String,
    /// Contracts to read.
    pub contracts: Registries,
    /// First block to index.
    pub start: u64,
}

/// Configured values over presets over what the chain itself shows: the mainnet registry's address,
/// then the testnet's. What is `stored` is not searched again: the node of today may not serve the history in which it
/// was found. Errors where none has code, and says what to give.
pub async fn discover(
    providers: &Providers,
    config: &ChainConfig,
    stored: Option<&Stored>,
) -> Result<Discovered> {
    config.check()?;
    let preset = preset::by_id(providers.chain());
    let identity = identity(providers, config, preset, stored).await?;
    Ok(Discovered {
        name: preset.map_or_else(
            || format!("chain {}", providers.chain()),
            |p| p.name.to_owned(),
        ),
        start: start(providers, config, preset, stored, identity[0]).await?,
        contracts: Registries {
            identity,
            status: config.status()?,
            vexel: config.vexel()?,
        },
    })
}

/// At least one.
async fn identity(
    providers: &Providers,
    config: &ChainConfig,
    preset: Option<&Preset>,
    stored: Option<&Stored>,
) -> Result<Vec<Address>> {
    let named = config.identity()?;
    if !named.is_empty() {
        return Ok(named);
    }
    let guesses = match preset {
        Some(preset) => vec![preset.registry],
        None => vec![preset::MAINNET_REGISTRY, preset::TESTNET_REGISTRY],
    };
    let is_stored =
        |guess: &Address| stored.is_some_and(|stored| stored.contracts.identity.contains(guess));
    if let Some(known) = guesses.iter().find(|guess| is_stored(guess)) {
        return Ok(vec![*known]);
    }
    for guess in guesses {
        if has_code(providers, guess, At::Latest).await? {
            return Ok(vec![guess]);
        }
    }
    Err(Error::Invalid(format!(
        "chain {} at {} has no identity registry at a known address: name one with --registry",
        providers.chain(),
        providers.places()
    )))
}

/// The first block to index.
async fn start(
    providers: &Providers,
    config: &ChainConfig,
    preset: Option<&Preset>,
    stored: Option<&Stored>,
    registry: Address,
) -> Result<u64> {
    if let Some(Stored { start, .. }) = stored {
        return match config.from_block {
            Some(asked) if asked != *start => Err(Error::OtherStart {
                chain: providers.chain(),
                stored: *start,
                asked,
            }),
            _ => Ok(*start),
        };
    }
    let known = preset.and_then(|preset| preset.first_block);
    match (config.from_block, known) {
        (Some(block), _) => Ok(block),
        (None, Some(block)) if config.registries.is_empty() => Ok(block),
        _ => first_code(providers, registry).await,
    }
}

async fn has_code(providers: &Providers, contract: Address, at: At) -> Result<bool> {
    let code = providers.ask(|rpc| async move { rpc.code(contract, at).await });
    Ok(!code.await?.value.is_empty())
}

/// The first block at which the contract has code, by bisection; 0 where history is not served.
async fn first_code(providers: &Providers, contract: Address) -> Result<u64> {
    let (mut without, mut with) = (0, providers.head().await?.number);
    // Already there: begin at the beginning.
    if had_code(providers, contract, 0).await?.unwrap_or(true) {
        return Ok(0);
    }
    while with - without > 1 {
        let middle = without + (with - without) / 2;
        match had_code(providers, contract, middle).await? {
            Some(false) => without = middle,
            Some(true) => with = middle,
            None => return Ok(0),
        }
    }
    Ok(with)
}

/// `None`: the nodes say that they do not serve that part of history. Every other failure is passed on: a start that was
/// guessed in a node's bad minute would stay.
async fn had_code(providers: &Providers, contract: Address, block: u64) -> Result<Option<bool>> {
    match has_code(providers, contract, At::Number(block)).await {
        Ok(has) => Ok(Some(has)),
        Err(Error::Rpc {
            error: RpcError::Pruned { .. } | RpcError::NoMethod { .. },
            ..
        }) => Ok(None),
        Err(error) => Err(error),
    }
}
