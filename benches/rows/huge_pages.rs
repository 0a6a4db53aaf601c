//! Huge pages for a large shared memory of Postgres: it takes them where some are reserved (`huge_pages = try`). With pages
//! of 4 KiB, whoever reads 4 GiB all over waits for the processor's tables of pages more than for what it reads.

use std::fs;

const RESERVED: &str = "/proc/sys/vm/nr_hugepages";

/// Pages that are reserved until this is dropped.
pub struct HugePages {
    before: u64,
}

impl HugePages {
    /// Reserves so many KiB more. `None` where this process may not, or the kernel finds no room for all of them.
    pub fn reserve(kib: u64) -> Option<Self> {
        let memory = fs::read_to_string("/proc/meminfo").ok()?;
        let size = memory.lines().find_map(|line| {
            let (size, _) = line.strip_prefix("Hugepagesize:")?.trim().split_once(' ')?;
            size.parse::<u64>().ok()
        })?;
        let reserved = Self { before: count()? };
        let wanted = reserved.before + kib.div_ceil(size);
        fs::write(RESERVED, wanted.to_string()).ok()?;
        (count()? >= wanted).then_some(reserved)
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        if let Err(error) = fs::write(RESERVED, self.before.to_string()) {
            eprintln!("{RESERVED} stays as it is: {error}");
        }
    }
}

fn count() -> Option<u64> {
    fs::read_to_string(RESERVED).ok()?.trim().parse().ok()
}
