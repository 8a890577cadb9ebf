//! `skms sign`: a bare signature of a message of any length, or of a digest.
//!
//! **Invariant:** a signature is written only if the gateway saw the input that
//! was sent, and the signature is the one that it made (CRC32C both ways).

use serde::Serialize;

use super::{
    Context, Error, Exit,
    files::Place,
    names::{ENCODINGS, algorithm_parser, name, parser},
    payload::{self, Form, Payload, base64},
    text::plain,
};
use crate::proto::{
    ProtectionLevel, SignRequest, SignResponse, SignatureAlgorithm, SignatureEncoding, sign_request::Input,
};

/// Sign a message or a digest
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The id or an alias of the key
    key: String,
    #[command(flatten)]
    payload: payload::Args,
    /// One of the algorithms of the key, also by its JOSE name [default: the key's first]
    #[arg(long, value_name = "NAME", ignore_case = true, value_parser = algorithm_parser())]
    algorithm: Option<SignatureAlgorithm>,
    /// The version to sign with [default: the primary]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// How an ECDSA signature is encoded [default: der]
    #[arg(long, value_parser = parser::<SignatureEncoding, 2>(ENCODINGS))]
    encoding: Option<SignatureEncoding>,
    /// Where the signature goes; `-` is stdout [default: -]
    #[arg(long, value_name = "FILE")]
    out: Option<Place>,
    /// How it is written [default: raw, and base64 on a terminal]
    #[arg(long, value_enum)]
    format: Option<Form>,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let place = args.out.clone().unwrap_or(Place::Standard);
    if let Some(input) = &args.payload.input {
        place.spare(input, "the message")?;
    }
    let payload = args.payload.read(context)?;
    let client = context.connect().await?;
    let request = request(&args);
    let answer = match payload {
        Payload::Message(message) => {
            let input_crc32c = Some(crc32c::crc32c(&message));
            client.sign(SignRequest { input_crc32c, input: Some(Input::Message(message)), ..request }).await?
        }
        Payload::Digest(digest) => {
            let input_crc32c = Some(crc32c::crc32c(&digest.value));
            client.sign(SignRequest { input_crc32c, input: Some(Input::Digest(digest)), ..request }).await?
        }
        Payload::Large(message) => {
            client.sign_large(request, message).await?.signature.ok_or(Error::Damaged("it is empty"))?
        }
    };
    check(&answer)?;
    if !(context.is_json() && place == Place::Standard) {
        let form = args.format.unwrap_or(Form::Raw).at(&place, context.terminal);
        place.write(&form.encode(&answer.signature), context.terminal)?;
    }
    if context.is_json() {
        context.terminal.print_json(&View::from(answer))?;
    } else {
        context.terminal.remark(&summary(&answer));
    }
    Ok(Exit::Success)
}

/// Without an input.
fn request(args: &Args) -> SignRequest {
    SignRequest {
        key_id: args.key.clone(),
        algorithm: args.algorithm.unwrap_or_default().into(),
        version: args.version.unwrap_or_default(),
        encoding: args.encoding.unwrap_or_default().into(),
        ..Default::default()
    }
}

fn check(answer: &SignResponse) -> Result<(), Error> {
    if !answer.verified_input_crc32c {
        return Err(Error::Damaged("it did not check the input"));
    }
    if answer.signature_crc32c != crc32c::crc32c(&answer.signature) {
        return Err(Error::Damaged("the signature does not match its checksum"));
    }
    Ok(())
}

fn summary(answer: &SignResponse) -> String {
    let encoding = match answer.encoding {
        0 => String::new(),
        encoding => format!(" ({})", name::<SignatureEncoding>(encoding)),
    };
    format!(
        "signed with `{}` version {}, {}{encoding}, protection {}\n",
        plain(&answer.key_id),
        answer.version,
        name::<SignatureAlgorithm>(answer.algorithm),
        name::<ProtectionLevel>(answer.protection_level),
    )
}

#[derive(Serialize)]
struct View {
    signature: String,
    key_id: String,
    version: u32,
    algorithm: String,
    encoding: String,
    signature_crc32c: u32,
    verified_input_crc32c: bool,
    protection_level: String,
    reference: String,
}

impl From<SignResponse> for View {
    fn from(answer: SignResponse) -> Self {
        Self {
            signature: base64(&answer.signature),
            key_id: answer.key_id,
            version: answer.version,
            algorithm: name::<SignatureAlgorithm>(answer.algorithm),
            encoding: name::<SignatureEncoding>(answer.encoding),
            signature_crc32c: answer.signature_crc32c,
            verified_input_crc32c: answer.verified_input_crc32c,
            protection_level: name::<ProtectionLevel>(answer.protection_level),
            reference: answer.reference,
        }
    }
}
