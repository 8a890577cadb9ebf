//! A PIN that a token refused.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::{chaos, home};
use crate::ask::create;

const RESTARTS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_pin_is_tried_once_over_twenty_restarts() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home = home();
    let wrong = home.path().join("wrong.pin");
    fs::write(&wrong, "87654321").unwrap();
    fs::set_permissions(&wrong, fs::Permissions::from_mode(0o600)).unwrap();
    let reference = format!("file:{}", wrong.display());
    let with_wrong = || [("SKMS__BACKENDS__PKCS11__HSM__PIN", reference.clone().into())];
    for restart in 0..RESTARTS {
        let log = home.try_start(with_wrong()).err().unwrap();
        let told = if restart == 0 { "CKR_PIN_INCORRECT" } else { "refused this PIN before" };
        assert!(log.contains(told) && !log.contains("87654321"), "{restart}: {log}");
        assert_eq!(chaos(&home).count("C_Login"), 1, "{restart}");
    }
    println!("a wrong PIN: {} C_Login over {RESTARTS} starts", chaos(&home).count("C_Login"));
    // Another PIN is another matter.
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "key", "hsm")).await.unwrap();
    assert!(gateway.stop().await.success());
    // Who has made sure says so.
    let before = chaos(&home).count("C_Login");
    home.try_start(with_wrong()).err().unwrap();
    let latch = home.path().join("catalog.db-refused-pin-hsm");
    fs::remove_file(&latch).unwrap();
    home.try_start(with_wrong()).err().unwrap();
    assert_eq!(chaos(&home).count("C_Login"), before + 2);
    assert_eq!(fs::metadata(&latch).unwrap().permissions().mode() & 0o777, 0o600);
}
