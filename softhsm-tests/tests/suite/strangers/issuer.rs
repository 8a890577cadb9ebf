//! An issuer with a key of each kind, whose tokens can be wrong in every way.

use std::sync::LazyLock;

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{self as sig, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair},
};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as BASE64},
};
use serde_json::{Value, json};
use skms_tests::idp::now;

/// What its tokens have as `iss`.
pub(super) const ISS: &str = "https://corp.test";
/// What the tokens of its other half have, of which each is bound to a certificate.
pub(super) const BOUND: &str = "https://bound.test";

/// How a gateway takes its tokens.
pub(super) const CONFIG: &str = r#"
[auth.issuers.corp]
issuer = "https://corp.test"
audiences = ["skms", "kms"]
algorithms = ["RS256", "ES256", "ES384", "EdDSA"]
types = ["at+jwt"]
jwks = "file:corp.json"
tenant_claim = "tenant"

[auth.issuers.bound]
issuer = "https://bound.test"
audiences = ["skms"]
algorithms = ["ES256"]
jwks = "file:corp.json"
certificate_bound = "required"
"#;

/// A key pair of the issuer, or of somebody else.
pub(super) enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

pub(super) static RSA: LazyLock<Pair> =
    LazyLock::new(|| Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));
pub(super) static P256: LazyLock<Pair> = LazyLock::new(|| Pair::ec(&sig::ECDSA_P256_SHA256_FIXED_SIGNING));
pub(super) static P384: LazyLock<Pair> = LazyLock::new(|| Pair::ec(&sig::ECDSA_P384_SHA384_FIXED_SIGNING));
pub(super) static ED: LazyLock<Pair> = LazyLock::new(|| Pair::Ed(Ed25519KeyPair::generate().unwrap()));
/// Not published by anybody.
pub(super) static STRANGER: LazyLock<Pair> =
    LazyLock::new(|| Pair::ec(&sig::ECDSA_P256_SHA256_FIXED_SIGNING));

impl Pair {
    fn ec(algorithm: &'static sig::EcdsaSigningAlgorithm) -> Self {
        Self::Ec(EcdsaKeyPair::generate(algorithm).unwrap())
    }

    /// The public key as it stands in a set.
    pub(super) fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
                let [n, e] = [n, e].map(|number| BASE64.encode(number.big_endian_without_leading_zero()));
                json!({"kty": "RSA", "kid": kid, "n": n, "e": e})
            }
            Self::Ec(pair) => {
                let key = pair.public_key().as_ref();
                let ((x, y), crv) =
                    (key[1..].split_at(key.len() / 2), if key.len() == 65 { "P-256" } else { "P-384" });
                json!({"kty": "EC", "crv": crv, "kid": kid, "x": BASE64.encode(x), "y": BASE64.encode(y)})
            }
            Self::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": BASE64.encode(pair.public_key())})
            }
        }
    }

    /// Whatever somebody may take for a secret who confuses a public key with one.
    pub(super) fn misused(&self, kid: &str) -> Vec<Vec<u8>> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Rsa(pair) => pair.public_key().as_der().unwrap(),
            Self::Ec(pair) => pair.public_key().as_der().unwrap(),
            Self::Ed(pair) => pair.public_key().as_der().unwrap(),
        };
        let lines: Vec<_> = BASE64_STANDARD
            .encode(der.as_ref())
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
        vec![
            pem.clone().into_bytes(),
            pem.replace('\n', "\r\n").into_bytes(),
            pem.trim_end().as_bytes().to_vec(),
            der.as_ref().to_vec(),
            self.jwk(kid).to_string().into_bytes(),
            jwks().to_string().into_bytes(),
            Vec::new(),
        ]
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
            Self::Ec(pair) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// All keys of the issuer: `rsa`, `p256`, `p384` and `ed`.
pub(super) fn jwks() -> Value {
    json!({"keys": [RSA.jwk("rsa"), P256.jwk("p256"), P384.jwk("p384"), ED.jwk("ed")]})
}

/// A token in the making: good as it is.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) header: Value,
    pub(super) claims: Value,
    pub(super) pair: &'static LazyLock<Pair>,
}

impl Draft {
    pub(super) fn new(subject: &str, roles: &[&str], tenant: Option<&str>) -> Self {
        let mut claims = json!({
            "iss": ISS, "aud": "skms", "sub": subject, "roles": roles,
            "iat": now(), "exp": now() + 600, "jti": format!("of-{subject}"),
        });
        if let Some(tenant) = tenant {
            claims["tenant"] = tenant.into();
        }
        Self { header: json!({"alg": "ES256", "typ": "at+jwt", "kid": "p256"}), claims, pair: &P256 }
    }

    /// With another algorithm, and its key.
    pub(super) fn algorithm(self, name: &str) -> Self {
        let (pair, kid) = match &name[..2] {
            "RS" | "PS" => (&RSA, "rsa"),
            "Ed" => (&ED, "ed"),
            _ if name == "ES384" => (&P384, "p384"),
            _ => (&P256, "p256"),
        };
        Self { pair, ..self.header("alg", name).header("kid", kid) }
    }

    pub(super) fn header(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.header[member] = value.into();
        self
    }

    pub(super) fn claim(mut self, claim: &str, value: impl Into<Value>) -> Self {
        self.claims[claim] = value.into();
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

    pub(super) fn by(self, pair: &'static LazyLock<Pair>) -> Self {
        Self { pair, ..self }
    }

    pub(super) fn signed(&self) -> String {
        self.edited(|_, _| {})
    }

    /// Signed with changes that JSON values cannot have.
    pub(super) fn edited(&self, edit: impl FnOnce(&mut String, &mut String)) -> String {
        let algorithm = self.header["alg"].as_str().unwrap_or_default();
        let (mut header, mut claims) = (self.header.to_string(), self.claims.to_string());
        edit(&mut header, &mut claims);
        compact(header, claims, |message| self.pair.sign(algorithm, message))
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

pub(super) fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}
