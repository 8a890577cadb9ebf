//! Every return code of every function that the gateway calls, at several moments, through
//! real calls: nobody is blamed who is not at fault, what is answered is right, and the next
//! call works.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Instant};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use bytes::Bytes;
use skms::{
    client::{Client, Error},
    proto,
};

use super::{chaos, home};
use crate::ask::{create, der_of, outcome, sign};

/// The return codes of PKCS#11 3.1 §3.3, with gaps that no version has filled: those are
/// codes, too.
const CODES: [RangeInclusive<u64>; 18] = [
    0x01..=0x0a,
    0x10..=0x13,
    0x1b..=0x1b,
    0x20..=0x21,
    0x30..=0x33,
    0x40..=0x41,
    0x50..=0x54,
    0x60..=0x6a,
    0x70..=0x71,
    0x82..=0x82,
    0x90..=0x91,
    0xb0..=0xb9,
    0xc0..=0xc1,
    0xd0..=0xd2,
    0xe0..=0xe2,
    0xf0..=0xf2,
    0x100..=0x106,
    0x110..=0x121,
];
/// Those that stand alone, of vendors, and of PINs, which are no answers to a login here.
const MORE: [u64; 18] = [
    0x130,
    0x140,
    0x141,
    0x150,
    0x160,
    0x170,
    0x180,
    0x190,
    0x191,
    0x1a0,
    0x1a1,
    0x1b0,
    0x200,
    0x203,
    0x8000_0000,
    0x8000_0001,
    0xffff_ffff,
    0xdead,
];
const PINS: RangeInclusive<u64> = 0xa0..=0xa4;
/// CKR_USER_PIN_NOT_INITIALIZED and CKR_NEW_PIN_MODE.
const NO_PIN: [u64; 2] = [0x102, 0x1b0];

/// When it happens.
const MOMENTS: [&str; 3] = ["nth 1 answer", "nth 1 answer-after", "nth 2 answer"];

/// What is called.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Ask {
    Sign,
    /// With the session lost, so that everything is found again.
    SignAnew,
    Encrypt,
    Decrypt,
    Mac,
    Random,
    Derive,
    CreatePair,
    CreateSecret,
}

/// What is called, and the functions that it comes to.
const ASKS: [(Ask, &[&str]); 9] = [
    (Ask::Sign, &["C_SignInit", "C_Sign"]),
    (
        Ask::SignAnew,
        &[
            "C_OpenSession",
            "C_GetSessionInfo",
            "C_FindObjectsInit",
            "C_FindObjects",
            "C_FindObjectsFinal",
            "C_GetAttributeValue",
            "C_Login",
        ],
    ),
    (Ask::Encrypt, &["C_EncryptInit", "C_Encrypt"]),
    (Ask::Decrypt, &["C_DecryptInit", "C_Decrypt"]),
    (Ask::Mac, &["C_SignInit", "C_Sign"]),
    (Ask::Random, &["C_GenerateRandom"]),
    (Ask::Derive, &["C_DeriveKey"]),
    (Ask::CreatePair, &["C_GenerateKeyPair", "C_GetAttributeValue"]),
    (Ask::CreateSecret, &["C_GenerateKey"]),
];

/// The keys, and what is known of them.
struct World {
    client: Client,
    point: Vec<u8>,
    ciphertext: Bytes,
    peer: Bytes,
    mac: Bytes,
}

impl World {
    async fn new(client: Client) -> Self {
        let made = client.create_key(create("ec-p256", "signs", "hsm")).await.unwrap();
        let der = der_of(&made.public_key);
        client.create_key(create("aes-256", "encrypts", "hsm")).await.unwrap();
        client.create_key(create("hmac-sha256", "codes", "hsm")).await.unwrap();
        let mut agrees = create("ec-p256", "agrees", "hsm");
        agrees.params.get_or_insert_default().purpose = proto::KeyPurpose::KeyAgreement.into();
        let agrees = client.create_key(agrees).await.unwrap();
        let plaintext = Bytes::from_static(PLAINTEXT);
        let request = proto::EncryptRequest { key_id: "encrypts".into(), plaintext, ..Default::default() };
        let ciphertext = client.encrypt(request).await.unwrap().ciphertext;
        let request = proto::GenerateMacRequest {
            key_id: "codes".into(),
            message: PLAINTEXT.into(),
            ..Default::default()
        };
        let mac = client.generate_mac(request).await.unwrap().mac;
        Self {
            client,
            point: der[der.len() - 65..].to_vec(),
            ciphertext,
            peer: der_of(&agrees.public_key).into(),
            mac,
        }
    }

