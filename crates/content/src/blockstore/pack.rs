//! One pack file, and the scan that finds its records again.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{
    Place,
    catalog::Catalog,
    lock,
    record::{self, Damage, HEADER, OpenReport, START, Shape},
    window::{Piece, Scan, What},
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
    /// Of the pack that is written to; `None` where some of it is damaged, so that it is read, and told of, each time.
    catalog: Mutex<Option<Catalog>>,
}

/// Opens all packs in `dir`, creating the first one, and tells `holds` what each of them holds, by its number.
pub(super) fn open_all(
    dir: &Path,
    report: &mut OpenReport,
    mut holds: impl FnMut(u32, &Catalog),
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
        let is_last = Some(number) == last;
        let known = if is_last {
            None
        } else {
            Pack::closed(dir, number)
        };
        let (pack, catalog) = match known {
            Some(known) => known,
            None => Pack::read_through(dir, number, is_last, report)?,
        };
        holds(number, &catalog);
        packs.push(Arc::new(pack));
    }
    if !packs.last().is_some_and(|last| last.is_sound()) {
        let next = Pack::create(dir, last.unwrap_or(0) + 1)?;
        packs.push(Arc::new(next));
    }
    Ok(packs)
}

fn name_of(number: u32) -> String {
    format!("blocks-{number:06}.pack")
}

