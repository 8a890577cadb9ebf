//! `skms`: one authenticated, authorised, audited gRPC API in front of key
//! hardware: HSMs over PKCS#11, TPM 2.0 chips, and a software keystore where there is
//! neither.
//!
//! # The map
//!
//! A request goes down floors and an answer comes up; no floor knows the one
//! above it.
//!
//! ```text
//!   client ── HTTP/2 over TLS 1.3, or plain over loopback or a Unix socket
//!     │
//!   transport   sockets, TLS, client certificates, connections, limits, drain
//!     │
//!   layers      THE STACK: request id, deadline,       auth      tokens, certificates,
//!     │         who calls, whether it may, how often ▶           local users
//!     │                                                policy    Cedar, twice: the method
//!     │                                                          here, the key at the gate
//!   rpc         messages ⇄ nouns; every field checked; the only error → status
//!     │
//!   keys        the use cases, one method each         catalog   SQLite on disk,
//!     │         ─────────────────────────────────────▶           a map in memory
//!   gate        THE DOOR: decide (policy), do, record (audit)
//!     │
//!   backends    KeyBackend ── Workers: a thread a device context, one queue
//!     │
//!   device      PKCS#11 session · TPM · software
//! ```
//!
//! | floor | read it for |
//! |---|---|
//! | [`transport`] | how bytes come in, how many, from whom, and for how long |
//! | [`layers`] | what every call passes before its method |
//! | [`auth`] | who calls, and what proves it |
//! | [`policy`], [`rates`] | who may do what with which key, and how much of it |
//! | [`rpc`] | what a message must look like, and what an error becomes |
//! | [`keys`] | what the gateway does |
//! | [`catalog`] | what it remembers, and what a crash cannot lose |
//! | [`gate`], [`audit`] | the decision on a key, and the record of it |
//! | [`backends`] | which devices there are, and which of them has the master key of another |
//! | [`model`] | the nouns that all floors share |
//! | [`server`], [`config`], [`reload`], [`health`], [`shutdown`] | how it is put together and runs |
//! | [`telemetry`], [`admin`] | what it says of itself: log, metrics, traces, readiness |
//! | [`client`], [`cli`] | the other side of the wire; the client builds alone (feature `client`) |
//! | [`backup`] | the catalog in one encrypted file, and back |
//!
//! The backends are crates of their own under `backends/`; their contract is
//! [`skms_backend`].
//!
//! # What always holds
//!
//! **Invariant:** a device is used only through a [`gate::Permit`], which only the
//! gate makes, after a decision.
//!
//! **Invariant:** a call has a [`auth::Caller`] before anything of its message is read,
//! and only [`auth`] makes one. What no policy permits is denied, and who may not see a
//! key is told the same whether there is one or not.
//!
//! **Invariant:** no outcome of a decision leaves before its audit record is written;
//! strangers who are refused are counted. Whatever is changed in the log before its last
//! anchor is found.
//!
//! **Invariant:** the API is served in plain text to this machine only; a client
//! certificate is worth what it is worth now: when it ends, or a list or an authority is
//! read that does not let it in, no call is taken on its connection any more, and two
//! seconds later there is no connection. What changes with the time alone, a list that goes
//! out of date or an authority that ends, is seen within 60 seconds; by new connections at
//! once.
//!
//! **Invariant:** a version is an intent on disk before any device hears of it,
//! and an acknowledged key survives `kill -9`.
//!
//! **Invariant:** an object that the catalog does not know as given up is never
//! removed from a device, but by the very call that was making it.
//!
//! **Invariant:** states change by the verbs of one table (`model/state.rs`); the gateway
//! destroys material when its time has come, on the device before in the catalog, and no
//! id is used twice.
//!
//! **Invariant:** [`tonic`] and [`proto`] appear only in `rpc`, `layers`,
//! `transport`, `server`, `client`, `cli` and `health`; `cryptoki` only in its
//! backend. The test `tidy` holds the whole table of who may import whom.
//!
//! # To add …
//!
//! * **an RPC:** `proto/skms/v1/`; the compiler then asks for its action
//!   (`model/rpc.rs`, `model/action.rs`), its price (`rates/weight.rs`) and its largest
//!   message (`layers/size.rs`), and a test for the action in
//!   `policy/schema.cedarschema` and the golden `policy/matrix.txt`. Then a use case in
//!   `keys/`, its method in `rpc/`, a subcommand in `cli/`.
//! * **a backend:** a crate under `backends/` that implements
//!   [`skms_backend::KeyBackend`], one arm in `backends.rs`, one test module that
//!   runs the conformance suite.
//! * **an algorithm or key type:** `backends/core` (`algorithm.rs`, `encryption.rs`,
//!   `key_type.rs`; the compiler finds the rest), `proto/skms/v1/types.proto`, `rpc/parse.rs` and
//!   `rpc/convert.rs`, then the backends that have it.
//! * **a config option:** the `Config` of the component, `config/skms.toml` (a test
//!   compares the two).
//! * **a metric:** `telemetry/metrics.rs`, its method in `telemetry/metrics/events.rs`,
//!   and its name in `telemetry/metrics.txt` (a test compares the two).
//! * **a table or a column of the catalog:** a step in `catalog/sql/`, and in
//!   `catalog/restore/merge.rs` what becomes of it when a backup is brought back (a test
//!   compares the tables).
//! * **something that is read again while the gateway runs:** a function that reads it
//!   and one that names its files, in `reloadables` of `server.rs`; a label in
//!   `telemetry/labels.rs`.
//! * **a kind of change of a key:** `catalog/history.rs`, `proto/` and
//!   `rpc/key_management/watch.rs`, for those who watch keys.
//! * **a reason for a refusal:** `model/reason.rs` and `model/reasons.txt`; the
//!   compiler then asks `model/code.rs` for its code.

#[cfg(feature = "gateway")]
pub mod admin;
#[cfg(feature = "gateway")]
pub mod audit;
#[cfg(feature = "gateway")]
pub mod auth;
#[cfg(feature = "gateway")]
pub mod backends;
#[cfg(feature = "gateway")]
pub mod backup;
#[cfg(feature = "gateway")]
pub mod catalog;
#[cfg(feature = "gateway")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "gateway")]
pub mod config;
#[cfg(feature = "gateway")]
pub mod failpoint;
#[cfg(feature = "gateway")]
pub mod gate;
#[cfg(feature = "gateway")]
pub mod health;
#[cfg(feature = "gateway")]
pub mod keys;
#[cfg(feature = "gateway")]
pub mod layers;
#[cfg(feature = "gateway")]
pub mod model;
#[cfg(feature = "gateway")]
pub mod policy;
pub mod proto;
#[cfg(feature = "gateway")]
pub mod rates;
#[cfg(feature = "gateway")]
pub mod reload;
#[cfg(feature = "gateway")]
pub mod rpc;
#[cfg(feature = "gateway")]
pub mod server;
#[cfg(feature = "gateway")]
pub mod shutdown;
#[cfg(feature = "gateway")]
pub mod telemetry;
#[cfg(feature = "gateway")]
pub mod transport;
