//! The providers of one chain: who is asked, and who is asked instead.

use std::sync::Arc;

use chain::{At, Header, Log, LogFilter, Rpc, RpcError};

use crate::{Error, Result};

/// One of the providers of a chain, by its place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(usize);

/// An answer and who gave it.
#[derive(Debug, Clone)]
pub struct Told<T> {
    /// The answer.
    pub value: T,
    /// Who gave it.
    pub by: Id,
}

/// All providers of a chain. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Providers {
    nodes: Arc<Vec<Rpc>>,
    width: Arc<std::sync::atomic::AtomicU64>,
}

impl Providers {
    /// Providers that serve the same chain; the first one is asked first.
    pub fn new(nodes: Vec<Rpc>, range_blocks: u64) -> Self {
        Self {
            nodes: Arc::new(nodes),
            width: Arc::new(range_blocks.max(1).into()),
        }
    }

    /// EIP-155 id of the chain.
    pub fn chain(&self) -> u64 {
        self.nodes.first().map_or(0, Rpc::chain)
    }

    /// A provider's address without secrets.
    pub fn place(&self, id: Id) -> String {
        self.nodes.get(id.0).map_or_else(String::new, Rpc::place)
    }

    /// All addresses without secrets, for people.
    pub fn places(&self) -> String {
        let places: Vec<String> = self.nodes.iter().map(Rpc::place).collect();
        places.join(", ")
    }

    /// Asks one provider; where it fails for now, another.
    pub async fn ask<T, F>(&self, question: impl Fn(Rpc) -> F) -> Result<Told<T>>
    where
        F: Future<Output = Result<T, RpcError>>,
    {
        let mut failed = None;
        for (index, node) in self.nodes.iter().enumerate() {
            match question(node.clone()).await {
                Ok(value) => {
                    return Ok(Told {
                        value,
                        by: Id(index),
                    });
                }
                Err(error) => {
                    let transient = error.kind().is_transient();
                    failed = Some(self.error(Id(index), error));
                    if !transient {
                        break;
                    }
                }
            }
        }
        Err(failed.unwrap_or_else(|| Error::Invalid("a chain has no provider".to_owned())))
    }

    /// Asks a provider other than `not`; `None` where there is none.
    pub async fn ask_other<T, F>(
        &self,
        not: Id,
        question: impl Fn(Rpc) -> F,
    ) -> Result<Option<Told<T>>>
    where
        F: Future<Output = Result<T, RpcError>>,
    {
        for (index, node) in self.nodes.iter().enumerate() {
            if Id(index) != not
                && let Ok(value) = question(node.clone()).await
            {
                return Ok(Some(Told {
                    value,
                    by: Id(index),
                }));
            }
        }
        Ok(None)
    }

    /// The newest block.
    pub async fn head(&self) -> Result<Header> {
        let none = || RpcError::BeyondHead {
            message: "the node has no latest block".to_owned(),
        };
        let head = self.ask(|rpc| async move { rpc.block(At::Latest).await?.ok_or_else(none) });
        Ok(head.await?.value)
    }

    /// Logs from block `from` on, up to at most `to`: as far as the provider accepts a range. The answer
    /// says up to which block.
    pub async fn logs(
        &self,
        from: u64,
        to: u64,
        filter: &LogFilter,
    ) -> Result<Told<(u64, Vec<Log>)>> {
        use std::sync::atomic::Ordering::Relaxed;
        loop {
            let width = self.width.load(Relaxed);
            let end = to.min(from.saturating_add(width - 1));
            let told = self.ask(|rpc| async move { rpc.logs(from..=end, filter).await });
            match told.await {
                Ok(Told { value, by }) => {
                    return Ok(Told {
                        value: (end, value),
                        by,
                    });
                }
                Err(Error::Rpc {
                    error: RpcError::RangeTooLarge { hint, .. },
                    ..
                }) if end > from => {
                    let hinted = hint.map(|(start, end)| end.saturating_sub(start) + 1);
                    let asked = end - from + 1;
                    let narrower = hinted
                        .filter(|n| (1..asked).contains(n))
                        .unwrap_or(asked / 2);
                    self.width.store(narrower.max(1), Relaxed);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn error(&self, id: Id, error: RpcError) -> Error {
        Error::Rpc {
            chain: self.chain(),
            place: self.place(id),
            error,
        }
    }
}
