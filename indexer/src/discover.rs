//! What is read of a chain that a person only gave a URL of (`model.md` §6).

use chain::{At, Registries, preset};
use kernel::Address;

use crate::{Error, Providers, Result, config::ChainConfig};

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
/// then the testnet's. Errors where none has code, and says what to give.
pub async fn discover(providers: &Providers, config: &ChainConfig) -> Result<Discovered> {
    let preset = preset::by_id(providers.chain());
    if let (Some(wanted), None) = (&config.chain, config.id()) {
        return Err(Error::Invalid(format!(
            "`{wanted}` is no chain that is known by name: give its EIP-155 id"
        )));
    }
    let mut identity = addresses(&config.registries)?;
    if identity.is_empty() {
        let guesses = match preset {
            Some(preset) => vec![preset.registry],
            None => vec![preset::MAINNET_REGISTRY, preset::TESTNET_REGISTRY],
        };
        for guess in guesses {
            if has_code(providers, guess, At::Latest).await? {
                identity.push(guess);
                break;
            }
        }
    }
    let Some(registry) = identity.first().copied() else {
        return Err(Error::Invalid(format!(
            "chain {} at {} has no identity registry at a known address: name one with --registry",
            providers.chain(),
            providers.places()
        )));
    };
    let start = match (
        config.from_block,
        preset.and_then(|preset| preset.first_block),
    ) {
        (Some(block), _) => block,
        (None, Some(block)) if config.registries.is_empty() => block,
        _ => first_code(providers, registry).await?,
    };
    Ok(Discovered {
        name: preset.map_or_else(
            || format!("chain {}", providers.chain()),
            |p| p.name.to_owned(),
        ),
        contracts: Registries {
            identity,
            status: addresses(&config.status)?,
        },
        start,
    })
}

fn addresses(texts: &[String]) -> Result<Vec<Address>> {
    let parse = |text: &String| {
        text.parse().map_err(|_| {
            Error::Invalid(format!(
                "`{text}` is no address: expected 0x and 40 hex digits"
            ))
        })
    };
    texts.iter().map(parse).collect()
}

async fn has_code(providers: &Providers, contract: Address, at: At) -> Result<bool> {
    let code = providers.ask(|rpc| async move { rpc.code(contract, at).await });
    Ok(!code.await?.value.is_empty())
}

/// The first block at which the contract has code, by bisection; 0 where history is not served.
async fn first_code(providers: &Providers, contract: Address) -> Result<u64> {
    let has = |block: u64| has_code(providers, contract, At::Number(block));
    let (mut without, mut with) = (0, providers.head().await?.number);
    match has(0).await {
        Ok(false) => {}
        // Already there, or nobody knows: begin at the beginning.
        _ => return Ok(0),
    }
    while with - without > 1 {
        let middle = without + (with - without) / 2;
        match has(middle).await {
            Ok(false) => without = middle,
            Ok(true) => with = middle,
            Err(error) if error.kind().is_transient() => return Err(error),
            Err(_) => return Ok(0),
        }
    }
    Ok(with)
}
