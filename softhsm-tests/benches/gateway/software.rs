//! Bare aws-lc-rs: what the software backend stands on.

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use skms_backend::KeyType;

use crate::{child, rows::MESSAGE};

pub(crate) fn serve() {
    // Made once: an RSA key takes longer than a round.
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa: &'static RsaKeyPair = Box::leak(Box::new(rsa));
    child::answer_signatures(|key_type| match key_type {
        KeyType::EcP256 => {
            let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            let random = SystemRandom::new();
            Box::new(move || {
                key.sign(&random, MESSAGE).unwrap();
            })
        }
        KeyType::Ed25519 => {
            let key = Ed25519KeyPair::generate().unwrap();
            Box::new(move || {
                key.try_sign(MESSAGE).unwrap();
            })
        }
        KeyType::Rsa2048 => {
            let (random, mut signature) = (SystemRandom::new(), vec![0; rsa.public_modulus_len()]);
            Box::new(move || rsa.sign(&RSA_PKCS1_SHA256, &random, MESSAGE, &mut signature).unwrap())
        }
        _ => panic!("{key_type} is not measured"),
    });
}
