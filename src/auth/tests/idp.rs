//! An issuer with real keys, whose tokens can be wrong in every way.

use std::{
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{self as sig, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use serde_json::{Value, json};

pub(super) const ISS: &str = "https://idp.test";

/// A key pair of the issuer, or of somebody else.
pub(super) enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

pub(super) static RSA: LazyLock<Pair> =
    LazyLock::new(|| Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));
pub(super) static P256: LazyLock<Pair> = LazyLock::new(Pair::p256);
pub(super) static STRANGER: LazyLock<Pair> = LazyLock::new(Pair::p256);
pub(super) static P384: LazyLock<Pair> =
    LazyLock::new(|| Pair::P384(EcdsaKeyPair::generate(&sig::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()));
pub(super) static ED: LazyLock<Pair> = LazyLock::new(|| Pair::Ed(Ed25519KeyPair::generate().unwrap()));

impl Pair {
    fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&sig::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(super) fn rsa(&self) -> (Vec<u8>, Vec<u8>) {
        let Self::Rsa(pair) = self else { panic!("no RSA key") };
        let key = pair.public_key();
        let modulus = key.modulus().big_endian_without_leading_zero().to_vec();
        (modulus, key.exponent().big_endian_without_leading_zero().to_vec())
    }

    /// The public key as it stands in a set.
    pub(super) fn jwk(&self, kid: &str) -> Value {
        let point = |key: &[u8]| {
            let (x, y) = key[1..].split_at((key.len() - 1) / 2);
            (BASE64.encode(x), BASE64.encode(y))
        };
        match self {
            Self::Rsa(_) => {
                let (n, e) = self.rsa();
                json!({"kty": "RSA", "kid": kid, "n": BASE64.encode(n), "e": BASE64.encode(e)})
            }
            Self::P256(pair) | Self::P384(pair) => {
                let key = pair.public_key().as_ref();
                let ((x, y), crv) = (point(key), if key.len() == 65 { "P-256" } else { "P-384" });
                json!({"kty": "EC", "crv": crv, "kid": kid, "x": x, "y": y})
            }
            Self::Ed(pair) => {
                let x = BASE64.encode(pair.public_key());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
            }
        }
    }

    /// The signature for an algorithm of that name.
    pub(super) fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa(pair) => {
                let padding: &dyn sig::RsaEncoding = match algorithm {
                    "RS384" => &sig::RSA_PKCS1_SHA384,
                    "RS512" => &sig::RSA_PKCS1_SHA512,
                    "PS256" => &sig::RSA_PSS_SHA256,
                    "PS384" => &sig::RSA_PSS_SHA384,
                    "PS512" => &sig::RSA_PSS_SHA512,
                    _ => &sig::RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }
            Self::P256(pair) | Self::P384(pair) => {
                pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
            }
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// All keys of the issuer: `rsa`, `p256`, `p384` and `ed`.
pub(super) fn jwks() -> Value {
    json!({"keys": [RSA.jwk("rsa"), P256.jwk("p256"), P384.jwk("p384"), ED.jwk("ed")]})
}

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A token in the making: good as it is.
pub(super) struct Draft {
    pub(super) header: Value,
    pub(super) claims: Value,
    pub(super) pair: &'static LazyLock<Pair>,
}

impl Draft {
    pub(super) fn new() -> Self {
        Self {
            header: json!({"alg": "ES256", "typ": "at+jwt", "kid": "p256"}),
            claims: json!({
                "iss": ISS,
                "aud": "skms",
                "sub": "alice",
                "iat": now(),
                "exp": now() + 600,
                "jti": "token-1",
                "roles": ["signer"],
            }),
            pair: &P256,
        }
    }

    /// With another algorithm, and its key.
    pub(super) fn algorithm(name: &str) -> Self {
        let (pair, kid) = match &name[..2] {
            "RS" | "PS" => (&RSA, "rsa"),
            "Ed" => (&ED, "ed"),
            _ if name == "ES384" => (&P384, "p384"),
            _ => (&P256, "p256"),
        };
        Self { pair, ..Self::new().header("alg", json!(name)).header("kid", json!(kid)) }
    }

    pub(super) fn header(mut self, member: &str, value: Value) -> Self {
        self.header[member] = value;
        self
    }

    pub(super) fn claim(mut self, claim: &str, value: Value) -> Self {
        self.claims[claim] = value;
        self
    }

    pub(super) fn without_header(mut self, member: &str) -> Self {
        self.header.as_object_mut().unwrap().remove(member);
        self
    }

    pub(super) fn without(mut self, claim: &str) -> Self {
        self.claims.as_object_mut().unwrap().remove(claim);
        self
    }

    pub(super) fn signed(self) -> String {
        self.edited(|_, _| {})
    }

    /// Signed with changes that JSON values cannot have.
    pub(super) fn edited(self, edit: impl FnOnce(&mut String, &mut String)) -> String {
        let algorithm = self.header["alg"].as_str().unwrap_or_default().to_owned();
        let (mut header, mut claims) = (self.header.to_string(), self.claims.to_string());
        edit(&mut header, &mut claims);
        compact(header, claims, |message| self.pair.sign(&algorithm, message))
    }

    /// With whatever is a signature to a forger.
    pub(super) fn forged(&self, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
        compact(self.header.to_string(), self.claims.to_string(), sign)
    }
}

pub(super) fn compact(
    header: impl AsRef<[u8]>,
    claims: impl AsRef<[u8]>,
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
) -> String {
    let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let signature = sign(message.as_bytes());
    format!("{message}.{}", BASE64.encode(signature))
}

pub(super) fn hmac(key: &[u8]) -> impl FnOnce(&[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    move |message| hmac::sign(&key, message).as_ref().to_vec()
}
