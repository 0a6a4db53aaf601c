//! `chancery audit export`: the journal as files, verified on their way, so that they outlive the instance.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    pin::pin,
};

use futures::{StreamExt, stream};
use journal::{
    audit::{self, Audit, Reading, Wrong},
    checkpoint::Checkpoint,
    tile::TilePath,
    vkey::VerifierKey,
};
use kernel::Kind;
use serde_json::json;

use super::verify::{log, not_verified, source::Source};
use crate::cli::{Context, client::Client, exit::Failure, show, trusted};

/// Arguments of `audit export`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where the files go
    dir: PathBuf,
    /// The journal's key that you trust [default: the instance's]
    #[arg(long, value_name = "KEY")]
    vkey: Option<String>,
}

/// Runs the verb. What is there already is verified again and not asked for again. The checkpoint is written last,
/// after everything that it implies is on the disk; who stops before it has the files and goes on.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let dir = &args.dir;
    let client = Client::of(context)?;
    let from = Source::web(&format!("{}/audit", client.url()))?;
    let note = from.checkpoint().await?;
    let vkey = args.vkey.as_deref();
    vkey.map(trusted::key).transpose()?;
    let key = log::key(&from, vkey).await?;
    let head = audit::head(&note, &key).map_err(|error| not_verified(&error))?;
    let mut copy = Copy::into(dir, &head.origin, head.size)?;
    goes_on(&from, &head, &key, dir).await?;
    copy_files(&from, &head, &mut copy).await?;
    copy.finish(&note, &key.to_string())?;
    let new = copy.written.len();
    let value = json!({
        "dir": dir, "origin": head.origin, "size": head.size, "root": hex::encode(head.root), "new": new,
    });
    Ok(context.output.one(&value, || {
        show::fields(&[
            ("exported", Some(head.origin.clone())),
            ("to", Some(show::clean(&dir.display().to_string()))),
            ("size", Some(format!("{} entries", head.size))),
            ("root", Some(hex::encode(head.root))),
            ("new", Some(format!("{new} files"))),
        ])
    })?)
}

/// The log that the instance has must begin with the one that was copied before: nothing of an older copy is given
/// up for a log that was written anew.
async fn goes_on(
    from: &Source,
    head: &Checkpoint,
    key: &VerifierKey,
    dir: &Path,
) -> Result<(), Failure> {
    let Ok(note) = fs::read_to_string(dir.join("checkpoint")) else {
        return Ok(());
    };
    let old = audit::head(&note, key).map_err(|error| {
        not_verified(&format!(
            "{}: the copy that is there: {error}",
            dir.display()
        ))
    })?;
    if old.size == 0 {
        return Ok(());
    }
    let root = log::root_of(from, head, old.size).await?;
    if root == old.root {
        return Ok(());
    }
    Err(not_verified(&format!(
        "{} holds {} entries with the root {}, signed by the same key, and the instance's first {} have the root \
         {}: the log was forked. Keep that copy, it is the proof, and choose another directory",
        dir.display(),
        old.size,
        hex::encode(old.root),
        old.size,
        hex::encode(root)
    )))
}

async fn copy_files(from: &Source, head: &Checkpoint, copy: &mut Copy) -> anyhow::Result<()> {
    let audit = Audit::new(head.clone(), 0..head.size, Reading::Opaque);
    let mut audit = audit.map_err(|error| not_verified(&error))?;
    let here = Source::Dir(copy.dir.clone());
    let files = stream::iter(audit.plan())
        .map(|path| {
            let here = &here;
            async move {
                // Full files never change, so those that are here are looked at first.
                let kept = if path == path.full() {
                    here.file(path).await.ok().flatten()
                } else {
                    None
                };
                let is_new = kept.is_none();
                let file = match kept {
                    Some(bytes) => Ok(bytes),
                    None => fetch(from, path).await,
                };
                (path, is_new, file)
            }
        })
        .buffered(from.ahead());
    let mut files = pin!(files);
    while let Some((path, is_new, file)) = files.next().await {
        let file = file?;
        let Err(error) = audit.take(path, &file) else {
            if is_new {
                copy.put(&path.to_string(), &file)?;
            }
            continue;
        };
        if is_new {
            return Err(not_verified(&error).into());
        }
        // What was here was torn or altered; the instance has it whole.
        let file = fetch(from, path).await?;
        audit
            .take(path, &file)
            .map_err(|error| not_verified(&error))?;
        copy.put(&path.to_string(), &file)?;
    }
    Ok(())
}

async fn fetch(from: &Source, path: TilePath) -> Result<Vec<u8>, Failure> {
    let file = from.file(path).await?;
    file.ok_or_else(|| not_verified(&Wrong::Missing { path }))
}

/// The directory that is written.
struct Copy {
    dir: PathBuf,
    /// What was written and is not on the disk for certain.
    written: Vec<PathBuf>,
}

impl Copy {
    /// Refuses a directory that holds another log, or more of this one.
    fn into(dir: &Path, origin: &str, size: u64) -> Result<Self, Failure> {
        fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
        let old = fs::read_to_string(dir.join("checkpoint")).unwrap_or_default();
        let mut lines = old.lines();
        let (name, entries) = (
            lines.next(),
            lines.next().and_then(|line| line.parse().ok()),
        );
        if let Some(name) = name.filter(|name| *name != origin) {
            let why = format!(
                "{} holds the log {}, and the instance's is {origin}: choose another directory",
                dir.display(),
                show::clean(name)
            );
            return Err(Failure::Of(Kind::Conflict, why));
        }
        if let Some(entries) = entries.filter(|entries: &u64| *entries > size) {
            let why = format!(
                "{} holds {entries} entries, and the instance has {size}: it was set back; keep that copy",
                dir.display()
            );
            return Err(Failure::Of(Kind::Conflict, why));
        }
        let dir = dir.to_path_buf();
        Ok(Self {
            dir,
            written: Vec::new(),
        })
    }

    /// Writes a file whole or not at all; it is on the disk when [`Copy::finish`] was there.
    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.dir.join(name);
        let part = path.with_extension("part");
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(&self.dir))?;
            fs::write(&part, bytes)?;
            fs::rename(&part, &path)
        };
        write().map_err(|error| failed(&path, &error))?;
        self.written.push(path);
        Ok(())
    }

    fn sync(&self) -> Result<(), Failure> {
        let mut folders = BTreeSet::from([self.dir.as_path()]);
        for path in &self.written {
            sync(path)?;
            let above = path.ancestors().skip(1);
            folders.extend(above.take_while(|folder| *folder != self.dir));
        }
        folders.into_iter().try_for_each(sync)
    }

    /// The key, and at last the checkpoint: who reads it finds all that it implies.
    fn finish(&mut self, note: &str, vkey: &str) -> Result<(), Failure> {
        self.put("vkey", format!("{vkey}\n").as_bytes())?;
        self.sync()?;
        self.put("checkpoint", note.as_bytes())?;
        sync(&self.dir.join("checkpoint"))?;
        sync(&self.dir)
    }
}

fn sync(path: &Path) -> Result<(), Failure> {
    let file = File::open(path).and_then(|file| file.sync_all());
    file.map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::Of(Kind::Internal, format!("{}: {error}", path.display()))
}
