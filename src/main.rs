//! The `reelmill` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|word| word == "worker") {
        return reelmill::worker::child::main(
            arguments
                .next()
                .is_some_and(|word| word == "--build-registry"),
        );
    }
    ExitCode::SUCCESS
}
