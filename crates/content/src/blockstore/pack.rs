//! One pack file, and the scan that finds its records again.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use kernel::Cid;

use super::{
    Place,
    record::{self, Damage, HEADER, OpenReport, Shape},
    window::Window,
};
use crate::{Error, Result, block::Block};

/// All packs of a store, by rising number.
pub(super) type Packs = Vec<Arc<Pack>>;

/// An open pack file.
#[derive(Debug)]
pub(super) struct Pack {
    pub(super) number: u32,
    path: PathBuf,
    file: File,
    /// Bytes that are durable. Only the holder of the writer's lock changes it.
    len: AtomicU64,
    sound: AtomicBool,
}

/// Opens all packs in `dir`, creating the first one, and tells `found` of each record in order.
pub(super) fn open_all(
    dir: &Path,
    report: &mut OpenReport,
    mut found: impl FnMut(&Cid, Place),
) -> Result<Packs> {
    let io = |error| Error::Io {
        path: dir.to_owned(),
        error,
    };
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io)? {
        numbers.extend(number_of(&entry.map_err(io)?.file_name().to_string_lossy()));
    }
    numbers.sort_unstable();
    let last = numbers.last().copied();
    let mut packs = Vec::new();
    for number in numbers {
        let pack = Pack::open(dir, number, Some(number) == last, report, &mut found)?;
        packs.push(Arc::new(pack));
    }
    if packs.is_empty() {
        packs.push(Arc::new(Pack::create(dir, 1)?));
    }
    Ok(packs)
}

fn name_of(number: u32) -> String {
    format!("blocks-{number:06}.pack")
}

fn number_of(name: &str) -> Option<u32> {
    let number = name
        .strip_prefix("blocks-")?
        .strip_suffix(".pack")?
        .parse()
        .ok()?;
    (name == name_of(number)).then_some(number)
}

impl Pack {
    /// Creates an empty pack, durably.
    pub(super) fn create(dir: &Path, number: u32) -> Result<Self> {
        let path = dir.join(name_of(number));
        let create = || {
            // A crash between creating and writing leaves a file without a header: start it anew.
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(&path)?;
            file.write_all_at(HEADER, 0)?;
            file.sync_all()?;
            File::open(dir)?.sync_all()?;
            Ok(file)
        };
        let file = create().map_err(|error| Error::Io {
            path: path.clone(),
            error,
        })?;
        let len = AtomicU64::new(HEADER.len() as u64);
        Ok(Self {
            number,
            path,
            file,
            len,
            sound: AtomicBool::new(true),
        })
    }

    /// Opens a pack and scans it. In the last one every record is summed again, and what follows
    /// the last good one is cut off; the others were complete before their successor was made.
    fn open(
        dir: &Path,
        number: u32,
        is_last: bool,
        report: &mut OpenReport,
        found: &mut impl FnMut(&Cid, Place),
    ) -> Result<Self> {
        let path = dir.join(name_of(number));
        let io = |error| Error::Io {
            path: path.clone(),
            error,
        };
        let file = File::options()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        let mut window = Window::new(&file, len);
        let header = window.at(0, HEADER.len()).map_err(io)?;
        if is_last && HEADER.starts_with(header) && header.len() < HEADER.len() {
            return Self::create(dir, number);
        }
        if header != HEADER {
            return Err(Error::Malformed(format!(
                "{} is no pack of blocks",
                path.display()
            )));
        }
        let damage = |offset, end: u64| Damage {
            pack: name_of(number),
            offset,
            bytes: end - offset,
        };
        let mut offset = HEADER.len() as u64;
        while offset < len {
            match window.record(offset, is_last).map_err(io)? {
                Some((cid, shape)) => {
                    found(&cid, place(number, offset, shape));
                    offset += shape.total() as u64;
                }
                None => match window.next_record(offset + 1).map_err(io)? {
                    Some(next) => {
                        report.corrupt.push(damage(offset, next));
                        offset = next;
                    }
                    None if is_last => {
                        report.torn = Some(damage(offset, len));
                        file.set_len(offset)
                            .and_then(|()| file.sync_all())
                            .map_err(io)?;
                        break;
                    }
                    None => {
                        report.corrupt.push(damage(offset, len));
                        offset = len;
                    }
                },
            }
        }
        let len = AtomicU64::new(offset);
        Ok(Self {
            number,
            path,
            file,
            len,
            sound: AtomicBool::new(true),
        })
    }

    /// Appends records with one write and one fdatasync. The caller holds the writer's lock.
    pub(super) fn append<'a>(&self, blocks: impl Iterator<Item = &'a Block>) -> Result<Vec<Place>> {
        let start = self.len();
        let mut out = Vec::new();
        let mut places = Vec::new();
        for block in blocks {
            let shape = Shape {
                cid: block.0.encoded_len(),
                bytes: block.1.len(),
            };
            places.push(place(self.number, start + out.len() as u64, shape));
            record::put(&mut out, block);
        }
        let io = |error| Error::Io {
            path: self.path.clone(),
            error,
        };
        if let Err(error) = self.file.write_all_at(&out, start) {
            // A full disk: take back what was written, and all is as before.
            if self.file.set_len(start).is_err() {
                self.sound.store(false, Ordering::SeqCst);
            }
            return Err(io(error));
        }
        // After a failed sync nobody knows what the disk holds; asking again would lie.
        self.file.sync_data().map_err(|error| {
            self.sound.store(false, Ordering::SeqCst);
            io(error)
        })?;
        self.len.store(start + out.len() as u64, Ordering::SeqCst);
        Ok(places)
    }

    /// Reads a block's bytes as the disk has them now.
    pub(super) fn read(&self, offset: u32, len: u32) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len as usize];
        self.file
            .read_exact_at(&mut bytes, u64::from(offset))
            .map_err(|error| Error::Io {
                path: self.path.clone(),
                error,
            })?;
        Ok(bytes)
    }

    /// Sums the records from `offset` on again, some `budget` bytes of them. Gives where it stopped, and the CIDs of
    /// the records that are not what was written, as far as these can be read.
    pub(super) fn examine(&self, offset: u64, budget: u64) -> Result<(u64, Vec<Cid>)> {
        let io = |error| Error::Io {
            path: self.path.clone(),
            error,
        };
        let len = self.len();
        let mut window = Window::new(&self.file, len);
        let start = offset.max(HEADER.len() as u64);
        let (mut at, mut corrupt) = (start, Vec::new());
        while at < len && at - start < budget {
            if let Some((_, shape)) = window.record(at, true).map_err(io)? {
                at += shape.total() as u64;
                continue;
            }
            corrupt.extend(window.record(at, false).map_err(io)?.map(|(cid, _)| cid));
            at = window.next_record(at + 1).map_err(io)?.unwrap_or(len);
        }
        Ok((at, corrupt))
    }

    pub(super) fn len(&self) -> u64 {
        self.len.load(Ordering::SeqCst)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() <= HEADER.len() as u64
    }

    pub(super) fn is_sound(&self) -> bool {
        self.sound.load(Ordering::SeqCst)
    }

    pub(super) fn name(&self) -> String {
        name_of(self.number)
    }
}

/// Packs end far below 4 GiB, so offsets fit.
fn place(pack: u32, record: u64, shape: Shape) -> Place {
    let offset = u32::try_from(record + shape.body() as u64).unwrap_or(u32::MAX);
    Place {
        pack,
        offset,
        len: u32::try_from(shape.bytes).unwrap_or(u32::MAX),
    }
}
