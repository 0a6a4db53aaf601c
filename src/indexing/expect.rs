//! What a first backfill will take is told while it begins.

use chain::{Registries, Rpc, Sieve};
use indexer::{Error, Estimate, Providers};

use super::board::Slot;

/// A shorter chain is read before anybody has read the estimate.
const WORTH: u64 = 20_000;

/// Where nothing of a chain is stored yet, estimates what reading it takes, logs it and shows it.
pub async fn backfill(
    slot: &Slot,
    providers: Providers,
    fresh: Option<u64>,
    contracts: Registries,
) {
    let Some(from) = fresh else { return };
    match of_chain(&providers, from, &contracts).await {
        Ok(Some((rpc, estimate))) => {
            tell(&rpc, &estimate);
            slot.expect(estimate);
        }
        Ok(None) => {}
        Err(error) => tracing::info!(
            chain = providers.chain(),
            %error,
            "chain {}: what its backfill takes could not be estimated: {error}",
            providers.chain()
        ),
    }
}

/// An estimate, and whom it was learned from: samples of several providers would say nothing of any.
async fn of_chain(
    providers: &Providers,
    from: u64,
    contracts: &Registries,
) -> Result<Option<(Rpc, Estimate)>, Error> {
    let to = providers.head().await?.number;
    if to < from.saturating_add(WORTH) {
        return Ok(None);
    }
    let rpc = providers.node()?;
    let sieve = Sieve::new(indexer::filter(contracts));
    let estimate = indexer::estimate(&rpc, &sieve, from, to).await?;
    Ok(Some((rpc, estimate)))
}

fn tell(rpc: &Rpc, estimate: &Estimate) {
    let Estimate {
        from,
        to,
        logs,
        read,
        prove,
        disk_bytes,
        ..
    } = estimate;
    let mib = |bytes: u64| bytes >> 20;
    tracing::info!(
        chain = rpc.chain(),
        from,
        to,
        provider = rpc.place(),
        logs,
        calls = read.calls,
        bytes = read.bytes,
        seconds = read.seconds,
        disk_bytes,
        "chain {}: about {logs} logs in blocks {from}..{to}: {} calls, {} MiB and {} s to read them, {} MiB of \
         disk; {} calls, {} MiB and {} s more to prove every block",
        rpc.chain(),
        read.calls,
        mib(read.bytes),
        read.seconds,
        mib(*disk_bytes),
        prove.calls,
        mib(prove.bytes),
        prove.seconds,
    );
}
