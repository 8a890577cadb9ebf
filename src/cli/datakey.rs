//! `skms datakey`: a key for encrypting at home, and the same key encrypted (envelope
//! encryption).
//!
//! **Invariant:** a data key in the clear is never shown on a terminal, is written to a
//! new file only for its owner to read, and only after its ciphertext: what it encrypts
//! could not be decrypted again without that.

use bytes::Bytes;
use serde::Serialize;

use super::{
    Context, Error, Exit,
    aad::{self, Aad},
    files::{self, Place},
    names::name,
    payload::{Form, base64},
    text::plain,
};
use crate::proto::{
    EncryptionAlgorithm, GenerateDataKeyRequest, GenerateDataKeyResponse, PlaintextMode, ProtectionLevel,
    generate_data_key_request::{Aad as Field, Size},
};

/// Make a data key, which encrypts what is long, and is itself encrypted with a key
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("size").required(true)))]
#[command(group(clap::ArgGroup::new("clear").required(true)))]
pub(super) struct Args {
    /// The id or an alias of the key that encrypts it
    key: String,
    /// How many bytes it has
    #[arg(long = "bytes", value_name = "N", group = "size", value_parser = clap::value_parser!(u32).range(1..))]
    length: Option<u32>,
    /// As long as a key of this type: aes-128, aes-256, hmac-sha256 …
    // Not checked here: the gateway may know more names.
    #[arg(long = "type", value_name = "TYPE", group = "size")]
    key_type: Option<String>,
    #[command(flatten)]
    aad: aad::Args,
    /// Where the data key itself goes; `-` is stdout, and must be no terminal. A new file
    /// is readable for its owner only
    #[arg(long, value_name = "FILE", group = "clear")]
    plaintext_out: Option<Place>,
    /// Do not get the data key itself
    #[arg(long, group = "clear")]
    omit: bool,
    /// Get it encrypted to this RSA key in place of itself (RSA-OAEP with SHA-256;
    /// SubjectPublicKeyInfo in PEM or DER)
    #[arg(long, value_name = "FILE", group = "clear", requires = "wrapped_out")]
    wrap_to: Option<Place>,
    /// Where the data key that is encrypted to that RSA key goes; `-` is stdout
    // That it requires the other is forgotten where that is ruled out.
    #[arg(long, value_name = "FILE", requires = "wrap_to", conflicts_with_all = ["plaintext_out", "omit"])]
    wrapped_out: Option<Place>,
    /// Where the ciphertext, for `skms decrypt`, goes; `-` is stdout [default: -]
    #[arg(long, value_name = "FILE")]
    out: Option<Place>,
    /// How all of them are written [default: raw, and base64 on a terminal]
    #[arg(long, value_enum)]
    format: Option<Form>,
}

impl Args {
    fn out(&self) -> &Place {
        self.out.as_ref().unwrap_or(&Place::Standard)
    }

    /// The second place: of the data key itself, or of what the recipient gets.
    fn second(&self) -> Option<&Place> {
        self.plaintext_out.as_ref().or(self.wrapped_out.as_ref())
    }
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    refuse(&args, context)?;
    files::stdin_once(args.aad.file().into_iter().chain(&args.wrap_to))?;
    let aad = args.aad.read(context)?;
    let recipient =
        args.wrap_to.as_ref().map(|place| files::public_key(place, context.terminal)).transpose()?;
    let request = request(&args, recipient, aad);
    let aad_crc32c = request.aad_crc32c;
    let answer = context.connect().await?.generate_data_key(request).await?;
    check(&answer, &args, aad_crc32c)?;
    let json = context.is_json();
    let form = args.format.unwrap_or(Form::Raw);
    let encoded = |place: &Place, bytes: &[u8], context: &Context<'_>| {
        let in_document = json && *place == Place::Standard;
        (!in_document).then(|| form.at(place, context.terminal).encode(bytes))
    };
    if let Some(bytes) = encoded(args.out(), &answer.ciphertext, context) {
        args.out().write(&bytes, context.terminal)?;
    }
    if let Some(place) = &args.plaintext_out
        && let Some(bytes) = encoded(place, &answer.plaintext, context)
    {
        place.write_secret(&bytes, context.terminal)?;
    }
    if let Some(place) = &args.wrapped_out
        && let Some(bytes) = encoded(place, &answer.wrapped_plaintext, context)
    {
        place.write(&bytes, context.terminal)?;
    }
    if json {
        let shown = args.plaintext_out == Some(Place::Standard);
        context.terminal.print_json(&View::new(answer, shown))?;
    } else {
        context.terminal.remark(&summary(&answer));
    }
    Ok(Exit::Success)
}

