//! A crash at every named point, in every call that passes it.

use std::{
    collections::BTreeMap,
    io::{Write as _, stderr},
    os::unix::process::ExitStatusExt as _,
};

use rustix::process::Signal;
use skms::failpoint;
use skms_tests::gateway::Home;

use super::{
    PROGRAM,
    ask::{Ask, Call, demand_lost},
    at_rest,
    ledger::{self, Ledger},
};

/// What a crash leaves of the call that it interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// As if the call had never been made.
    Nothing,
    /// The whole key or version, of which the client has not heard yet.
    All,
}

/// A crash: in which call, how often that call passes the point before, and what is left.
type Case = (Call, usize, Left);

/// A call commits its intent and then its activation; it records that it begins
/// and then how it ended.
fn cases(point: &str) -> Vec<Case> {
    use Left::{All, Nothing};
    let of = |passes: [Left; 2]| {
        let case = |call| passes.into_iter().enumerate().map(move |(pass, left)| (call, pass, left));
        Call::ALL.into_iter().flat_map(case).collect()
    };
    match point {
        "create-key.intent-written" | "create-key.material-made" => vec![(Call::Create, 0, Nothing)],
        "create-key.activated" => vec![(Call::Create, 0, All)],
        "rotate-key.intent-written" | "rotate-key.material-made" => vec![(Call::Rotate, 0, Nothing)],
        "rotate-key.activated" => vec![(Call::Rotate, 0, All)],
        "import-key.intent-written" | "import-key.material-made" => vec![(Call::Import, 0, Nothing)],
        "import-key.activated" => vec![(Call::Import, 0, All)],
        "catalog.before-commit" => of([Nothing, Nothing]),
        "catalog.after-commit" | "audit.before-write" | "audit.after-write" => of([Nothing, All]),
        other => panic!("no case for the failpoint {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_failpoint_neither_loses_nor_leaves_a_key_in_the_token() {
    let home = Home::new(PROGRAM);
    if home.softhsm().is_some() {
        visit_all(&home, "hsm").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_failpoint_neither_loses_nor_leaves_a_key_in_software() {
    visit_all(&Home::software(PROGRAM), "soft").await;
}

async fn visit_all(home: &Home, backend: &str) {
    let mut ledger = Ledger::default();
    // The key that is rotated, and how many records every start writes.
    let gateway = home.start();
    let records_of_a_start = home.audit().len();
    let ask = Ask::new(Call::Create, "rotated", backend);
    let answer = ask.make(&gateway.client().await).await.unwrap();
    ledger.told(&ask, &answer);
    assert!(gateway.stop().await.success());

    let mut hits: BTreeMap<&str, usize> = BTreeMap::new();
    for point in points() {
        for (number, case) in cases(point).into_iter().enumerate() {
            let earlier = if point.starts_with("audit.") { records_of_a_start } else { 0 };
            visit(home, &mut ledger, backend, point, number, case, earlier).await;
            *hits.entry(point).or_default() += 1;
        }
    }
    let missed: Vec<_> = points().filter(|point| !hits.contains_key(point)).collect();
    assert!(missed.is_empty(), "never reached: {missed:?}");
    let list: Vec<_> = hits.iter().map(|(point, hits)| format!("{point} {hits}")).collect();
    let _ = writeln!(
        stderr(),
        "crashes in `{backend}`: {} at {} of {} failpoints ({})",
        hits.values().sum::<usize>(),
        hits.len(),
        points().count(),
        list.join(", ")
    );
}

/// The points that making material passes; `lifecycle` visits those of its end, and `import`
/// those of an import job.
fn points() -> impl Iterator<Item = &'static str> {
    const ELSEWHERE: [&str; 2] = ["destroy-key.", "create-import-job."];
    failpoint::ALL.into_iter().filter(|point| !ELSEWHERE.iter().any(|other| point.starts_with(other)))
}

/// One crash, and what is left after it. `earlier`: how often a start passes the point.
async fn visit(
    home: &Home,
    ledger: &mut Ledger,
    backend: &str,
    point: &str,
    number: usize,
    (call, pass, left): Case,
    earlier: usize,
) {
    let what = format!("{point}, {call:?}, pass {pass}");
    let key = match call {
        Call::Create | Call::Import => format!("{point}-{number}"),
        Call::Rotate => "rotated".to_owned(),
    };
    // Not every device takes keys over.
    let ask = Ask::new(call, &key, if call == Call::Import { "soft" } else { backend });

    let armed = format!("{point}={}*off->return", earlier + pass);
    let mut gateway = home.start_with([("FAILPOINTS", armed.into())]);
    match ask.make(&gateway.client().await).await {
        Ok(_) => panic!("not reached: {what}"),
        Err(error) => demand_lost(&ask, &error),
    }
    let status = tokio::task::block_in_place(|| gateway.ended());
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{what}:\n{}", gateway.log());

    let gateway = home.start();
    let client = gateway.client().await;
    let before = ledger::list(&client).await;
    if left == Left::Nothing {
        // Exactly what clients were told of: the call has left no trace.
        ledger.demand(&client).await;
    }
    let answer = ask.make(&client).await.unwrap_or_else(|error| panic!("{what}, again: {error:?}"));
    ledger.told(&ask, &answer);
    if left == Left::All {
        // It was there already, and the second answer is the first.
        let there = before.iter().find(|shown| shown.id == key).unwrap_or_else(|| panic!("lost: {what}"));
        assert_eq!(there.public_key, answer.public_key, "{what}");
    }
    let again = ask.make(&client).await.unwrap();
    ledger.told_again(&ask);
    assert_eq!(again, answer, "{what}");
    ledger.demand(&client).await;
    assert!(gateway.stop().await.success(), "{what}");
    assert_eq!(at_rest::demand_clean(home, ledger), 0, "{what}");
}
