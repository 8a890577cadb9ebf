//! What the owner of a TPM does to it.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use skms::proto;
use skms_backend::{Class, KeyType, SignInput, SignatureAlgorithm};
use skms_tests::{
    gateway::Home,
    swtpm::{self, Swtpm},
};

use super::{make, open, soon};
use crate::ask::{PROGRAM, create, outcome, sign};

/// Reached only where it is never noticed.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_tpm_that_was_cleared_is_noticed_and_not_used() {
    if swtpm::left_out() {
        return;
    }
    let home =
        Home::every(PROGRAM).configured("[health]\nprobe_interval = \"500ms\"\nprobe_timeout = \"500ms\"\n");
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "key", "tpm")).await.unwrap();
    client.create_key(create("aes-256", "kept", "tpm")).await.unwrap();
    client.sign(sign("key", "text")).await.unwrap();
    let encrypt = || client.encrypt(proto::EncryptRequest { key_id: "kept".into(), ..Default::default() });
    encrypt().await.unwrap();
    let _ = home.tpm().unwrap().tool("tpm2_clear", &["-c", "lockout"]);

    // Nobody has to use a key for it to be noticed.
    let noticed = async {
        while client.list_keys(proto::ListKeysRequest::default()).await.unwrap().unreachable != ["tpm"] {}
    };
    tokio::time::timeout(PATIENCE, noticed).await.unwrap();
    let missing = "DataLoss KEY_MATERIAL_MISSING";
    assert_eq!(outcome(&client.sign(sign("key", "text")).await), missing);
    assert_eq!(outcome(&encrypt().await), missing);
    // Nor does it make keys that would be mixed with the others.
    assert!(client.create_key(create("ec-p256", "new", "tpm")).await.is_err());
    client.create_key(create("ec-p256", "elsewhere", "soft")).await.unwrap();
    assert!(gateway.log().contains("was cleared, or is another one"), "{}", gateway.log());
    assert!(gateway.stop().await.success());
    let log = home.try_start([]).err().expect("it starts with a TPM that knows none of its keys");
    assert!(log.contains("was cleared, or is another one"), "{log}");
}

/// A wrong authorization is tried once; the right one opens the TPM.
#[tokio::test(flavor = "multi_thread")]
async fn the_owner_authorization_is_needed_where_there_is_one() {
    if swtpm::left_out() {
        return;
    }
    let tpm = Swtpm::new();
    let _ = open(&tpm, "").unwrap();
    let _ = tpm.tool("tpm2_changeauth", &["-c", "owner", "of-the-owner"]);
    let directory = tempfile::tempdir().unwrap();
    let auth = |text: &str| {
        let path = directory.path().join(text);
        fs::write(&path, format!("{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        format!("owner_auth = \"file:{}\"", path.display())
    };
    for wrong in [String::new(), auth("of-somebody")] {
        let error = open(&tpm, &wrong).err().unwrap();
        assert_eq!(error.class(), Class::Pin, "{error}");
        assert!(error.to_string().contains("owner authorization"), "{error}");
        assert!(!error.to_string().contains("of-somebody"));
    }
    let backend = open(&tpm, &auth("of-the-owner")).unwrap();
    make(&*backend, KeyType::EcP256).await;
}

/// Whoever guesses at objects of others locks the TPM for these, and for no key here.
#[tokio::test(flavor = "multi_thread")]
async fn a_tpm_in_lockout_still_signs() {
    if swtpm::left_out() {
        return;
    }
    let tpm = Swtpm::new();
    let backend = open(&tpm, "").unwrap();
    let key = make(&*backend, KeyType::EcP256).await;
    // One failure locks it.
    let _ = tpm.tool("tpm2_dictionarylockout", &["-s", "-n", "1", "-t", "1000", "-l", "1000"]);
    let guess = ["-C", "o", "-s", "8", "-a", "authread|authwrite", "-p", "right", "0x1500016"];
    let _ = tpm.tool("tpm2_nvdefine", &guess);
    let refused = std::process::Command::new("tpm2_nvread")
        .args(["-C", "0x1500016", "-P", "wrong", "0x1500016"])
        .env("TPM2TOOLS_TCTI", tpm.tcti())
        .output()
        .unwrap();
    assert!(!refused.status.success());
    assert_eq!(tpm.lockout_counter(), 1);
    let text = || vec![SignInput::Message("text".into())];
    let signed = backend.sign(&key, SignatureAlgorithm::EcdsaP256Sha256, text(), &soon()).await.remove(0);
    let public = key.pin.as_ref().unwrap().public_key().unwrap().clone();
    assert!(public.verify(SignatureAlgorithm::EcdsaP256Sha256, &text()[0], &signed.unwrap().0));
    make(&*backend, KeyType::EcP256).await;
    assert_eq!(tpm.lockout_counter(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_chip_is_stands_in_the_list_of_backends() {
    if swtpm::left_out() {
        return;
    }
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let shown = gateway.client().await.get_backend("tpm").await.unwrap();
    let identity = shown.identity.unwrap();
    let properties = home.tpm().unwrap().tool("tpm2_getcap", &["properties-fixed"]);
    assert!(properties.contains(&format!("\"{}\"", identity.manufacturer)), "{properties}");
    let major = identity.firmware.split('.').next().unwrap().parse::<u32>().unwrap();
    assert!(
        properties.contains(&format!("raw: 0x{major:04X}")) || properties.contains(&format!("0x{major:X}"))
    );
    for offer in &shown.key_types {
        let expected = if offer.key_type.starts_with("aes") {
            proto::ProtectionLevel::Software
        } else {
            proto::ProtectionLevel::Tpm
        };
        assert_eq!(offer.protection_level(), expected, "{}", offer.key_type);
    }
    // A floor is not met by what is only kept in the chip.
    let mut request = create("aes-256", "aes", "tpm");
    request.params.as_mut().unwrap().protection_level = proto::ProtectionLevel::Tpm.into();
    let refused = gateway.client().await.create_key(request).await;
    assert!(outcome(&refused).contains("PROTECTION"), "{refused:?}");
}
