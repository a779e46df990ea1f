//! The `reelmill` program.

fn main() {}