    /// One call. What is answered is right, or it panics.
    async fn ask(&self, ask: Ask, number: usize) -> Result<(), Error> {
        let client = &self.client;
        match ask {
            Ask::Sign | Ask::SignAnew => {
                let message = format!("message {number}");
                let signed = client.sign(sign("signs", message.clone())).await?;
                let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point);
                public.verify(message.as_bytes(), &signed.signature).unwrap();
            }
            Ask::Encrypt => {
                let plaintext = Bytes::from_static(PLAINTEXT);
                let request =
                    proto::EncryptRequest { key_id: "encrypts".into(), plaintext, ..Default::default() };
                client.encrypt(request).await?;
            }
            Ask::Decrypt => {
                let ciphertext = self.ciphertext.clone();
                let request =
                    proto::DecryptRequest { key_id: "encrypts".into(), ciphertext, ..Default::default() };
                assert_eq!(client.decrypt(request).await?.plaintext, PLAINTEXT);
            }
            Ask::Mac => {
                let message = Bytes::from_static(PLAINTEXT);
                let request =
                    proto::GenerateMacRequest { key_id: "codes".into(), message, ..Default::default() };
                assert_eq!(client.generate_mac(request).await?.mac, self.mac);
            }
            Ask::Random => {
                let request = proto::GenerateRandomRequest {
                    length_bytes: 16,
                    backend: "hsm".into(),
                    ..Default::default()
                };
                client.generate_random(request).await?;
            }
            Ask::Derive => {
                let request = proto::DeriveSharedSecretRequest {
                    key_id: "agrees".into(),
                    peer_public_key: self.peer.clone(),
                    raw: true,
                    ..Default::default()
                };
                client.derive_shared_secret(request).await?;
            }
            Ask::CreatePair => {
                client.create_key(create("ec-p256", &format!("pair-{number}"), "hsm")).await?;
            }
            Ask::CreateSecret => {
                client.create_key(create("aes-256", &format!("secret-{number}"), "hsm")).await?;
            }
        }
        Ok(())
    }
}

const PLAINTEXT: &[u8] = b"a plaintext of no importance";

/// Whether a call that met a device at fault may be answered so.
fn is_fair(told: &str, function: &str) -> bool {
    let (code, reason) = told.split_once(' ').unwrap();
    match code {
        // Of what came out of a decryption that began nobody can tell more.
        "InvalidArgument" => reason == "DECRYPTION_FAILED" && function == "C_Decrypt",
        "Internal" => reason == "BACKEND_ERROR",
        "Unavailable" | "ResourceExhausted" | "Unimplemented" | "DataLoss" | "DeadlineExceeded" => true,
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_return_code_blames_a_caller_or_poisons_the_next_call() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home = home();
    // The next call has the session of the one before.
    let gateway = home.start_with([("SKMS__BACKENDS__PKCS11__HSM__SESSIONS", "1".into())]);
    let world = World::new(gateway.client().await).await;
    let chaos = chaos(&home);
    let codes: Vec<u64> = CODES.into_iter().flatten().chain(PINS).chain(MORE).collect();
    let (begun, mut number) = (Instant::now(), 0);
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (ask, functions) in ASKS {
        for (function, code) in
            functions.iter().flat_map(|function| codes.iter().map(move |code| (*function, *code)))
        {
            // Whoever refuses a PIN is not asked again: that is another test.
            if function == "C_Login" && (PINS.contains(&code) || NO_PIN.contains(&code)) {
                continue;
            }
            // Keys take their time to be made.
            let is_slow = matches!(ask, Ask::CreatePair | Ask::CreateSecret);
            for moment in &MOMENTS[..if is_slow { 1 } else { MOMENTS.len() }] {
                number += 1;
                let what = format!("{ask:?}, {function} {moment} {code:#x}");
                if ask == Ask::SignAnew {
                    chaos.tell("on C_SignInit nth 1 close-sessions");
                }
                chaos.tell(&format!("on {function} {moment} {code:#x}"));
                let answered = world.ask(ask, number).await;
                chaos.tell("clear");
                let line = match &answered {
                    Ok(()) => "ok".to_owned(),
                    Err(_) => outcome(&answered),
                };
                if answered.is_err() && !is_fair(&line, function) {
                    wrong.push(format!("{what}: {line}"));
                }
                *told.entry(line).or_default() += 1;
                number += 1;
                let next = world.ask(if ask == Ask::SignAnew { Ask::Sign } else { ask }, number).await;
                if next.is_err() {
                    wrong.push(format!("{what}: the next call: {}", outcome(&next)));
                }
            }
        }
    }
    let combinations = number / 2;
    let reached = chaos.calls().iter().filter(|call| call.answer != 0).count();
    println!(
        "{combinations} combinations of call, function, return code and moment in {:.0} s, {reached} reached; answers: {told:?}",
        begun.elapsed().as_secs_f32()
    );
    assert!(
        wrong.is_empty(),
        "{} of {combinations}:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(60)].join("\n")
    );
    assert!(combinations >= 5000 && reached >= 5000, "{combinations}, {reached}");
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
    assert!(gateway.stop().await.success());
}
