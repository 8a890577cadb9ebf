//! `skms reencrypt`: one file and many, in place and elsewhere.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::json;

use super::Shell;

/// Files with these ciphertexts, and their names in one line.
fn files(folder: &Path, ciphertexts: &[&str]) -> String {
    let mut line = String::new();
    for (index, text) in ciphertexts.iter().enumerate() {
        let path = folder.join(format!("{index:02}.enc"));
        fs::write(&path, text).unwrap();
        line.push_str(&format!(" {}", path.display()));
    }
    line
}

fn texts(folder: &Path) -> Vec<String> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().filter(|path| path.is_file()).map(|path| fs::read_to_string(path).unwrap()).collect()
}

const SAME: &str = "reencrypt --from rotated --to rotated";

#[test]
fn many_files_are_re_encrypted_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let old: Vec<_> = (0..30).map(|index| format!("1::{index:02}")).collect();
    let names = files(folder.path(), &old.iter().map(String::as_str).collect::<Vec<_>>());
    let first = folder.path().join("00.enc");
    fs::set_permissions(&first, fs::Permissions::from_mode(0o640)).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(folder.path().join("29.enc"), &link).unwrap();
    let names = names.replace("29.enc", "link");
    let done = Shell::new().skms(&format!("{SAME} --jobs 4{names}"));
    assert_eq!((done.exit, done.text(), done.stderr.as_str()), (0, "", "re-encrypted 30\n"));
    let new: Vec<_> = (0..30).map(|index| format!("2::{index:02}")).chain(["2::29".into()]).collect();
    assert_eq!(texts(folder.path()), new);
    assert_eq!(fs::metadata(first).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(link).unwrap().is_symlink());
}

#[test]
fn failures_are_named_and_the_others_are_done() {
    let folder = tempfile::tempdir().unwrap();
    let names = files(folder.path(), &["1::a", "1:other:b", "nothing", "1::d"]);
    let done = Shell::new().skms(&format!("{SAME}{names}"));
    assert_eq!((done.exit, done.text()), (2, ""));
    for part in ["01.enc: error: it cannot be decrypted", "02.enc: error: ", "\nre-encrypted 2, failed 2\n"] {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
    assert_eq!(texts(folder.path()), ["2::a", "1:other:b", "nothing", "2::d"]);
    // They fail for different reasons.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::create_dir(folder.path().join("04.enc")).unwrap();
    let done = Shell::new().skms(&format!("{SAME}{names} {}", folder.path().join("04.enc").display()));
    assert_eq!(done.exit, 1, "{}", done.stderr);
    let done = Shell::new().skms(&format!("reencrypt --from rotated --to damaged{names}"));
    assert!(done.stderr.contains("damaged on its way"), "{}", done.stderr);
    assert_eq!(texts(folder.path()), ["2::a", "1:other:b", "nothing", "2::d"]);
}

#[test]
fn a_gateway_that_is_busy_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let names = files(folder.path(), &["1::a"]);
    let done = Shell::new().skms(&format!("reencrypt --from old --to busy{names}"));
    assert_eq!((done.exit, done.stderr.as_str()), (0, "re-encrypted 1\n"));
}

#[test]
fn what_is_current_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let names = files(folder.path(), &["1::a", "2::b"]);
    let done = Shell::new().skms(&format!("{SAME} --skip-current{names}"));
    assert_eq!((done.exit, done.stderr.as_str()), (0, "re-encrypted 1, already current 1\n"));
    let done = Shell::new().skms(&format!("{SAME} --skip-current --output json{names}"));
    assert_eq!((&done.json()[1]["outcome"], &done.json()[1]["out"]), (&"current".into(), &json!(null)));
    // Another key is never current.
    let done = Shell::new().skms(&format!("reencrypt --from other --to rotated --skip-current{names}"));
    assert_eq!(done.stderr, "re-encrypted 2\n");
}

