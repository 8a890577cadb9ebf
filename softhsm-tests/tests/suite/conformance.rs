//! Every backend keeps the contract.

use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc, time::Duration};

use bytes::Bytes;
use skms_backend::{
    Class, DecryptInput, EncryptionAlgorithm, KeyBackend, KeyRef, KeySpec, KeyTag, KeyType, OpContext,
    ProtectionLevel, SignatureAlgorithm, Usage,
};
use skms_backend_pkcs11::Pkcs11Backend;
use skms_backend_software::SoftwareBackend;
use skms_backend_tpm::TpmBackend;
use skms_tests::{
    conformance,
    softhsm::{self, Mechanisms, SoftHsm},
    swtpm::{self, Swtpm},
};
use tempfile::TempDir;

/// A master key in a file, and a backend that uses it.
fn software() -> (TempDir, Arc<dyn KeyBackend>) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("master-key");
    fs::write(&path, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let config = toml::from_str(&format!("master_key = \"file:{}\"", path.display())).unwrap();
    let backend = SoftwareBackend::open("software", &config, None, Arc::new(())).unwrap();
    (directory, Arc::new(backend))
}

#[tokio::test(flavor = "multi_thread")]
async fn software_keeps_the_contract() {
    let (_directory, backend) = software();
    conformance::run(backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tpm_keeps_the_contract() {
    tpm_keeps_the_contract(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tpm_on_a_trusted_path_keeps_the_contract() {
    tpm_keeps_the_contract(true).await;
}

async fn tpm_keeps_the_contract(trusted_path: bool) {
    if swtpm::left_out() {
        return;
    }
    let tpm = Swtpm::new();
    let config = toml::from_str(&format!("{}trusted_path = {trusted_path}", tpm.config())).unwrap();
    let backend = TpmBackend::open("tpm", &config, None, Arc::new(())).unwrap();
    let offered = backend.capabilities();
    let types: Vec<_> = offered.key_types.iter().map(|offered| offered.key_type).collect();
    // libtpms makes no RSA-4096, has no secp256k1, and nothing of Edwards or FIPS 204.
    let expected = [
        KeyType::Rsa2048,
        KeyType::Rsa3072,
        KeyType::EcP256,
        KeyType::EcP384,
        KeyType::EcP521,
        KeyType::Aes128,
        KeyType::Aes256,
        KeyType::HmacSha256,
        KeyType::HmacSha384,
        KeyType::HmacSha512,
    ];
    assert_eq!(types, expected);
    for support in &offered.key_types {
        let signs: Vec<_> = support.sign.iter().map(|support| support.algorithm).collect();
        assert_eq!(signs, SignatureAlgorithm::of(support.key_type).collect::<Vec<_>>());
        let encrypts: Vec<_> = support.encrypt.iter().map(|support| support.algorithm).collect();
        assert_eq!(encrypts, EncryptionAlgorithm::of(support.key_type).collect::<Vec<_>>());
        assert_eq!(support.agree, support.key_type.agrees());
        let level = offered.protection_of(support.key_type);
        let expected =
            if support.key_type.is_aes() { ProtectionLevel::Software } else { ProtectionLevel::Tpm };
        assert_eq!(level, expected, "{}", support.key_type);
    }
    assert_eq!((offered.identity.manufacturer.as_str(), offered.max_mac_bytes), ("IBM", 1024));
    let backend: Arc<dyn KeyBackend> = Arc::new(backend);
    backend.probe(&OpContext::within(Duration::from_secs(60))).await.unwrap();
    assert_eq!(tpm.handles().len(), 2, "the storage key, and one session");
    conformance::run(backend).await;
    assert_eq!(tpm.handles(), Vec::<String>::new(), "objects or sessions are left");
    assert_eq!(tpm.lockout_counter(), 0);
}

#[test]
fn softhsm_keeps_the_contract() {
    softhsm::alone(|token| {
        let backend = pkcs11(token);
        let offered = backend.capabilities();
        for key_type in KeyType::ALL {
            // SoftHSM has no curve in Montgomery form, and nothing of FIPS 204.
            let absent = key_type == KeyType::X25519 || key_type.is_ml_dsa();
            let support = offered.key_type(key_type);
            assert_eq!(support.is_none(), absent, "{key_type}");
            let Some(support) = support else { continue };
            assert!(support.import, "{key_type} cannot be taken over");
            assert_eq!(support.agree, key_type.agrees(), "{key_type}");
            assert_eq!(support.mac, key_type.mac_hash().is_some(), "{key_type}");
            let signs = SignatureAlgorithm::of(key_type).next().is_some();
            assert_eq!(!support.sign.is_empty(), signs, "{key_type}");
            let encrypts: Vec<_> = support.encrypt.iter().map(|support| support.algorithm).collect();
            let expected: Vec<_> = EncryptionAlgorithm::of(key_type)
                .filter(|algorithm| {
                    !algorithm.is_rsa_oaep() || *algorithm == EncryptionAlgorithm::RsaOaepSha1
                })
                .collect();
            assert_eq!(encrypts, expected, "{key_type}");
        }
        assert!(offered.max_random_bytes >= 1024);
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
        "CKM_ECDH1_DERIVE",
        "CKM_SHA384_HMAC",
        "CKM_RSA_PKCS_OAEP",
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
        assert!(backend.agreement().is_none());
        assert!(offered.key_type(KeyType::HmacSha384).is_none());
        assert!(offered.key_types.iter().all(|offered| !offered.agree));
        assert!(offered.key_type(KeyType::Rsa2048).unwrap().encrypt.is_empty());
        run(backend);
        nothing_is_left(token);
    });
}

/// A device that hashes by itself is given no digests. SoftHSM has no ECDSA that
/// hashes, so no curve is left to sign with but Ed25519.
#[test]
fn a_token_that_only_hashes_and_signs_keeps_the_contract() {
    const OF_DIGESTS: &[&str] = &["CKM_RSA_PKCS", "CKM_RSA_X_509", "CKM_RSA_PKCS_PSS", "CKM_ECDSA"];
    softhsm::alone_with(Mechanisms::Without(OF_DIGESTS), |token| {
        let backend = pkcs11(token);
        let offered = backend.capabilities();
        assert!(offered.key_type(KeyType::EcP256).unwrap().sign.is_empty(), "it agrees and does no more");
        for algorithm in SignatureAlgorithm::of(KeyType::Rsa2048) {
            let support = offered.sign(KeyType::Rsa2048, algorithm);
            assert_eq!(support.map(|support| support.digest), Some(false), "{algorithm}");
        }
        run(backend);
        nothing_is_left(token);
    });
}

#[test]
fn keys_in_softhsm_never_leave_it_and_do_one_thing() {
    softhsm::alone(|token| {
        let backend = pkcs11(token);
        let made = block_on(conformance::make_each(&*backend));
        let objects = token.list();
        for (key, usage) in made {
            let class = if key.key_type.is_secret() { "secret-key" } else { "private-key" };
            let hidden: Vec<_> = objects
                .iter()
                .filter(|object| object.class == class && object.id == key.tag.as_bytes())
                .collect();
            let [hidden] = hidden[..] else { panic!("{} {class}s for one tag", hidden.len()) };
            let is = |attribute: &str| hidden.attributes.contains(attribute);
            for attribute in [
                "CKA_TOKEN",
                "CKA_PRIVATE",
                "CKA_SENSITIVE",
                "CKA_ALWAYS_SENSITIVE",
                "CKA_NEVER_EXTRACTABLE",
                "CKA_LOCAL",
            ] {
                assert!(is(attribute), "{} lacks {attribute}", key.key_type);
            }
            assert!(!is("CKA_EXTRACTABLE"), "{}", key.key_type);
            let expected: &[&str] = match usage {
                Usage::Sign(_) => &["CKA_SIGN"],
                Usage::Encrypt(_) if key.key_type.is_secret() => &["CKA_ENCRYPT", "CKA_DECRYPT"],
                Usage::Encrypt(_) => &["CKA_DECRYPT"],
                Usage::Mac => &["CKA_SIGN", "CKA_VERIFY"],
                Usage::Agree => &["CKA_DERIVE"],
            };
            for used in [
                "CKA_SIGN",
                "CKA_VERIFY",
                "CKA_ENCRYPT",
                "CKA_DECRYPT",
                "CKA_WRAP",
                "CKA_UNWRAP",
                "CKA_DERIVE",
            ] {
                assert_eq!(is(used), expected.contains(&used), "{} for {usage:?}: {used}", key.key_type);
            }
        }
        block_on(backend.close());
    });
}

/// SoftHSM answers `CKR_GENERAL_ERROR` to a bad ciphertext and of a token that is gone.
#[test]
fn a_token_that_is_gone_is_no_bad_ciphertext() {
    softhsm::alone(|token| {
        let backend = pkcs11(token);
        let (algorithm, key_type) = (EncryptionAlgorithm::Aes256Gcm, KeyType::Aes256);
        let (spec, tag) =
            (KeySpec { key_type, usage: Usage::Encrypt(vec![algorithm]) }, KeyTag::random().unwrap());
        let soon = || OpContext::within(Duration::from_secs(60));
        let made = block_on(backend.generate(&spec, tag, &soon())).unwrap();
        let key = KeyRef { tag, key_type, blob: made.blob, pin: Some(made.pin.clone()) };
        let bad = || DecryptInput::Authenticated {
            salt: vec![1; 12].into(),
            header: Bytes::new(),
            commitment: *made.pin.check_value().unwrap(),
            aad: Bytes::new(),
            ciphertext: vec![0; 48].into(),
        };
        let decrypt = || block_on(backend.decrypt(&key, algorithm, vec![bad()], &soon())).remove(0);
        assert_eq!(decrypt().err().unwrap().class(), Class::Caller);
        let away = token.token_dir().with_extension("away");
        fs::rename(token.token_dir(), &away).unwrap();
        assert_eq!(decrypt().err().unwrap().class(), Class::Reinitialize);
        fs::rename(&away, token.token_dir()).unwrap();
        block_on(backend.close());
    });
}

/// Opens a token. Whoever does closes it: a session that is closed while the process ends is
/// closed by a SoftHSM2 that is half gone, and crashes.
fn pkcs11(token: &SoftHsm) -> Arc<dyn KeyBackend> {
    let config = toml::from_str(&token.config()).unwrap();
    Arc::new(Pkcs11Backend::open("softhsm", &config, "instance", None, Arc::new(())).unwrap())
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
