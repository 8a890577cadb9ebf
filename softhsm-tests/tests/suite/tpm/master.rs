//! The master key of a software backend, sealed to the TPM: what is on the disks opens
//! nothing without that TPM.

use std::{fs, process::Command};

use skms::{client::Client, proto};
use skms_tests::{
    gateway::Home,
    swtpm::{Swtpm, left_out},
};

use crate::ask::{PROGRAM, create, sign};

/// A software backend beside `soft`, whose master key is sealed.
const SEALED: &str = "[backends.software.safe]\nmaster_key = \"tpm:tpm:safe.sealed\"\n";

fn home() -> Home {
    Home::every(PROGRAM).configured(SEALED)
}

async fn use_both(client: &Client) {
    client.sign(sign("key", "text")).await.unwrap();
    let encrypt =
        proto::EncryptRequest { key_id: "aes".into(), plaintext: "text".into(), ..Default::default() };
    client.encrypt(encrypt).await.unwrap();
}

async fn make_both(client: &Client) {
    client.create_key(create("ec-p256", "key", "safe")).await.unwrap();
    client.create_key(create("aes-256", "aes", "safe")).await.unwrap();
    use_both(client).await;
}

fn seal(home: &Home, key: &str) -> std::process::Output {
    fs::write(home.path().join("offline.key"), format!("{key}\n")).unwrap();
    let reference = format!("file:{}", home.path().join("offline.key").display());
    let _ = Command::new("chmod").arg("600").arg(home.path().join("offline.key")).status().unwrap();
    let mut command = home.command();
    command.args(["seal-master-key", "safe", "--key", &reference, "--config"]).arg(home.config());
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_comes_back_from_the_tpm_after_every_kind_of_stop() {
    if left_out() {
        return;
    }
    let mut home = home();
    let gateway = home.start();
    make_both(&gateway.client().await).await;
    // The TPM may be away while the gateway runs: the key was unsealed at the start.
    home.tpm_mut().unwrap().kill();
    use_both(&gateway.client().await).await;
    home.tpm_mut().unwrap().start();
    gateway.kill();
    let gateway = home.start();
    use_both(&gateway.client().await).await;
    assert!(gateway.stop().await.success());
    use_both(&home.start().client().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stolen_disks_open_nothing_with_another_tpm_nor_after_a_clear() {
    if left_out() {
        return;
    }
    let mut home = home();
    let gateway = home.start();
    make_both(&gateway.client().await).await;
    assert!(gateway.stop().await.success());
    let refused = |log: Option<String>, part: &str| {
        let log = log.expect("it starts, with what it must not have");
        assert!(log.contains("safe") && log.contains(part), "{log}");
    };
    // Another TPM, with all that is on the disks of the first.
    let own = home.exchange_tpm(Swtpm::new());
    refused(home.try_start([]).err(), "was cleared, or is another one");
    let _ = home.exchange_tpm(own);
    // What is changed in the file, or is not there any more.
    let file = home.path().join("safe.sealed");
    let text = fs::read_to_string(&file).unwrap();
    for (changed, part) in [
        (text.replace("\"ciphertext\": \"", "\"ciphertext\": \"00"), "it was changed"),
        (text.replace("\"safe\"", "\"soft\""), "it is the master key of the backend `soft`"),
        (text.replace("-key-1", "-key-2"), "this release reads"),
        (String::new(), "it is no sealed master key"),
    ] {
        fs::write(&file, changed).unwrap();
        refused(home.try_start([]).err(), part);
    }
    fs::remove_file(&file).unwrap();
    // No other is made where there are keys under the first.
    refused(home.try_start([]).err(), "cannot be used");
    assert!(!file.exists());
    fs::write(&file, &text).unwrap();
    use_both(&home.start().client().await).await;

    let _ = home.tpm().unwrap().tool("tpm2_startup", &["-c"]);
    let _ = home.tpm().unwrap().tool("tpm2_clear", &["-c", "lockout"]);
    refused(home.try_start([]).err(), "was cleared, or is another one");
}

/// With a copy of the master key the keys outlive the TPM.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_key_of_which_there_is_a_copy_is_sealed_to_the_next_tpm() {
    if left_out() {
        return;
    }
    let key = "8f1d0c7ab2e94f6658b3a1c09d7e2f4411223344556677889900aabbccddeeff";
    let mut home = home();
    let sealed = seal(&home, key);
    assert!(sealed.status.success(), "{}", String::from_utf8_lossy(&sealed.stderr));
    let written = fs::read_to_string(home.path().join("safe.sealed")).unwrap();
    assert!(!written.contains(key));
    let again = seal(&home, key);
    assert!(!again.status.success(), "a file that is there is written over");
    let gateway = home.start();
    make_both(&gateway.client().await).await;
    assert!(gateway.stop().await.success());

    let _ = home.exchange_tpm(Swtpm::new());
    assert!(home.try_start([]).is_err());
    fs::remove_file(home.path().join("safe.sealed")).unwrap();
    let other = seal(&home, &key.replace('8', "9"));
    assert!(other.status.success());
    let log = home.try_start([]).err().expect("another master key opens it");
    assert!(!log.contains(key), "{log}");
    fs::remove_file(home.path().join("safe.sealed")).unwrap();
    assert!(seal(&home, key).status.success());
    use_both(&home.start().client().await).await;
}

/// A TPM that is not configured is told of before anything is opened.
#[test]
fn a_master_key_of_a_tpm_that_is_not_configured_is_refused() {
    let home = Home::software(PROGRAM)
        .configured("[backends.software.safe]\nmaster_key = \"tpm:none:safe.sealed\"\n");
    let log = home.try_start([]).err().expect("it starts without its TPM");
    assert!(log.contains("`backends.software.safe.master_key`: names a TPM that is not configured"), "{log}");
}
