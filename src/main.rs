//! The `punctual` binary: everything is in the library, so that nothing is compiled twice.

use std::process::ExitCode;

/// A claim allocates on one thread what another frees; the system's allocator also grows a
/// thread's arena a page at a time, with a call each.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    punctual::main()
}
