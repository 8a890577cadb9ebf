//! Everything that can be done to a log before its last anchor is found.

use super::*;
use crate::audit::verify::Problem;

/// A few files, all of them anchored to the last byte.
async fn anchored() -> Shelf {
    let shelf = Shelf::with(|config| {
        config.rotate_bytes = 30_000;
        config.checkpoint_records = NonZeroU64::new(20).unwrap();
    });
    shelf.write(0..100).await;
    shelf.write(100..300).await;
    let report = shelf.verify();
    assert!(report.good && report.unanchored == 0, "{report:?}");
    shelf
}

/// Numbers that look random and are the same each time (Steele, Lea and Flood's
/// SplitMix).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).unwrap()
    }
}

/// Does one thing to a file of the log, and says what.
fn damage(bytes: &mut Vec<u8>, kind: usize, dice: &mut Dice) -> String {
    let lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let line = dice.roll(lines.len());
    let without =
        |index: usize| lines.iter().enumerate().filter(move |(at, _)| *at != index).map(|(_, line)| line);
    match kind {
        0 => {
            let (at, flip) = (dice.roll(bytes.len()), u8::try_from(1 + dice.roll(255)).unwrap());
            bytes[at] ^= flip;
            format!("byte {at} ^ {flip}")
        }
        1 => {
            *bytes = without(line).flatten().copied().collect();
            format!("line {line} deleted")
        }
        2 => {
            let other = (line + 1 + dice.roll(lines.len() - 1)) % lines.len();
            let mut lines = lines;
            lines.swap(line, other);
            *bytes = lines.concat();
            format!("lines {line} and {other} swapped")
        }
        3 => {
            let length = dice.roll(bytes.len());
            bytes.truncate(length);
            format!("cut off at {length}")
        }
        4 => {
            let at = dice.roll(bytes.len());
            bytes.remove(at);
            format!("byte {at} deleted")
        }
        _ => {
            let mut lines = lines.clone();
            lines.insert(line, lines[line].clone());
            *bytes = lines.concat();
            format!("line {line} doubled")
        }
    }
}

#[tokio::test]
async fn a_thousand_edits_deletions_swaps_and_truncations_are_all_found() {
    const KINDS: usize = 6;
    let shelf = anchored().await;
    let (files, against) = (shelf.files(), shelf.against());
    assert!(files.len() > 3);
    let mut dice = Dice(0x5eed);
    for round in 0..1000 * KINDS {
        let file = &files[dice.roll(files.len())];
        let whole = fs::read(file).unwrap();
        let mut bytes = whole.clone();
        let done = damage(&mut bytes, round % KINDS, &mut dice);
        fs::write(file, &bytes).unwrap();
        let report = verify(&files, &against).unwrap();
        assert!(!report.good, "not found: {done} in {}", file.display());
        fs::write(file, whole).unwrap();
    }
    assert!(shelf.verify().good);
}

#[tokio::test]
async fn a_file_that_is_missing_or_given_twice_is_found() {
    let shelf = anchored().await;
    let files = shelf.files();
    for missing in 0..files.len() {
        let mut rest = files.clone();
        rest.remove(missing);
        let report = verify(&rest, &shelf.against()).unwrap();
        assert!(!report.good, "{missing}");
        rest.push(files[missing].clone());
        // The order in which they are named does not matter.
        assert!(verify(&rest, &shelf.against()).unwrap().good);
        rest.push(files[missing].clone());
        assert!(!verify(&rest, &shelf.against()).unwrap().good);
    }
}

