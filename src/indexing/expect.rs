//! What a first backfill will take is told while it begins.

use chain::{At, Registries, Rpc, Sieve};
use indexer::{Error, Estimate};

use super::board::Slot;

/// A shorter chain is read before anybody has read the estimate.
const WORTH: u64 = 20_000;

/// Where nothing of a chain is stored yet, estimates what reading it takes, logs it and shows it.
pub async fn backfill(slot: &Slot, nodes: Vec<Rpc>, fresh: Option<u64>, contracts: Registries) {
    let (Some(from), Some(rpc)) = (fresh, nodes.first()) else {
        return;
    };
    match of_chain(rpc, from, &contracts).await {
        Ok(Some(estimate)) => {
            tell(rpc, &estimate);
            slot.expect(estimate);
        }
        Ok(None) => {}
        Err(error) => tracing::info!(
            chain = rpc.chain(),
            %error,
            "chain {}: what its backfill takes could not be estimated: {error}",
            rpc.chain()
        ),
    }
}

async fn of_chain(rpc: &Rpc, from: u64, contracts: &Registries) -> Result<Option<Estimate>, Error> {
    let to = head(rpc).await?;
    if to < from.saturating_add(WORTH) {
        return Ok(None);
    }
    let sieve = Sieve::new(indexer::filter(contracts));
    indexer::estimate(rpc, &sieve, from, to).await.map(Some)
}

/// The newest block of a node.
pub async fn head(rpc: &Rpc) -> Result<u64, Error> {
    let head = rpc.block(At::Latest).await.map_err(|error| Error::Rpc {
        chain: rpc.chain(),
        place: rpc.place(),
        error,
    })?;
    Ok(head.map_or(0, |head| head.number))
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
