//! `skms encrypt`, `skms decrypt` and `skms mac`: files, pipes, documents and damage.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::json;

use super::Shell;

fn shell(stdin: &'static [u8]) -> Shell {
    Shell { stdin, ..Shell::new() }
}

#[test]
fn a_plaintext_comes_back_through_pipes_and_files() {
    let done = shell(b"hello").skms("encrypt vault");
    assert_eq!((done.exit, done.text()), (0, "1::hello"));
    assert_eq!(done.stderr, "encrypted with `vault` version 1, aes-256-gcm, protection hsm\n");
    let done = shell(b"1::hello").skms("decrypt vault");
    assert_eq!((done.exit, done.text()), (0, "hello"));
    assert_eq!(done.stderr, "decrypted with `vault` version 1, aes-256-gcm, protection hsm\n");

    let folder = tempfile::tempdir().unwrap();
    let (secret, path) = (folder.path().join("secret"), folder.path().join("secret.enc"));
    for form in ["raw", "base64", "hex"] {
        let to = path.display();
        let done = shell(b"hello").skms(&format!("encrypt vault --in - --out {to} --format {form}"));
        assert_eq!((done.exit, done.text()), (0, ""));
        let line = format!("decrypt vault --in {to} --out {} --format {form}", secret.display());
        assert_eq!((shell(b"").skms(&line).exit, fs::read(&secret).unwrap().as_slice()), (0, &b"hello"[..]));
        assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "313a3a68656c6c6f\n");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o044, 0o044);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(shell(b"1::new").skms(&format!("decrypt vault --out {}", secret.display())).exit, 0);
    assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn what_is_authenticated_must_be_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("beside");
    fs::write(&file, [0xab, 0xcd]).unwrap();
    let from_file = format!("--aad-file {}", file.display());
    for (aad, expected) in [
        ("--aad-hex abcd", "1:abcd:hello"),
        (from_file.as_str(), "1:abcd:hello"),
        ("--context file=a=b --context a=1", "1:a=1,file=a=b:hello"),
    ] {
        assert_eq!(shell(b"hello").skms(&format!("encrypt vault {aad}")).text(), expected, "{aad}");
    }
    assert_eq!(shell(b"1:abcd:hello").skms("decrypt vault --aad-hex ABCD").text(), "hello");
    assert_eq!(shell(b"1:a=1,b=2:hello").skms("decrypt vault --context b=2 --context a=1").text(), "hello");
    let done = shell(b"1:abcd:hello").skms("decrypt vault");
    assert_eq!((done.exit, done.text()), (2, ""));
    assert!(done.stderr.contains("hint: what was authenticated"), "{}", done.stderr);
}

#[test]
fn a_version_that_is_not_the_primary_is_told_of() {
    let done = shell(b"1::hello").skms("decrypt rotated");
    assert_eq!((done.exit, done.text()), (0, "hello"));
    assert!(done.stderr.contains("it is time to re-encrypt"), "{}", done.stderr);
    assert_eq!(shell(b"1::hello").skms("decrypt rotated --output json").json()["used_primary"], false);
    assert!(!shell(b"2::hello").skms("decrypt rotated").stderr.contains("re-encrypt"));
    assert_eq!(shell(b"hello").skms("encrypt rotated --version 1").text(), "1::hello");
}

#[test]
fn plaintexts_and_ciphertexts_do_not_reach_a_terminal_as_they_are() {
    let shell = |stdin| Shell { stdin, interactive: true, ..Shell::new() };
    assert_eq!(shell(b"hello").skms("encrypt vault --format raw").text(), "MTo6aGVsbG8=\n");
    assert_eq!(shell(b"hello").skms("encrypt vault --format hex").text(), "313a3a68656c6c6f\n");
    assert_eq!(shell(b"1::hello").skms("decrypt vault").text(), "aGVsbG8=\n");
    assert_eq!(shell(b"hello").skms("mac code").text(), "bWFjOmhlbGxv\n");
}

