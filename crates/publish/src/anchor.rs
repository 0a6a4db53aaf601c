//! Anchors checkpoints in an `AuditAnchor` contract: a follower of sealed checkpoints.
//!
//! A round reads the contract's head, holds it against our log, and goes on with the one transaction that
//! is on its way, or begins the next one. The transaction is written down before it leaves, so that a
//! crash at any moment leads back to the same one. `anchored` is said once its block is settled.

mod ledger;

use std::time::Duration;

use chain::{At, Call, Receipt, SendError, Sender, anchor::AnchoredHead};
use chrono::{DateTime, TimeDelta, Utc};
use journal::{
    log::{self, Head},
    publication::{self, Publication},
};
use kernel::{Address, B256, U256, sha256};
use store::{Cause, Db, Outcome, Tx, lease, lease::Lease};
use uuid::Uuid;

use self::ledger::{End, Open};
pub use self::ledger::{Made, Standing, made, standing};
use crate::{Error, Result};

/// Who anchors.
const LEASE: &str = "anchor";

/// Longer than a round takes.
const LEASE_TTL: Duration = Duration::from_mins(2);

/// A node that counts fewer transactions than ours needs before it lags behind the one that it was drafted by, or the
/// chain lost some: after so many times the patience it is believed.
const LAG: i32 = 10;

/// Blocks that count as deep enough where the chain has no `finalized` tag.
const SETTLED_DEPTH: u64 = 64;

/// When to anchor, and what it may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The least time between two anchors; checkpoints in between share the next one.
    pub interval: TimeDelta,
    /// After so long without one, the same head is anchored again; `None`: never.
    pub heartbeat: Option<TimeDelta>,
    /// The most that 24 hours may cost, in gwei; `None`: no limit.
    pub daily_budget_gwei: Option<u64>,
    /// Blocks behind the head that count as settled; `None`: the node's `finalized` block.
    pub settled_depth: Option<u64>,
    /// How long a transaction may wait until it is replaced by one that pays more.
    pub patience: TimeDelta,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing is sealed yet.
    Empty,
    /// The contract holds our newest checkpoint.
    Current,
    /// There are newer checkpoints; they wait for the least interval.
    Waiting,
    /// A transaction is on its way.
    Sent,
    /// It is in a block that is not settled yet.
    Mined,
    /// It waits because the day's budget does not allow another transaction.
    BudgetSpent,
    /// Something does not answer, or a transaction failed; it is tried again.
    Failing,
    /// What the contract holds is not the beginning of our log.
    Refused,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Empty,
        Self::Current,
        Self::Waiting,
        Self::Sent,
        Self::Mined,
        Self::BudgetSpent,
        Self::Failing,
        Self::Refused,
    ];

    /// The word in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Current => "current",
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Mined => "mined",
            Self::BudgetSpent => "budget_spent",
            Self::Failing => "failing",
            Self::Refused => "refused",
        }
    }

    /// Reads [`State::as_str`] back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// The name of a journal in the contract: sha2-256 of its verifier key in the text form of
/// c2sp.org/signed-note, which names origin and key. Whoever has `/audit/vkey` can compute it.
pub fn journal_id(vkey: &str) -> B256 {
    sha256(vkey.trim_end().as_bytes()).into()
}

/// Anchors one journal in one contract, from one account.
#[derive(Debug, Clone)]
pub struct Anchor {
    sender: Sender,
    contract: Address,
    journal: B256,
    terms: Terms,
}

/// What a round found.
struct Found {
    state: State,
    why: Option<String>,
    outcome: Outcome,
}

impl Found {
    fn idle(state: State) -> Self {
        Self {
            state,
            why: None,
            outcome: Outcome::Idle,
        }
    }
}

impl Anchor {
    /// Of the journal of this verifier key, in this contract, paid by `sender`.
    pub fn new(sender: Sender, contract: Address, vkey: &str, terms: Terms) -> Self {
        Self {
            sender,
            contract,
            journal: journal_id(vkey),
            terms,
        }
    }

    /// Reads the contract's head and holds it against our log.
    ///
    /// Errors with [`Error::Behind`] or [`Error::Forked`], of which [`Error::is_refusal`] is true, where
    /// the contract's head is not that of a beginning of our log: then nothing must go on.
    pub async fn check(&self, db: &Db) -> Result<AnchoredHead> {
        let (rpc, keeper) = (self.sender.rpc(), self.sender.address());
        let head = chain::anchor::head(rpc, self.contract, keeper, self.journal, At::Latest);
        let head = head.await?;
        if head.size == 0 {
            return Ok(head);
        }
        let ours = log::head(db).await?.map_or(0, |head| head.size);
        let (contract, chain) = (self.contract, rpc.chain());
        if ours < head.size {
            return Err(Error::Behind {
                contract,
                chain,
                anchored: head.size,
                ours,
            });
        }
        let root = B256::from(log::root(db, head.size).await?);
        if root != head.root {
            return Err(Error::Forked {
                contract,
                chain,
                size: head.size,
                anchored: head.root,
                ours: root,
            });
        }
        Ok(head)
    }