/// Refuses places that are in the way of each other, or that others look at.
fn refuse(args: &Args, context: &Context<'_>) -> Result<(), Error> {
    if args.plaintext_out.as_ref().is_some_and(|place| place.is_shown(context.terminal)) {
        return Err(Error::Usage(
            "a data key is not shown on a terminal; name a file with `--plaintext-out`, or use a pipe".into(),
        ));
    }
    let Some(second) = args.second() else { return Ok(()) };
    let both = *second == Place::Standard && *args.out() == Place::Standard;
    if (both && !context.is_json()) || (!both && second == args.out()) {
        return Err(Error::Usage(
            "the ciphertext and the other form of the data key cannot go to one place; name a file with `--out`"
                .into(),
        ));
    }
    Ok(())
}

fn request(args: &Args, recipient: Option<Bytes>, aad: Aad) -> GenerateDataKeyRequest {
    let mode = match (&args.plaintext_out, &recipient) {
        (Some(_), _) => PlaintextMode::Include,
        (None, Some(_)) => PlaintextMode::WrapToRecipientPublicKey,
        (None, None) => PlaintextMode::Omit,
    };
    GenerateDataKeyRequest {
        key_id: args.key.clone(),
        size: args.length.map(Size::LengthBytes).or_else(|| args.key_type.clone().map(Size::KeyType)),
        plaintext_mode: mode.into(),
        recipient_public_key: recipient.unwrap_or_default(),
        aad_crc32c: aad.crc32c(),
        aad: aad.field(Field::AdditionalAuthenticatedData, Field::Context),
        ..Default::default()
    }
}

fn check(answer: &GenerateDataKeyResponse, args: &Args, aad_crc32c: Option<u32>) -> Result<(), Error> {
    aad::check(aad_crc32c, answer.verified_aad_crc32c)?;
    if answer.ciphertext_crc32c != crc32c::crc32c(&answer.ciphertext) {
        return Err(Error::Damaged("the ciphertext does not match its checksum"));
    }
    if answer.plaintext_crc32c != crc32c::crc32c(&answer.plaintext) {
        return Err(Error::Damaged("the data key does not match its checksum"));
    }
    let length = u32::try_from(answer.plaintext.len()).unwrap_or(u32::MAX);
    let right = match (&args.plaintext_out, args.length) {
        (Some(_), Some(wanted)) => length == wanted,
        (Some(_), None) => length > 0,
        (None, _) => length == 0,
    };
    if !right {
        return Err(Error::Damaged("the data key has not the length that was asked for"));
    }
    if args.wrap_to.is_some() == answer.wrapped_plaintext.is_empty() {
        return Err(Error::Damaged("what the recipient gets is not what was asked for"));
    }
    Ok(())
}

fn summary(answer: &GenerateDataKeyResponse) -> String {
    format!(
        "made a data key, encrypted with `{}` version {}, {}, protection {}\n",
        plain(&answer.key_id),
        answer.version,
        name::<EncryptionAlgorithm>(answer.algorithm),
        name::<ProtectionLevel>(answer.protection_level),
    )
}

#[derive(Serialize)]
struct View {
    ciphertext: String,
    /// `null` where it went to a file, or was not asked for.
    plaintext: Option<String>,
    wrapped_plaintext: String,
    key_id: String,
    version: u32,
    algorithm: String,
    ciphertext_crc32c: u32,
    plaintext_crc32c: u32,
    verified_aad_crc32c: bool,
    protection_level: String,
    reference: String,
}

impl View {
    fn new(answer: GenerateDataKeyResponse, shown: bool) -> Self {
        let GenerateDataKeyResponse {
            ciphertext,
            plaintext,
            wrapped_plaintext,
            key_id,
            version,
            algorithm,
            ciphertext_crc32c,
            plaintext_crc32c,
            verified_aad_crc32c,
            protection_level,
            reference,
        } = answer;
        Self {
            ciphertext: base64(&ciphertext),
            plaintext: shown.then(|| base64(&plaintext)),
            wrapped_plaintext: base64(&wrapped_plaintext),
            key_id,
            version,
            algorithm: name::<EncryptionAlgorithm>(algorithm),
            ciphertext_crc32c,
            plaintext_crc32c,
            verified_aad_crc32c,
            protection_level: name::<ProtectionLevel>(protection_level),
            reference,
        }
    }
}
