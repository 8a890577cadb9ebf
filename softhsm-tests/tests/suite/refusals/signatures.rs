//! Wrong requests to sign and to verify. What both have in common is asked of both.

use bytes::Bytes;
use skms::proto;

use super::{
    on_each_backend,
    rows::{Call, Row},
};

/// The fields that signing and verifying share.
#[derive(Clone)]
struct Common {
    key: String,
    input: Input,
    algorithm: i32,
    version: u32,
    encoding: i32,
    context: Bytes,
    input_crc32c: Option<u32>,
    reference: String,
}

#[derive(Clone)]
enum Input {
    None,
    Message(Bytes),
    Digest(i32, Bytes),
    ExternalMu,
}

impl Common {
    fn new(key: &str) -> Self {
        Self {
            key: key.into(),
            input: Input::Message("text".into()),
            algorithm: 0,
            version: 0,
            encoding: 0,
            context: Bytes::new(),
            input_crc32c: None,
            reference: String::new(),
        }
    }

    fn sign(self) -> proto::SignRequest {
        use proto::sign_request::Input as P;
        proto::SignRequest {
            key_id: self.key,
            input: match self.input {
                Input::None => None,
                Input::Message(message) => Some(P::Message(message)),
                Input::Digest(hash, value) => Some(P::Digest(proto::Digest { hash, value })),
                Input::ExternalMu => Some(P::ExternalMu(vec![7; 64].into())),
            },
            algorithm: self.algorithm,
            version: self.version,
            encoding: self.encoding,
            context: self.context,
            input_crc32c: self.input_crc32c,
            reference: self.reference,
            ..Default::default()
        }
    }

    fn verify(self) -> proto::VerifyRequest {
        use proto::verify_request::Input as P;
        proto::VerifyRequest {
            key_id: self.key,
            input: match self.input {
                Input::None => None,
                Input::Message(message) => Some(P::Message(message)),
                Input::Digest(hash, value) => Some(P::Digest(proto::Digest { hash, value })),
                Input::ExternalMu => Some(P::ExternalMu(vec![7; 64].into())),
            },
            signature: vec![7; 64].into(),
            algorithm: self.algorithm,
            version: self.version,
            encoding: self.encoding,
            context: self.context,
            input_crc32c: self.input_crc32c,
            reference: self.reference,
            ..Default::default()
        }
    }
}

pub(super) fn sign() -> Vec<Row> {
    let mut rows: Vec<_> = common()
        .into_iter()
        .map(|(what, wrong, expected)| Row::new(format!("sign: {what}"), Call::Sign(wrong.sign()), expected))
        .collect();
    let priority = |number| proto::SignRequest { priority: number, ..Common::new("soft.ec-p256").sign() };
    for (what, number) in [("unknown", 4), ("negative", -1)] {
        let expected = "InvalidArgument FIELD_INVALID priority";
        rows.push(Row::new(
            format!("sign: a priority that is {what}"),
            Call::Sign(priority(number)),
            expected,
        ));
    }
    rows.extend(on_each_backend(|backend| {
        let key = |name: &str| Call::Sign(Common::new(&format!("{backend}.{name}")).sign());
        vec![
            Row::new("sign: not yet valid", key("early"), "FailedPrecondition KEY_NOT_YET_VALID"),
            Row::new("sign: expired", key("late"), "FailedPrecondition KEY_EXPIRED"),
        ]
    }));
    rows
}

