//! `skms token keygen`: makes the key of an issuer.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::builder::NonEmptyStringValueParser;
use jsonwebtoken::jwk::JwkSet;
use zeroize::Zeroizing;

use super::key;
use crate::cli::{Error, Exit, files, terminal::Terminal};

/// Make the key of an issuer: issuer.key and, for the gateway, jwks.json
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The directory to put both files in; made where it is missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The id of the key [default: its RFC 7638 thumbprint]
    #[arg(long, value_name = "KID", value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
}

pub(super) fn run(args: Args, terminal: &mut Terminal) -> Result<Exit, Error> {
    fs::create_dir_all(&args.out).map_err(|source| files::failed("write", &args.out, source))?;
    let (private, public) = (args.out.join(PRIVATE), args.out.join(PUBLIC));
    for path in [&private, &public] {
        // A key that is overwritten takes all tokens with it that it has signed.
        if path.symlink_metadata().is_ok() {
            let there = io::Error::new(io::ErrorKind::AlreadyExists, "it is there; remove it first");
            return Err(files::failed("write", path, there));
        }
    }
    let pem = generate()?;
    let key = key::parse(pem.as_bytes()).map_err(|()| failed())?;
    let jwk = key::public(&key, args.name)?;
    let id = jwk.common.key_id.clone().unwrap_or_default();
    let set = serde_json::to_string_pretty(&JwkSet { keys: vec![jwk] });
    write(&private, pem.as_bytes(), 0o600)?;
    write(&public, (set.map_err(|_| failed())? + "\n").as_bytes(), 0o644)?;
    let (private, public) = (private.display(), public.display());
    terminal.print(format!("made `{private}` and `{public}`, key id {id}\n"))?;
    Ok(Exit::Success)
}

/// A private key, PKCS#8 in PEM (RFC 7468 §10).
fn generate() -> Result<Zeroizing<String>, Error> {
    let random = SystemRandom::new();
    let der =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).map_err(|_| failed())?;
    let body = Zeroizing::new(BASE64_STANDARD.encode(der.as_ref()));
    let mut pem = Zeroizing::new(String::with_capacity(body.len() * 2));
    pem.push_str("-----BEGIN PRIVATE KEY-----\n");
    for (index, char) in body.chars().enumerate() {
        if index > 0 && index.is_multiple_of(64) {
            pem.push('\n');
        }
        pem.push(char);
    }
    pem.push_str("\n-----END PRIVATE KEY-----\n");
    Ok(pem)
}

/// Writes a file that must not be there yet.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(bytes)).map_err(|source| files::failed("write", path, source))
}

fn failed() -> Error {
    Error::Other("the key could not be made".to_owned())
}

const PRIVATE: &str = "issuer.key";
const PUBLIC: &str = "jwks.json";
