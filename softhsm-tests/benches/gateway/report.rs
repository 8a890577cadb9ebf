//! The table, and the same as JSON.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    costs::Costs,
    load::Sample,
    process::{Memory, load, machine},
    rows::{Row, What},
};

/// What came out.
pub(crate) struct Report<'a> {
    pub(crate) rounds: usize,
    pub(crate) millis: u64,
    pub(crate) rows: &'a [Row],
    /// The memory of the gateway before the load …
    pub(crate) idle: Memory,
    /// … and after it.
    pub(crate) loaded: Memory,
}

/// A row beside what it is made of. Each value is the median over the rounds of
/// what it was within a round.
struct Figures {
    rate: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
    /// Operations beside those of the bare device with as many sessions, or, for
    /// more than one call in flight, with those that serve it best.
    of_bare: Option<f64>,
    /// CPU time without the device's, beside that of the bare RPC with as many in flight.
    own_of_echo: Option<f64>,
    /// The median latency of one call alone, without those of the bare RPC and device.
    added: Option<f64>,
}

impl Report<'_> {
    fn figures(&self, row: &Row) -> Figures {
        let one = |of: fn(&Sample) -> f64| median(row.samples.iter().map(of));
        let mut figures = Figures {
            rate: one(Sample::rate),
            p50: one(Sample::p50_micros),
            p99: one(Sample::p99_micros),
            cpu: one(Sample::cpu_micros),
            of_bare: None,
            own_of_echo: None,
            added: None,
        };
        let Some(bare) = self.bare(row) else { return figures };
        figures.of_bare =
            Some(median(row.samples.iter().zip(&bare.samples).map(|(row, bare)| row.rate() / bare.rate())));
        let Some(echo) = self
            .rows
            .iter()
            .find(|echo| echo.what == What::Echo && echo.way == row.way && echo.lanes == row.lanes)
        else {
            return figures;
        };
        let rounds = || row.samples.iter().zip(&bare.samples).zip(&echo.samples);
        figures.own_of_echo = Some(median(
            rounds().map(|((row, bare), echo)| (row.cpu_micros() - bare.cpu_micros()) / echo.cpu_micros()),
        ));
        if row.lanes == 1 {
            figures.added = Some(median(
                rounds().map(|((row, bare), echo)| row.p50_micros() - bare.p50_micros() - echo.p50_micros()),
            ));
        }
        figures
    }

    /// What a row of a gateway is held against.
    fn bare(&self, row: &Row) -> Option<&Row> {
        let What::Gateway { backend, key_type, .. } = row.what else { return None };
        let bare = What::Bare { backend, key_type };
        let mut bare: Vec<&Row> = self.rows.iter().filter(|row| row.what == bare).collect();
        if row.lanes == 1 {
            return bare.into_iter().find(|bare| bare.lanes == 1);
        }
        let rate = |row: &Row| median(row.samples.iter().map(Sample::rate));
        bare.sort_by(|one, other| rate(one).total_cmp(&rate(other)));
        bare.pop()
    }

    /// The rows of the first table.
    fn calls(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| !matches!(row.what, What::Guard(_)))
    }

    /// Writes it as JSON, and says where.
    pub(crate) fn write(&self) -> PathBuf {
        let path = directory().join("summary.json");
        fs::write(&path, format!("{:#}\n", self.json())).unwrap();
        path
    }

    fn json(&self) -> Value {
        let (cores, model) = machine();
        let rows = self.calls().map(|row| {
            let Figures { rate, p50, p99, cpu, of_bare, own_of_echo, added } = self.figures(row);
            json!({
                "what": row.name(), "lanes": row.lanes, "ops_per_s": rate, "p50_us": p50, "p99_us": p99,
                "cpu_us": cpu, "rate_of_bare": of_bare, "own_cpu_of_echo": own_of_echo, "added_p50_us": added,
            })
        });
        json!({
            "machine": { "cores": cores, "model": model, "load": load() },
            "rounds": self.rounds, "round_ms": self.millis,
            "rows": rows.collect::<Vec<_>>(),
            "costs": Costs::new(self.rows).map(|costs| costs.json()),
            "gateway_memory_kib": {
                "idle": self.idle.resident, "loaded": self.loaded.resident, "peak": self.loaded.peak,
            },
        })
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cores, model) = machine();
        writeln!(
            f,
            "{cores} cores, {model}, load {:.1}; medians over {} rounds of {} ms",
            load(),
            self.rounds,
            self.millis
        )?;
        writeln!(
            f,
            "{:<46}{:>6}{:>10}{:>9}{:>9}{:>9}{:>9}{:>12}{:>10}",
            "", "lanes", "ops/s", "p50 µs", "p99 µs", "CPU µs", "÷ bare", "own ÷ RPC", "added µs"
        )?;
        let mut last = "";
        let names: Vec<_> = self.calls().map(Row::name).collect();
        for (row, name) in self.calls().zip(&names) {
            let Figures { rate, p50, p99, cpu, of_bare, own_of_echo, added } = self.figures(row);
            let shown = if name == last { "" } else { name };
            last = name;
            let ratio = |value: Option<f64>| value.map(|value| format!("{value:.2}")).unwrap_or_default();
            let added = added.map(|added| format!("{added:.0}")).unwrap_or_default();
            writeln!(
                f,
                "{shown:<46}{:>6}{rate:>10.0}{p50:>9.0}{p99:>9.0}{cpu:>9.1}{:>9}{:>12}{added:>10}",
                row.lanes,
                ratio(of_bare),
                ratio(own_of_echo)
            )?;
        }
        let mib = |kib: u64| kib.div_ceil(1024);
        let Self { idle, loaded, .. } = self;
        writeln!(
            f,
            "gateway memory: {} MiB idle, {} MiB after the load, {} MiB at most\n\
             lanes: calls, batches or items of a stream in flight, sessions or threads. CPU µs: of the serving process, a call.\n\
             ÷ bare: operations, beside the bare device with the best number of sessions (one for one call).\n\
             On a busy machine rates and latencies are a neighbour's too, and CPU times the figures to trust.\n\
             own ÷ RPC: CPU time less the device's, beside the bare RPC's. added: p50 less both of theirs.",
            mib(idle.resident),
            mib(loaded.resident),
            mib(loaded.peak)
        )?;
        Costs::new(self.rows).map_or(Ok(()), |costs| write!(f, "\n{costs}"))
    }
}

/// Where what is measured is kept.
pub(crate) fn directory() -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("var/bench");
    fs::create_dir_all(&directory).unwrap();
    directory
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
