//! The `punctual` binary. All code is in the library, so that nothing is compiled twice.

use std::process::ExitCode;

/// A claim often allocates on one thread and frees on another. The system's allocator also grows a
/// thread's arena by one page per system call.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    punctual::main()
}
