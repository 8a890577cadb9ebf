//! The master key of a software backend, in a file that only one TPM opens.
//!
//! A key of AES-256 is made under the storage key of the TPM, as any other, and encrypts the
//! master key. The file holds both, and so is worth nothing on a stolen disk, in a copy, or
//! after the TPM was cleared. It is JSON:
//!
//! | field | what |
//! |---|---|
//! | `format` | `skms-sealed-master-key-1` |
//! | `backend` | the software backend; authenticated |
//! | `tag`, `blob`, `check_value` | the key that encrypts it, as the catalog keeps keys of a TPM |
//! | `salt`, `commitment`, `ciphertext` | the master key, encrypted by it |
//!
//! **Invariant:** a master key is used only after the file that brings it back is on disk;
//! and none is made where there are keys under another one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use aws_lc_rs::rand;
use bytes::Bytes;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};
use skms_backend::{
    CheckValue, Class, DecryptInput, EncryptInput, EncryptionAlgorithm, Error, KeyBackend, KeyRef, KeySpec,
    KeyTag, KeyType, OpContext, Operation, Pin, RootKey, Salting, Secret, Usage,
};
use tracing::info;
use zeroize::Zeroizing;

use crate::model::BackendName;

const FORMAT: &str = "skms-sealed-master-key-1";
const KEY_TYPE: KeyType = KeyType::Aes256;
const ALGORITHM: EncryptionAlgorithm = EncryptionAlgorithm::Aes256Gcm;
/// A TPM that takes longer is not there.
const PATIENCE: Duration = Duration::from_secs(60);
/// Far more than such a file has.
const MOST_BYTES: u64 = 64 * 1024;

/// What is in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    format: String,
    backend: BackendName,
    #[serde(with = "hex::serde")]
    tag: Vec<u8>,
    #[serde(with = "hex::serde")]
    blob: Vec<u8>,
    check_value: CheckValue,
    #[serde(with = "hex::serde")]
    salt: Vec<u8>,
    commitment: CheckValue,
    #[serde(with = "hex::serde")]
    ciphertext: Vec<u8>,
}

/// The master key of `backend`, which `device` unseals. Where there is no file, one is made
/// with a new master key, unless `is_used`: there are keys under one already.
///
/// # Errors
/// [`Class::Key`] where the file is not there or not of this TPM; whatever the TPM answers.
pub(super) async fn open(
    device: &dyn KeyBackend,
    (backend, file): (&BackendName, &Path),
    is_used: bool,
) -> Result<RootKey, Error> {
    match read(file) {
        Ok(bytes) => unseal(device, backend, file, &bytes).await,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_used => {
            let mut bytes = Zeroizing::new([0; RootKey::BYTES]);
            let failed =
                |_| Error::new(Class::Broken, Operation::Open).detail("the system gives no random bytes");
            rand::fill(&mut *bytes).map_err(failed)?;
            let key = RootKey::parse(&Secret::new(bytes.to_vec()))
                .map_err(|error| Error::new(Class::Broken, Operation::Open).source(error))?;
            seal(device, (backend, file), &key).await?;
            info!(%backend, file = %file.display(), "a master key was made and sealed to the TPM; there is no other copy of it");
            Ok(key)
        }
        Err(error) => Err(unusable(file).source(error)),
    }
}