#[test]
fn a_ciphertext_goes_to_a_directory_a_file_or_stdout() {
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let names = files(folder.path(), &["1::a", "1::b"]);
    let to = out.path().display();
    assert_eq!(Shell::new().skms(&format!("{SAME} --out {to}{names}")).exit, 0);
    assert_eq!(
        (texts(folder.path()), texts(out.path())),
        (vec!["1::a".into(), "1::b".into()], vec!["2::a".to_owned(), "2::b".to_owned()])
    );
    let first = folder.path().join("00.enc");
    let new = out.path().join("new");
    let line = format!("{SAME} {} --out {}", first.display(), new.display());
    assert_eq!((Shell::new().skms(&line).exit, fs::read(new).unwrap()), (0, b"2::a".to_vec()));
    let done = Shell::new().skms(&format!("{SAME} {} --out -", first.display()));
    assert_eq!((done.text(), done.stderr.as_str()), ("2::a", "re-encrypted 1\n"));
    let shell = Shell { stdin: b"1::a", ..Shell::new() };
    assert_eq!(shell.skms(&format!("{SAME} -")).text(), "2::a");
    let shell = Shell { stdin: b"1::a", interactive: true, ..Shell::new() };
    assert_eq!(shell.skms(&format!("{SAME} -")).text(), "Mjo6YQ==\n");
}

#[test]
fn what_is_authenticated_stays_unless_it_is_changed() {
    for (flags, old, new) in [
        ("--aad-hex ab", "1:ab:x", "2:ab:x"),
        ("--context a=b", "1:a=b:x", "2:a=b:x"),
        ("--context a=b --new-context c=d", "1:a=b:x", "2:c=d:x"),
        ("--context a=b --new-aad-hex 00", "1:a=b:x", "2:00:x"),
        ("--context a=b --without-aad", "1:a=b:x", "2::x"),
        ("--new-context c=d", "1::x", "2:c=d:x"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let names = files(folder.path(), &[old]);
        let done = Shell::new().skms(&format!("{SAME} {flags} {names}"));
        assert_eq!((done.exit, texts(folder.path())), (0, vec![new.to_owned()]), "{flags}: {}", done.stderr);
    }
}

#[test]
fn the_document_has_a_part_for_each_file() {
    let folder = tempfile::tempdir().unwrap();
    let names = files(folder.path(), &["1::a", "1:other:b"]);
    let path = |name| folder.path().join(name).display().to_string();
    let done = Shell::new().skms(&format!("{SAME} --output json{names}"));
    assert_eq!(done.exit, 2);
    let document = done.json();
    let out = fs::canonicalize(folder.path()).unwrap().join("00.enc").display().to_string();
    let expected = json!({
        "file": path("00.enc"),
        "out": out,
        "outcome": "re-encrypted",
        "error": null,
        "ciphertext": null,
        "source_key_id": "rotated",
        "source_version": 1,
        "destination_key_id": "rotated",
        "destination_version": 2,
        "algorithm": "aes-256-gcm",
        "ciphertext_crc32c": crc32c::crc32c(b"2::a"),
        "verified_ciphertext_crc32c": true,
        "protection_level": "hsm",
        "reference": "",
    });
    assert_eq!(document[0], expected);
    assert_eq!(document[1]["file"], path("01.enc"));
    assert_eq!((&document[1]["outcome"], &document[1]["source_version"]), (&"failed".into(), &json!(null)));
    assert_eq!(document[1]["error"], "it cannot be decrypted");
    let shell = Shell { stdin: b"1::a", ..Shell::new() };
    assert_eq!(shell.skms(&format!("{SAME} - --output json")).json()[0]["ciphertext"], "Mjo6YQ==");
}

#[test]
fn wrong_usage_is_refused_before_the_first_call() {
    let folder = tempfile::tempdir().unwrap();
    let names = files(folder.path(), &["1::a", "1::b"]);
    let directory = folder.path().display();
    for wrong in [
        "reencrypt --from a --to b".to_owned(),
        format!("reencrypt --from a{names}"),
        format!("{SAME} -{names}"),
        format!("{SAME}{names}{names}"),
        format!("{SAME}{names} --out -"),
        format!("{SAME}{names} --out {directory}/nowhere"),
        format!("{SAME} - --out {directory}"),
        format!("{SAME} - --new-aad-file -"),
        format!("{SAME}{names} --aad-file - --new-aad-file -"),
        format!("{SAME}{names} --jobs 0"),
        format!("{SAME}{names} --new-context a=b --without-aad"),
        format!("{SAME}{names} --new-context a=b --skip-current"),
    ] {
        let done = Shell::new().skms(&wrong);
        assert_eq!((done.exit, done.text()), (2, ""), "{wrong}: {}", done.stderr);
    }
    assert_eq!(Shell::new().skms(&format!("{SAME}{names} {directory}/nowhere")).exit, 1);
    assert_eq!(texts(folder.path()), ["1::a", "1::b"]);
}
