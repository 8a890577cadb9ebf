//! `skms derive`: a key agreed on with the owner of another key (ECDH, X25519; HKDF of
//! RFC 5869).
//!
//! **Invariant:** a secret is written only if it is the one that the gateway sent
//! (CRC32C), never to a terminal, and into a JSON document only if it goes to no file.

use bytes::Bytes;
use serde::Serialize;

use super::{
    Context, Error, Exit,
    files::{self, Place},
    names::{HKDF_HASHES, name, parser},
    payload::{Form, Hex, base64},
    text::plain,
};
use crate::proto::{
    DeriveSharedSecretRequest, DeriveSharedSecretResponse, HashAlgorithm, Hkdf, ProtectionLevel,
};

/// Agree on a secret with the owner of another key
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The id or an alias of the key
    key: String,
    /// The public key of the other side (SubjectPublicKeyInfo in PEM or DER); `-` is stdin
    #[arg(long, value_name = "FILE")]
    peer: Place,
    /// The hash that the secret is derived with
    #[arg(long, required_unless_present = "raw", value_parser = parser::<HashAlgorithm, 3>(HKDF_HASHES))]
    hash: Option<HashAlgorithm>,
    /// How many bytes the derived key has
    #[arg(long = "bytes", value_name = "N", required_unless_present = "raw",
          value_parser = clap::value_parser!(u32).range(1..))]
    length: Option<u32>,
    /// The salt of the derivation [default: none]
    #[arg(long, value_name = "HEX")]
    salt_hex: Option<Hex>,
    /// What the derived key is for
    #[arg(long, value_name = "TEXT")]
    info: Option<String>,
    /// Get the secret itself, for protocols that have a derivation of their own; takes
    /// another permission
    #[arg(long, conflicts_with_all = ["hash", "length", "salt_hex", "info"])]
    raw: bool,
    /// The version to agree with [default: the primary]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// Where the secret goes; `-` is stdout, and must be no terminal. A new file is
    /// readable for its owner only [default: -]
    #[arg(long, value_name = "FILE")]
    out: Option<Place>,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Form::Raw)]
    format: Form,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let place = args.out.clone().unwrap_or(Place::Standard);
    if place.is_shown(context.terminal) {
        return Err(Error::Usage(
            "a secret is not shown on a terminal; name a file with `--out`, or use a pipe".into(),
        ));
    }
    let peer = files::public_key(&args.peer, context.terminal)?;
    let answer = context.connect().await?.derive_shared_secret(request(&args, peer)).await?;
    check(&answer, args.length)?;
    let in_document = context.is_json() && place == Place::Standard;
    if !in_document {
        place.write_secret(&args.format.encode(&answer.secret), context.terminal)?;
    }
    if context.is_json() {
        context.terminal.print_json(&View::new(answer, in_document))?;
    } else {
        context.terminal.remark(&format!(
            "agreed with `{}` version {}, protection {}\n",
            plain(&answer.key_id),
            answer.version,
            name::<ProtectionLevel>(answer.protection_level),
        ));
    }
    Ok(Exit::Success)
}

fn request(args: &Args, peer: Bytes) -> DeriveSharedSecretRequest {
    let hkdf = Hkdf {
        hash: args.hash.unwrap_or_default().into(),
        salt: args.salt_hex.clone().map(|Hex(bytes)| bytes).unwrap_or_default(),
        info: args.info.clone().unwrap_or_default().into(),
        length_bytes: args.length.unwrap_or_default(),
    };
    DeriveSharedSecretRequest {
        key_id: args.key.clone(),
        peer_public_key: peer,
        hkdf: (!args.raw).then_some(hkdf),
        raw: args.raw,
        version: args.version.unwrap_or_default(),
        ..Default::default()
    }
}

fn check(answer: &DeriveSharedSecretResponse, length: Option<u32>) -> Result<(), Error> {
    if answer.secret_crc32c != crc32c::crc32c(&answer.secret) {
        return Err(Error::Damaged("the secret does not match its checksum"));
    }
    if length.is_some_and(|length| u32::try_from(answer.secret.len()) != Ok(length)) {
        return Err(Error::Damaged("the secret has not the length that was asked for"));
    }
    Ok(())
}

#[derive(Serialize)]
struct View {
    /// `null` where it went to a file.
    secret: Option<String>,
    key_id: String,
    version: u32,
    secret_crc32c: u32,
    protection_level: String,
    reference: String,
}

impl View {
    fn new(answer: DeriveSharedSecretResponse, in_document: bool) -> Self {
        let DeriveSharedSecretResponse {
            secret,
            key_id,
            version,
            secret_crc32c,
            protection_level,
            reference,
        } = answer;
        Self {
            secret: in_document.then(|| base64(&secret)),
            key_id,
            version,
            secret_crc32c,
            protection_level: name::<ProtectionLevel>(protection_level),
            reference,
        }
    }
}
