//! Bytes that were moved out of the database. Who opens the database says where they are read then.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use crate::{Error, Result};

/// What is on its way: the bytes, or why they are not there.
type Fetched = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>>;

/// How far an archive goes for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// No further than our own disk.
    Here,
    /// To whoever may have them. What comes is kept here.
    Anywhere,
}

/// Reads what is not in the database any more, by its name. Cheap to clone; the default has nothing.
#[derive(Clone, Default)]
pub struct Archive(Option<Arc<dyn Fn(String, Reach) -> Fetched + Send + Sync>>);

impl Archive {
    /// An archive that is read with `fetch`, which tells in words why something is not there. Whoever asks checks what
    /// he is given.
    pub fn new<F, R>(fetch: F) -> Self
    where
        F: Fn(String, Reach) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Vec<u8>, String>> + Send + 'static,
    {
        Self(Some(Arc::new(move |name, reach| {
            Box::pin(fetch(name, reach))
        })))
    }

    /// The bytes of this name. Errors with [`Error::Archived`] (kind `Unavailable`) where they cannot be read now.
    pub async fn get(&self, name: &str) -> Result<Vec<u8>> {
        self.read(name, Reach::Anywhere).await
    }

    /// The same without a network, for who has a transaction open, whose locks others wait for. What is not here is
    /// fetched meanwhile, and he gives up and tries again.
    pub async fn here(&self, name: &str) -> Result<Vec<u8>> {
        let read = self.read(name, Reach::Here).await;
        if read.is_err() && self.0.is_some() {
            let (archive, name) = (self.clone(), name.to_owned());
            tokio::spawn(async move {
                if let Err(error) = archive.get(&name).await {
                    tracing::warn!(%error, "{error}");
                }
            });
        }
        read
    }

    async fn read(&self, name: &str, reach: Reach) -> Result<Vec<u8>> {
        let missing = |why| Error::Archived {
            name: name.to_owned(),
            why,
        };
        match &self.0 {
            Some(fetch) => fetch(name.to_owned(), reach).await.map_err(missing),
            None => Err(missing(
                "this process has no blockstore to read it from".to_owned(),
            )),
        }
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Archive").field(&self.0.is_some()).finish()
    }
}
