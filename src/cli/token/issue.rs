//! `skms token issue`: signs a token (RFC 9068) for a caller.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::digest;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use clap::builder::NonEmptyStringValueParser as Text;
use jsonwebtoken::Header;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde::Serialize;
use uuid::Uuid;

use super::key;
use crate::cli::{Error, Exit, files, settings::Timeout, terminal::Terminal};

/// Sign a token for a caller
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The private key of the issuer, as `skms token keygen` makes it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Who issues it: `issuer` in the configuration of the gateway
    #[arg(long, value_name = "ISS", value_parser = Text::new())]
    issuer: String,
    /// Who it is for: one of `audiences` there
    #[arg(long, value_name = "AUD", value_parser = Text::new())]
    audience: String,
    /// Whom it names
    #[arg(long, value_name = "SUB", value_parser = Text::new())]
    subject: String,
    /// A role of the caller; may be given several times
    #[arg(long = "role", value_name = "ROLE", value_parser = Text::new())]
    roles: Vec<String>,
    /// The tenant of the caller, in the claim `tenant`
    #[arg(long, value_name = "TENANT", value_parser = Text::new())]
    tenant: Option<String>,
    /// How long it is valid, at most a day; gateways take an hour unless they are told otherwise
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    lifetime: Timeout,
    /// The id of the key [default: its RFC 7638 thumbprint]
    #[arg(long, value_name = "KID", value_parser = Text::new())]
    kid: Option<String>,
    /// The id of the token, by which it can be denied [default: random]
    #[arg(long, value_name = "ID", value_parser = Text::new())]
    jti: Option<String>,
    /// Bind it to this client certificate (PEM)
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Write it to this file, which only its owner may read, in place of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Serialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    iat: u64,
    exp: u64,
    jti: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
}

/// What the token is bound to (RFC 8705 §3.1).
#[derive(Serialize)]
struct Confirmation {
    #[serde(rename = "x5t#S256")]
    thumbprint: String,
}

pub(super) fn run(args: Args, terminal: &mut Terminal) -> Result<Exit, Error> {
    let lifetime = args.lifetime.0.as_secs();
    if lifetime == 0 || args.lifetime.0 > LONGEST_LIFE {
        return Err(Error::Usage("--lifetime must be at least 1s and at most 1day".to_owned()));
    }
    let signing = key::read(&args.key)?;
    let cnf = args.certificate.as_deref().map(thumbprint).transpose()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = Claims {
        iss: args.issuer,
        aud: args.audience,
        sub: args.subject,
        iat: now,
        exp: now.saturating_add(lifetime),
        jti: args.jti.unwrap_or_else(|| Uuid::new_v4().to_string()),
        roles: args.roles,
        tenant: args.tenant,
        cnf: cnf.map(|thumbprint| Confirmation { thumbprint }),
    };
    let kid = key::public(&signing, args.kid)?.common.key_id;
    let header = Header { typ: Some("at+jwt".to_owned()), kid, ..Header::new(key::ALGORITHM) };
    let token = jsonwebtoken::encode(&header, &claims, &signing)
        .map_err(|_| Error::Other("the token could not be signed".to_owned()))?;
    match &args.out {
        None => terminal.print(token + "\n")?,
        Some(path) => {
            files::replace(path, (token + "\n").as_bytes(), None)
                .map_err(|source| files::failed("write", path, source))?;
        }
    }
    Ok(Exit::Success)
}

fn thumbprint(path: &Path) -> Result<String, Error> {
    let pem = fs::read(path).map_err(|source| files::failed("read", path, source))?;
    let certificate = CertificateDer::from_pem_slice(&pem)
        .map_err(|_| Error::Configuration(format!("`{}` holds no certificate in PEM", path.display())))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &certificate)))
}

/// A token that lives longer is a password.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
