//! The gateway with its failpoints compiled in: what the tests start as a process
//! of its own, and kill.

use std::process::ExitCode;

fn main() -> ExitCode {
    let _scenario = skms::failpoint::from_environment();
    skms::cli::main()
}