pub(super) fn verify() -> Vec<Row> {
    let mut rows: Vec<_> = common()
        .into_iter()
        .map(|(what, wrong, expected)| {
            Row::new(format!("verify: {what}"), Call::Verify(wrong.verify()), expected)
        })
        .collect();
    let good = Common::new("soft.ec-p256").verify();
    let row = |what: &str, request, expected: &str| {
        Row::new(format!("verify: {what}"), Call::Verify(request), format!("InvalidArgument {expected}"))
    };
    let none = proto::VerifyRequest { signature: Bytes::new(), ..good.clone() };
    let long = proto::VerifyRequest { signature: vec![7; 16 * 1024 + 1].into(), ..good.clone() };
    let damaged = proto::VerifyRequest { signature_crc32c: Some(1), input_crc32c: Some(1), ..good };
    rows.extend([
        row("no signature", none, "FIELD_REQUIRED signature"),
        row("an endless signature", long, "FIELD_INVALID signature"),
        row("both damaged on their way", damaged, "CHECKSUM_MISMATCH input_crc32c signature_crc32c"),
    ]);
    rows
}

/// A change that makes a request wrong.
type Spoil = fn(&mut Common);

/// What is wrong, with what, and what it gets.
type Wrong = (String, Common, String);

fn common() -> Vec<Wrong> {
    let mut rows: Vec<_> = syntax().into_iter().collect();
    for backend in ["soft", "hsm"] {
        if backend == "soft" || !skms_tests::softhsm::left_out() {
            rows.extend(by_key(backend));
        }
    }
    rows
}

/// What is wrong whatever the key.
fn syntax() -> Vec<Wrong> {
    let table: Vec<(&str, Spoil, &str)> = vec![
        ("no key", |c| c.key.clear(), "FIELD_REQUIRED key_id"),
        ("a key in capitals", |c| c.key = "KEY".into(), "FIELD_INVALID key_id"),
        ("a key of 64 bytes", |c| c.key = "a".repeat(64), "FIELD_INVALID key_id"),
        ("no input", |c| c.input = Input::None, "FIELD_REQUIRED input"),
        ("external μ", |c| c.input = Input::ExternalMu, "PARAMETER_NOT_APPLICABLE external_mu"),
        ("a context", |c| c.context = "x".into(), "PARAMETER_NOT_APPLICABLE context"),
        ("a message above the limit", |c| c.input = message(65537), "PAYLOAD_TOO_LARGE message"),
        ("a message above the decode limit", |c| c.input = message(300_000), "PAYLOAD_TOO_LARGE"),
        ("a damaged message", |c| c.input_crc32c = Some(0), "CHECKSUM_MISMATCH input_crc32c"),
        ("a digest without a hash", |c| c.input = digest(0, 32), "FIELD_REQUIRED digest.hash"),
        ("a digest of an unknown hash", |c| c.input = digest(7, 32), "FIELD_INVALID digest.hash"),
        ("no digest", |c| c.input = digest(1, 0), "FIELD_REQUIRED digest.value"),
        ("a digest of 31 bytes", |c| c.input = digest(1, 31), "DIGEST_LENGTH_MISMATCH digest.value"),
        ("a digest of 33 bytes", |c| c.input = digest(1, 33), "DIGEST_LENGTH_MISMATCH digest.value"),
        ("SHA-384 of 32 bytes", |c| c.input = digest(2, 32), "DIGEST_LENGTH_MISMATCH digest.value"),
        ("SHA-512 of 48 bytes", |c| c.input = digest(3, 48), "DIGEST_LENGTH_MISMATCH digest.value"),
        ("SHA3-256", |c| c.input = digest(4, 32), "FIELD_INVALID digest.hash"),
        ("SHA3-384", |c| c.input = digest(5, 48), "FIELD_INVALID digest.hash"),
        ("SHA3-512", |c| c.input = digest(6, 64), "FIELD_INVALID digest.hash"),
        ("SHA3-256 of 31 bytes", |c| c.input = digest(4, 31), "DIGEST_LENGTH_MISMATCH digest.value"),
        ("an unknown algorithm", |c| c.algorithm = 999, "FIELD_INVALID algorithm"),
        ("Ed25519ph", |c| c.algorithm = 21, "FIELD_INVALID algorithm"),
        ("ML-DSA-65", |c| c.algorithm = 31, "ALGORITHM_NOT_ALLOWED algorithm"),
        ("SLH-DSA", |c| c.algorithm = 40, "FIELD_INVALID algorithm"),
        ("an unknown encoding", |c| c.encoding = 3, "FIELD_INVALID encoding"),
        ("a reference of 257 bytes", |c| c.reference = "x".repeat(257), "FIELD_INVALID reference"),
        (
            "everything at once",
            |c| {
                c.key = "KEY".into();
                c.input = digest(1, 31);
                c.input_crc32c = Some(0);
                c.algorithm = -1;
                c.encoding = -1;
                c.context = "x".into();
                c.reference = "x".repeat(257);
            },
            "FIELD_INVALID key_id input_crc32c=CHECKSUM_MISMATCH digest.value=DIGEST_LENGTH_MISMATCH \
             algorithm encoding context=PARAMETER_NOT_APPLICABLE reference",
        ),
    ];
    let wrong = table.into_iter().map(|(what, spoil, expected)| {
        let mut common = Common::new("soft.ec-p256");
        spoil(&mut common);
        (what.to_owned(), common, format!("InvalidArgument {expected}"))
    });
    wrong
        .chain([("an unknown key".to_owned(), Common::new("nobody"), "NotFound KEY_NOT_FOUND".to_owned())])
        .collect()
}

