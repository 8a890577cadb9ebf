//! What the guards cost a request, in CPU time, beside the bare RPC; and what a whole
//! SignMessage is made of.

use std::{fmt, slice};

use serde_json::{Value, json};
use skms_backend::KeyType;

use crate::{
    load::Sample,
    report::median,
    rows::{Row, Way, What},
};

/// The word on the command line for this part alone.
pub(crate) const ONLY: &str = "costs";

/// What stands between a call and its key, as far as one can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// A token that was checked before.
    TokenKnown,
    /// A token that was not.
    TokenNew,
    Certificate,
    LocalUser,
    /// Both questions to the policies, answered before.
    Remembered,
    /// Both questions, of a caller who has not called before.
    Asked,
    /// The caller twice and the key once.
    Limits,
    AuditWrite,
    AuditFsync,
}

impl Guard {
    pub(crate) const ALL: [Self; 9] = [
        Self::TokenKnown,
        Self::TokenNew,
        Self::Certificate,
        Self::LocalUser,
        Self::Remembered,
        Self::Asked,
        Self::Limits,
        Self::AuditWrite,
        Self::AuditFsync,
    ];

    /// What every SignMessage of the other rows passes, with as many in flight as there.
    const PASSED: [(Self, usize); 4] =
        [(Self::TokenKnown, 1), (Self::Remembered, 1), (Self::Limits, 1), (Self::AuditWrite, IN_FLIGHT)];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::TokenKnown => "authentication: token, seen before",
            Self::TokenNew => "authentication: token, new (ES256)",
            Self::Certificate => "authentication: certificate",
            Self::LocalUser => "authentication: local user",
            Self::Remembered => "authorisation: remembered",
            Self::Asked => "authorisation: policies evaluated",
            Self::Limits => "limits",
            Self::AuditWrite => "audit: write",
            Self::AuditFsync => "audit: fsync",
        }
    }

    pub(crate) fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|guard| guard.name() == name).unwrap()
    }

    /// How many at once. Only the audit log does for many together what it does for one.
    pub(crate) const fn lanes(self) -> &'static [usize] {
        match self {
            Self::AuditWrite | Self::AuditFsync => &[1, IN_FLIGHT],
            Self::TokenKnown | Self::TokenNew | Self::Certificate | Self::LocalUser => &[1],
            Self::Remembered | Self::Asked | Self::Limits => &[1],
        }
    }
}

/// Whether this part is of no use without the row.
pub(crate) fn stand_on(row: &Row) -> bool {
    match row.what {
        What::Echo | What::Guard(_) => true,
        What::Bare { backend, key_type } => is_shown(backend, key_type) && row.lanes == 1,
        What::Gateway { backend, key_type, .. } => is_shown(backend, key_type) && row.lanes == IN_FLIGHT,
    }
}

/// What signs fast enough that the guards are seen beside it.
fn is_shown(backend: &str, key_type: KeyType) -> bool {
    backend == "soft" && matches!(key_type, KeyType::Ed25519 | KeyType::EcP256)
}

/// The second table.
pub(crate) struct Costs<'a> {
    rows: &'a [Row],
}

/// CPU microseconds. Each is the median over the rounds.
struct Cost {
    micros: f64,
    /// Beside the bare RPC of the same round.
    of_echo: f64,
}

/// A whole SignMessage, and all of its parts.
struct Whole {
    name: String,
    cost: Cost,
    parts: Vec<(&'static str, Cost)>,
    /// The thread of the audit log alone, which shares a write among fewer records here
    /// than where nothing but records are made.
    audit_thread: f64,
}

impl<'a> Costs<'a> {
    /// None where no guard was measured.
    pub(crate) fn new(rows: &'a [Row]) -> Option<Self> {
        let guards = rows.iter().any(|row| matches!(row.what, What::Guard(_)));
        guards.then_some(Self { rows })
    }

    fn row(&self, what: &What, lanes: usize) -> Option<&Row> {
        self.rows.iter().find(|row| row.what == *what && row.way == Way::Call && row.lanes == lanes)
    }

