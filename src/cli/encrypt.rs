//! `skms encrypt`: a ciphertext of a plaintext of any length.
//!
//! **Invariant:** a ciphertext is written only if the gateway saw the plaintext that was
//! sent, and the ciphertext is the one that it made (CRC32C both ways). Otherwise the
//! plaintext might be gone when it is needed.

use serde::Serialize;

use super::{
    Context, Error, Exit,
    aad::{self, Aad},
    files::Place,
    large::{Sink, Source},
    names::{encryption_parser, name},
    payload::{self, Form, base64},
    text::plain,
};
use crate::proto::{
    EncryptRequest, EncryptResponse, EncryptionAlgorithm, ProtectionLevel, encrypt_request::Aad as Field,
};

/// Encrypt a plaintext; one that is longer than 64 KiB in a stream
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The id or an alias of the key
    key: String,
    /// The plaintext; `-` is stdin [default: -]
    #[arg(long = "in", value_name = "FILE")]
    input: Option<Place>,
    #[command(flatten)]
    aad: aad::Args,
    /// One of the algorithms of the key [default: the key's first]
    #[arg(long, value_name = "NAME", ignore_case = true, value_parser = encryption_parser())]
    algorithm: Option<EncryptionAlgorithm>,
    /// The version to encrypt with [default: the primary]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// Where the ciphertext goes; `-` is stdout [default: -]
    #[arg(long, value_name = "FILE")]
    out: Option<Place>,
    /// How it is written [default: raw, and base64 on a terminal]
    #[arg(long, value_enum)]
    format: Option<Form>,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let input = args.input.as_ref();
    let place = args.out.clone().unwrap_or(Place::Standard);
    let aad = args.aad.read_beside(input, &place, "the plaintext", context)?;
    let request = request(&args, aad);
    let aad_crc32c = request.aad_crc32c;
    if let Some(plaintext) = Source::of(input)? {
        return in_stream(request, plaintext, &place, args.format, context).await;
    }
    let plaintext = payload::read(input, "the plaintext", context)?;
    if let Some(plaintext) = Source::of_bytes(&plaintext) {
        return in_stream(request, plaintext, &place, args.format, context).await;
    }
    let plaintext_crc32c = Some(crc32c::crc32c(&plaintext));
    let request = EncryptRequest { plaintext_crc32c, plaintext, ..request };
    let answer = context.connect().await?.encrypt(request).await?;
    check(&answer, aad_crc32c)?;
    if answer.ciphertext_crc32c != crc32c::crc32c(&answer.ciphertext) {
        return Err(Error::Damaged("the ciphertext does not match its checksum"));
    }
    if !(context.is_json() && place == Place::Standard) {
        let form = args.format.unwrap_or(Form::Raw).at(&place, context.terminal);
        place.write(&form.encode(&answer.ciphertext), context.terminal)?;
    }
    if context.is_json() {
        context.terminal.print_json(&View::from(answer))?;
    } else {
        context.terminal.remark(&summary(&answer));
    }
    Ok(Exit::Success)
}

async fn in_stream(
    request: EncryptRequest,
    plaintext: Source,
    place: &Place,
    format: Option<Form>,
    context: &mut Context<'_>,
) -> Result<Exit, Error> {
    if format.is_some_and(|format| format != Form::Raw) {
        return Err(Error::Usage("a ciphertext that is this long is written as it is (raw)".to_owned()));
    }
    let client = context.connect().await?;
    let aad_crc32c = request.aad_crc32c;
    let mut sink = Sink::open(place, 0o666, context)?;
    let end = client.encrypt_stream(request, plaintext, &mut sink).await?;
    let answer = end.encryption.ok_or(Error::Damaged("it is empty"))?;
    check(&answer, aad_crc32c)?;
    sink.complete()?;
    if context.is_json() {
        context.terminal.print_json(&View::from(answer))?;
    } else {
        context.terminal.remark(&summary(&answer));
    }
    Ok(Exit::Success)
}

/// Without a plaintext.
fn request(args: &Args, aad: Aad) -> EncryptRequest {
    EncryptRequest {
        key_id: args.key.clone(),
        aad_crc32c: aad.crc32c(),
        aad: aad.field(Field::AdditionalAuthenticatedData, Field::Context),
        version: args.version.unwrap_or_default(),
        algorithm: args.algorithm.unwrap_or_default().into(),
        ..Default::default()
    }
}

fn check(answer: &EncryptResponse, aad_crc32c: Option<u32>) -> Result<(), Error> {
    if !answer.verified_plaintext_crc32c {
        return Err(Error::Damaged("it did not check the plaintext"));
    }
    aad::check(aad_crc32c, answer.verified_aad_crc32c)
}

fn summary(answer: &EncryptResponse) -> String {
    format!(
        "encrypted with `{}` version {}, {}, protection {}\n",
        plain(&answer.key_id),
        answer.version,
        name::<EncryptionAlgorithm>(answer.algorithm),
        name::<ProtectionLevel>(answer.protection_level),
    )
}

#[derive(Serialize)]
struct View {
    ciphertext: String,
    key_id: String,
    version: u32,
    algorithm: String,
    ciphertext_crc32c: u32,
    verified_plaintext_crc32c: bool,
    verified_aad_crc32c: bool,
    protection_level: String,
    reference: String,
}

impl From<EncryptResponse> for View {
    fn from(answer: EncryptResponse) -> Self {
        let EncryptResponse {
            ciphertext,
            key_id,
            version,
            algorithm,
            ciphertext_crc32c,
            verified_plaintext_crc32c,
            verified_aad_crc32c,
            protection_level,
            reference,
        } = answer;
        Self {
            ciphertext: base64(&ciphertext),
            key_id,
            version,
            algorithm: name::<EncryptionAlgorithm>(algorithm),
            ciphertext_crc32c,
            verified_plaintext_crc32c,
            verified_aad_crc32c,
            protection_level: name::<ProtectionLevel>(protection_level),
            reference,
        }
    }
}
