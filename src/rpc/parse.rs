//! The fields of requests, checked one by one; all that are at fault are named.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use prost::Message;
use skms_backend::{EncryptionAlgorithm, Hash, ProtectionLevel, SignInput, SignatureAlgorithm};
use uuid::Uuid;

use crate::{
    keys::{Encoding, Error, Limits, Violation},
    model::{BackendName, KeyId, Labels, Reason},
    proto,
};

/// The end of the year 9999: later times have no RFC 3339 form.
const LATEST_SECOND: i64 = 253_402_300_799;
/// The fraction of a second in a timestamp or duration.
const NANOS: std::ops::Range<i32> = 0..1_000_000_000;
/// The most fields at fault that are named: more would not fit into the trailers
/// that clients take.
const NAMED: usize = 16;

/// Collects what is wrong with a request.
#[derive(Default)]
pub(super) struct Fields {
    violations: Vec<Violation>,
}

impl Fields {
    pub(super) fn fail(&mut self, field: &str, reason: Reason, description: impl Into<String>) {
        self.refuse(Violation::new(field, reason, description));
    }

    fn refuse(&mut self, mut violation: Violation) {
        if violation.reason == Reason::FieldRequired {
            violation.description.insert_str(0, "required: ");
        }
        if self.violations.len() < NAMED {
            self.violations.push(violation);
        }
    }

    /// Says of everything that was wrong that it is in there.
    pub(super) fn within(mut self, message: &str) -> Self {
        for violation in &mut self.violations {
            violation.field = format!("{message}.{}", violation.field);
        }
        self
    }

    /// `parsed`, if nothing was wrong with any field.
    pub(super) fn finish<T>(self, parsed: Option<T>) -> Result<T, Error> {
        match parsed {
            Some(parsed) if self.violations.is_empty() => Ok(parsed),
            _ if self.violations.is_empty() => {
                Err(Error::Internal { what: "a field was refused without a reason" })
            }
            _ => Err(Error::Invalid { violations: self.violations }),
        }
    }

    pub(super) fn required_key_id(&mut self, field: &str, id: &str) -> Option<KeyId> {
        if id.is_empty() {
            self.fail(field, Reason::FieldRequired, "the id or an alias of a key");
            return None;
        }
        self.key_id(field, id)
    }

    pub(super) fn key_id(&mut self, field: &str, id: &str) -> Option<KeyId> {
        id.parse().map_err(|error| self.fail(field, Reason::FieldInvalid, format!("{error}"))).ok()
    }

    pub(super) fn signature(&mut self, signature: &[u8], crc32c: Option<u32>) {
        if signature.is_empty() {
            self.fail("signature", Reason::FieldRequired, "the signature to check");
        }
        self.at_most("signature", signature.len(), Limits::SIGNATURE_BYTES);
        self.checksum("signature_crc32c", crc32c, signature);
    }

    /// `Some(None)` where the field is empty.
    pub(super) fn backend(&mut self, field: &str, name: &str) -> Option<Option<BackendName>> {
        if name.is_empty() {
            return Some(None);
        }
        name.parse()
            .map(Some)
            .map_err(|error| self.fail(field, Reason::FieldInvalid, format!("{error}")))
            .ok()
    }

    /// The number of an enum that the protocol knows.
    pub(super) fn known<E: TryFrom<i32>>(&mut self, field: &str, number: i32) -> Option<E> {
        E::try_from(number)
            .map_err(|_| self.fail(field, Reason::FieldInvalid, "not a number of this enum"))
            .ok()
    }