/// What is wrong with a key of this type or with this key.
fn by_key(backend: &str) -> Vec<Wrong> {
    let table: Vec<(&str, &str, Spoil, &str)> = vec![
        ("ec-p256", "an unknown version", |c| c.version = 3, "NotFound KEY_VERSION_NOT_FOUND"),
        ("ec-p256", "the last version of all", |c| c.version = u32::MAX, "NotFound KEY_VERSION_NOT_FOUND"),
        ("ec-p256", "another curve", |c| c.algorithm = 2, NOT_ALLOWED),
        ("ec-p256", "RSA with an EC key", |c| c.algorithm = 10, NOT_ALLOWED),
        ("rsa-2048", "ECDSA with an RSA key", |c| c.algorithm = 1, NOT_ALLOWED),
        ("ed25519", "ECDSA with an Ed25519 key", |c| c.algorithm = 1, NOT_ALLOWED),
        ("narrow", "an algorithm outside the key's list", |c| c.algorithm = 11, NOT_ALLOWED),
        ("rsa-2048", "an encoding for RSA", |c| c.encoding = 1, ENCODING),
        ("rsa-2048", "P1363 for RSA", |c| c.encoding = 2, ENCODING),
        ("ed25519", "an encoding for Ed25519", |c| c.encoding = 2, ENCODING),
        (
            "ed25519",
            "a digest for Ed25519",
            |c| c.input = digest(3, 64),
            "InvalidArgument PARAMETER_NOT_APPLICABLE digest",
        ),
        ("ec-p256", "SHA-384 for P-256", |c| c.input = digest(2, 48), WRONG_HASH),
        (
            "rsa-2048",
            "SHA-256 for PSS with SHA-512",
            |c| (c.algorithm, c.input) = (12, digest(1, 32)),
            WRONG_HASH,
        ),
    ];
    let wrong = table.into_iter().map(|(key, what, spoil, expected)| {
        let mut common = Common::new(&format!("{backend}.{key}"));
        spoil(&mut common);
        (format!("{what} ({backend})"), common, expected.to_owned())
    });
    wrong.collect()
}

fn message(length: usize) -> Input {
    Input::Message(vec![7; length].into())
}

fn digest(hash: i32, length: usize) -> Input {
    Input::Digest(hash, vec![7; length].into())
}

const NOT_ALLOWED: &str = "InvalidArgument ALGORITHM_NOT_ALLOWED algorithm";
const ENCODING: &str = "InvalidArgument PARAMETER_NOT_APPLICABLE encoding";
const WRONG_HASH: &str = "InvalidArgument FIELD_INVALID digest.hash";
