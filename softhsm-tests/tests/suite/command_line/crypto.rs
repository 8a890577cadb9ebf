//! Encryption, codes, data keys and agreement, as a script does them.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::Value;
use skms_backend::SignatureAlgorithm;
use skms_tests::{conformance::openssl, gateway::Home};

use super::User;
use crate::ask::PROGRAM;

/// A key of this type on each backend that offers it for what is named in its support.
fn keys(user: &User<'_>, key_type: &str, purpose: &str, field: &str) -> Vec<String> {
    let mut keys = Vec::new();
    for backend in user.home.backends() {
        let shown = user.run(&format!("backends {backend} --output json")).json();
        let offers = shown["key_types"].as_array().unwrap().clone();
        let offered = offers.iter().find(|offer| offer["key_type"] == key_type).is_some_and(|offer| {
            offer[field] == true || offer[field].as_array().is_some_and(|names| !names.is_empty())
        });
        if offered {
            let id = format!("{backend}.{key_type}.{}", keys.len());
            let line = format!("keys create {key_type} --id {id} --backend {backend} --purpose {purpose}");
            let made = user.run(&line);
            assert_eq!(made.code, Some(0), "{made:?}");
            keys.push(id);
        }
    }
    assert!(!keys.is_empty(), "no backend offers {key_type} for {purpose}");
    keys
}

#[tokio::test]
async fn a_plaintext_goes_through_a_pipe_and_comes_back() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let user = User::of(&home, &gateway);
    let plaintext = [0, 0xff, b'\n', 7];
    for key in keys(&user, "aes-256", "encrypt-decrypt", "encryption_algorithms") {
        for aad in ["", "--aad-hex 00ff", "--context tenant=acme --context file=a.txt"] {
            let sealed = user.pipe(&format!("encrypt {key} {aad}"), &plaintext);
            assert_eq!(sealed.code, Some(0), "{sealed:?}");
            let opened = user.pipe(&format!("decrypt {key} {aad}"), &sealed.stdout);
            assert_eq!((opened.code, opened.stdout.as_slice()), (Some(0), &plaintext[..]), "{opened:?}");
            let wrong = user.pipe(&format!("decrypt {key} --context tenant=other"), &sealed.stdout);
            assert_eq!((wrong.code, wrong.text()), (Some(2), ""), "{wrong:?}");
            assert!(wrong.stderr.contains("DECRYPTION_FAILED"), "{}", wrong.stderr);
        }
    }
    for key in keys(&user, "rsa-2048", "encrypt-decrypt", "encryption_algorithms") {
        let shown = user.run(&format!("keys get {key} --output json")).json();
        let algorithm = shown["metadata"]["params"]["encryption_algorithms"][0].as_str().unwrap().to_owned();
        let sealed = user.pipe(&format!("encrypt {key} --format hex --algorithm {algorithm}"), b"short");
        user.run(&format!("keys rotate {key}"));
        let line = format!("decrypt {key} --format hex --version 1 --algorithm {algorithm}");
        let opened = user.pipe(&line, &sealed.stdout);
        assert_eq!((opened.code, opened.text()), (Some(0), "short"), "{opened:?}");
        assert!(opened.stderr.contains("time to re-encrypt"), "{}", opened.stderr);
    }
}

#[tokio::test]
async fn fifty_files_are_re_encrypted_after_a_rotation() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let user = User::of(&home, &gateway);
    for key in keys(&user, "aes-256", "encrypt-decrypt", "encryption_algorithms") {
        let folder = home.path().join("files");
        fs::create_dir_all(&folder).unwrap();
        let names: Vec<_> = (0..50).map(|index| format!("files/{index:02}")).collect();
        let sealed = user.pipe(&format!("encrypt {key} --context of={key}"), b"a secret");
        for name in &names {
            fs::write(home.path().join(name), &sealed.stdout).unwrap();
        }
        user.run(&format!("keys rotate {key}"));
        // One of them is new already, and one is no ciphertext.
        let new = user.pipe(&format!("encrypt {key} --context of={key}"), b"a secret").stdout;
        fs::write(home.path().join("files/07"), &new).unwrap();
        fs::write(home.path().join("files/broken"), "nonsense").unwrap();

        let line = format!("reencrypt --from {key} --to {key} --context of={key} --skip-current --jobs 8");
        let done = user.run(&format!("{line} {} files/broken", names.join(" ")));
        assert_eq!((done.code, done.text()), (Some(2), ""), "{done:?}");
        assert!(done.stderr.starts_with("files/broken: error: "), "{}", done.stderr);
        assert!(done.stderr.ends_with("re-encrypted 49, already current 1, failed 1\n"), "{}", done.stderr);
        assert_eq!(fs::read(home.path().join("files/broken")).unwrap(), b"nonsense");
        assert_eq!(fs::read(home.path().join("files/07")).unwrap(), new);
        for name in &names {
            let opened = user.run(&format!("decrypt {key} --context of={key} --in {name} --output json"));
            assert_eq!(opened.json()["used_primary"], true, "{name}");
            assert_eq!(opened.json()["plaintext"], "YSBzZWNyZXQ=", "{name}");
        }
        // Nothing is left beside them, and a second time there is nothing to do.
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 51);
        let again = user.run(&format!("{line} {}", names.join(" ")));
        assert_eq!((again.code, again.stderr.as_str()), (Some(0), "re-encrypted 0, already current 50\n"));
    }
}

