//! The binary `chancery`.

use std::process::ExitCode;

/// Takes a backfill's short-lived buffers from several threads without holding on to them, unlike glibc's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    chancery::cli::main()
}
