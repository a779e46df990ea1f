//! The `reelmill` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    // No runtime and no thread may exist before this has seen whether it is a worker.
    reelmill::cli::main(std::env::args_os())
}
