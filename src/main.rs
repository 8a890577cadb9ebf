//! The one binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    skms::cli::main()
}
