//! Proving again what was proven or believed before, from another provider where there is one.

use kernel::B256;

use super::{Proven, Prover};
use crate::{
    Error, Result,
    evidence::{Evidence, Witness},
    ground,
};

/// Holds what is stored of a chain against what a witness proves of it.
pub struct Verifier {
    prover: Prover,
    by: Witness,
}

impl Verifier {
    /// The most blocks that one call verifies: their headers are in memory together.
    pub const MOST: i64 = 1_024;

    /// Verifies what `prover`'s chain has by the word of `by`, who should ask another provider than the one
    /// that the chain is read from.
    pub fn new(prover: Prover, by: Witness) -> Self {
        Self { prover, by }
    }

    /// Proves blocks again, both ends included, and puts right what is stored otherwise. What is proven of
    /// them is never less afterwards: where the witness proves less than was proven before and says something
    /// else, the error says so and nothing is changed.
    pub async fn verify(&self, from: i64, to: i64) -> Result<Proven> {
        let evidence = self
            .by
            .gather(from.unsigned_abs(), to.unsigned_abs())
            .await?;
        self.check_chain(to, &evidence).await?;
        self.prover
            .put_right(from, to, evidence, &self.by.places())
            .await
    }

    /// The witness must speak of the same chain: its last block has the hash that is stored, or, where none
    /// is, the one that our usual providers tell. Headers hash and link on any fork, however short.
    async fn check_chain(&self, to: i64, evidence: &Evidence) -> Result<()> {
        let (db, chain) = (&self.prover.db, self.prover.chain);
        let top = evidence.headers.last().map(|last| last.hash);
        let expected = match ground::tip(db, chain, to).await? {
            Some(hash) => Some(hash),
            None => self.prover.witness.hash(to.unsigned_abs()).await?,
        };
        if expected.is_some() && expected == top {
            return Ok(());
        }
        let show =
            |hash: Option<B256>| hash.map_or_else(|| "no hash".to_owned(), |h| format!("{h:#x}"));
        Err(Error::OtherFork {
            chain,
            block: to.unsigned_abs(),
            expected: show(expected),
            found: show(top),
            place: self.by.places(),
        })
    }
}
