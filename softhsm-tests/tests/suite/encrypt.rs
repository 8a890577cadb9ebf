//! Encrypt, Decrypt, ReEncrypt and GenerateDataKey: what comes back, after a rotation
//! too, and what does not.

use std::collections::BTreeSet;

use bytes::Bytes;
use skms::{
    client::Client,
    proto::{
        self,
        decrypt_request::Aad as DecryptAad,
        encrypt_request::Aad as EncryptAad,
        generate_data_key_request::{Aad as DataKeyAad, Size},
        re_encrypt_request::{DestinationAad, SourceAad},
    },
};
use skms_tests::gateway::Home;

use crate::ask::{PROGRAM, create, outcome, rotate};

const PLAINTEXT: &[u8] = b"a plaintext of no importance";

/// A key on each backend that offers the type for encryption.
pub(crate) async fn keys(client: &Client, home: &Home, key_type: &str) -> Vec<String> {
    let mut keys = Vec::new();
    for backend in home.backends() {
        let offered = client.get_backend(backend).await.unwrap();
        let support = offered.key_types.iter().find(|offer| offer.key_type == key_type);
        if support.is_none_or(|support| support.encryption_algorithms.is_empty()) {
            continue;
        }
        let id = format!("{backend}.{key_type}");
        let mut request = create(key_type, &id, backend);
        request.params.as_mut().unwrap().purpose = proto::KeyPurpose::EncryptDecrypt.into();
        client.create_key(request).await.unwrap();
        keys.push(id);
    }
    assert!(!keys.is_empty(), "no backend encrypts with {key_type}");
    keys
}

pub(crate) fn encrypt(key: &str, plaintext: &[u8], aad: Option<EncryptAad>) -> proto::EncryptRequest {
    let plaintext = Bytes::copy_from_slice(plaintext);
    proto::EncryptRequest { key_id: key.into(), plaintext, aad, ..Default::default() }
}

pub(crate) fn decrypt(key: &str, ciphertext: &[u8], aad: Option<DecryptAad>) -> proto::DecryptRequest {
    let ciphertext = Bytes::copy_from_slice(ciphertext);
    proto::DecryptRequest { key_id: key.into(), ciphertext, aad, ..Default::default() }
}

pub(crate) fn context(entries: &[(&str, &str)]) -> proto::EncryptionContext {
    let entries = entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    proto::EncryptionContext { entries: entries.collect() }
}

#[tokio::test]
async fn what_was_encrypted_is_decrypted_with_the_same_key_and_what_stood_beside_it() {
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for key_type in ["aes-128", "aes-256"] {
        for key in keys(&client, &home, key_type).await {
            for length in [0, 1, 15, 16, 17, 1000, 64 * 1024] {
                let plaintext = vec![0x5a; length];
                let aad = Some(EncryptAad::AdditionalAuthenticatedData("beside".into()));
                let mut request = encrypt(&key, &plaintext, aad);
                request.plaintext_crc32c = Some(crc32c::crc32c(&plaintext));
                request.aad_crc32c = Some(crc32c::crc32c(b"beside"));
                request.reference = "mine".into();
                let made = client.encrypt(request).await.unwrap();
                assert_eq!((made.key_id.as_str(), made.version, made.reference.as_str()), (&*key, 1, "mine"));
                assert!(made.verified_plaintext_crc32c && made.verified_aad_crc32c);
                assert_eq!(made.ciphertext_crc32c, crc32c::crc32c(&made.ciphertext));
                assert!(length < 16 || !made.ciphertext.windows(16).any(|window| window == &plaintext[..16]));

                let aad = Some(DecryptAad::AdditionalAuthenticatedData("beside".into()));
                let opened = client.decrypt(decrypt(&key, &made.ciphertext, aad)).await.unwrap();
                assert_eq!(opened.plaintext, plaintext);
                assert_eq!(opened.plaintext_crc32c, crc32c::crc32c(&plaintext));
                assert_eq!((opened.version, opened.used_primary), (1, true));
                assert_eq!(opened.algorithm, made.algorithm);
            }
        }
    }
}

