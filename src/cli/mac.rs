//! `skms mac`: a message authentication code (HMAC), and whether one is valid, as an
//! exit code.
//!
//! **Invariant:** a code is written only if the gateway saw the message that was sent
//! (CRC32C both ways); "valid" is said only if the answer says so twice.

use bytes::Bytes;
use serde::Serialize;

use super::{
    Context, Error, Exit,
    files::Place,
    names::name,
    payload::{self, Form, base64},
    text::plain,
};
use crate::proto::{
    GenerateMacRequest, GenerateMacResponse, KeyState, ProtectionLevel, VerifyMacRequest, VerifyMacResponse,
};

/// Make a message authentication code, or check one; exits with 3 if it is not valid
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The id or an alias of the key
    key: String,
    /// The message; `-` is stdin [default: -]
    #[arg(long = "in", value_name = "FILE")]
    input: Option<Place>,
    /// Check this code in place of making one; `-` is stdin
    #[arg(long, value_name = "FILE", conflicts_with = "out")]
    verify: Option<Place>,
    /// The version to use [default: the primary; to check, then older ones]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// Where the code goes; `-` is stdout [default: -]
    #[arg(long, value_name = "FILE")]
    out: Option<Place>,
    /// How the code is written [default: raw, and base64 on a terminal]
    #[arg(long, value_enum)]
    format: Option<Form>,
    /// Check against versions that others may know, too
    #[arg(long, requires = "verify")]
    accept_compromised: bool,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let input = args.input.as_ref();
    match &args.verify {
        None => {
            let place = args.out.clone().unwrap_or(Place::Standard);
            place.spare(input.unwrap_or(&Place::Standard), "the message")?;
            let message = payload::read(input, "the message", context)?;
            make(&args, &place, message, context).await
        }
        Some(code) => {
            if *code == Place::Standard && input.unwrap_or(&Place::Standard) == code {
                return Err(Error::Usage(
                    "the message and the code cannot both be stdin; name one of them".into(),
                ));
            }
            let mac = code.read(MAX_CODE_BYTES, context.terminal)?;
            let mac = args.format.unwrap_or(Form::Raw).decode(mac, "the code")?;
            let message = payload::read(input, "the message", context)?;
            verify(&args, message, mac, context).await
        }
    }
}

async fn make(args: &Args, place: &Place, message: Bytes, context: &mut Context<'_>) -> Result<Exit, Error> {
    let request = GenerateMacRequest {
        key_id: args.key.clone(),
        message_crc32c: Some(crc32c::crc32c(&message)),
        message,
        version: args.version.unwrap_or_default(),
        ..Default::default()
    };
    let answer = context.connect().await?.generate_mac(request).await?;
    if !answer.verified_message_crc32c {
        return Err(Error::Damaged("it did not check the message"));
    }
    if answer.mac_crc32c != crc32c::crc32c(&answer.mac) {
        return Err(Error::Damaged("the code does not match its checksum"));
    }
    if !(context.is_json() && *place == Place::Standard) {
        let form = args.format.unwrap_or(Form::Raw).at(place, context.terminal);
        place.write(&form.encode(&answer.mac), context.terminal)?;
    }
    if context.is_json() {
        context.terminal.print_json(&Made::from(answer))?;
    } else {
        context.terminal.remark(&format!(
            "code made with `{}` version {}, protection {}\n",
            plain(&answer.key_id),
            answer.version,
            name::<ProtectionLevel>(answer.protection_level),
        ));
    }
    Ok(Exit::Success)
}

async fn verify(args: &Args, message: Bytes, mac: Bytes, context: &mut Context<'_>) -> Result<Exit, Error> {
    let request = VerifyMacRequest {
        key_id: args.key.clone(),
        message_crc32c: Some(crc32c::crc32c(&message)),
        message,
        mac_crc32c: Some(crc32c::crc32c(&mac)),
        mac,
        version: args.version.unwrap_or_default(),
        accept_compromised: args.accept_compromised,
        ..Default::default()
    };
    let answer = context.connect().await?.verify_mac(request).await?;
    if !answer.verified_message_crc32c {
        return Err(Error::Damaged("it did not check the message"));
    }
    if !answer.verified_mac_crc32c {
        return Err(Error::Damaged("it did not check the code that was sent"));
    }
    if answer.verified_valid_integrity != answer.valid {
        return Err(Error::Damaged("it says both valid and invalid"));
    }
    let exit = if answer.valid { Exit::Success } else { Exit::SignatureInvalid };
    if context.is_json() {
        context.terminal.print_json(&Verified::from(answer))?;
    } else {
        context.terminal.print(verdict(&answer))?;
    }
    Ok(exit)
}

fn verdict(answer: &VerifyMacResponse) -> String {
    let key = plain(&answer.key_id);
    if answer.valid {
        let state = name::<KeyState>(answer.version_state);
        format!("valid: `{key}` version {} ({state})\n", answer.version)
    } else {
        format!("invalid: no version of `{key}` made this code\n")
    }
}

#[derive(Serialize)]
struct Made {
    mac: String,
    key_id: String,
    version: u32,
    mac_crc32c: u32,
    verified_message_crc32c: bool,
    protection_level: String,
    reference: String,
}

impl From<GenerateMacResponse> for Made {
    fn from(answer: GenerateMacResponse) -> Self {
        let GenerateMacResponse {
            mac,
            key_id,
            version,
            mac_crc32c,
            verified_message_crc32c,
            protection_level,
            reference,
        } = answer;
        Self {
            mac: base64(&mac),
            key_id,
            version,
            mac_crc32c,
            verified_message_crc32c,
            protection_level: name::<ProtectionLevel>(protection_level),
            reference,
        }
    }
}

#[derive(Serialize)]
struct Verified {
    valid: bool,
    version: u32,
    key_id: String,
    version_state: String,
    verified_message_crc32c: bool,
    verified_mac_crc32c: bool,
    verified_valid_integrity: bool,
    reference: String,
}

impl From<VerifyMacResponse> for Verified {
    fn from(answer: VerifyMacResponse) -> Self {
        let VerifyMacResponse {
            valid,
            version,
            key_id,
            version_state,
            verified_message_crc32c,
            verified_mac_crc32c,
            verified_valid_integrity,
            reference,
        } = answer;
        Self {
            valid,
            version,
            key_id,
            version_state: name::<KeyState>(version_state),
            verified_message_crc32c,
            verified_mac_crc32c,
            verified_valid_integrity,
            reference,
        }
    }
}

/// Far above the longest code there is (HMAC with SHA-512, 64 bytes), in any form.
const MAX_CODE_BYTES: usize = 64 * 1024;
