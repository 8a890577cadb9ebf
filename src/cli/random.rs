//! `skms random`: random bytes, of a device where one gives them.
//!
//! **Invariant:** bytes are written only if they are those that the gateway sent
//! (CRC32C), and as many as were asked for. They may become a secret, and are treated
//! as one.

use serde::Serialize;

use super::{
    Context, Error, Exit,
    files::Place,
    names::{PROTECTION_LEVELS, name, parser},
    payload::{Form, base64},
    text::plain,
};
use crate::proto::{GenerateRandomRequest, GenerateRandomResponse, ProtectionLevel};

/// Get random bytes
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many bytes
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    length: u32,
    /// The backend that is to give them [default: the first that can]
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// The least protection of their source that will do
    #[arg(long, value_parser = parser::<ProtectionLevel, 3>(PROTECTION_LEVELS))]
    protection: Option<ProtectionLevel>,
    /// Where they go; `-` is stdout. A new file is readable for its owner only [default: -]
    #[arg(long, value_name = "FILE")]
    out: Option<Place>,
    /// How they are written [default: raw, and base64 on a terminal]
    #[arg(long, value_enum)]
    format: Option<Form>,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let answer = context.connect().await?.generate_random(request(&args)).await?;
    check(&answer, args.length)?;
    let place = args.out.unwrap_or(Place::Standard);
    let in_document = context.is_json() && place == Place::Standard;
    if !in_document {
        let form = args.format.unwrap_or(Form::Raw).at(&place, context.terminal);
        place.write_secret(&form.encode(&answer.data), context.terminal)?;
    }
    if context.is_json() {
        context.terminal.print_json(&View::new(answer, in_document))?;
    } else {
        let protection = name::<ProtectionLevel>(answer.protection_level);
        let backend = plain(&answer.backend);
        context.terminal.remark(&format!("{} bytes of `{backend}`, protection {protection}\n", args.length));
    }
    Ok(Exit::Success)
}

fn request(args: &Args) -> GenerateRandomRequest {
    GenerateRandomRequest {
        length_bytes: args.length,
        protection_level: args.protection.unwrap_or_default().into(),
        backend: args.backend.clone().unwrap_or_default(),
    }
}

fn check(answer: &GenerateRandomResponse, length: u32) -> Result<(), Error> {
    if answer.data_crc32c != crc32c::crc32c(&answer.data) {
        return Err(Error::Damaged("the bytes do not match their checksum"));
    }
    if u32::try_from(answer.data.len()) != Ok(length) {
        return Err(Error::Damaged("it has not as many bytes as were asked for"));
    }
    Ok(())
}

#[derive(Serialize)]
struct View {
    /// `null` where they went to a file.
    data: Option<String>,
    data_crc32c: u32,
    backend: String,
    protection_level: String,
}

impl View {
    fn new(answer: GenerateRandomResponse, in_document: bool) -> Self {
        let GenerateRandomResponse { data, data_crc32c, backend, protection_level } = answer;
        Self {
            data: in_document.then(|| base64(&data)),
            data_crc32c,
            backend,
            protection_level: name::<ProtectionLevel>(protection_level),
        }
    }
}