    /// `Some(None)` where the field is unspecified.
    pub(super) fn algorithm(&mut self, field: &str, number: i32) -> Option<Option<SignatureAlgorithm>> {
        use proto::SignatureAlgorithm as P;
        Some(Some(match self.known(field, number)? {
            P::Unspecified => return Some(None),
            P::EcdsaP256Sha256 => SignatureAlgorithm::EcdsaP256Sha256,
            P::EcdsaP384Sha384 => SignatureAlgorithm::EcdsaP384Sha384,
            P::EcdsaP521Sha512 => SignatureAlgorithm::EcdsaP521Sha512,
            P::EcdsaSecp256k1Sha256 => SignatureAlgorithm::EcdsaSecp256k1Sha256,
            P::RsaPssSha256 => SignatureAlgorithm::RsaPssSha256,
            P::RsaPssSha384 => SignatureAlgorithm::RsaPssSha384,
            P::RsaPssSha512 => SignatureAlgorithm::RsaPssSha512,
            P::RsaPkcs1Sha256 => SignatureAlgorithm::RsaPkcs1Sha256,
            P::RsaPkcs1Sha384 => SignatureAlgorithm::RsaPkcs1Sha384,
            P::RsaPkcs1Sha512 => SignatureAlgorithm::RsaPkcs1Sha512,
            P::Ed25519 => SignatureAlgorithm::Ed25519,
            P::MlDsa44 => SignatureAlgorithm::MlDsa44,
            P::MlDsa65 => SignatureAlgorithm::MlDsa65,
            P::MlDsa87 => SignatureAlgorithm::MlDsa87,
            P::Ed25519ph | P::SlhDsaSha2128s => {
                self.fail(field, Reason::FieldInvalid, "this algorithm is reserved and not built yet");
                return None;
            }
        }))
    }

    /// `Some(None)` where the field is unspecified.
    pub(super) fn encryption(&mut self, field: &str, number: i32) -> Option<Option<EncryptionAlgorithm>> {
        use proto::EncryptionAlgorithm as P;
        Some(Some(match self.known(field, number)? {
            P::Unspecified => return Some(None),
            P::Aes128Gcm => EncryptionAlgorithm::Aes128Gcm,
            P::Aes256Gcm => EncryptionAlgorithm::Aes256Gcm,
            P::RsaOaepSha1 => EncryptionAlgorithm::RsaOaepSha1,
            P::RsaOaepSha256 => EncryptionAlgorithm::RsaOaepSha256,
            P::RsaOaepSha384 => EncryptionAlgorithm::RsaOaepSha384,
            P::RsaOaepSha512 => EncryptionAlgorithm::RsaOaepSha512,
        }))
    }

    pub(super) fn encoding(&mut self, field: &str, number: i32) -> Option<Option<Encoding>> {
        use proto::SignatureEncoding as P;
        Some(match self.known(field, number)? {
            P::Unspecified => None,
            P::Der => Some(Encoding::Der),
            P::P1363 => Some(Encoding::P1363),
        })
    }

    /// Whether the view is the full one.
    pub(super) fn full(&mut self, view: i32) -> Option<bool> {
        Some(match self.known("view", view)? {
            proto::KeyView::Unspecified | proto::KeyView::Basic => false,
            proto::KeyView::Full => true,
        })
    }

    pub(super) fn protection(&mut self, field: &str, number: i32) -> Option<Option<ProtectionLevel>> {
        use proto::ProtectionLevel as P;
        Some(match self.known(field, number)? {
            P::Unspecified => None,
            P::Software => Some(ProtectionLevel::Software),
            P::Tpm => Some(ProtectionLevel::Tpm),
            P::Hsm => Some(ProtectionLevel::Hsm),
        })
    }

    pub(super) fn message(&mut self, message: Bytes, limits: &Limits) -> Option<SignInput> {
        if message.len() > limits.message_bytes {
            let description = format!(
                "{} bytes are more than the limit of {}; sign its digest instead",
                message.len(),
                limits.message_bytes
            );
            let violation = Violation::new("message", Reason::PayloadTooLarge, description);
            self.refuse(violation.about("maxBytes", limits.message_bytes));
            return None;
        }
        Some(SignInput::Message(message))
    }