#[tokio::test]
async fn a_data_key_is_kept_encrypted_and_had_again() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let user = User::of(&home, &gateway);
    let file = |name: &str| home.path().join(name);
    for key in keys(&user, "aes-256", "encrypt-decrypt", "encryption_algorithms") {
        let line =
            format!("datakey {key} --type aes-256 --context of=disk --out kept --plaintext-out data.{key}");
        let made = user.run(&line);
        assert_eq!((made.code, made.text()), (Some(0), ""), "{made:?}");
        let clear = file(&format!("data.{key}"));
        assert_eq!(fs::metadata(&clear).unwrap().permissions().mode() & 0o777, 0o600);
        let opened = user.run(&format!("decrypt {key} --context of=disk --in kept"));
        assert_eq!((opened.stdout.len(), opened.stdout), (32, fs::read(clear).unwrap()));

        let omitted = user.run(&format!("datakey {key} --bytes 20 --omit --output json")).json();
        assert_eq!((&omitted["plaintext"], &omitted["plaintext_crc32c"]), (&Value::Null, &0.into()));
        // For somebody else, who has an RSA key with the gateway.
        let recipient = format!("recipient.{key}");
        user.run(&format!(
            "keys create rsa-2048 --id {recipient} --backend soft --purpose encrypt-decrypt \
             --encryption-algorithm rsa-oaep-sha256 --public-key-out recipient.pem"
        ));
        let line =
            format!("datakey {key} --bytes 20 --wrap-to recipient.pem --wrapped-out wrapped --out kept");
        let made = user.run(&line);
        assert_eq!(made.code, Some(0), "{made:?}");
        let theirs = user.run(&format!("decrypt {recipient} --in wrapped"));
        let ours = user.run(&format!("decrypt {key} --in kept"));
        assert_eq!((theirs.stdout.len(), &theirs.stdout), (20, &ours.stdout), "{theirs:?} {ours:?}");
    }
}

#[tokio::test]
async fn a_code_is_made_and_checked_and_random_bytes_are_had() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let user = User::of(&home, &gateway);
    fs::write(home.path().join("message"), "hello, world").unwrap();
    for key in keys(&user, "hmac-sha256", "mac", "mac") {
        let made = user.run(&format!("mac {key} --in message --format hex --out code"));
        assert_eq!((made.code, made.text()), (Some(0), ""), "{made:?}");
        user.run(&format!("keys rotate {key}"));
        let line = format!("mac {key} --verify code --format hex");
        let verified = user.run(&format!("{line} --in message"));
        let valid = format!("valid: `{key}` version 1 (enabled)\n");
        assert_eq!((verified.code, verified.text()), (Some(0), valid.as_str()), "{verified:?}");
        let forged = user.pipe(&line, b"hello, World");
        assert_eq!((forged.code, forged.text().starts_with("invalid: ")), (Some(3), true), "{forged:?}");
    }
    for backend in home.backends() {
        let random = user.run(&format!("random 32 --backend {backend}"));
        assert_eq!((random.code, random.stdout.len()), (Some(0), 32), "{random:?}");
    }
    assert_eq!(user.run("random 2000").code, Some(2));
}

