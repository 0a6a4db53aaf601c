//! Who publishes: of the processes on one database one at a time, because each has a blockstore of its own, and what
//! one stored builds on what it stored before.

use std::time::Duration;

use store::{Cause, Db, Result, Tx, lease, lease::Lease};
use uuid::Uuid;

const LEASE: &str = "publish";

/// For how long nobody publishes where the one who did has died. Its rounds come every few seconds and may last for
/// longer than this: another of them keeps the lease meanwhile.
const LEASE_TTL: Duration = Duration::from_mins(1);

/// The lease of `holder`, taken or renewed; `None` where another process has it.
pub(crate) async fn lead(db: &Db, holder: Uuid) -> Result<Option<Lease>> {
    lease::keep(db, LEASE, holder, LEASE_TTL).await
}

/// Begins to write down what was published. Errors with [`store::Error::Moved`] where another process publishes by
/// now.
pub(crate) async fn begin(db: &Db, lease: &Lease, job: &'static str) -> Result<Tx> {
    let mut tx = db.begin(Cause::Job(job)).await?;
    lease.fence(&mut tx).await?;
    Ok(tx)
}