    pub(super) fn digest(&mut self, digest: proto::Digest) -> Option<SignInput> {
        use proto::HashAlgorithm as P;
        let (hash, bytes) = match self.known("digest.hash", digest.hash)? {
            P::Unspecified => {
                self.fail("digest.hash", Reason::FieldRequired, "the hash that the digest was made with");
                return None;
            }
            P::Sha256 => (Some(Hash::Sha256), 32),
            P::Sha384 => (Some(Hash::Sha384), 48),
            P::Sha512 => (Some(Hash::Sha512), 64),
            P::Sha3256 => (None, 32),
            P::Sha3384 => (None, 48),
            P::Sha3512 => (None, 64),
        };
        if digest.value.is_empty() {
            self.fail("digest.value", Reason::FieldRequired, "the digest");
            return None;
        }
        if digest.value.len() != bytes {
            let description = format!("{} bytes where the hash has {bytes}", digest.value.len());
            self.fail("digest.value", Reason::DigestLengthMismatch, description);
            return None;
        }
        let Some(hash) = hash else {
            self.fail("digest.hash", Reason::FieldInvalid, "no signature algorithm here uses this hash");
            return None;
        };
        Some(SignInput::Digest { hash, value: digest.value })
    }

    /// Whether a checksum that was sent is that of `bytes`; nothing where none was.
    pub(super) fn checksum(&mut self, field: &str, sent: Option<u32>, bytes: &[u8]) {
        if sent.is_some_and(|sent| sent != crc32c::crc32c(bytes)) {
            self.fail(
                field,
                Reason::ChecksumMismatch,
                "the data arrived damaged, or the checksum is not CRC32C",
            );
        }
    }

    /// Refuses a payload that is too long, and says what is not.
    pub(super) fn payload(&mut self, field: &str, bytes: usize, limit: usize) {
        if bytes > limit {
            let why = format!("{bytes} bytes are more than the limit of {limit}");
            self.refuse(Violation::new(field, Reason::PayloadTooLarge, why).about("maxBytes", limit));
        }
    }

    pub(super) fn at_most(&mut self, field: &str, bytes: usize, limit: usize) {
        if bytes > limit {
            self.fail(
                field,
                Reason::FieldInvalid,
                format!("{bytes} bytes are more than the limit of {limit}"),
            );
        }
    }

    pub(super) fn not_built(&mut self, field: &str, is_set: bool) {
        if is_set {
            self.fail(field, Reason::FieldInvalid, "not built yet; leave it unset");
        }
    }

    /// Refuses a field that has no meaning here.
    pub(super) fn not_applicable(&mut self, field: &str, is_set: bool, why: &str) {
        if is_set {
            self.fail(field, Reason::ParameterNotApplicable, why);
        }
    }

    pub(super) fn no_context(&mut self, context: &[u8]) {
        if !context.is_empty() {
            let why = "no key here takes a context: ML-DSA keys sign with the empty one, others have none";
            self.fail("context", Reason::ParameterNotApplicable, why);
        }
    }

    /// A UUID of version 4 in its usual form. `Some(None)` where the field is empty.
    pub(super) fn request_id(&mut self, id: &str) -> Option<Option<Uuid>> {
        /// Eight, four, four, four and twelve digits with hyphens between.
        const LENGTH: usize = 36;
        if id.is_empty() {
            return Some(None);
        }
        match Uuid::try_parse(id) {
            Ok(uuid) if id.len() == LENGTH && uuid.get_version_num() == 4 => Some(Some(uuid)),
            _ => {
                self.fail("request_id", Reason::FieldInvalid, "must be a UUID of version 4");
                None
            }
        }
    }

    pub(super) fn time(
        &mut self,
        field: &str,
        time: Option<prost_types::Timestamp>,
    ) -> Option<Option<SystemTime>> {
        let Some(time) = time else { return Some(None) };
        // Looked at before it is converted: the conversion of absurd values panics.
        let sensible = (0..=LATEST_SECOND).contains(&time.seconds) && NANOS.contains(&time.nanos);
        match sensible.then(|| SystemTime::try_from(time)) {
            Some(Ok(time)) => Some(Some(time)),
            _ => {
                self.fail(field, Reason::FieldInvalid, "must be a time from 1970 to 9999");
                None
            }
        }
    }

    pub(super) fn destroy_after(
        &mut self,
        duration: Option<prost_types::Duration>,
        limits: &Limits,
    ) -> Option<Duration> {
        let Some(duration) = duration else { return Some(Limits::DESTROY_AFTER_DEFAULT) };
        let range = limits.min_destroy_scheduled_duration..=Limits::DESTROY_AFTER_MAX;
        self.span("params.destroy_scheduled_duration", duration, &range)
    }

