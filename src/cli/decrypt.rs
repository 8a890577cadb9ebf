//! `skms decrypt`: the plaintext of a ciphertext.
//!
//! **Invariant:** a plaintext is written only if it is the one that the gateway sent
//! (CRC32C both ways), to a new file only for its owner to read, and into a JSON
//! document only if it goes to no file.

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
    DecryptRequest, DecryptResponse, EncryptionAlgorithm, ProtectionLevel, decrypt_request::Aad as Field,
};

/// Decrypt a ciphertext, of whatever length
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The id or an alias of the key
    key: String,
    /// The ciphertext; `-` is stdin [default: -]
    #[arg(long = "in", value_name = "FILE")]
    input: Option<Place>,
    #[command(flatten)]
    aad: aad::Args,
    /// For RSA-OAEP, one of the algorithms of the key [default: the key's first]
    #[arg(long, value_name = "NAME", ignore_case = true, value_parser = encryption_parser())]
    algorithm: Option<EncryptionAlgorithm>,
    /// For RSA-OAEP, the version that encrypted [default: the primary]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// Where the plaintext goes, as it is, and on a terminal in base64; `-` is stdout.
    /// A new file is readable for its owner only [default: -]
    #[arg(long, value_name = "FILE")]
    out: Option<Place>,
    /// How the ciphertext is written
    #[arg(long, value_enum, default_value_t = Form::Raw)]
    format: Form,
    /// Decrypt with a version that others may know, too
    #[arg(long)]
    accept_compromised: bool,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let input = args.input.as_ref();
    let place = args.out.clone().unwrap_or(Place::Standard);
    let aad = args.aad.read_beside(input, &place, "the ciphertext", context)?;
    let request = request(&args, aad);
    let aad_crc32c = request.aad_crc32c;
    if let Some(ciphertext) = Source::beginning(input, STREAM)? {
        return in_stream(request, ciphertext, &place, context).await;
    }
    let ciphertext = payload::read(input, "the ciphertext", context)?;
    let ciphertext = args.format.decode(ciphertext, "the ciphertext")?;
    if ciphertext.starts_with(STREAM) {
        return in_stream(request, Source::whole(&ciphertext), &place, context).await;
    }
    let ciphertext_crc32c = Some(crc32c::crc32c(&ciphertext));
    let request = DecryptRequest { ciphertext_crc32c, ciphertext, ..request };
    let answer = context.connect().await?.decrypt(request).await?;
    check(&answer, aad_crc32c)?;
    if answer.plaintext_crc32c != crc32c::crc32c(&answer.plaintext) {
        return Err(Error::Damaged("the plaintext does not match its checksum"));
    }
    let in_document = context.is_json() && place == Place::Standard;
    if !in_document {
        let form = Form::Raw.at(&place, context.terminal);
        place.write_secret(&form.encode(&answer.plaintext), context.terminal)?;
    }
    if context.is_json() {
        context.terminal.print_json(&View::new(answer, in_document))?;
    } else {
        context.terminal.remark(&summary(&answer));
    }
    Ok(Exit::Success)
}

/// With what a ciphertext begins that was made in a stream.
const STREAM: &[u8] = b"SKS";

async fn in_stream(
    request: DecryptRequest,
    ciphertext: Source,
    place: &Place,
    context: &mut Context<'_>,
) -> Result<Exit, Error> {
    let client = context.connect().await?;
    let aad_crc32c = request.aad_crc32c;
    // The ciphertext says both itself.
    let request = DecryptRequest { version: 0, algorithm: 0, ..request };
    let mut sink = Sink::open(place, 0o600, context)?;
    let end = client.decrypt_stream(request, ciphertext, &mut sink).await?;
    let answer = end.decryption.ok_or(Error::Damaged("it is empty"))?;
    check(&answer, aad_crc32c)?;
    sink.complete()?;
    if context.is_json() {
        context.terminal.print_json(&View::new(answer, false))?;
    } else {
        context.terminal.remark(&summary(&answer));
    }
    Ok(Exit::Success)
}

/// Without a ciphertext.
fn request(args: &Args, aad: Aad) -> DecryptRequest {
    DecryptRequest {
        key_id: args.key.clone(),
        aad_crc32c: aad.crc32c(),
        aad: aad.field(Field::AdditionalAuthenticatedData, Field::Context),
        version: args.version.unwrap_or_default(),
        algorithm: args.algorithm.unwrap_or_default().into(),
        accept_compromised: args.accept_compromised,
        ..Default::default()
    }
}

fn check(answer: &DecryptResponse, aad_crc32c: Option<u32>) -> Result<(), Error> {
    if !answer.verified_ciphertext_crc32c {
        return Err(Error::Damaged("it did not check the ciphertext"));
    }
    aad::check(aad_crc32c, answer.verified_aad_crc32c)
}

fn summary(answer: &DecryptResponse) -> String {
    let key = plain(&answer.key_id);
    let old = if answer.used_primary {
        ""
    } else {
        "this is not the primary version any more; it is time to re-encrypt: see `skms reencrypt --help`\n"
    };
    format!(
        "decrypted with `{key}` version {}, {}, protection {}\n{old}",
        answer.version,
        name::<EncryptionAlgorithm>(answer.algorithm),
        name::<ProtectionLevel>(answer.protection_level),
    )
}

#[derive(Serialize)]
struct View {
    /// `null` where it went to a file.
    plaintext: Option<String>,
    key_id: String,
    version: u32,
    used_primary: bool,
    algorithm: String,
    plaintext_crc32c: u32,
    verified_ciphertext_crc32c: bool,
    verified_aad_crc32c: bool,
    protection_level: String,
    reference: String,
}

impl View {
    fn new(answer: DecryptResponse, in_document: bool) -> Self {
        let DecryptResponse {
            plaintext,
            key_id,
            version,
            used_primary,
            algorithm,
            plaintext_crc32c,
            verified_ciphertext_crc32c,
            verified_aad_crc32c,
            protection_level,
            reference,
        } = answer;
        Self {
            plaintext: in_document.then(|| base64(&plaintext)),
            key_id,
            version,
            used_primary,
            algorithm: name::<EncryptionAlgorithm>(algorithm),
            plaintext_crc32c,
            verified_ciphertext_crc32c,
            verified_aad_crc32c,
            protection_level: name::<ProtectionLevel>(protection_level),
            reference,
        }
    }
}