/// The file of a pack's [`Catalog`].
fn catalog_of(pack: &Path) -> PathBuf {
    pack.with_extension("index")
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
            file.write_all_at(&record::start(), 0)?;
            file.sync_all()?;
            File::open(dir)?.sync_all()?;
            Ok(file)
        };
        match create() {
            Ok(file) => Ok(Self::of(number, path, file, START)),
            Err(error) => {
                // Where the disk is full, the store must still open.
                let _ = std::fs::remove_file(&path);
                Err(Error::Io { path, error })
            }
        }
    }

    fn of(number: u32, path: PathBuf, file: File, len: u64) -> Self {
        Self {
            number,
            path,
            file,
            len: AtomicU64::new(len),
            sound: AtomicBool::new(true),
            catalog: Mutex::new(Some(Catalog::default())),
        }
    }

    /// Opens a pack of which a file says what it holds.
    fn closed(dir: &Path, number: u32) -> Option<(Self, Catalog)> {
        let path = dir.join(name_of(number));
        let file = File::open(&path).ok()?;
        let len = file.metadata().ok()?.len();
        let catalog = Catalog::read(&catalog_of(&path), len)?;
        Some((Self::of(number, path, file, len), catalog))
    }

    /// Opens a pack by reading it. One that is complete need not be read the next time, where all of it is as it was
    /// written.
    fn read_through(
        dir: &Path,
        number: u32,
        is_last: bool,
        report: &mut OpenReport,
    ) -> Result<(Self, Catalog)> {
        let (damages, mut catalog) = (report.corrupt.len(), Catalog::default());
        let pack = Self::open(dir, number, is_last, report, &mut catalog)?;
        let is_whole = report.corrupt.len() == damages;
        *lock(&pack.catalog) = is_whole.then(|| catalog.clone());
        if !is_last {
            pack.close();
        }
        Ok((pack, catalog))
    }

    /// Nothing is written to it any more: says in a file what it holds.
    pub(super) fn close(&self) {
        let Some(catalog) = lock(&self.catalog).take() else {
            return;
        };
        // Without it the pack is read when the store is opened.
        if let Err(error) = catalog.write(&catalog_of(&self.path), self.len()) {
            tracing::warn!(pack = %self.name(), %error, "blockstore: no index is written: {error}");
        }
    }

    /// Some of it is damaged: it is read, and that is told, whenever the store is opened.
    pub(super) fn distrust(&self) {
        *lock(&self.catalog) = None;
        // Mostly there is none; one that cannot be removed costs what is told, and no block.
        let _ = std::fs::remove_file(catalog_of(&self.path));
    }

    /// Opens a pack and sums every record again. In the last one, damage that no mark follows was torn off by a crash,
    /// with all behind it, and is cut off; the others were complete before their successor was made. One that does not
    /// begin as a pack does is read, and not written to any more.
    fn open(
        dir: &Path,
        number: u32,
        is_last: bool,
        report: &mut OpenReport,
        found: &mut Catalog,
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
        let header = header(&file);
        if is_last && len < HEADER.len() as u64 && HEADER.starts_with(&header) {
            return Self::create(dir, number);
        }
        let pack = Self::of(number, path.clone(), file, len);
        let start = HEADER.len() as u64;
        if header != HEADER {
            report.corrupt.push(pack.damage(0, start.min(len)));
            pack.set_aside();
        }
        let (is_marked, unmarked) = pack.scan(start, report, found);
        match unmarked.first() {
            Some(torn) if is_last && pack.is_sound() => {
                report.torn = Some(pack.damage(torn.offset, len));
                let cut = pack.file.set_len(torn.offset);
                cut.and_then(|()| pack.file.sync_all()).map_err(io)?;
                pack.len.store(torn.offset, Ordering::SeqCst);
            }
            _ => {
                for piece in &unmarked {
                    pack.keep(piece, report, found);
                }
            }
        }
        if is_last && !is_marked && pack.is_sound() {
            pack.file.sync_all().map_err(io)?;
            pack.mark();
            found.ends.end();
        }
        Ok(pack)
    }

    /// Tells what stands from `from` on. Gives whether that ends with a mark, and what stands behind damage that no mark
    /// follows, which is not told yet.
    fn scan(&self, from: u64, report: &mut OpenReport, found: &mut Catalog) -> (bool, Vec<Piece>) {
        let mut scan = Scan::new(&self.file, from, self.len());
        let mut is_marked = false;
        let mut unmarked = Vec::new();
        // An older version wrote none: there only what stands at the end was torn off.
        let mut has_marks = false;
        while let Some(piece) = scan.next() {
            if scan.failed() {
                self.set_aside();
            }
            if piece.what == What::Mark && !piece.is_last {
                has_marks = true;
                for piece in unmarked.drain(..) {
                    self.keep(&piece, report, found);
                }
            } else if !unmarked.is_empty() || piece.is_last || has_marks && piece.is_damage() {
                unmarked.push(piece);
                continue;
            }
            self.keep(&piece, report, found);
            is_marked = piece.what == What::Mark;
        }
        (is_marked, unmarked)
    }

    /// Tells what was found of a piece that stays.
    fn keep(&self, piece: &Piece, report: &mut OpenReport, found: &mut Catalog) {
        if piece.is_damage() {
            report.corrupt.push(self.damage(piece.offset, piece.end));
        }
        match piece.what {
            What::Intact(cid, shape) | What::Whole(cid, shape) => {
                let place = self.place(piece.offset, shape);
                found.add(&cid, (place.offset, place.len));
            }
            What::Mark => found.ends.end(),
            What::Lost(..) | What::Unknown => {}
        }
    }

    /// Nothing is written to it any more.
    fn set_aside(&self) {
        self.sound.store(false, Ordering::SeqCst);
    }

    /// Appends records with one write and one fdatasync. The caller holds the writer's lock.
    pub(super) fn append(&self, blocks: &[&Block]) -> Result<Vec<Place>> {
        let start = self.len();
        let size: u64 = blocks.iter().map(|block| record::size(block)).sum();
        // They are megabytes: copied while it grows, they would be twice as many.
        let mut out = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        let mut places = Vec::with_capacity(blocks.len());
        for block in blocks {
            let shape = Shape {
                cid: block.0.encoded_len(),
                bytes: block.1.len(),
            };
            places.push(self.place(start + out.len() as u64, shape));
            record::put(&mut out, block);
        }
        let io = |error| Error::Io {
            path: self.path.clone(),
            error,
        };
        if let Err(error) = self.file.write_all_at(&out, start) {
            // A full disk: take back what was written, and all is as before.
            if self.file.set_len(start).is_err() {
                self.set_aside();
            }
            return Err(io(error));
        }
        // After a failed sync nobody knows what the disk holds; asking again would lie.
        self.file.sync_data().map_err(|error| {
            self.set_aside();
            io(error)
        })?;
        self.len.store(start + out.len() as u64, Ordering::SeqCst);
        self.mark();
        if let Some(catalog) = &mut *lock(&self.catalog) {
            for ((cid, _), place) in blocks.iter().zip(&places) {
                catalog.add(cid, (place.offset, place.len));
            }
            catalog.ends.end();
        }
        Ok(places)
    }

    /// Says behind what is durable that it is. This need not be durable itself: without it, what a disk changes in the
    /// last write is taken for torn off. Where there is no room for it, the next write goes over what is there of it.
    fn mark(&self) {
        let end = self.len();
        let mark = record::mark(end);
        if self.file.write_all_at(&mark, end).is_ok() {
            self.len.store(end + mark.len() as u64, Ordering::SeqCst);
        }
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

    /// Sums the records from `offset` on again, some `budget` bytes of them. Gives where it stopped, and what is not
    /// what was written.
    pub(super) fn examine(&self, offset: u64, budget: u64) -> (u64, Vec<Piece>) {
        let len = self.len();
        let start = offset.max(HEADER.len() as u64);
        let (mut scan, mut changed) = (Scan::new(&self.file, start, len), Vec::new());
        while let Some(piece) = scan.next() {
            if piece.is_damage() {
                changed.push(piece);
            }
            if piece.end - start >= budget {
                return (piece.end, changed);
            }
        }
        (len, changed)
    }

    pub(super) fn damage(&self, offset: u64, end: u64) -> Damage {
        Damage {
            pack: self.name(),
            offset,
            bytes: end - offset,
        }
    }

    /// Where the block of the record at `offset` stands. Packs end far below 4 GiB, so it fits.
    pub(super) fn place(&self, offset: u64, shape: Shape) -> Place {
        Place {
            pack: self.number,
            offset: u32::try_from(offset + shape.body() as u64).unwrap_or(u32::MAX),
            len: u32::try_from(shape.bytes).unwrap_or(u32::MAX),
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.len.load(Ordering::SeqCst)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() <= START
    }

    pub(super) fn is_sound(&self) -> bool {
        self.sound.load(Ordering::SeqCst)
    }

    pub(super) fn name(&self) -> String {
        name_of(self.number)
    }
}

/// The first bytes of a file, as many as a header has; fewer where it is shorter or the disk does not give them.
fn header(file: &File) -> Vec<u8> {
    let mut header = vec![0; HEADER.len()];
    let got = file.read_at(&mut header, 0).unwrap_or(0);
    header.truncate(got);
    header
}
