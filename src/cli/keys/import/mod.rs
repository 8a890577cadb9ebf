//! `skms keys import`: a key that was made elsewhere, wrapped here, so that it does not
//! travel in the clear.
//!
//! **Invariant:** material is wiped from memory, but for what TLS has of it with `--plain`.

mod many;
mod wrap;

use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use zeroize::Zeroizing;

use self::wrap::wrap;
use super::create;
use crate::{
    cli::{
        Context, Error, Exit,
        bulk::{DEFAULT_JOBS, MAX_JOBS},
        files::{Place, stdin_once},
    },
    client::Client,
    proto::{
        CreateImportJobRequest, CreateKeyRequest, ImportJob, ImportKeyRequest, ImportMethod, KeyResponse,
        WrappedMaterial, import_key_request::Material,
    },
};

/// Make a key of material that was made elsewhere: a private key in PKCS#8 (PEM or DER),
/// or the bare bytes of a secret key; or many keys of one type, each of its file
// Another group is called after its type already.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    key: create::Args,
    /// The material; `-` is stdin. Of many files each makes a key that has the name of
    /// the file, without what follows the last dot, as its id
    #[arg(long = "in", value_name = "FILE", num_args = 1.., required = true)]
    files: Vec<Place>,
    /// Put this before the id of each of many keys
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    prefix: String,
    /// Pass over files whose key is there already, as after an import that was cut short.
    /// Nothing compares the material
    #[arg(long)]
    skip_existing: bool,
    /// How many files are worked on at once
    #[arg(long, value_name = "N", default_value_t = DEFAULT_JOBS,
          value_parser = clap::value_parser!(u8).range(1..=MAX_JOBS))]
    jobs: u8,
    /// Make a new version of the key `--id`, which is there
    #[arg(long, requires = "id", conflicts_with_all = [
        "labels", "algorithms", "purpose", "encryption_algorithms", "backend", "protection", "aliases",
        "description", "not_before", "expires", "max_operations", "rotation_period", "destroy_after",
        "validate_only",
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
    stdin_once(&args.files)?;
    match args.files.as_slice() {
        [file] if args.prefix.is_empty() && !args.skip_existing => one(&args, file, context).await,
        files => {
            let jobs = many::jobs(&args, files)?;
            many::run(&args, jobs, context).await
        }
    }
}

async fn one(args: &Args, file: &Place, context: &mut Context<'_>) -> Result<Exit, Error> {
    let request = create::request(&args.key)?;
    let material = material(file.read(MAX_BYTES, context.terminal)?)?;
    let client = context.connect().await?;
    let job = args.job(&client).await?;
    let key = args.import(&client, job.as_ref(), request, &material).await?;
    create::tell(&args.key, key, context)
}

impl Args {
    async fn import(
        &self,
        client: &Client,
        job: Option<&ImportJob>,
        request: CreateKeyRequest,
        material: &[u8],
    ) -> Result<KeyResponse, Error> {
        let CreateKeyRequest { key_type, metadata, params, key_id, request_id, validate_only } = request;
        let material = match job {
            None => Material::Plain(material.to_vec().into()),
            Some(job) => Material::Wrapped(WrappedMaterial {
                import_job: job.id.clone(),
                ciphertext: wrap(job, material)?.into(),
            }),
        };
        let mut params = params.filter(|_| !self.new_version);
        if let Some(params) = &mut params {
            params.import_only = self.import_only;
        }
        let request = ImportKeyRequest {
            key_type,
            metadata,
            params,
            key_id,
            request_id,
            validate_only,
            material: Some(material),
            new_version: self.new_version,
            etag: self.etag.clone().unwrap_or_default(),
            expected_primary_version: 0,
            stage_only: self.stage_only,
        };
        Ok(client.import_key(request).await?)
    }

    /// What the material is wrapped under: the job that is named, or a new one; `None`
    /// where it is not wrapped.
    async fn job(&self, client: &Client) -> Result<Option<ImportJob>, Error> {
        Ok(match &self.job {
            _ if self.plain => None,
            Some(id) => Some(client.import_job(id).await?),
            None => {
                let method = ImportMethod::RsaOaep3072Sha256Aes256.into();
                let request = CreateImportJobRequest { method, ..Default::default() };
                Some(client.create_import_job(request).await?)
            }
        })
    }
}

/// The material in a file: PEM is taken off, and everything else left as it is.
fn material(bytes: Vec<u8>) -> Result<Zeroizing<Vec<u8>>, Error> {
    let bytes = Zeroizing::new(bytes);
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

/// As much as the gateway takes, and PEM around it.
const MAX_BYTES: usize = 32 * 1024;
