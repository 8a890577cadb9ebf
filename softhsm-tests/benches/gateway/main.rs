//! The first benchmark: SignMessage beside what it is made of.
//!
//! `cargo bench -p skms-tests` starts a gateway, a bare gRPC server, SoftHSM2, swtpm and
//! aws-lc-rs without a gateway and the guards of the gateway each alone, each in a process of its own, and measures them in turn, round after round,
//! so that a busy machine is busy for all of them. What counts are the ratios within
//! a round and the CPU time of a call; the medians over the rounds are printed as
//! two tables and written to `var/bench/summary.json`.
//!
//! **Invariant:** no time is asserted here; only a call that fails ends it.
//!
//! | | |
//! |---|---|
//! | `cargo bench -p skms-tests -- ec-p256` | only rows with this in their name, beside the bare RPC |
//! | `cargo bench -p skms-tests -- costs` | only what the guards cost, and a whole SignMessage beside it |
//! | `SKMS_BENCH_ROUNDS`, `SKMS_BENCH_MILLIS` | how many rounds, and how long each row is measured in one |
//! | `SKMS_BENCH_PROGRAM` | another gateway program than the one of the tests |
//! | `SKMS_BENCH_AGAINST` | a second gateway program, measured beside the first |

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark panics where it cannot measure, and prints what it measured"
)]

mod child;
mod costs;
mod device;
mod echo;
mod guards;
mod load;
mod process;
mod report;
mod rows;
mod software;
mod tpm;

use std::{env, str::FromStr, time::Duration};

use self::{report::Report, rows::Field};

/// A few, so that a median is one; with all rows they take about two minutes.
const ROUNDS: usize = 5;
/// Long enough for hundreds of the slowest calls.
const MILLIS: u64 = 500;
/// Connections are opened, keys are unsealed, handles are found.
const WARM_UP: Duration = Duration::from_millis(100);

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(child::DEVICE) => device::serve(),
        Some(child::SOFTWARE) => software::serve(),
        Some(child::TPM) => tpm::serve(),
        Some(child::ECHO) => echo::serve(),
        Some(child::GUARDS) => guards::serve(),
        _ => compare(arguments.iter().find(|argument| !argument.starts_with("--")).map_or("", |only| only)),
    }
}

fn compare(only: &str) {
    let (rounds, millis) =
        (setting("SKMS_BENCH_ROUNDS", ROUNDS).max(1), setting("SKMS_BENCH_MILLIS", MILLIS));
    let mut field = Field::prepare(only);
    println!("{} rows, {rounds} rounds of {millis} ms each", field.rows.len());
    let idle = field.memory();
    field.round(WARM_UP);
    for row in &mut field.rows {
        row.samples.clear();
    }
    for round in 1..=rounds {
        println!("round {round} of {rounds}");
        field.round(Duration::from_millis(millis));
    }
    let report = Report { rounds, millis, rows: &field.rows, idle, loaded: field.memory() };
    println!("\n{report}");
    println!("written to {}", report.write().display());
}

fn setting<T: FromStr>(name: &str, default: T) -> T {
    let Ok(text) = env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name} is no number: `{text}`"))
}
