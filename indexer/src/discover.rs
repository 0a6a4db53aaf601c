//! What is read of a chain that a person only gave a URL of (`model.md` §6).

use chain::{At, Registries, Rpc, RpcError, preset};
use kernel::Address;

use crate::{Error, Result, config::ChainConfig};

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
pub async fn discover(rpc: &Rpc, config: &ChainConfig) -> Result<Discovered> {
    let failed = |error: RpcError| Error::Rpc {
        chain: rpc.chain(),
        place: rpc.place(),
        error,
    };
    let preset = preset::by_id(rpc.chain());
    if let Some(wanted) = &config.chain {
        let id = preset::by_name(wanted)
            .map(|preset| preset.id)
            .or_else(|| wanted.parse().ok());
        if id != Some(rpc.chain()) {
            return Err(Error::Invalid(format!(
                "{} serves chain {}, but --chain says {wanted}",
                rpc.place(),
                rpc.chain()
            )));
        }
    }
    let mut identity = addresses(&config.registries)?;
    if identity.is_empty() {
        let guesses = match preset {
            Some(preset) => vec![preset.registry],
            None => vec![preset::MAINNET_REGISTRY, preset::TESTNET_REGISTRY],
        };
        for guess in guesses {
            if !rpc
                .code(guess, At::Latest)
                .await
                .map_err(failed)?
                .is_empty()
            {
                identity.push(guess);
                break;
            }
        }
    }
    let Some(registry) = identity.first().copied() else {
        return Err(Error::Invalid(format!(
            "chain {} at {} has no identity registry at a known address: name one with --registry",
            rpc.chain(),
            rpc.place()
        )));
    };
    let start = match (
        config.from_block,
        preset.and_then(|preset| preset.first_block),
    ) {
        (Some(block), _) => block,
        (None, Some(block)) if config.registries.is_empty() => block,
        _ => first_code(rpc, registry).await.map_err(failed)?,
    };
    Ok(Discovered {
        name: preset.map_or_else(|| format!("chain {}", rpc.chain()), |p| p.name.to_owned()),
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

/// The first block at which the contract has code, by bisection; 0 where history is not served.
async fn first_code(rpc: &Rpc, contract: Address) -> Result<u64, RpcError> {
    let has = |block: u64| rpc.code(contract, At::Number(block));
    let head = rpc
        .block(At::Latest)
        .await?
        .map_or(0, |header| header.number);
    let (mut without, mut with) = (0, head);
    match has(0).await {
        Ok(code) if code.is_empty() => {}
        // Already there, or the node does not know: begin at the beginning.
        _ => return Ok(0),
    }
    while with - without > 1 {
        let middle = without + (with - without) / 2;
        match has(middle).await {
            Ok(code) if code.is_empty() => without = middle,
            Ok(_) => with = middle,
            Err(error) if error.kind().is_transient() => return Err(error),
            Err(_) => return Ok(0),
        }
    }
    Ok(with)
}