#[tokio::test]
async fn a_context_is_the_same_in_any_order_and_another_is_not() {
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for key in keys(&client, &home, "aes-256").await {
        let given = context(&[("tenant", "acme"), ("file", "a.txt")]);
        let made = client.encrypt(encrypt(&key, PLAINTEXT, Some(EncryptAad::Context(given)))).await.unwrap();
        let sent = async |aad| outcome(&client.decrypt(decrypt(&key, &made.ciphertext, aad)).await);
        let right = context(&[("file", "a.txt"), ("tenant", "acme")]);
        let opened = client.decrypt(decrypt(&key, &made.ciphertext, Some(DecryptAad::Context(right)))).await;
        assert_eq!(opened.unwrap().plaintext, PLAINTEXT);
        // The bytes of the very same context are no context.
        let bytes: Vec<u8> =
            [&b"\0\0\0\x04file\0\0\0\x05a.txt"[..], b"\0\0\0\x06tenant\0\0\0\x04acme"].concat();
        for wrong in [
            None,
            Some(DecryptAad::Context(context(&[]))),
            Some(DecryptAad::Context(context(&[("tenant", "acme")]))),
            Some(DecryptAad::Context(context(&[("tenant", "acm"), ("file", "ea.txt")]))),
            Some(DecryptAad::AdditionalAuthenticatedData(bytes.into())),
        ] {
            assert_eq!(sent(wrong).await, "InvalidArgument DECRYPTION_FAILED");
        }
        // The names are on record, and the values are not.
        let record = home.audit().into_iter().find(|record| record["action"] == "encrypt").unwrap();
        assert_eq!(record["context_names"], serde_json::json!(["file", "tenant"]));
        assert!(!record.to_string().contains("a.txt"));
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_a_ciphertext_is_one_error() {
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for key in keys(&client, &home, "aes-256").await {
        let made = client.encrypt(encrypt(&key, PLAINTEXT, None)).await.unwrap();
        let mut texts = BTreeSet::new();
        for at in 0..made.ciphertext.len() {
            let mut changed = made.ciphertext.to_vec();
            changed[at] ^= 1;
            let refused = client.decrypt(decrypt(&key, &changed, None)).await.unwrap_err();
            let failure = refused.failure().unwrap();
            let reason = failure.reason.clone().unwrap();
            let expected: &[&str] = match at {
                // The frame, which says what it is to everybody.
                0..4 | 26 => &["CIPHERTEXT_MALFORMED"],
                4 | 5 => &["CIPHERTEXT_MALFORMED", "DECRYPTION_FAILED"],
                6..22 => &["KEY_MISMATCH"],
                _ => &["DECRYPTION_FAILED"],
            };
            assert!(expected.contains(&reason.as_str()), "byte {at}: {reason}");
            if reason == "DECRYPTION_FAILED" {
                texts.insert(failure.message.clone());
            }
        }
        for length in 0..made.ciphertext.len() {
            let refused = client.decrypt(decrypt(&key, &made.ciphertext[..length], None)).await.unwrap_err();
            let failure = refused.failure().unwrap();
            let reason = failure.reason.as_deref().unwrap();
            match length {
                0 => assert_eq!(reason, "FIELD_REQUIRED"),
                _ if reason == "CIPHERTEXT_MALFORMED" => {}
                _ => {
                    assert_eq!(reason, "DECRYPTION_FAILED");
                    texts.insert(failure.message.clone());
                }
            }
        }
        assert_eq!(texts.len(), 1, "{texts:?}");
        let other = format!("{key}-other");
        let backend = key.split('.').next().unwrap();
        client.create_key(create("aes-256", &other, backend)).await.unwrap();
        let refused = outcome(&client.decrypt(decrypt(&other, &made.ciphertext, None)).await);
        assert_eq!(refused, "InvalidArgument KEY_MISMATCH");
        client.decrypt(decrypt(&key, &made.ciphertext, None)).await.unwrap();
    }
}

#[tokio::test]
async fn a_rotation_leaves_old_ciphertexts_readable_and_says_when_to_encrypt_anew() {
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for key in keys(&client, &home, "aes-256").await {
        let first = client.encrypt(encrypt(&key, PLAINTEXT, None)).await.unwrap();
        client.rotate_key(rotate(&key)).await.unwrap();
        let opened = client.decrypt(decrypt(&key, &first.ciphertext, None)).await.unwrap();
        assert_eq!((&opened.plaintext[..], opened.version, opened.used_primary), (PLAINTEXT, 1, false));

        let request = proto::ReEncryptRequest {
            ciphertext: first.ciphertext.clone(),
            source_key_id: key.clone(),
            destination_key_id: key.clone(),
            destination_aad: Some(DestinationAad::DestinationContext(context(&[("now", "yes")]))),
            ..Default::default()
        };
        let anew = client.reencrypt(request.clone()).await.unwrap();
        assert_eq!((anew.source_version, anew.destination_version), (1, 2));
        let aad = Some(DecryptAad::Context(context(&[("now", "yes")])));
        let opened = client.decrypt(decrypt(&key, &anew.ciphertext, aad)).await.unwrap();
        assert_eq!((&opened.plaintext[..], opened.version, opened.used_primary), (PLAINTEXT, 2, true));

        let wrong = Some(SourceAad::SourceAdditionalAuthenticatedData("none".into()));
        let wrong = proto::ReEncryptRequest { source_aad: wrong, ..request };
        assert_eq!(outcome(&client.reencrypt(wrong).await), "InvalidArgument DECRYPTION_FAILED");
    }
}

/// Who may re-encrypt need not be able to read.
#[tokio::test]
async fn encrypting_anew_takes_a_permission_on_either_key_and_none_to_read() {
    let home = Home::software(PROGRAM);
    std::fs::write(
        home.path().join("policies/mover.cedar"),
        r#"@id("mover-from") permit (principal in Role::"mover", action == Action::"re-encrypt-from", resource == Key::"old");
           @id("mover-to") permit (principal in Role::"mover", action == Action::"re-encrypt-to", resource == Key::"new");"#,
    )
    .unwrap();
    let gateway = home.start();
    let client = gateway.client().await;
    for key in ["old", "new"] {
        client.create_key(create("aes-256", key, "")).await.unwrap();
    }
    let made = client.encrypt(encrypt("old", PLAINTEXT, None)).await.unwrap();
    let mover = gateway.client_of(&home.idp().token("mover", &["mover"])).await;
    let request = |from: &str, to: &str| proto::ReEncryptRequest {
        ciphertext: made.ciphertext.clone(),
        source_key_id: from.into(),
        destination_key_id: to.into(),
        ..Default::default()
    };
    let anew = mover.reencrypt(request("old", "new")).await.unwrap();
    assert_eq!(client.decrypt(decrypt("new", &anew.ciphertext, None)).await.unwrap().plaintext, PLAINTEXT);
    let denied = "PermissionDenied KEY_ACCESS_DENIED";
    assert_eq!(outcome(&mover.reencrypt(request("old", "old")).await), denied);
    assert_eq!(outcome(&mover.reencrypt(request("new", "new")).await), denied);
    let refused = outcome(&mover.decrypt(decrypt("old", &made.ciphertext, None)).await);
    assert_eq!(refused, "PermissionDenied METHOD_NOT_ALLOWED");
}

/// What is known to others opens only for those who may ask for that, and is how what it
/// encrypted gets away from it.
#[tokio::test]
async fn a_compromised_version_decrypts_only_where_that_is_asked_for_and_allowed() {
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let encrypter = gateway.client_of(&home.idp().token("encrypter", &["encrypter"])).await;
    for key in keys(&client, &home, "aes-256").await {
        let made = client.encrypt(encrypt(&key, PLAINTEXT, None)).await.unwrap();
        client.rotate_key(rotate(&key)).await.unwrap();
        let request =
            proto::MarkKeyCompromisedRequest { key_id: key.clone(), versions: vec![1], ..Default::default() };
        client.key_management().mark_key_compromised(request).await.unwrap();
        let plain = decrypt(&key, &made.ciphertext, None);
        assert_eq!(outcome(&client.decrypt(plain.clone()).await), "FailedPrecondition KEY_COMPROMISED");
        let all = proto::DecryptRequest { accept_compromised: true, ..plain };
        assert_eq!(client.decrypt(all.clone()).await.unwrap().plaintext, PLAINTEXT);
        assert_eq!(outcome(&encrypter.decrypt(all).await), "PermissionDenied KEY_ACCESS_DENIED");

        let request = proto::ReEncryptRequest {
            ciphertext: made.ciphertext.clone(),
            source_key_id: key.clone(),
            destination_key_id: key.clone(),
            ..Default::default()
        };
        assert_eq!(outcome(&client.reencrypt(request.clone()).await), "FailedPrecondition KEY_COMPROMISED");
        let request = proto::ReEncryptRequest { accept_compromised: true, ..request };
        assert_eq!(
            outcome(&encrypter.reencrypt(request.clone()).await),
            "PermissionDenied KEY_ACCESS_DENIED"
        );
        let anew = client.reencrypt(request).await.unwrap();
        assert_eq!((anew.source_version, anew.destination_version), (1, 2));
        let opened = encrypter.decrypt(decrypt(&key, &anew.ciphertext, None)).await.unwrap();
        assert_eq!((&opened.plaintext[..], opened.used_primary), (PLAINTEXT, true));
    }
}

/// Whatever is asked in addition: who may not see a key is told what it would be told if
/// there were none.
#[tokio::test]
async fn what_is_asked_in_addition_does_not_tell_hidden_from_missing() {
    let home = Home::software(PROGRAM);
    std::fs::write(
        home.path().join("policies/user.cedar"),
        r#"@id("user") permit (principal in Role::"user", action in [Action::"decrypt", Action::"generate-data-key",
               Action::"re-encrypt-from", Action::"re-encrypt-to"], resource);
           @id("hidden") forbid (principal in Role::"user", action, resource is Key)
               when { resource.hasTag("hidden") };"#,
    )
    .unwrap();
    let gateway = home.start();
    let client = gateway.client().await;
    let mut request = create("aes-256", "hidden", "");
    request.metadata.insert("hidden".into(), "yes".into());
    client.create_key(request).await.unwrap();
    client.create_key(create("aes-256", "seen", "")).await.unwrap();
    let user = gateway.client_of(&home.idp().token("user", &["user"])).await;
    let told = |outcome: Result<(), skms::client::Error>, key: &str| {
        let error = outcome.unwrap_err();
        let failure = error.failure().unwrap();
        format!("{:?} {:?} {}", failure.code, failure.reason, failure.message).replace(key, "KEY")
    };
    let ask = async |key: &str| {
        let mut answers = Vec::new();
        let all = proto::DecryptRequest { accept_compromised: true, ..decrypt(key, b"none", None) };
        answers.push(told(user.decrypt(all).await.map(drop), key));
        let data_key = proto::GenerateDataKeyRequest {
            key_id: key.into(),
            size: Some(Size::LengthBytes(32)),
            plaintext_mode: proto::PlaintextMode::Include.into(),
            ..Default::default()
        };
        answers.push(told(user.generate_data_key(data_key).await.map(drop), key));
        for (from, to) in [(key, "seen"), ("seen", key), (key, "nobody"), ("nobody", key)] {
            let request = proto::ReEncryptRequest {
                ciphertext: "none".into(),
                source_key_id: from.into(),
                destination_key_id: to.into(),
                ..Default::default()
            };
            answers.push(told(user.reencrypt(request).await.map(drop), key));
        }
        answers
    };
    assert_eq!(ask("hidden").await, ask("absent").await);
}

