//! What a process and everything below it uses, as `/proc` shows it.

use std::{collections::HashMap, fs};

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};

/// Use of a tree of processes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Use {
    /// User and system time so far, in seconds, also of children that ended.
    pub cpu: f64,
    /// Resident memory now, in bytes. What processes share is counted with each.
    pub memory: u64,
}

/// One process.
struct Process {
    parent: u32,
    used: Use,
}

/// The use of `root` with all its descendants.
pub fn used(root: u32) -> Result<Use> {
    let mut sum = Use::default();
    for (_, used) in family(root)? {
        sum.cpu += used.cpu;
        sum.memory += used.memory;
    }
    Ok(sum)
}

/// `root` and all its descendants, itself first.
pub fn below(root: u32) -> Result<Vec<u32>> {
    let mut pids: Vec<u32> = family(root)?.into_iter().map(|(pid, _)| pid).collect();
    pids.sort_by_key(|pid| *pid != root);
    Ok(pids)
}

/// `root` with all its descendants, and what each uses.
fn family(root: u32) -> Result<Vec<(u32, Use)>> {
    let ticks = unit(SysconfVar::CLK_TCK)?;
    let page = unit(SysconfVar::PAGE_SIZE)?;
    let mut all = HashMap::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Another process may end while we look.
        if let Some(process) = look(pid, ticks, page) {
            all.insert(pid, process);
        }
    }
    let is_below = |mut pid: u32| {
        while pid != root {
            match all.get(&pid) {
                Some(process) => pid = process.parent,
                None => return false,
            }
        }
        true
    };
    let family = all.iter().filter(|(pid, _)| is_below(**pid));
    Ok(family.map(|(pid, process)| (*pid, process.used)).collect())
}

/// Whether a child of ours has ended, also where nobody has waited for it yet.
pub fn has_ended(pid: u32) -> bool {
    fields(pid).is_none_or(|fields| fields[0] == "Z")
}

fn unit(name: SysconfVar) -> Result<u32> {
    let value = sysconf(name)?.context("the system does not say")?;
    Ok(u32::try_from(value)?)
}

fn look(pid: u32, ticks: u32, page: u32) -> Option<Process> {
    let fields = fields(pid)?;
    let times = fields.get(11..15)?.iter();
    let times: f64 = times.filter_map(|time| time.parse::<f64>().ok()).sum();
    let pages: u64 = fields.get(21)?.parse().ok()?;
    Some(Process {
        parent: fields.get(1)?.parse().ok()?,
        used: Use {
            cpu: times / f64::from(ticks),
            memory: pages * u64::from(page),
        },
    })
}

/// The fields of `/proc/PID/stat` from the state on, see proc(5): state, parent, ...
fn fields(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
    (!fields.is_empty()).then_some(fields)
}
