//! What many keys cost: a gateway with ten keys beside one with ten thousand, how long
//! each takes to start, and how long one signature takes.
//!
//! `cargo bench -p skms-tests --bench catalog`. The two take turns, round after round,
//! so that a busy machine is busy for both; what counts is the ratio, whose median over
//! the rounds is printed and written to `var/bench/catalog.json`.
//!
//! **Invariant:** no time is asserted here; only a call that fails ends it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark panics where it cannot measure, and prints what it measured"
)]

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::{Connection, params};
use skms::{
    client::Client,
    proto::{CreateKeyRequest, SignRequest, sign_request::Input},
};
use skms_tests::gateway::{Gateway, Home};
use tokio::runtime::Runtime;

const FEW: usize = 10;
const MANY: usize = 10_000;
/// An odd number, so that a median is one.
const ROUNDS: usize = 9;
/// Signatures of one round, one after the other.
const SIGNATURES: usize = 500;

fn main() {
    let runtime = Runtime::new().unwrap();
    let homes = [FEW, MANY].map(|count| furnished(&runtime, count));
    let mut starts = Vec::new();
    for _ in 0..ROUNDS {
        starts.push(homes.each_ref().map(|home| {
            let begun = Instant::now();
            let gateway = home.start();
            let took = begun.elapsed();
            assert!(runtime.block_on(gateway.stop()).success());
            took
        }));
    }
    let gateways = homes.each_ref().map(Home::start);
    let clients = gateways.each_ref().map(|gateway| runtime.block_on(Gateway::client(gateway)));
    let mut signatures = Vec::new();
    for round in 0..=ROUNDS {
        let took = clients.each_ref().map(|client| runtime.block_on(signing(client)));
        // The first round opens connections and unseals the key.
        if round > 0 {
            signatures.push(took);
        }
    }
    let report = [row("start", &starts), row("one signature", &signatures)];
    for row in &report {
        println!(
            "{}: {:.0} µs with {FEW} keys, {:.0} µs with {MANY}, ratio {:.2}",
            row.what, row.few, row.many, row.ratio
        );
    }
    println!("written to {}", write(&report));
}

struct Row {
    what: &'static str,
    few: f64,
    many: f64,
    ratio: f64,
}

/// The medians, in microseconds, and that of the ratios within a round.
fn row(what: &'static str, rounds: &[[Duration; 2]]) -> Row {
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    Row {
        what,
        few: median(rounds.iter().map(|[few, _]| micros(*few))),
        many: median(rounds.iter().map(|[_, many]| micros(*many))),
        ratio: median(rounds.iter().map(|[few, many]| many.as_secs_f64() / few.as_secs_f64())),
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    *values.get(values.len() / 2).unwrap()
}

fn write(report: &[Row]) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../var/bench");
    fs::create_dir_all(&directory).unwrap();
    let rows: Vec<_> = report
        .iter()
        .map(|row| serde_json::json!({ "what": row.what, "few_us": row.few, "many_us": row.many, "ratio": row.ratio }))
        .collect();
    let path = directory.join("catalog.json");
    fs::write(&path, format!("{:#}\n", serde_json::json!({ "few": FEW, "many": MANY, "rows": rows })))
        .unwrap();
    path.display().to_string()
}

/// How long one signature takes.
async fn signing(client: &Client) -> Duration {
    let request = SignRequest {
        key_id: "key".to_owned(),
        input: Some(Input::Message("a message".into())),
        ..SignRequest::default()
    };
    let begun = Instant::now();
    for _ in 0..SIGNATURES {
        client.sign(request.clone()).await.unwrap();
    }
    begun.elapsed() / u32::try_from(SIGNATURES).unwrap()
}

/// A gateway in software, stopped, with so many keys. One was made; the others are its
/// rows under other names, which is as much as a start and a look-up see of a key.
fn furnished(runtime: &Runtime, count: usize) -> Home {
    let home = Home::software(env!("CARGO_BIN_EXE_skms-failpoints"));
    let gateway = home.start();
    runtime.block_on(async {
        let request = CreateKeyRequest {
            key_type: "ec-p256".to_owned(),
            key_id: "key".to_owned(),
            ..CreateKeyRequest::default()
        };
        gateway.client().await.create_key(request).await.unwrap();
        assert!(gateway.stop().await.success());
    });
    multiply(&home.path().join("catalog.db"), count);
    home
}

fn multiply(catalog: &Path, count: usize) {
    let mut catalog = Connection::open(catalog).unwrap();
    let columns = |table: &str| -> String {
        let mut statement =
            catalog.prepare(&format!("SELECT name FROM pragma_table_info('{table}')")).unwrap();
        let names = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        names.map(Result::unwrap).collect::<Vec<_>>().join(", ")
    };
    let (keys, versions) = (columns("keys"), columns("versions"));
    let key = keys.replacen("id", "?1 AS id", 1);
    let version = versions.replacen("key_id", "?1 AS key_id", 1).replacen("tag", "randomblob(16) AS tag", 1);
    let transaction = catalog.transaction().unwrap();
    for number in 1..count {
        let id = format!("key-{number:05}");
        let copy = |table: &str, columns: &str, values: &str, name: &str| {
            let sql =
                format!("INSERT INTO {table} ({columns}) SELECT {values} FROM {table} WHERE {name} = 'key'");
            transaction.execute(&sql, params![id]).unwrap();
        };
        copy("keys", &keys, &key, "id");
        copy("versions", &versions, &version, "key_id");
    }
    transaction.commit().unwrap();
}
