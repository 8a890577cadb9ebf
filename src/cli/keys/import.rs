//! `skms keys import`: a key that was made elsewhere, wrapped here, so that it does not
//! travel in the clear.
//!
//! **Invariant:** material is wiped from memory, but for what TLS has of it with `--plain`.

use aws_lc_rs::{
    key_wrap::{AES_256, AesKek, KeyWrapPadded as _},
    rand,
};
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer, pem::PemObject as _};
use skms_backend::{EncryptionAlgorithm, KeyType, PublicKey};
use zeroize::Zeroizing;

use super::create;
use crate::{
    cli::{Context, Error, Exit, files::Place},
    client::Client,
    proto::{
        CreateImportJobRequest, CreateKeyRequest, ImportJob, ImportKeyRequest, ImportMethod, WrappedMaterial,
        import_key_request::Material,
    },
};

/// Make a key of material that was made elsewhere: a private key in PKCS#8 (PEM or DER),
/// or the bare bytes of a secret key
// Another group is called after its type already.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    key: create::Args,
    /// The material; `-` is stdin
    #[arg(long = "in", value_name = "FILE")]
    input: Place,
    /// Make a new version of the key `--id`, which is there
    #[arg(long, requires = "id", conflicts_with_all = [
        "labels", "algorithms", "purpose", "encryption_algorithms", "backend", "protection", "aliases",
        "description", "not_before", "expires", "rotation_period", "destroy_after", "validate_only",
    ])]
    new_version: bool,
    /// Make the new version, and leave the primary where it is
    #[arg(long, requires = "new_version")]
    stage_only: bool,
    /// The etag that the key must still have
    #[arg(long, requires = "new_version")]
    etag: Option<String>,
    /// Every later version of the key is imported, too; the gateway makes none
    #[arg(long, conflicts_with = "new_version")]
    import_only: bool,
    /// Wrap under this import job [default: a new one]
    #[arg(long, value_name = "ID")]
    job: Option<String>,
    /// Send the material in the clear, within TLS; it takes a permission of its own
    #[arg(long, conflicts_with = "job")]
    plain: bool,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    args.key.check(context)?;
    let CreateKeyRequest { key_type, metadata, params, key_id, request_id, validate_only } =
        create::request(&args.key)?;
    let material = read(&args.input, context)?;
    let client = context.connect().await?;
    let material = if args.plain {
        Material::Plain(material.to_vec().into())
    } else {
        let job = job(&client, args.job.as_deref()).await?;
        let ciphertext = wrap(&job, &material)?.into();
        Material::Wrapped(WrappedMaterial { import_job: job.id, ciphertext })
    };
    let mut params = params.filter(|_| !args.new_version);
    if let Some(params) = &mut params {
        params.import_only = args.import_only;
    }
    let request = ImportKeyRequest {
        key_type,
        metadata,
        params,
        key_id,
        request_id,
        validate_only,
        material: Some(material),
        new_version: args.new_version,
        etag: args.etag.unwrap_or_default(),
        expected_primary_version: 0,
        stage_only: args.stage_only,
    };
    let key = client.import_key(request).await?;
    create::tell(&args.key, key, context)
}

/// The material in the file: PEM is taken off, and everything else left as it is.
fn read(place: &Place, context: &mut Context<'_>) -> Result<Zeroizing<Vec<u8>>, Error> {
    let bytes = Zeroizing::new(place.read(MAX_BYTES, context.terminal)?);
    if !bytes.trim_ascii_start().starts_with(b"-----BEGIN ") {
        return Ok(bytes);
    }
    let key = PrivatePkcs8KeyDer::from_pem_slice(&bytes).map_err(|_| {
        let why = "no private key in PKCS#8 (BEGIN PRIVATE KEY); `openssl pkcs8 -topk8 -nocrypt` makes one \
                   of other forms";
        Error::Usage(why.to_owned())
    })?;
    Ok(Zeroizing::new(key.secret_pkcs8_der().to_vec()))
}

/// The job of this id, or a new one.
async fn job(client: &Client, id: Option<&str>) -> Result<ImportJob, Error> {
    Ok(match id {
        Some(id) => client.import_job(id).await?,
        None => {
            let method = ImportMethod::RsaOaep3072Sha256Aes256.into();
            client.create_import_job(CreateImportJobRequest { method, ..Default::default() }).await?
        }
    })
}

/// What the method of the job makes of the material.
fn wrap(job: &ImportJob, material: &[u8]) -> Result<Vec<u8>, Error> {
    let unknown =
        || Error::Other("the gateway wants a way of wrapping that this program does not know".into());
    let (key_type, has_inner_key) = match job.method() {
        ImportMethod::RsaOaep3072Sha256 => (KeyType::Rsa3072, false),
        ImportMethod::RsaOaep4096Sha256 => (KeyType::Rsa4096, false),
        ImportMethod::RsaOaep3072Sha256Aes256 => (KeyType::Rsa3072, true),
        ImportMethod::RsaOaep4096Sha256Aes256 => (KeyType::Rsa4096, true),
        ImportMethod::Unspecified => return Err(unknown()),
    };
    let damaged = Error::Damaged("the public key of the import job is none");
    let Some(public) = SubjectPublicKeyInfoDer::from_pem_slice(job.public_key.as_bytes())
        .ok()
        .and_then(|spki| PublicKey::from_spki(key_type, &spki).ok())
    else {
        return Err(damaged);
    };
    let oaep = |message: &[u8]| {
        public
            .encrypt_oaep(EncryptionAlgorithm::RsaOaepSha256, message)
            .map_err(|_| Error::Usage("the material is too long for the method of this job".into()))
    };
    if !has_inner_key {
        return oaep(material);
    }
    let failed = |_| Error::Other("the material cannot be wrapped".into());
    let mut key = Zeroizing::new([0; 32]);
    rand::fill(key.as_mut_slice()).map_err(failed)?;
    // Padding to a whole block, and the block before it (RFC 5649 §4.1).
    let mut inner = vec![0; material.len() + 15];
    let kek = AesKek::new(&AES_256, key.as_slice()).map_err(failed)?;
    let length = kek.wrap_with_padding(material, &mut inner).map_err(failed)?.len();
    inner.truncate(length);
    Ok([oaep(key.as_slice())?, inner].concat())
}

/// As much as the gateway takes, and PEM around it.
const MAX_BYTES: usize = 32 * 1024;