/// Writes a master key into a file that is not there yet.
///
/// # Errors
/// [`Class::Broken`] where the file is there, or cannot be written; whatever the TPM
/// answers.
pub(super) async fn seal(
    device: &dyn KeyBackend,
    (backend, file): (&BackendName, &Path),
    key: &RootKey,
) -> Result<(), Error> {
    let broken = |why: &'static str| Error::new(Class::Broken, Operation::Open).detail(why);
    let tag = KeyTag::random().ok_or_else(|| broken("the system gives no random bytes"))?;
    let spec = KeySpec { key_type: KEY_TYPE, usage: Usage::Encrypt(vec![ALGORITHM]) };
    let ctx = OpContext::within(PATIENCE);
    let made = device.generate(&spec, tag, &ctx).await?;
    let Some(check_value) = made.pin.check_value().copied() else {
        return Err(broken("a secret key without a check value"));
    };
    let key_ref = KeyRef { tag, key_type: KEY_TYPE, blob: made.blob, pin: Some(made.pin) };
    let mut salt = vec![0; Salting::Derived.bytes()];
    rand::fill(&mut salt).map_err(|_| broken("the system gives no random bytes"))?;
    let input = EncryptInput {
        salt: Bytes::from(salt.clone()),
        header: header(backend),
        aad: Bytes::new(),
        plaintext: Secret::new(key.expose().to_vec()).into_bytes(),
    };
    let encrypted = device.encrypt(&key_ref, ALGORITHM, vec![input], &ctx).await.pop();
    let encrypted = encrypted.ok_or_else(|| broken("the TPM gave no answer"))??;
    let sealed = Sealed {
        format: FORMAT.to_owned(),
        backend: backend.clone(),
        tag: tag.as_bytes().to_vec(),
        blob: key_ref.blob.to_vec(),
        check_value,
        salt,
        commitment: encrypted.commitment,
        ciphertext: encrypted.ciphertext.to_vec(),
    };
    let text = serde_json::to_vec_pretty(&sealed).map_err(|error| unusable(file).source(error))?;
    // Read back before it is needed: whatever is wrong is wrong now.
    unseal(device, backend, file, &text).await?;
    put(file, &text).map_err(|error| unusable(file).source(error))
}

async fn unseal(
    device: &dyn KeyBackend,
    backend: &BackendName,
    file: &Path,
    text: &[u8],
) -> Result<RootKey, Error> {
    let refused =
        |why: String| Error::new(Class::Key, Operation::Open).detail(format!("`{}`: {why}", file.display()));
    let sealed: Sealed = serde_json::from_slice(text)
        .map_err(|error| refused(format!("it is no sealed master key: {error}")))?;
    if sealed.format != FORMAT {
        return Err(refused(format!(
            "it is of the format `{}`, and this release reads `{FORMAT}`",
            sealed.format
        )));
    }
    if sealed.backend != *backend {
        return Err(refused(format!("it is the master key of the backend `{}`", sealed.backend)));
    }
    let tag =
        KeyTag::from_slice(&sealed.tag).ok_or_else(|| refused("its tag has another length".to_owned()))?;
    let key = KeyRef {
        tag,
        key_type: KEY_TYPE,
        blob: sealed.blob.into(),
        pin: Some(Pin::Secret(sealed.check_value)),
    };
    let input = DecryptInput::Authenticated {
        salt: sealed.salt.into(),
        header: header(backend),
        commitment: sealed.commitment,
        aad: Bytes::new(),
        ciphertext: sealed.ciphertext.into(),
    };
    let ctx = OpContext::within(PATIENCE);
    let opened = device.decrypt(&key, ALGORITHM, vec![input], &ctx).await.pop();
    let opened = opened.ok_or_else(|| refused("the TPM gave no answer".to_owned()))?.map_err(|error| {
        match error.class() {
            // What is refused of a file that was changed is no fault of a caller here.
            Class::Caller => refused("it was changed".to_owned()),
            _ => error,
        }
    })?;
    RootKey::parse(&opened).map_err(|error| refused(error.to_string()))
}

/// What the master key is bound to.
fn header(backend: &BackendName) -> Bytes {
    Bytes::from(format!("skms/master-key/1/{backend}"))
}

fn unusable(file: &Path) -> Error {
    let why = format!("the sealed master key `{}` cannot be used", file.display());
    Error::new(Class::Key, Operation::Open).detail(why)
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let found = fs::metadata(file)?;
    if !found.is_file() || found.len() > MOST_BYTES {
        return Err(io::Error::other("it is no file of such a size"));
    }
    fs::read(file)
}

/// Puts a file where none is, whole and safe.
fn put(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let mut new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    new.write_all(bytes)?;
    new.sync_all()?;
    renameat_with(CWD, Path::new(&beside), CWD, file, RenameFlags::NOREPLACE)?;
    let directory = file.parent().filter(|path| !path.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}