#[tokio::test]
async fn a_data_key_comes_in_the_clear_only_to_those_who_may_see_it() {
    let home = Home::every(PROGRAM);
    std::fs::write(
        home.path().join("policies/blind.cedar"),
        r#"@id("blind") permit (principal in Role::"blind", action == Action::"generate-data-key", resource);"#,
    )
    .unwrap();
    let gateway = home.start();
    let client = gateway.client().await;
    let blind = gateway.client_of(&home.idp().token("blind", &["blind"])).await;
    for key in keys(&client, &home, "aes-256").await {
        let request = |mode: proto::PlaintextMode| proto::GenerateDataKeyRequest {
            key_id: key.clone(),
            size: Some(Size::KeyType("aes-256".into())),
            aad: Some(DataKeyAad::Context(context(&[("for", "disk")]))),
            plaintext_mode: mode.into(),
            ..Default::default()
        };
        let aad = Some(DecryptAad::Context(context(&[("for", "disk")])));
        let made = client.generate_data_key(request(proto::PlaintextMode::Include)).await.unwrap();
        assert_eq!(made.plaintext.len(), 32);
        let opened = client.decrypt(decrypt(&key, &made.ciphertext, aad.clone())).await.unwrap();
        assert_eq!(opened.plaintext, made.plaintext);

        let made = blind.generate_data_key(request(proto::PlaintextMode::Omit)).await.unwrap();
        assert_eq!((made.plaintext.len(), made.wrapped_plaintext.len()), (0, 0));
        assert_eq!(client.decrypt(decrypt(&key, &made.ciphertext, aad)).await.unwrap().plaintext.len(), 32);
        let refused = outcome(&blind.generate_data_key(request(proto::PlaintextMode::Include)).await);
        assert_eq!(refused, "PermissionDenied KEY_ACCESS_DENIED");
    }
}

