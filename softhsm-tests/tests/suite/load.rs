//! More than a gateway can do: callers who leave, who ask for too much, who want to be first;
//! and a gateway that is restarted meanwhile.

mod fair;
mod overload;
mod restart;
mod storm;
mod urgent;

use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use hdrhistogram::Histogram;
use skms::proto;

/// Reached only by what never ends.
const PATIENCE: Duration = Duration::from_secs(300);

/// The public half of a P-256 key, to check signatures without the gateway.
#[derive(Clone)]
struct Verifier(UnparsedPublicKey<Vec<u8>>);

impl Verifier {
    fn of(key: &proto::KeyResponse) -> Self {
        let der = crate::ask::der_of(&key.public_key);
        // The point is what a SubjectPublicKeyInfo of P-256 ends with.
        Self(UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, der[der.len() - 65..].to_vec()))
    }

    /// That this is a signature of this message, and so the answer to this call.
    fn demand(&self, message: &[u8], signature: &[u8]) {
        self.0.verify(message, signature).unwrap();
    }
}

/// Numbers without an order, the same each time.
struct Dice(u64);

impl Dice {
    /// One of so many.
    fn roll(&mut self, sides: u64) -> u64 {
        // Knuth's MMIX.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Times in microseconds.
struct Times(Histogram<u64>);

impl Times {
    fn new() -> Self {
        Self(Histogram::new(3).unwrap())
    }

    fn add(&mut self, time: Duration) {
        self.0.record(u64::try_from(time.as_micros()).unwrap()).unwrap();
    }

    fn millis(&self, quantile: f64) -> f64 {
        Duration::from_micros(self.0.value_at_quantile(quantile)).as_secs_f64() * 1000.0
    }
}