    /// One round; Idle where nothing can be done now. Of several processes one does it.
    pub async fn round(&self, db: &Db, holder: Uuid) -> Result<Outcome> {
        let Some(lease) = lease::acquire(db, LEASE, holder, LEASE_TTL).await? else {
            return Ok(Outcome::Idle);
        };
        let head = self.check(db).await;
        let read = head.as_ref().ok().copied();
        let found = match head {
            Ok(head) => self.go_on(db, &lease, head).await,
            Err(error) => Err(error),
        };
        let (state, why) = match &found {
            Ok(found) => (found.state, found.why.clone()),
            Err(error) if error.is_refusal() => (State::Refused, Some(error.to_string())),
            Err(error) => (State::Failing, Some(error.to_string())),
        };
        let mut tx = self.begin(db, &lease).await?;
        ledger::say(&mut tx, self, read, state, why.as_deref()).await?;
        tx.commit().await?;
        found.map(|found| found.outcome)
    }

    async fn begin(&self, db: &Db, lease: &Lease) -> Result<Tx> {
        let mut tx = db.begin(Cause::Job("anchor")).await?;
        lease.fence(&mut tx).await?;
        Ok(tx)
    }

    async fn go_on(&self, db: &Db, lease: &Lease, head: AnchoredHead) -> Result<Found> {
        match ledger::open(db, self).await? {
            Some(open) => self.follow(db, lease, head, open).await,
            None => self.next(db, lease, head).await,
        }
    }

    /// What became of the transaction that is on its way.
    async fn follow(
        &self,
        db: &Db,
        lease: &Lease,
        head: AnchoredHead,
        open: Open,
    ) -> Result<Found> {
        if let Some(receipt) = self.sender.receipt(&open.sent).await? {
            // A node that tells of a receipt must tell of what it did, too: others may lag behind it.
            if !self.is_settled(&receipt).await? || (receipt.success && head.size < open.size) {
                return Ok(Found::idle(State::Mined));
            }
            return self.settle(db, lease, &open, &receipt).await;
        }
        let nonce = open.sent.prepared.nonce;
        let waited = db.clock().now() - open.priced_at;
        let mined = self.sender.mined_nonce().await?;
        if mined != nonce {
            if mined < nonce && waited < self.terms.patience * LAG {
                return self.hand(&open.sent).await;
            }
            // Nodes count a transaction before they serve its receipt. After that: it was another
            // transaction's nonce, or the chain lost those before it; ours is never mined.
            if waited < self.terms.patience {
                return Ok(Found::idle(State::Sent));
            }
            tracing::warn!(nonce, mined, "the transaction of an anchor was lost");
            let mut tx = self.begin(db, lease).await?;
            ledger::close(&mut tx, open.id, End::Lost, 0).await?;
            tx.commit().await?;
            return Ok(Found {
                outcome: Outcome::Busy,
                ..Found::idle(State::Waiting)
            });
        }
        if waited < self.terms.patience {
            // Also where a crash, or a reorganisation that dropped it, was in between.
            return self.hand(&open.sent).await;
        }
        self.replace(db, lease, &open).await
    }

    /// Sends it again, paying more, as far as the budget goes.
    async fn replace(&self, db: &Db, lease: &Lease, open: &Open) -> Result<Found> {
        let dearer = self.sender.dearer(&open.sent).await?;
        let more = ledger::most_gwei(&dearer).saturating_sub(ledger::most_gwei(&open.sent));
        if let Some(spent) = self.too_dear(db, more).await? {
            self.hand(&open.sent).await?;
            return Ok(spent);
        }
        tracing::info!(
            nonce = dearer.prepared.nonce,
            "replacing a stuck transaction of an anchor"
        );
        let mut tx = self.begin(db, lease).await?;
        ledger::reprice(&mut tx, open.id, &dearer).await?;
        tx.commit().await?;
        self.hand(&dearer).await
    }

    /// It is mined for good: says so, in one transaction with what follows for entries.
    async fn settle(
        &self,
        db: &Db,
        lease: &Lease,
        open: &Open,
        receipt: &Receipt,
    ) -> Result<Found> {
        let price = receipt.gas_price.unwrap_or_default();
        let cost = ledger::gwei(U256::from(price) * U256::from(receipt.gas_used));
        let mut tx = self.begin(db, lease).await?;
        let (end, why) = if receipt.success {
            let anchored = Publication {
                size: open.size,
                state: publication::State::Anchored,
                reference: receipt.tx.to_string(),
            };
            publication::record(&mut tx, &anchored).await?;
            (End::Anchored, None)
        } else {
            let why = format!("the contract refused transaction {}", receipt.tx);
            tracing::error!(tx = %receipt.tx, "an anchor reverted");
            (End::Reverted, Some(why))
        };
        ledger::close(&mut tx, open.id, end, cost).await?;
        tx.commit().await?;
        if receipt.success {
            tracing::info!(size = open.size, tx = %receipt.tx, gas = receipt.gas_used, "anchored");
        }
        Ok(Found {
            state: if why.is_none() {
                State::Current
            } else {
                State::Failing
            },
            why,
            outcome: Outcome::Busy,
        })
    }