#[test]
fn documents_name_every_field_and_a_plaintext_only_where_it_is_asked_for() {
    let done = shell(b"hello").skms("encrypt vault --output json --aad-hex 00");
    let expected = json!({
        "ciphertext": "MTowMDpoZWxsbw==",
        "key_id": "vault",
        "version": 1,
        "algorithm": "aes-256-gcm",
        "ciphertext_crc32c": crc32c::crc32c(b"1:00:hello"),
        "verified_plaintext_crc32c": true,
        "verified_aad_crc32c": true,
        "protection_level": "hsm",
        "reference": "",
    });
    assert_eq!((done.json(), done.stderr.as_str()), (expected, ""));
    let expected = json!({
        "plaintext": "aGVsbG8=",
        "key_id": "vault",
        "version": 1,
        "used_primary": true,
        "algorithm": "aes-256-gcm",
        "plaintext_crc32c": crc32c::crc32c(b"hello"),
        "verified_ciphertext_crc32c": true,
        "verified_aad_crc32c": false,
        "protection_level": "hsm",
        "reference": "",
    });
    assert_eq!(shell(b"1::hello").skms("decrypt vault --output json").json(), expected);
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    let done = shell(b"1::hello").skms(&format!("decrypt vault --output json --out {}", secret.display()));
    assert_eq!((done.json()["plaintext"].is_null(), fs::read(secret).unwrap()), (true, b"hello".to_vec()));
}

#[test]
fn a_code_is_made_and_checked() {
    let done = shell(b"hello").skms("mac code");
    assert_eq!((done.exit, done.text()), (0, "mac:hello"));
    assert_eq!(done.stderr, "code made with `code` version 1, protection hsm\n");
    let folder = tempfile::tempdir().unwrap();
    let code = folder.path().join("code");
    let path = code.display();
    for form in ["raw", "base64", "hex"] {
        assert_eq!(shell(b"hello").skms(&format!("mac code --format {form} --out {path}")).text(), "");
        let done = shell(b"hello").skms(&format!("mac code --verify {path} --format {form}"));
        assert_eq!((done.exit, done.text()), (0, "valid: `code` version 1 (enabled)\n"), "{}", done.stderr);
        let done = shell(b"other").skms(&format!("mac code --verify {path} --format {form}"));
        assert_eq!((done.exit, done.text()), (3, "invalid: no version of `code` made this code\n"));
    }
    let expected = json!({
        "valid": false,
        "version": 0,
        "key_id": "code",
        "version_state": "enabled",
        "verified_message_crc32c": true,
        "verified_mac_crc32c": true,
        "verified_valid_integrity": false,
        "reference": "",
    });
    let done = shell(b"other").skms(&format!("mac code --verify {path} --output json"));
    assert_eq!((done.exit, done.json()), (3, expected));
    let expected = json!({
        "mac": "bWFjOmhlbGxv",
        "key_id": "code",
        "version": 1,
        "mac_crc32c": crc32c::crc32c(b"mac:hello"),
        "verified_message_crc32c": true,
        "protection_level": "hsm",
        "reference": "",
    });
    assert_eq!(shell(b"hello").skms("mac code --output json").json(), expected);
    let done = shell(b"hello").skms(&format!("mac damaged --verify {path}"));
    assert_eq!((done.exit, done.text()), (1, ""));
}

#[test]
fn a_damaged_answer_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for (stdin, line) in [
        (&b"hello"[..], "encrypt damaged"),
        (b"hello", "encrypt careless --aad-hex 00"),
        (b"1::hello", "decrypt damaged"),
        (b"1:00:hello", "decrypt careless --aad-hex 00"),
        (b"hello", "mac damaged"),
    ] {
        let done = shell(stdin).skms(&format!("{line} --out {}", out.display()));
        assert_eq!((done.exit, out.exists()), (1, false), "{line}");
        assert!(done.stderr.contains("damaged on its way"), "{line}: {}", done.stderr);
    }
}

#[test]
fn wrong_usage_is_refused_before_the_call() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "precious").unwrap();
    let file = path.display();
    for wrong in [
        "encrypt".to_owned(),
        "encrypt vault".to_owned(),
        "encrypt vault --in - --aad-hex xyz".to_owned(),
        "encrypt vault --in - --aad-hex 00 --context a=b".to_owned(),
        "encrypt vault --in - --context a".to_owned(),
        "encrypt vault --in - --context a=1 --context a=2".to_owned(),
        "encrypt vault --in - --aad-file -".to_owned(),
        "encrypt vault --in - --algorithm rot13".to_owned(),
        "encrypt vault --in - --version 0".to_owned(),
        format!("encrypt vault --in {file} --out {file}"),
        format!("encrypt vault --in - --aad-file {file} --out {file}"),
        format!("decrypt vault --in {file} --out {file}"),
        format!("decrypt vault --in {file} --format hex"),
        format!("mac code --in {file} --out {file}"),
        "mac code --verify -".to_owned(),
        format!("mac code --verify {file} --out other"),
    ] {
        let done = shell(b"").skms(&wrong);
        assert_eq!((done.exit, done.text()), (2, ""), "{wrong}: {}", done.stderr);
    }
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert_eq!(shell(b"1::x").skms("decrypt missing").exit, 4);
    assert_eq!(shell(b"x").skms("mac denied").exit, 5);
}
