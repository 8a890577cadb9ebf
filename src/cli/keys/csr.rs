//! `skms keys csr`: a request for a certificate of a key.

use serde::Serialize;

use super::show;
use crate::{
    cli::{
        Context, Error, Exit,
        files::Place,
        names::{algorithm_parser, name},
        payload::base64,
    },
    proto::{
        CreateCertificateSigningRequestRequest, CreateCertificateSigningRequestResponse, SignatureAlgorithm,
    },
};

/// Have a key sign a request for a certificate of itself
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The id or an alias of the key
    id: String,
    /// The distinguished name (RFC 4514), such as CN=www.example.com,O=Example,C=DE
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// A host name; may be given again
    #[arg(long = "dns", value_name = "HOST")]
    dns_names: Vec<String>,
    /// An address of IPv4 or IPv6; may be given again
    #[arg(long = "ip", value_name = "ADDRESS")]
    ip_addresses: Vec<String>,
    /// An address of electronic mail; may be given again
    #[arg(long = "email", value_name = "ADDRESS")]
    email_addresses: Vec<String>,
    /// An identifier, such as spiffe://example.com/payroll; may be given again
    #[arg(long = "uri", value_name = "URI")]
    uris: Vec<String>,
    /// The algorithm of the signature [default: that of the key]
    #[arg(long, value_name = "NAME", ignore_case = true, value_parser = algorithm_parser())]
    algorithm: Option<SignatureAlgorithm>,
    /// The version that is to be certified [default: the primary]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// Write DER in place of PEM
    #[arg(long)]
    der: bool,
    /// Where it goes; `-` is stdout [default: -]
    #[arg(long, value_name = "FILE")]
    out: Option<Place>,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let place = args.out.clone().unwrap_or(Place::Standard);
    if args.der && place.is_shown(context.terminal) {
        return Err(Error::Usage("DER is for files and programs; name one with `--out`".into()));
    }
    let der = args.der;
    let answer = context.connect().await?.certificate_request(request(args)).await?;
    if !(context.is_json() && place == Place::Standard) {
        let pem = show::pem(&answer.pem);
        place.write(if der { &answer.der } else { pem.as_bytes() }, context.terminal)?;
    }
    if context.is_json() {
        context.terminal.print_json(&View::from(answer))?;
    }
    Ok(Exit::Success)
}

fn request(args: Args) -> CreateCertificateSigningRequestRequest {
    CreateCertificateSigningRequestRequest {
        key_id: args.id,
        version: args.version.unwrap_or_default(),
        subject: args.subject.unwrap_or_default(),
        dns_names: args.dns_names,
        ip_addresses: args.ip_addresses,
        email_addresses: args.email_addresses,
        uris: args.uris,
        algorithm: args.algorithm.unwrap_or_default().into(),
    }
}

#[derive(Serialize)]
struct View {
    pem: String,
    der: String,
    key_id: String,
    version: u32,
    algorithm: String,
}

impl From<CreateCertificateSigningRequestResponse> for View {
    fn from(answer: CreateCertificateSigningRequestResponse) -> Self {
        let CreateCertificateSigningRequestResponse { pem, der, key_id, version, algorithm } = answer;
        Self { pem, der: base64(&der), key_id, version, algorithm: name::<SignatureAlgorithm>(algorithm) }
    }
}