    /// Begins the next transaction where one is due.
    async fn next(&self, db: &Db, lease: &Lease, head: AnchoredHead) -> Result<Found> {
        let Some(ours) = log::head(db).await? else {
            return Ok(Found::idle(State::Empty));
        };
        let said = publication::latest(db, publication::State::Anchored).await?;
        let is_said = said.is_some_and(|said| said.size >= head.size);
        let last = ledger::last(db, self).await?;
        if let Some(state) = self.not_yet(db.clock().now(), (&ours, head), is_said, last) {
            return Ok(Found::idle(state));
        }
        let proof = if head.size == 0 || head.size == ours.size {
            Vec::new()
        } else {
            log::consistency(db, head.size, ours.size).await?
        };
        let proof = proof.into_iter().map(B256::from).collect();
        let data = chain::anchor::anchor(self.journal, ours.size, ours.root.into(), proof);
        if let Some(spent) = self.too_dear(db, 0).await? {
            return Ok(spent);
        }
        let draft = self.sender.draft(Call::new(self.contract, data)).await?;
        if let Some(spent) = self.too_dear(db, ledger::most_gwei(&draft)).await? {
            return Ok(spent);
        }
        let mut tx = self.begin(db, lease).await?;
        ledger::write(&mut tx, self, (ours.size, &ours.root), &draft).await?;
        tx.commit().await?;
        self.hand(&draft).await
    }

    /// Why nothing is to be anchored now; `None`: it is. A head that the contract holds and of which no
    /// transaction of ours is known (the database is older than it) is anchored again, so that entries
    /// can say by which one.
    fn not_yet(
        &self,
        now: DateTime<Utc>,
        (ours, head): (&Head, AnchoredHead),
        is_said: bool,
        last: Option<DateTime<Utc>>,
    ) -> Option<State> {
        let passed = |since: Option<DateTime<Utc>>, least: TimeDelta| {
            since.is_none_or(|since| now - since >= least)
        };
        if ours.size > head.size || !is_said {
            return (!passed(last, self.terms.interval)).then_some(State::Waiting);
        }
        let head_time = DateTime::from_timestamp(head.time.cast_signed(), 0);
        let beats = self.terms.heartbeat.is_some_and(|heartbeat| {
            passed(last, heartbeat)
                && passed(head_time, heartbeat)
                && passed(last, self.terms.interval)
        });
        (!beats).then_some(State::Current)
    }

    /// Whether the day's budget does not allow to spend so much more; with 0, whether nothing is left.
    async fn too_dear(&self, db: &Db, more: u64) -> Result<Option<Found>> {
        let Some(budget) = self.terms.daily_budget_gwei else {
            return Ok(None);
        };
        let spent = ledger::spent(db, db.clock().now()).await?;
        if spent.saturating_add(more.max(1)) <= budget {
            return Ok(None);
        }
        let why = format!(
            "the last 24 hours cost {spent} gwei, and the next anchor may cost {more}: more than \
             journal.anchor.daily_budget_gwei = {budget}; it goes on when that is less, or the budget more"
        );
        Ok(Some(Found {
            why: Some(why),
            ..Found::idle(State::BudgetSpent)
        }))
    }

    /// Hands a transaction that is written down to the node.
    async fn hand(&self, sent: &chain::Sent) -> Result<Found> {
        match self.sender.hand(sent).await {
            // Mined meanwhile, or another one waits at its place: the next rounds find out.
            Ok(()) | Err(SendError::NonceTooLow { .. } | SendError::Underpriced) => {
                Ok(Found::idle(State::Sent))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a receipt's block is on the chain, and deep enough to stay there.
    async fn is_settled(&self, receipt: &Receipt) -> Result<bool> {
        let rpc = self.sender.rpc();
        let mut settled = None;
        if self.terms.settled_depth.is_none() {
            settled = match rpc.block(At::Finalized).await {
                Err(error) if error.kind().is_transient() => return Err(error.into()),
                // Whoever refuses the question has no such block.
                told => told.ok().flatten().map(|block| block.number),
            };
        }
        if settled.is_none() {
            let depth = self.terms.settled_depth.unwrap_or(SETTLED_DEPTH);
            let head = rpc.block(At::Latest).await?;
            settled = head.and_then(|head| head.number.checked_sub(depth));
        }
        if settled.is_none_or(|settled| settled < receipt.block_number) {
            return Ok(false);
        }
        let block = rpc.block(At::Number(receipt.block_number)).await?;
        Ok(block.is_some_and(|block| block.hash == receipt.block_hash))
    }
}
