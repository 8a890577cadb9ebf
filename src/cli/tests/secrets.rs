//! `skms datakey`, `skms random` and `skms derive`: what is secret goes where it may.

use std::{fs, os::unix::fs::PermissionsExt as _};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;

use super::Shell;

fn interactive() -> Shell {
    Shell { interactive: true, ..Shell::new() }
}

/// A file with a public key in PEM, the same in DER, and what the API takes.
fn public_key(folder: &std::path::Path) -> (String, String, Vec<u8>) {
    let der = rcgen::PublicKeyData::subject_public_key_info(&rcgen::KeyPair::generate().unwrap());
    let text = BASE64_STANDARD.encode(&der);
    let pem =
        format!("-----BEGIN PUBLIC KEY-----\n{}\n{}\n-----END PUBLIC KEY-----\n", &text[..64], &text[64..]);
    let path = |name| folder.join(name).display().to_string();
    fs::write(path("peer.pem"), pem).unwrap();
    fs::write(path("peer.der"), &der).unwrap();
    (path("peer.pem"), path("peer.der"), der)
}

#[test]
fn a_data_key_and_its_ciphertext_go_to_two_places() {
    let folder = tempfile::tempdir().unwrap();
    let (sealed, clear) = (folder.path().join("key.enc"), folder.path().join("key"));
    let (out, plaintext_out) = (sealed.display(), clear.display());
    let done =
        Shell::new().skms(&format!("datakey vault --bytes 3 --out {out} --plaintext-out {plaintext_out}"));
    assert_eq!((done.exit, done.text()), (0, ""));
    assert_eq!(
        done.stderr,
        "made a data key, encrypted with `vault` version 1, aes-256-gcm, protection hsm\n"
    );
    assert_eq!((fs::read(&sealed).unwrap(), fs::read(&clear).unwrap()), (b"1::kkk".into(), b"kkk".into()));
    assert_eq!(fs::metadata(&clear).unwrap().permissions().mode() & 0o777, 0o600);
    let line =
        format!("datakey vault --type aes-256 --context a=b --out {out} --plaintext-out - --format hex");
    assert_eq!(Shell::new().skms(&line).text(), format!("{}\n", "6b".repeat(32)));
    assert_eq!(
        fs::read_to_string(&sealed).unwrap(),
        format!("{}\n", hex::encode("1:a=b:".to_owned() + &"k".repeat(32)))
    );
    assert_eq!(Shell::new().skms("datakey vault --bytes 3 --omit").text(), "1::kkk");
}

#[test]
fn a_data_key_is_never_shown_on_a_terminal() {
    for line in [
        "datakey vault --bytes 3 --plaintext-out - --out sealed",
        "datakey vault --bytes 3 --plaintext-out - --output json",
    ] {
        let done = interactive().skms(line);
        assert_eq!((done.exit, done.text()), (2, ""), "{line}");
        assert!(done.stderr.contains("not shown on a terminal"), "{}", done.stderr);
    }
    assert_eq!(interactive().skms("datakey vault --bytes 3 --omit").text(), "MTo6a2tr\n");
}

#[test]
fn a_data_key_can_be_for_another_recipient() {
    let folder = tempfile::tempdir().unwrap();
    let (pem, der, bytes) = public_key(folder.path());
    let wrapped = folder.path().join("wrapped");
    for recipient in [pem, der] {
        let to = wrapped.display();
        let line = format!("datakey vault --bytes 3 --wrap-to {recipient} --wrapped-out {to}");
        assert_eq!(Shell::new().skms(&line).text(), "1::kkk");
        assert_eq!(fs::read(&wrapped).unwrap(), bytes);
    }
}

#[test]
fn a_data_key_stands_in_a_document_only_if_it_is_asked_for() {
    let done = Shell::new().skms("datakey vault --bytes 3 --plaintext-out - --output json");
    let expected = json!({
        "ciphertext": "MTo6a2tr",
        "plaintext": "a2tr",
        "wrapped_plaintext": "",
        "key_id": "vault",
        "version": 1,
        "algorithm": "aes-256-gcm",
        "ciphertext_crc32c": crc32c::crc32c(b"1::kkk"),
        "plaintext_crc32c": crc32c::crc32c(b"kkk"),
        "verified_aad_crc32c": false,
        "protection_level": "hsm",
        "reference": "",
    });
    assert_eq!((done.exit, done.json()), (0, expected));
    let folder = tempfile::tempdir().unwrap();
    let clear = folder.path().join("key");
    let line = format!("datakey vault --bytes 3 --plaintext-out {} --output json", clear.display());
    assert!(Shell::new().skms(&line).json()["plaintext"].is_null());
    assert_eq!(fs::read(clear).unwrap(), b"kkk");
    assert!(Shell::new().skms("datakey vault --bytes 3 --omit --output json").json()["plaintext"].is_null());
}

