//! A long row of questions for logs that goes on where a provider failed: the past of a chain takes thousands of
//! them, and one that fails must not make all the others be asked again.

use chain::{Log, LogFilter};
use futures::{StreamExt, TryStreamExt, stream};

use super::piece::Answers;
use crate::{Result, providers::Providers};

/// Questions that are under way at once.
pub const AT_ONCE: usize = 4;

/// Logs of a range of blocks, as far as they were read.
pub struct Reading {
    from: u64,
    to: u64,
    parts: Vec<Part>,
}

/// One question.
struct Part {
    filter: LogFilter,
    /// The first block that was not asked for.
    at: u64,
    read: Answers,
}

impl Part {
    async fn finish(&mut self, providers: &Providers, to: u64) -> Result<()> {
        while self.at <= to {
            let told = providers.logs(self.at, to, &self.filter).await?;
            let (end, logs) = told.value;
            let by = vec![(self.at..=end, told.by)];
            self.read.append(Answers { logs, by });
            self.at = end + 1;
        }
        Ok(())
    }
}

impl Reading {
    /// Nothing is read yet.
    pub fn new(questions: Vec<LogFilter>, from: u64, to: u64) -> Self {
        let part = |filter| Part {
            filter,
            at: from,
            read: Answers::default(),
        };
        let parts = questions.into_iter().map(part).collect();
        Self { from, to, parts }
    }

    /// Whether it answers these questions about blocks from `from` on.
    pub fn is_about(&self, questions: &[LogFilter], from: u64) -> bool {
        let asked = self.parts.iter().map(|part| &part.filter);
        self.from == from && asked.eq(questions)
    }

    /// Reads on to the end. After an error what was read is kept.
    pub async fn finish(&mut self, providers: &Providers) -> Result<()> {
        let to = self.to;
        let reading: Vec<_> = self
            .parts
            .iter_mut()
            .map(|part| part.finish(providers, to))
            .collect();
        stream::iter(reading)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// What was read, in chain order; a log that answers two questions is told twice.
    pub fn answers(&self) -> Answers {
        let read = || self.parts.iter().map(|part| &part.read);
        let mut logs: Vec<Log> = read().flat_map(|read| &read.logs).cloned().collect();
        logs.sort_by_key(Log::position);
        let by = read().flat_map(|read| &read.by).cloned().collect();
        Answers { logs, by }
    }
}