#[tokio::test]
async fn both_sides_derive_the_same_key() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let user = User::of(&home, &gateway);
    for key in keys(&user, "ec-p256", "key-agreement", "key_agreement") {
        user.run(&format!("keys public {key} --out ours.pem"));
        let peer = format!("peer.{key}");
        let line = format!("keys create ec-p256 --id {peer} --backend soft --purpose key-agreement");
        user.run(&format!("{line} --public-key-out theirs.pem"));
        let hkdf = "--hash sha256 --salt-hex 00 --info tunnel --bytes 32";
        let ours = user.run(&format!("derive {key} --peer theirs.pem {hkdf}"));
        let theirs = user.run(&format!("derive {peer} --peer ours.pem {hkdf}"));
        assert_eq!((ours.stdout.len(), &ours.stdout), (32, &theirs.stdout), "{ours:?} {theirs:?}");
        let raw = user.run(&format!("derive {key} --peer theirs.pem --raw"));
        assert_eq!((raw.stdout.len(), raw.stdout == ours.stdout), (32, false), "{raw:?}");
    }
}

#[tokio::test]
async fn what_is_longer_than_a_message_goes_in_a_stream() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let user = User::of(&home, &gateway);
    let file = |name: &str| home.path().join(name);
    let text: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    fs::write(file("long"), &text).unwrap();
    for backend in home.backends() {
        user.run(&format!(
            "keys create ec-p256 --id {backend}-signs --backend {backend} --public-key-out {backend}.pem"
        ));
        user.run(&format!("keys create aes-256 --id {backend} --backend {backend}"));
        // A file, and a pipe.
        let signed = user.run(&format!("sign {backend}-signs --in long --out signature"));
        assert_eq!(signed.code, Some(0), "{signed:?}");
        let pem = fs::read_to_string(file(&format!("{backend}.pem"))).unwrap();
        let signature = fs::read(file("signature")).unwrap();
        assert!(openssl::agrees(&pem, SignatureAlgorithm::EcdsaP256Sha256, &text, &signature));
        let verify = format!("verify {backend}-signs --signature signature");
        assert_eq!(user.run(&format!("{verify} --in long")).code, Some(0));
        assert_eq!(user.pipe(&verify, &text).code, Some(0));
        assert_eq!(user.pipe(&verify, &text[1..]).code, Some(3));

        let sealed = user.run(&format!("encrypt {backend} --in long --context for=payroll --out sealed"));
        assert_eq!(sealed.code, Some(0), "{sealed:?}");
        let piped = user.pipe(&format!("encrypt {backend} --context for=payroll"), &text);
        assert!(fs::read(file("sealed")).unwrap().starts_with(b"SKS") && piped.stdout.starts_with(b"SKS"));
        let opened = user.run(&format!("decrypt {backend} --in sealed --context for=payroll --out opened"));
        assert_eq!((opened.code, fs::read(file("opened")).unwrap() == text), (Some(0), true), "{opened:?}");
        assert_eq!(fs::metadata(file("opened")).unwrap().permissions().mode() & 0o777, 0o600);
        let opened = user.pipe(&format!("decrypt {backend} --context for=payroll"), &piped.stdout);
        assert_eq!((opened.code, opened.stdout == text), (Some(0), true));
        let described = user
            .run(&format!("decrypt {backend} --in sealed --context for=payroll --out opened --output json"));
        assert_eq!(
            (&described.json()["key_id"], &described.json()["plaintext"]),
            (&backend.into(), &Value::Null)
        );

        // What is cut off leaves no file, and no whole through a pipe without an error.
        let whole = fs::read(file("sealed")).unwrap();
        fs::write(file("cut"), &whole[..500_000]).unwrap();
        let refused = user.run(&format!("decrypt {backend} --in cut --context for=payroll --out never"));
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains("DECRYPTION_FAILED"), "{}", refused.stderr);
        let left: Vec<_> = fs::read_dir(home.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("never") || name.starts_with("opened."))
            .collect();
        assert_eq!(left, Vec::<String>::new());
        let piped = user.pipe(&format!("decrypt {backend} --context for=payroll"), &whole[..500_000]);
        assert!(piped.code != Some(0) && text.starts_with(&piped.stdout));
        for line in [
            format!("encrypt {backend} --in long --format hex --out sealed"),
            format!("encrypt {backend} --in long --output json"),
            format!("decrypt {backend} --in sealed --output json"),
        ] {
            assert_eq!(user.run(&line).code, Some(2), "{line}");
        }
    }
}
