//! Every backend keeps the contract.

use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc};

use skms_backend::{KeyBackend, KeyType, SignatureAlgorithm};
use skms_backend_pkcs11::Pkcs11Backend;
use skms_backend_software::SoftwareBackend;
use skms_tests::{
    conformance,
    softhsm::{self, Mechanisms, SoftHsm},
};
use tempfile::TempDir;

/// A master key in a file, and a backend that uses it.
fn software() -> (TempDir, Arc<dyn KeyBackend>) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("master-key");
    fs::write(&path, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let config = toml::from_str(&format!("master_key = \"file:{}\"", path.display())).unwrap();
    let backend = SoftwareBackend::open("software", &config, Arc::new(())).unwrap();
    (directory, Arc::new(backend))
}

#[tokio::test(flavor = "multi_thread")]
async fn software_keeps_the_contract() {
    let (_directory, backend) = software();
    conformance::run(backend).await;
}

#[test]
fn softhsm_keeps_the_contract() {
    softhsm::alone(|token| {
        let backend = pkcs11(token);
        for key_type in KeyType::ALL {
            assert!(backend.capabilities().key_type(key_type).is_some(), "{key_type} is not offered");
        }
        run(backend);
        nothing_is_left(token);
    });
}

/// A device that cannot do all that the contract names says so, and keeps the rest.
#[test]
fn a_poorer_token_keeps_the_contract_for_what_it_has() {
    const MISSING: &[&str] = &[
        "CKM_RSA_PKCS_PSS",
        "CKM_SHA256_RSA_PKCS_PSS",
        "CKM_SHA384_RSA_PKCS_PSS",
        "CKM_SHA512_RSA_PKCS_PSS",
        "CKM_EDDSA",
    ];
    softhsm::alone_with(Mechanisms::Without(MISSING), |token| {
        let backend = pkcs11(token);
        let offered = backend.capabilities();
        assert!(offered.key_type(KeyType::Ed25519).is_none());
        assert!(offered.key_type(KeyType::EcP256).is_some());
        for algorithm in SignatureAlgorithm::of(KeyType::Rsa2048) {
            let support = offered.sign(KeyType::Rsa2048, algorithm);
            assert_eq!(support.is_none(), algorithm.is_rsa_pss(), "{algorithm}");
        }
        run(backend);
        nothing_is_left(token);
    });
}

/// A device that hashes by itself is given no digests. SoftHSM has no ECDSA that
/// hashes, so no curve is left but Ed25519.
#[test]
fn a_token_that_only_hashes_and_signs_keeps_the_contract() {
    const OF_DIGESTS: &[&str] = &["CKM_RSA_PKCS", "CKM_RSA_X_509", "CKM_RSA_PKCS_PSS", "CKM_ECDSA"];
    softhsm::alone_with(Mechanisms::Without(OF_DIGESTS), |token| {
        let backend = pkcs11(token);
        let offered = backend.capabilities();
        assert!(offered.key_type(KeyType::EcP256).is_none());
        for algorithm in SignatureAlgorithm::of(KeyType::Rsa2048) {
            let support = offered.sign(KeyType::Rsa2048, algorithm);
            assert_eq!(support.map(|support| support.digest), Some(false), "{algorithm}");
        }
        run(backend);
        nothing_is_left(token);
    });
}

#[test]
fn private_keys_in_softhsm_never_leave_it() {
    softhsm::alone(|token| {
        let backend = pkcs11(token);
        let made = block_on(conformance::make_each(&*backend));
        let objects = token.list();
        for key in made {
            let private: Vec<_> = objects
                .iter()
                .filter(|object| object.class == "private-key" && object.id == key.tag.as_bytes())
                .collect();
            let [private] = private[..] else { panic!("{} private keys for one tag", private.len()) };
            let is = |attribute: &str| private.attributes.contains(attribute);
            for attribute in [
                "CKA_TOKEN",
                "CKA_PRIVATE",
                "CKA_SENSITIVE",
                "CKA_ALWAYS_SENSITIVE",
                "CKA_NEVER_EXTRACTABLE",
                "CKA_LOCAL",
                "CKA_SIGN",
            ] {
                assert!(is(attribute), "{} lacks {attribute}", key.key_type);
            }
            for attribute in ["CKA_EXTRACTABLE", "CKA_DECRYPT", "CKA_UNWRAP", "CKA_DERIVE"] {
                assert!(!is(attribute), "{} has {attribute}", key.key_type);
            }
        }
    });
}

fn pkcs11(token: &SoftHsm) -> Arc<dyn KeyBackend> {
    let config = toml::from_str(&token.config()).unwrap();
    Arc::new(Pkcs11Backend::open("softhsm", &config, "instance", Arc::new(())).unwrap())
}

fn run(backend: Arc<dyn KeyBackend>) {
    block_on(conformance::run(backend));
}

/// The suite destroys whatever it made, so a token that was empty is empty.
fn nothing_is_left(token: &SoftHsm) {
    assert_eq!(token.list(), []);
    assert_eq!(token.object_files(), 0);
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(future)
}