#[tokio::test]
async fn the_place_of_an_edit_is_told() {
    let shelf = anchored().await;
    let text = fs::read_to_string(shelf.path()).unwrap();
    let line = text.lines().nth(4).unwrap();
    let sequence = serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap();
    fs::write(shelf.path(), text.replace(line, &line.replace("alice", "mallo"))).unwrap();
    let report = shelf.verify();
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!((finding.line, &finding.problem), (Some(5), &Problem::Changed { sequence }));
    let place =
        format!("{}:5: record {sequence} was changed, or the one before it was", shelf.path().display());
    assert_eq!(finding.to_string(), place);

    let without: String =
        text.lines().enumerate().filter(|(at, _)| *at != 4).map(|(_, line)| format!("{line}\n")).collect();
    fs::write(shelf.path(), without).unwrap();
    let report = shelf.verify();
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!(finding.problem, Problem::Missing { from: sequence, to: sequence });
}

/// Whoever can write the file can compute hashes, too.
fn forge(text: &str, change: impl Fn(&str) -> String) -> String {
    let mut link = chain::Link::START;
    let mut forged = Vec::new();
    for line in text.lines() {
        let mut object: serde_json::Map<String, Value> = serde_json::from_str(&change(line)).unwrap();
        object.remove("seq");
        object.remove("hash");
        let kind = object.remove("kind").unwrap();
        let kind = match kind.as_str().unwrap() {
            "decision" => Kind::Decision,
            "open" => Kind::Open,
            "checkpoint" => Kind::Checkpoint,
            other => panic!("{other}"),
        };
        link.append(&Entry::new(kind, &object).unwrap(), &mut forged);
    }
    String::from_utf8(forged).unwrap()
}

#[tokio::test]
async fn a_chain_that_was_computed_anew_is_found_by_signatures_and_by_anchors() {
    let shelf = Shelf::with(|config| config.checkpoint_records = NonZeroU64::new(20).unwrap());
    shelf.write(0..50).await;
    let text = fs::read_to_string(shelf.path()).unwrap();
    let edit = |line: &str| line.replace("\"request_id\":\"30\"", "\"request_id\":\"31\"");
    fs::write(shelf.path(), forge(&text, edit)).unwrap();
    let (all, none) = (shelf.against(), Against::default());
    let found = |against: &Against| {
        let report = verify(&shelf.files(), against).unwrap();
        report.findings.into_iter().map(|finding| finding.problem).collect::<Vec<_>>()
    };
    let by_signature = found(&Against { anchors: Vec::new(), ..shelf.against() });
    assert!(by_signature.iter().any(|problem| matches!(problem, Problem::BadSignature { .. })));
    let by_anchor = found(&Against { anchors: all.anchors, ..Against::default() });
    assert!(by_anchor.iter().any(|problem| matches!(problem, Problem::NotAnchored { .. })), "{by_anchor:?}");
    // Without both it cannot be found, and that is said.
    let report = verify(&shelf.files(), &none).unwrap();
    assert!(report.good && report.remarks.len() == 2, "{report:?}");

    // Signed by somebody else.
    let stranger = Shelf::new();
    let report = verify(&shelf.files(), &stranger.against()).unwrap();
    assert!(!report.good);
}

/// Not a test of speed but a measurement, by `--nocapture`; what it asks for is far below.
#[tokio::test]
async fn a_log_is_verified_faster_than_it_is_written() {
    let shelf = Shelf::new();
    let mut link = chain::Link::START;
    let (mut bytes, records) = (Vec::new(), 100_000);
    let entry = Entry::new(Kind::Decision, &record("0192f3c4-7a54-7cc0-8000-000000000000")).unwrap();
    let begun = Instant::now();
    for _ in 0..records {
        link.append(&entry, &mut bytes);
    }
    let chained = begun.elapsed() / records;
    fs::create_dir_all(shelf.path().parent().unwrap()).unwrap();
    fs::write(shelf.path(), &bytes).unwrap();
    let begun = Instant::now();
    let report = verify(&shelf.files(), &shelf.against()).unwrap();
    let rate = f64::from(records) / begun.elapsed().as_secs_f64();
    println!(
        "{} bytes a record; chained in {chained:?} each; {rate:.0} records/s verified",
        bytes.len() / 100_000
    );
    assert!(report.good && report.records == u64::from(records) && rate > 20_000.0);
}