    /// In each round some rows less others.
    fn cost(&self, rows: &[&Row], less: &[&Row]) -> Cost {
        let echo = self.row(&What::Echo, IN_FLIGHT);
        let micros = |row: &&Row, round| row.samples.get(round).map_or(f64::NAN, Sample::cpu_micros);
        let of_round = |round| {
            let sum = |rows: &[&Row]| rows.iter().map(|row| micros(row, round)).sum::<f64>();
            sum(rows) - sum(less)
        };
        let rounds = rows.iter().map(|row| row.samples.len()).max().unwrap_or_default();
        Cost {
            micros: median((0..rounds).map(of_round)),
            of_echo: median(
                (0..rounds).map(|round| of_round(round) / echo.map_or(f64::NAN, |echo| micros(&echo, round))),
            ),
        }
    }

    fn guards(&self) -> impl Iterator<Item = (&Row, Guard, Cost)> {
        self.rows.iter().filter_map(|row| match row.what {
            What::Guard(guard) => Some((row, guard, self.cost(&[row], &[]))),
            What::Echo | What::Bare { .. } | What::Gateway { .. } => None,
        })
    }

    fn wholes(&self) -> Vec<Whole> {
        self.rows.iter().filter_map(|row| self.whole(row)).collect()
    }

    fn whole(&self, row: &Row) -> Option<Whole> {
        let What::Gateway { backend, key_type, .. } = row.what else { return None };
        if !stand_on(row) {
            return None;
        }
        let mut parts = vec![
            ("bare RPC", self.row(&What::Echo, IN_FLIGHT)?),
            ("signature", self.row(&What::Bare { backend, key_type }, 1)?),
        ];
        for (guard, lanes) in Guard::PASSED {
            parts.push((guard.name(), self.row(&What::Guard(guard), lanes)?));
        }
        let known: Vec<_> = parts.iter().map(|(_, row)| *row).collect();
        let mut parts: Vec<_> =
            parts.into_iter().map(|(name, row)| (name, self.cost(slice::from_ref(&row), &[]))).collect();
        parts.push(("everything else", self.cost(&[row], &known)));
        let audit_thread = median(row.samples.iter().map(Sample::audit_thread_micros));
        Some(Whole { name: row.what.name(), cost: self.cost(&[row], &[]), parts, audit_thread })
    }

    pub(crate) fn json(&self) -> Value {
        let guards = self.guards().map(|(row, guard, Cost { micros, of_echo })| {
            json!({
                "guard": guard.name(), "in_flight": row.lanes, "cpu_us": micros, "of_bare_rpc": of_echo,
            })
        });
        let wholes = self.wholes().into_iter().map(|Whole { name, cost, parts, audit_thread }| {
            let parts = parts.into_iter().map(|(name, Cost { micros, of_echo })| {
                json!({ "part": name, "cpu_us": micros, "of_bare_rpc": of_echo })
            });
            json!({
                "what": name, "in_flight": IN_FLIGHT, "cpu_us": cost.micros, "of_bare_rpc": cost.of_echo,
                "parts": parts.collect::<Vec<_>>(), "audit_thread_cpu_us": audit_thread,
            })
        });
        json!({ "guards": guards.collect::<Vec<_>>(), "sign_message": wholes.collect::<Vec<_>>() })
    }
}

impl fmt::Display for Costs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<40}{:>10}{:>9}{:>12}", "what a request costs", "in flight", "CPU µs", "÷ bare RPC")?;
        let mut line = |name: &str, lanes: &str, Cost { micros, of_echo }: &Cost| {
            writeln!(f, "{name:<40}{lanes:>10}{micros:>9.2}{of_echo:>12.3}")
        };
        if let Some(echo) = self.row(&What::Echo, IN_FLIGHT) {
            line("bare RPC", &IN_FLIGHT.to_string(), &self.cost(&[echo], &[]))?;
        }
        for (row, guard, cost) in self.guards() {
            line(guard.name(), &row.lanes.to_string(), &cost)?;
        }
        let wholes = self.wholes();
        for Whole { name, cost, parts, .. } in &wholes {
            line(&format!("SignMessage, {name}"), &IN_FLIGHT.to_string(), cost)?;
            for (name, cost) in parts {
                line(&format!("  {name}"), "", cost)?;
            }
        }
        for Whole { name, audit_thread, .. } in &wholes {
            writeln!(f, "the audit thread alone, {name}: {audit_thread:.2} CPU µs a call")?;
        }
        write!(
            f,
            "CPU µs: of the guard alone, of its whole process for the audit log. authorisation: both of its\n\
             steps. limits: the caller twice, the key once. everything else: layers, checks, the gate, queues."
        )
    }
}

/// Calls in flight at the servers that the guards are held against.
const IN_FLIGHT: usize = 64;