    /// `Some(None)` where the field is not set.
    pub(super) fn rotation_period(
        &mut self,
        field: &str,
        duration: Option<prost_types::Duration>,
        limits: &Limits,
    ) -> Option<Option<Duration>> {
        let Some(duration) = duration else { return Some(None) };
        let range = limits.min_rotation_period..=Limits::ROTATION_PERIOD_MAX;
        self.span(field, duration, &range).map(Some)
    }

    fn span(
        &mut self,
        field: &str,
        duration: prost_types::Duration,
        range: &RangeInclusive<Duration>,
    ) -> Option<Duration> {
        // Looked at before it is converted: the conversion of absurd values panics.
        let sensible = duration.seconds >= 0 && NANOS.contains(&duration.nanos);
        match sensible.then(|| Duration::try_from(duration)) {
            Some(Ok(duration)) if range.contains(&duration) => Some(duration),
            _ => {
                let least = humantime::format_duration(*range.start());
                self.fail(field, Reason::FieldInvalid, format!("must be from {least} to ten years"));
                None
            }
        }
    }

    /// Versions of a key, each once; none means the whole key.
    pub(super) fn versions(&mut self, field: &str, versions: &[u32]) {
        if versions.len() > Limits::VERSIONS {
            let many = format!("{} are more than the limit of {}", versions.len(), Limits::VERSIONS);
            self.fail(field, Reason::FieldInvalid, many);
            return;
        }
        for (at, version) in versions.iter().enumerate() {
            let field = format!("{field}[{at}]");
            if *version == 0 {
                self.fail(&field, Reason::FieldInvalid, "versions are counted from 1");
            } else if versions.iter().take(at).any(|earlier| earlier == version) {
                self.fail(&field, Reason::FieldInvalid, "the same version twice");
            }
        }
    }

    pub(super) fn labels(
        &mut self,
        field: &str,
        labels: BTreeMap<String, String>,
        limits: &Limits,
    ) -> Labels {
        if labels.len() > limits.labels {
            let description = format!("{} labels are more than the limit of {}", labels.len(), limits.labels);
            self.fail(field, Reason::FieldInvalid, description);
            return labels;
        }
        let outer =
            |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._/-".contains(byte);
        for (name, value) in &labels {
            let bytes = name.as_bytes();
            if bytes.len() > limits.label_key_bytes
                || !outer(bytes.first())
                || !outer(bytes.last())
                || !bytes.iter().all(inner)
            {
                let grammar = format!(
                    "a label's name is 1 to {} of `[a-z0-9._/-]` and begins and ends with a letter or a digit",
                    limits.label_key_bytes
                );
                self.fail(field, Reason::FieldInvalid, grammar);
            }
            if value.len() > limits.label_value_bytes {
                let limit = format!("a label's value has at most {} bytes", limits.label_value_bytes);
                self.fail(field, Reason::FieldInvalid, limit);
            }
        }
        labels
    }

    /// Other names of the key `id`, each once.
    pub(super) fn aliases(&mut self, field: &str, id: Option<&KeyId>, aliases: &[String]) -> Vec<KeyId> {
        if aliases.len() > Limits::ALIASES {
            let description = format!("{} are more than the limit of {}", aliases.len(), Limits::ALIASES);
            self.fail(field, Reason::FieldInvalid, description);
            return Vec::new();
        }
        let mut parsed = Vec::new();
        for (at, alias) in aliases.iter().enumerate() {
            let field = format!("{field}[{at}]");
            let Some(alias) = self.key_id(&field, alias) else { continue };
            if parsed.contains(&alias) || Some(&alias) == id {
                self.fail(&field, Reason::FieldInvalid, "the same name twice");
            }
            parsed.push(alias);
        }
        parsed.sort_unstable();
        parsed
    }
}

/// SHA-256 of the canonical encoding of a request: what makes it the same request.
pub(super) fn fingerprint(request: &impl Message) -> [u8; 32] {
    let mut fingerprint = [0; 32];
    // It may hold a key in the clear.
    let encoded = zeroize::Zeroizing::new(request.encode_to_vec());
    fingerprint.copy_from_slice(Hash::Sha256.digest(&encoded).as_ref());
    fingerprint
}
