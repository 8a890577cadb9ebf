//! The identity provider of a test: an issuer of tokens whose keys a gateway reads
//! from a file, and tokens of it that are good, or wrong in the way a test wants.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use serde_json::{Value, json};

/// What its tokens have as `iss`.
pub const ISSUER: &str = "https://issuer.test";
/// What its tokens are for.
pub const AUDIENCE: &str = "skms";

/// An issuer of tokens.
pub struct Idp {
    pair: EcdsaKeyPair,
    kid: String,
}

impl Idp {
    /// An issuer with a fresh key under this id.
    #[must_use]
    pub fn new(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { pair, kid: kid.to_owned() }
    }

    /// Its public key, as it stands in a JWK set.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({
            "kty": "EC", "crv": "P-256", "kid": self.kid, "use": "sig", "alg": "ES256",
            "x": BASE64.encode(x), "y": BASE64.encode(y),
        })
    }

    /// A good token of a caller with these roles, for ten minutes.
    #[must_use]
    pub fn token(&self, subject: &str, roles: &[&str]) -> String {
        self.sign(&self.header(), &claims(subject, roles))
    }

    /// The same of a caller of a tenant, if any.
    #[must_use]
    pub fn token_in(&self, subject: &str, roles: &[&str], tenant: Option<&str>) -> String {
        let mut claims = claims(subject, roles);
        if let Some(tenant) = tenant {
            claims["tenant"] = tenant.into();
        }
        self.sign(&self.header(), &claims)
    }

    /// The header of a good token.
    #[must_use]
    pub fn header(&self) -> Value {
        json!({"alg": "ES256", "typ": "at+jwt", "kid": self.kid})
    }

    /// A token with this header and these claims, signed.
    #[must_use]
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64.encode(signature.as_ref()))
    }
}

/// The claims of a good token.
#[must_use]
pub fn claims(subject: &str, roles: &[&str]) -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": subject, "roles": roles,
        "iat": now(), "exp": now() + 600, "jti": uuid::Uuid::new_v4().to_string(),
    })
}

/// The seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
