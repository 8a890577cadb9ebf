//! `skms keys public`: the public key of a version, in the form that others read.
//!
//! **Invariant:** a public key is written only if it is the one that the gateway sent
//! (CRC32C): a damaged one would make every good signature a bad one.

use serde::Serialize;

use crate::{
    cli::{
        Context, Error, Exit,
        files::Place,
        names::{PUBLIC_KEY_FORMATS, name, parser},
        payload::{Form, base64},
    },
    proto::{
        EncryptionAlgorithm, GetPublicKeyRequest, GetPublicKeyResponse, KeyState, PublicKeyFormat,
        SignatureAlgorithm,
    },
};

/// Write the public key of a key
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The id or an alias of the key
    id: String,
    /// The version whose public key it is [default: the primary]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// How it is written; raw is the bare point, or RSAPublicKey
    #[arg(long, default_value = "pem", value_parser = parser::<PublicKeyFormat, 4>(PUBLIC_KEY_FORMATS))]
    format: PublicKeyFormat,
    /// Where it goes; `-` is stdout [default: -]
    #[arg(long, value_name = "FILE")]
    out: Option<Place>,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let answer = context.connect().await?.public_key(request(&args)).await?;
    if answer.public_key_crc32c != crc32c::crc32c(&answer.public_key) {
        return Err(Error::Damaged("the public key does not match its checksum"));
    }
    let place = args.out.unwrap_or(Place::Standard);
    if !(context.is_json() && place == Place::Standard) {
        place.write(&written(&answer, &place, context), context.terminal)?;
    }
    if context.is_json() {
        context.terminal.print_json(&View::from(answer))?;
    }
    Ok(Exit::Success)
}

fn request(args: &Args) -> GetPublicKeyRequest {
    GetPublicKeyRequest {
        key_id: args.id.clone(),
        version: args.version.unwrap_or_default(),
        format: args.format.into(),
    }
}

/// What is written: bytes as they are, and text with one line end behind it.
fn written(answer: &GetPublicKeyResponse, place: &Place, context: &Context<'_>) -> Vec<u8> {
    let to_terminal = *place == Place::Standard && context.terminal.interactive;
    match PublicKeyFormat::try_from(answer.format) {
        Ok(PublicKeyFormat::Pem | PublicKeyFormat::Jwk) => {
            let text = String::from_utf8_lossy(&answer.public_key);
            super::show::pem(&text).into_bytes()
        }
        // Bytes on a terminal help nobody, and can do harm.
        _ if to_terminal => Form::Base64.encode(&answer.public_key),
        _ => Form::Raw.encode(&answer.public_key),
    }
}

#[derive(Serialize)]
struct View {
    key_id: String,
    version: u32,
    key_type: String,
    format: String,
    public_key: String,
    public_key_crc32c: u32,
    public_key_sha256: String,
    signature_algorithms: Vec<String>,
    encryption_algorithms: Vec<String>,
    version_state: String,
}

impl From<GetPublicKeyResponse> for View {
    fn from(answer: GetPublicKeyResponse) -> Self {
        let GetPublicKeyResponse {
            key_id,
            version,
            key_type,
            format,
            public_key,
            public_key_crc32c,
            public_key_sha256,
            signature_algorithms,
            encryption_algorithms,
            version_state,
        } = answer;
        Self {
            key_id,
            version,
            key_type,
            format: name::<PublicKeyFormat>(format),
            public_key: base64(&public_key),
            public_key_crc32c,
            public_key_sha256: base64(&public_key_sha256),
            signature_algorithms: signature_algorithms.into_iter().map(name::<SignatureAlgorithm>).collect(),
            encryption_algorithms: encryption_algorithms
                .into_iter()
                .map(name::<EncryptionAlgorithm>)
                .collect(),
            version_state: name::<KeyState>(version_state),
        }
    }
}