#[test]
fn random_bytes_are_as_many_as_were_asked_for() {
    let done = Shell::new().skms("random 3 --format hex");
    assert_eq!((done.exit, done.text()), (0, "ffffff\n"));
    assert_eq!(done.stderr, "3 bytes of `softhsm`, protection hsm\n");
    assert_eq!(Shell::new().skms("random 3").stdout, [0xff; 3]);
    assert_eq!(interactive().skms("random 3").text(), "////\n");
    let expected = json!({
        "data": "////",
        "data_crc32c": crc32c::crc32c(&[0xff; 3]),
        "backend": "tpm",
        "protection_level": "hsm",
    });
    let done = Shell::new().skms("random 3 --backend tpm --protection hsm --output json");
    assert_eq!(done.json(), expected);
    assert_eq!(Shell::new().skms("random 3 --backend missing").exit, 4);
}

#[test]
fn a_derived_secret_goes_to_a_pipe_or_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (pem, der, bytes) = public_key(folder.path());
    let hkdf = "--hash sha256 --salt-hex 00 --info tls --bytes 8";
    for peer in [&pem, &der] {
        let done = Shell::new().skms(&format!("derive agree --peer {peer} {hkdf}"));
        assert_eq!((done.exit, done.stdout.as_slice()), (0, &bytes[..8]), "{}", done.stderr);
        assert_eq!(done.stderr, "agreed with `agree` version 1, protection software\n");
        assert_eq!(Shell::new().skms(&format!("derive agree --peer {peer} --raw")).stdout, bytes);
    }
    let out = folder.path().join("secret");
    let line = format!("derive agree --peer {pem} {hkdf} --out {}", out.display());
    assert_eq!((interactive().skms(&line).exit, fs::read(&out).unwrap()), (0, bytes[..8].to_vec()));
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(Shell::new().skms(&format!("{line} --output json")).json()["secret"].is_null());
    let expected = json!({
        "secret": BASE64_STANDARD.encode(&bytes[..8]),
        "key_id": "agree",
        "version": 1,
        "secret_crc32c": crc32c::crc32c(&bytes[..8]),
        "protection_level": "software",
        "reference": "",
    });
    let line = format!("derive agree --peer {pem} {hkdf} --output json");
    assert_eq!(Shell::new().skms(&line).json(), expected);
    let done = interactive().skms(&line);
    assert_eq!((done.exit, done.text()), (2, ""));
}

#[test]
fn a_damaged_answer_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let (pem, ..) = public_key(folder.path());
    for line in [
        "datakey damaged --bytes 3 --omit".to_owned(),
        "datakey careless --bytes 3 --omit --aad-hex 00".to_owned(),
        "random 3 --backend damaged".to_owned(),
        format!("derive damaged --peer {pem} --raw"),
    ] {
        let done = Shell::new().skms(&line);
        assert_eq!((done.exit, done.text()), (1, ""), "{line}");
        assert!(done.stderr.contains("damaged on its way"), "{line}: {}", done.stderr);
    }
}

#[test]
fn wrong_usage_is_refused_before_the_call() {
    let folder = tempfile::tempdir().unwrap();
    let (pem, ..) = public_key(folder.path());
    let text = folder.path().join("text");
    fs::write(&text, "no key").unwrap();
    for wrong in [
        "datakey vault --bytes 3".to_owned(),
        "datakey vault --omit".to_owned(),
        "datakey vault --omit --bytes 3 --type aes-256".to_owned(),
        "datakey vault --omit --bytes 3 --plaintext-out key".to_owned(),
        "datakey vault --bytes 3 --plaintext-out -".to_owned(),
        "datakey vault --bytes 3 --plaintext-out key --out key".to_owned(),
        format!("datakey vault --bytes 3 --wrap-to {pem}"),
        format!("datakey vault --bytes 3 --wrap-to {} --wrapped-out key --out -", text.display()),
        "datakey vault --bytes 3 --omit --wrapped-out key".to_owned(),
        "datakey vault --bytes 3 --wrap-to - --aad-file - --wrapped-out key".to_owned(),
        "random".to_owned(),
        "random 0".to_owned(),
        "random many".to_owned(),
        format!("derive agree --peer {pem}"),
        format!("derive agree --peer {pem} --hash sha256"),
        format!("derive agree --peer {pem} --hash sha3-256 --bytes 32"),
        format!("derive agree --peer {pem} --raw --info tls"),
        format!("derive agree --peer {} --raw", text.display()),
    ] {
        let done = Shell::new().skms(&wrong);
        assert_eq!((done.exit, done.text()), (2, ""), "{wrong}: {}", done.stderr);
    }
}
