//! anvil's state file. anvil writes it in place, so a kill in the wrong moment leaves half a file,
//! which anvil refuses; a whole copy beside it is what such a death costs us.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::de::IgnoredAny;
use tokio_util::sync::CancellationToken;

/// How often a changed state is copied.
const KEEP_EVERY: Duration = Duration::from_secs(5);

/// The state file and its last whole copy.
#[derive(Debug, Clone)]
pub struct State {
    /// What anvil reads and writes.
    pub file: PathBuf,
    copy: PathBuf,
}

impl State {
    /// The state in this folder, written or not.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            file: folder.join("state.json"),
            copy: folder.join("state.whole.json"),
        }
    }

    /// Whether the file is there and whole.
    pub fn is_whole(&self) -> bool {
        is_json(&self.file)
    }

    /// Puts the last whole copy in the place of a broken file.
    pub fn repair(&self) -> io::Result<()> {
        if !self.file.exists() || self.is_whole() {
            return Ok(());
        }
        if is_json(&self.copy) {
            tracing::warn!("the dev chain's state was half written, its last whole copy is used");
            fs::copy(&self.copy, &self.file)?;
        } else {
            tracing::warn!(
                "the dev chain's state was half written and has no copy: it begins anew"
            );
            fs::rename(&self.file, self.file.with_extension("json.broken"))?;
        }
        Ok(())
    }

    /// Copies the state whenever it changed, until `stop`.
    pub async fn keep(self, stop: CancellationToken) {
        let mut last = None;
        loop {
            let state = self.clone();
            let copied = tokio::task::spawn_blocking(move || state.copy_since(last)).await;
            match copied {
                Ok(Ok(time)) => last = time,
                Ok(Err(error)) => tracing::warn!(%error, "copying the dev chain's state: {error}"),
                Err(error) => tracing::error!(%error, "copying the dev chain's state: {error}"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(KEEP_EVERY) => {}
            }
        }
    }

    /// Copies a file that changed since `last` and is whole; returns the time of what is copied.
    fn copy_since(&self, last: Option<SystemTime>) -> io::Result<Option<SystemTime>> {
        let time = fs::metadata(&self.file)?.modified()?;
        if Some(time) == last {
            return Ok(last);
        }
        let part = self.copy.with_extension("part");
        fs::copy(&self.file, &part)?;
        if !is_json(&part) {
            return Ok(last);
        }
        fs::rename(&part, &self.copy)?;
        Ok(Some(time))
    }
}

fn is_json(file: &Path) -> bool {
    let Ok(file) = fs::File::open(file) else {
        return false;
    };
    serde_json::from_reader::<_, IgnoredAny>(io::BufReader::new(file)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_written_state_is_replaced_by_its_last_whole_copy() {
        let temp = tempfile::tempdir().unwrap();
        let state = State::in_folder(temp.path());
        fs::write(&state.file, r#"{"block": 1}"#).unwrap();
        let copied = state.copy_since(None).unwrap();
        assert!(copied.is_some());
        fs::write(&state.file, r#"{"block": "#).unwrap();
        state.copy_since(None).unwrap();
        state.repair().unwrap();
        assert_eq!(fs::read_to_string(&state.file).unwrap(), r#"{"block": 1}"#);
        fs::remove_file(&state.copy).unwrap();
        fs::write(&state.file, "{").unwrap();
        state.repair().unwrap();
        assert!(!state.file.exists(), "begins anew");
    }
}
