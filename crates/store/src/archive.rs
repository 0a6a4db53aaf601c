//! Bytes that were moved out of the database. Who opens the database says where they are read then.

use std::{
    collections::HashSet,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Semaphore;

use crate::{Error, Result};

/// What is fetched in the background: so many at once, of so many that are asked for.
const AT_ONCE: usize = 16;
const MOST: usize = 4_096;

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
pub struct Archive(Option<Arc<Inner>>);

struct Inner {
    fetch: Box<dyn Fn(String, Reach) -> Fetched + Send + Sync>,
    /// What is fetched in the background, or waits for it.
    coming: Mutex<HashSet<String>>,
    places: Semaphore,
}

impl Inner {
    fn coming(&self) -> MutexGuard<'_, HashSet<String>> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that is on its way as long as this is kept.
struct Coming {
    archive: Archive,
    name: String,
}

impl Drop for Coming {
    fn drop(&mut self) {
        if let Some(inner) = &self.archive.0 {
            inner.coming().remove(&self.name);
        }
    }
}

impl Archive {
    /// An archive that is read with `fetch`, which tells in words why something is not there. Whoever asks checks what
    /// he is given.
    pub fn new<F, R>(fetch: F) -> Self
    where
        F: Fn(String, Reach) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Vec<u8>, String>> + Send + 'static,
    {
        Self(Some(Arc::new(Inner {
            fetch: Box::new(move |name, reach| Box::pin(fetch(name, reach))),
            coming: Mutex::default(),
            places: Semaphore::new(AT_ONCE),
        })))
    }

    /// The bytes of this name. Errors with [`Error::Archived`] (kind `Unavailable`) where they cannot be read now.
    pub async fn get(&self, name: &str) -> Result<Vec<u8>> {
        self.read(name, Reach::Anywhere).await
    }

    /// The same without a network, for who has a transaction open, whose locks others wait for. What is not here is
    /// fetched meanwhile, and he gives up and tries again: each name is on its way once, however often it is asked for.
    pub async fn here(&self, name: &str) -> Result<Vec<u8>> {
        let read = self.read(name, Reach::Here).await;
        if read.is_err()
            && let Some(coming) = self.begin(name)
        {
            tokio::spawn(coming.fetch());
        }
        read
    }

    /// `None` where it is on its way, nothing more is fetched, or too much is.
    fn begin(&self, name: &str) -> Option<Coming> {
        let inner = self.0.as_ref()?;
        let mut coming = inner.coming();
        let begins =
            !inner.places.is_closed() && coming.len() < MOST && coming.insert(name.to_owned());
        begins.then(|| Coming {
            archive: self.clone(),
            name: name.to_owned(),
        })
    }

    /// Fetches nothing more in the background.
    pub(crate) fn close(&self) {
        if let Some(inner) = &self.0 {
            inner.places.close();
        }
    }

    async fn read(&self, name: &str, reach: Reach) -> Result<Vec<u8>> {
        let missing = |why| Error::Archived {
            name: name.to_owned(),
            why,
        };
        match &self.0 {
            Some(inner) => {
                let fetched = (inner.fetch)(name.to_owned(), reach);
                fetched.await.map_err(missing)
            }
            None => Err(missing(
                "this process has no blockstore to read it from".to_owned(),
            )),
        }
    }
}

impl Coming {
    /// Fetches it when its turn comes, unless the archive is closed before.
    async fn fetch(self) {
        let Some(inner) = &self.archive.0 else { return };
        if let Ok(_place) = inner.places.acquire().await
            && let Err(error) = self.archive.get(&self.name).await
        {
            tracing::warn!(%error, "{error}");
        }
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Archive").field(&self.0.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[tokio::test]
    async fn what_is_not_here_is_fetched_once_and_not_all_together() {
        let begun = Arc::new(AtomicUsize::new(0));
        let end = Arc::new(Semaphore::new(0));
        let archive = Archive::new({
            let (begun, end) = (Arc::clone(&begun), Arc::clone(&end));
            move |_, reach| {
                let (begun, end) = (Arc::clone(&begun), Arc::clone(&end));
                async move {
                    if reach == Reach::Anywhere {
                        begun.fetch_add(1, Relaxed);
                        end.acquire()
                            .await
                            .map_err(|error| error.to_string())?
                            .forget();
                    }
                    Err::<Vec<u8>, _>("nobody has it".to_owned())
                }
            }
        });
        let ask = async |names: std::ops::Range<usize>| {
            for name in names {
                archive.here(&name.to_string()).await.unwrap_err();
            }
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
            begun.load(Relaxed)
        };
        for _ in 0..3 {
            assert_eq!(ask(0..5).await, 5, "each once");
        }
        assert_eq!(ask(0..100).await, AT_ONCE);
        end.add_permits(4);
        assert_eq!(ask(0..0).await, AT_ONCE + 4, "the next ones");
        // What was not to be had may be asked for again, behind the others.
        assert_eq!(ask(0..4).await, AT_ONCE + 4);
        assert_eq!(archive.0.as_ref().unwrap().coming().len(), 100);
        assert_eq!(ask(0..MOST + 1).await, AT_ONCE + 4);
        assert_eq!(archive.0.as_ref().unwrap().coming().len(), MOST);
        archive.close();
        end.add_permits(MOST);
        assert_eq!(ask(0..9).await, AT_ONCE + 4, "nothing more");
        assert!(archive.0.unwrap().coming().is_empty());
    }
}
