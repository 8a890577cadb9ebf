//! `skms verify`: whether a signature is valid, as an exit code.
//!
//! **Invariant:** "valid" is said only if the answer says so twice
//! (`verified_valid_integrity`) and the gateway saw what was sent.

use serde::Serialize;

use super::{
    Context, Error, Exit,
    files::Place,
    names::{ENCODINGS, algorithm_parser, name, parser},
    payload::{self, Form, Payload},
    text::plain,
};
use crate::proto::{
    KeyState, SignatureAlgorithm, SignatureEncoding, VerifyRequest, VerifyResponse, verify_request::Input,
};

/// Check a signature; exits with 3 if it is not valid
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The id or an alias of the key
    key: String,
    /// The signature; `-` is stdin
    #[arg(long, value_name = "FILE")]
    signature: Place,
    #[command(flatten)]
    payload: payload::Args,
    /// One of the algorithms of the key, also by its JOSE name [default: the key's first]
    #[arg(long, value_name = "NAME", ignore_case = true, value_parser = algorithm_parser())]
    algorithm: Option<SignatureAlgorithm>,
    /// The version to check against [default: the primary, then older ones]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// How the ECDSA signature is encoded [default: der]
    #[arg(long, value_parser = parser::<SignatureEncoding, 2>(ENCODINGS))]
    encoding: Option<SignatureEncoding>,
    /// How the signature is written
    #[arg(long, value_enum, default_value_t = Form::Raw)]
    format: Form,
    /// Try versions that others may know, too
    #[arg(long)]
    accept_compromised: bool,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    if args.signature == Place::Standard && args.payload.takes_stdin() {
        return Err(Error::Usage(
            "the message and the signature cannot both be stdin; name one of them".into(),
        ));
    }
    let signature = args.signature.read(MAX_SIGNATURE_BYTES, context.terminal)?;
    let signature = args.format.decode(signature, "the signature")?;
    let payload = args.payload.read(context)?;
    let client = context.connect().await?;
    let request = request(&args, signature);
    let answer = match payload {
        Payload::Message(message) => {
            let input_crc32c = Some(crc32c::crc32c(&message));
            let input = Some(Input::Message(message));
            client.verify(VerifyRequest { input_crc32c, input, ..request }).await?
        }
        Payload::Digest(digest) => {
            let input_crc32c = Some(crc32c::crc32c(&digest.value));
            let input = Some(Input::Digest(digest));
            client.verify(VerifyRequest { input_crc32c, input, ..request }).await?
        }
        Payload::Large(message) => {
            client.verify_large(request, message).await?.verification.ok_or(Error::Damaged("it is empty"))?
        }
    };
    check(&answer)?;
    let exit = if answer.valid { Exit::Success } else { Exit::SignatureInvalid };
    if context.is_json() {
        context.terminal.print_json(&View::from(answer))?;
    } else {
        context.terminal.print(summary(&answer))?;
    }
    Ok(exit)
}

/// Without an input.
fn request(args: &Args, signature: bytes::Bytes) -> VerifyRequest {
    VerifyRequest {
        key_id: args.key.clone(),
        signature_crc32c: Some(crc32c::crc32c(&signature)),
        signature,
        algorithm: args.algorithm.unwrap_or_default().into(),
        version: args.version.unwrap_or_default(),
        encoding: args.encoding.unwrap_or_default().into(),
        accept_compromised: args.accept_compromised,
        ..Default::default()
    }
}

fn check(answer: &VerifyResponse) -> Result<(), Error> {
    if !answer.verified_input_crc32c {
        return Err(Error::Damaged("it did not check the input"));
    }
    if !answer.verified_signature_crc32c {
        return Err(Error::Damaged("it did not check the signature that was sent"));
    }
    if answer.verified_valid_integrity != answer.valid {
        return Err(Error::Damaged("it says both valid and invalid"));
    }
    Ok(())
}

fn summary(answer: &VerifyResponse) -> String {
    let key = plain(&answer.key_id);
    let algorithm = name::<SignatureAlgorithm>(answer.algorithm);
    if answer.valid {
        let state = name::<KeyState>(answer.version_state);
        format!("valid: `{key}` version {} ({state}), {algorithm}\n", answer.version)
    } else {
        format!("invalid: no version of `{key}` made this signature, {algorithm}\n")
    }
}

#[derive(Serialize)]
struct View {
    valid: bool,
    version: u32,
    key_id: String,
    algorithm: String,
    version_state: String,
    verified_input_crc32c: bool,
    verified_signature_crc32c: bool,
    verified_valid_integrity: bool,
    reference: String,
}

impl From<VerifyResponse> for View {
    fn from(answer: VerifyResponse) -> Self {
        Self {
            valid: answer.valid,
            version: answer.version,
            key_id: answer.key_id,
            algorithm: name::<SignatureAlgorithm>(answer.algorithm),
            version_state: name::<KeyState>(answer.version_state),
            verified_input_crc32c: answer.verified_input_crc32c,
            verified_signature_crc32c: answer.verified_signature_crc32c,
            verified_valid_integrity: answer.verified_valid_integrity,
            reference: answer.reference,
        }
    }
}

/// Far above the longest signature there is (SLH-DSA, 50 KB), in any form.
const MAX_SIGNATURE_BYTES: usize = 256 * 1024;