#[tokio::test]
async fn rsa_oaep_decrypts_what_openssl_encrypted_and_the_other_way_round() {
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for key in keys(&client, &home, "rsa-2048").await {
        let shown = client.get_key(crate::ask::full(&key)).await.unwrap();
        let algorithms = crate::ask::metadata(&shown).params.clone().unwrap().encryption_algorithms;
        for algorithm in algorithms {
            let hash = match proto::EncryptionAlgorithm::try_from(algorithm).unwrap() {
                proto::EncryptionAlgorithm::RsaOaepSha1 => "sha1",
                proto::EncryptionAlgorithm::RsaOaepSha256 => "sha256",
                proto::EncryptionAlgorithm::RsaOaepSha384 => "sha384",
                proto::EncryptionAlgorithm::RsaOaepSha512 => "sha512",
                other => panic!("{other:?}"),
            };
            let ciphertext = openssl_oaep(&shown.public_key, hash, PLAINTEXT);
            let mut request = decrypt(&key, &ciphertext, None);
            request.algorithm = algorithm;
            assert_eq!(client.decrypt(request.clone()).await.unwrap().plaintext, PLAINTEXT, "{hash}");
            // A ciphertext is opened by what made it and by nothing else.
            let mut changed = ciphertext.clone();
            changed[100] ^= 1;
            request.ciphertext = changed.into();
            assert_eq!(
                outcome(&client.decrypt(request).await),
                "InvalidArgument DECRYPTION_FAILED",
                "{hash}"
            );

            let mut request = encrypt(&key, PLAINTEXT, None);
            request.algorithm = algorithm;
            let made = client.encrypt(request).await.unwrap();
            let mut request = decrypt(&key, &made.ciphertext, None);
            request.algorithm = algorithm;
            assert_eq!(client.decrypt(request).await.unwrap().plaintext, PLAINTEXT);
        }
        let long = outcome(&client.encrypt(encrypt(&key, &[1; 300], None)).await);
        assert_eq!(long, "InvalidArgument PAYLOAD_TOO_LARGE");
    }
}

fn openssl_oaep(pem: &str, hash: &str, plaintext: &[u8]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let (key, input) = (directory.path().join("key.pem"), directory.path().join("plaintext"));
    std::fs::write(&key, pem).unwrap();
    std::fs::write(&input, plaintext).unwrap();
    let mut command = std::process::Command::new("openssl");
    command.args(["pkeyutl", "-encrypt", "-pubin", "-inkey"]).arg(key).arg("-in").arg(input);
    for option in ["rsa_padding_mode:oaep", &format!("rsa_oaep_md:{hash}"), &format!("rsa_mgf1_md:{hash}")] {
        command.args(["-pkeyopt", option]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
