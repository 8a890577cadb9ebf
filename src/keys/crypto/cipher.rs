//! One encryption and one decryption, behind the gate: what Encrypt, Decrypt, ReEncrypt
//! and GenerateDataKey are made of.

use std::{sync::Arc, time::SystemTime};

use aws_lc_rs::rand;
use bytes::Bytes;
use skms_backend::{
    Class, DecryptInput, EncryptInput, Encrypted, EncryptionAlgorithm, Operation, PublicKey, Salting, Secret,
};

use super::{
    Aad, Ready, asked,
    envelope::{Envelope, Header, Suite},
    fits_device, of_device, only,
};
use crate::{
    gate::{Permit, Work},
    keys::{
        Error, Keyring,
        sign::{is_for, may_sign, named},
        verify::may_process,
    },
    model::{Key, Origin, Purpose, Reason, Version},
};

/// A message that was encrypted.
pub(super) struct Sealed {
    pub(super) version: Arc<Version>,
    pub(super) algorithm: EncryptionAlgorithm,
    pub(super) ciphertext: Bytes,
}

/// A message that was decrypted.
pub(super) struct Opened {
    pub(super) version: Arc<Version>,
    pub(super) algorithm: EncryptionAlgorithm,
    pub(super) plaintext: Secret,
}

/// What is encrypted or decrypted, and what is authenticated with it.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) bytes: &'a Bytes,
    pub(super) aad: &'a Aad,
    /// Whether it is the data key of a stream. One is never taken for the other.
    pub(super) is_stream: bool,
}

impl<'a> Input<'a> {
    /// A message by itself.
    pub(super) const fn of(bytes: &'a Bytes, aad: &'a Aad) -> Self {
        Self { bytes, aad, is_stream: false }
    }
}

/// What is asked of a ciphertext whose form does not say it: that of RSAES-OAEP.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    pub(super) version: u32,
    pub(super) algorithm: Option<EncryptionAlgorithm>,
    /// Whether a compromised version decrypts, too.
    pub(super) accept_compromised: bool,
}

/// The names of the fields that hold what is encrypted, for errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    pub(super) input: &'static str,
    /// Bytes, and a context.
    pub(super) aad: [&'static str; 2],
    pub(super) algorithm: &'static str,
}

impl Keyring {
    /// Encrypts, with the primary version where `asked` names none.
    pub(super) async fn seal(
        &self,
        permit: &Permit,
        key: &Key,
        asked: Asked,
        input: Input<'_>,
        fields: Fields,
    ) -> Result<Sealed, Error> {
        let Input { bytes: plaintext, aad, .. } = input;
        let version = Arc::clone(may_sign(key, asked.version, SystemTime::now())?);
        is_for(key, Purpose::EncryptDecrypt)?;
        let algorithm = chosen(key, asked.algorithm, fields)?;
        permit.note(|facts| {
            facts.algorithm = Some(algorithm.name());
            facts.version = Some(version.number);
            facts.backend = Some(version.backend.clone());
            facts.input_bytes = Some(plaintext.len());
            facts.context_names = aad.names().map(str::to_owned).collect();
        });
        let ciphertext = if algorithm.is_rsa_oaep() {
            no_aad(aad, fields)?;
            let public = fits_oaep(&version, algorithm, plaintext, fields)?;
            self.protects(permit, Work::Verify, key, &version).await?;
            let failed = |_| Error::Internal { what: "the public half does not encrypt" };
            // No device is asked.
            public.encrypt_oaep(algorithm, plaintext).map(Bytes::from).map_err(failed)?
        } else {
            self.authenticated(permit, key, &version, algorithm, input, fields).await?
        };
        Ok(Sealed { version, algorithm, ciphertext })
    }

    async fn authenticated(
        &self,
        permit: &Permit,
        key: &Key,
        version: &Version,
        algorithm: EncryptionAlgorithm,
        input: Input<'_>,
        fields: Fields,
    ) -> Result<Bytes, Error> {
        let Input { bytes: plaintext, aad, is_stream: stream } = input;
        let salting = offered(permit, key, version, algorithm)?;
        fits_device(permit, version, fields.input, plaintext.len())?;
        // Whoever else has the key may be counting the same nonces.
        if salting == Salting::Nonce && version.origin != Origin::Generated {
            return Err(Error::DecryptsOnly { key: key.id.clone(), version: version.number });
        }
        let ready = Ready::of(permit, version)?;
        self.protects(permit, Work::Cipher, key, version).await?;
        let ctx = permit.context(self.limits.operation_timeout);
        let mut tries = 0;
        loop {
            // A second try is another message, with a salt of its own.
            let salt = self.salt(key, version, salting).await?;
            let suite = Suite { algorithm, salting };
            let header = Header {
                suite,
                context: aad.is_context(),
                stream,
                uid: key.uid,
                version: version.number,
                salt,
            };
            let encoded = header.encode().ok_or(Error::Internal { what: "a suite without a number" })?;
            let input = EncryptInput {
                salt: header.salt,
                header: encoded.clone(),
                aad: aad.canonical(),
                plaintext: plaintext.clone(),
            };
            let ask = |inputs| ready.device.encrypt(&ready.key, algorithm, inputs, &ctx);
            let answer = match &self.joints {
                Some(joints) => {
                    let of = (ready.key.tag, algorithm, &ctx);
                    joints.encrypt.ask(Operation::Encrypt, of, input, ask).await
                }
                None => only(ask(vec![input]).await, Operation::Encrypt),
            };
            match answer {
                Ok(Encrypted { commitment, ciphertext }) => {
                    return Ok(Envelope::assemble(&encoded, &commitment, &ciphertext));
                }
                Err(error)
                    if tries == 0
                        && matches!(error.class(), Class::Session | Class::Login | Class::Handle) =>
                {
                    tries += 1;
                }
                Err(error) => return Err(of_device(version, error)),
            }
        }
    }

    async fn salt(&self, key: &Key, version: &Version, salting: Salting) -> Result<Bytes, Error> {
        match salting {
            Salting::Derived => {
                let mut salt = [0; Salting::Derived.bytes()];
                let failed = |_| Error::Internal { what: "the system gives no random bytes" };
                rand::fill(&mut salt).map_err(failed)?;
                Ok(Bytes::copy_from_slice(&salt))
            }
            Salting::Nonce => self.nonce(key, version).await,
        }
    }

    /// Decrypts. Whatever is wrong with the ciphertext, what stands beside it or the
    /// version that it names is one error.
    pub(super) async fn open(
        &self,
        permit: &Permit,
        key: &Key,
        asked_for: Asked,
        given: Input<'_>,
        fields: Fields,
    ) -> Result<Opened, Error> {
        let Input { bytes: ciphertext, aad, .. } = given;
        decrypts(key, asked_for)?;
        permit.note(|facts| {
            facts.input_bytes = Some(ciphertext.len());
            facts.context_names = aad.names().map(str::to_owned).collect();
        });
        let (version, algorithm, input) = if key.key_type.is_aes() {
            let (version, algorithm, input) = enveloped(key, asked_for, given, fields)?;
            offered(permit, key, &version, algorithm)?;
            (version, algorithm, input)
        } else {
            no_aad(aad, fields)?;
            let version = Arc::clone(named(key, asked_for.version)?);
            (version, chosen(key, asked_for.algorithm, fields)?, DecryptInput::Oaep(ciphertext.clone()))
        };
        permit.note(|facts| {
            facts.algorithm = Some(algorithm.name());
            facts.version = Some(version.number);
            facts.backend = Some(version.backend.clone());
        });
        may_process(key, &version, asked_for.accept_compromised)?;
        let ready = Ready::of(permit, &version)?;
        permit.charge(Work::Cipher, key, version.protection_level)?;
        let ctx = permit.context(self.limits.operation_timeout);
        let (device, at, ctx, input, joints) = (&ready.device, &ready.key, &ctx, &input, &self.joints);
        let ask = || async move {
            let ask = |inputs| device.decrypt(at, algorithm, inputs, ctx);
            match joints {
                Some(joints) => {
                    let of = (at.tag, algorithm, ctx);
                    joints.decrypt.ask(Operation::Decrypt, of, input.clone(), ask).await
                }
                None => only(ask(vec![input.clone()]).await, Operation::Decrypt),
            }
        };
        match asked(ask).await {
            Ok(plaintext) => Ok(Opened { version, algorithm, plaintext }),
            Err(error) if error.class() == Class::Caller => Err(Error::DecryptionFailed),
            Err(error) => Err(of_device(&version, error)),
        }
    }
}

/// Refuses a key that is for something else; but what is out of use says so first, as
/// everywhere. Which version is meant the ciphertext says, where the key is for that.
pub(super) fn decrypts(key: &Key, asked_for: Asked) -> Result<(), Error> {
    is_for(key, Purpose::EncryptDecrypt).or_else(|other| {
        may_process(key, named(key, asked_for.version)?, asked_for.accept_compromised)?;
        Err(other)
    })
}

/// A ciphertext of AES, taken apart and held against the key.
fn enveloped(
    key: &Key,
    asked_for: Asked,
    given: Input<'_>,
    fields: Fields,
) -> Result<(Arc<Version>, EncryptionAlgorithm, DecryptInput), Error> {
    let Input { bytes: ciphertext, aad, is_stream } = given;
    let envelope = Envelope::decode(ciphertext).filter(|envelope| envelope.header.stream == is_stream);
    let Some(envelope) = envelope else {
        let why = "it is no ciphertext of this gateway, or was cut off";
        return Err(Error::invalid(fields.input, Reason::CiphertextMalformed, why));
    };
    let Envelope { header, encoded, commitment, ciphertext } = envelope;
    if header.uid != key.uid {
        let why = "it was encrypted with another key";
        return Err(Error::invalid(fields.input, Reason::KeyMismatch, why));
    }
    let algorithm = header.suite.algorithm;
    let other_version = asked_for.version != 0 && asked_for.version != header.version;
    let other_algorithm = asked_for.algorithm.is_some_and(|asked| asked != algorithm);
    // What the header says is not authenticated yet: no such version is as good as a
    // version that did not make it.
    let version = key.version(header.version).filter(|_| header.version != 0);
    let Some(version) = version.filter(|_| !other_version && !other_algorithm) else {
        return Err(Error::DecryptionFailed);
    };
    if !algorithm.fits(key.key_type) || header.context != aad.is_context() {
        return Err(Error::DecryptionFailed);
    }
    let input = DecryptInput::Authenticated {
        salt: header.salt,
        header: encoded,
        commitment,
        aad: aad.canonical(),
        ciphertext,
    };
    Ok((Arc::clone(version), algorithm, input))
}

/// The algorithm that was asked for, if the key allows it; else its default.
fn chosen(
    key: &Key,
    algorithm: Option<EncryptionAlgorithm>,
    fields: Fields,
) -> Result<EncryptionAlgorithm, Error> {
    let allowed = &key.encryption_algorithms;
    match algorithm {
        None => allowed.first().copied().ok_or(Error::Internal { what: "the key has no algorithm" }),
        Some(algorithm) if allowed.contains(&algorithm) => Ok(algorithm),
        Some(_) => {
            let names: Vec<_> = allowed.iter().map(|algorithm| algorithm.name()).collect();
            let why = format!("not one of this key's algorithms: {}", names.join(", "));
            Err(Error::invalid(fields.algorithm, Reason::AlgorithmNotAllowed, why))
        }
    }
}

fn no_aad(aad: &Aad, fields: Fields) -> Result<(), Error> {
    if aad.is_none() {
        return Ok(());
    }
    let why = "RSA-OAEP authenticates nothing beside the plaintext";
    let [bytes, context] = fields.aad;
    let field = if aad.is_context() { context } else { bytes };
    Err(Error::invalid(field, Reason::ParameterNotApplicable, why))
}

/// The public half that encrypts this; refuses what is too long for it.
fn fits_oaep<'a>(
    version: &'a Version,
    algorithm: EncryptionAlgorithm,
    plaintext: &[u8],
    fields: Fields,
) -> Result<&'a PublicKey, Error> {
    let Some(public) = &version.public_key else {
        return Err(Error::Internal { what: "the version has no public half" });
    };
    let most = algorithm.oaep_max_bytes(public.key_type()).unwrap_or_default();
    if plaintext.len() > most {
        let why = format!(
            "{} bytes are more than the {most} that {algorithm} takes with this key; encrypt a data key",
            plaintext.len()
        );
        let violation = crate::keys::Violation::new(fields.input, Reason::PayloadTooLarge, why);
        return Err(Error::Invalid { violations: vec![violation.about("maxBytes", most)] });
    }
    Ok(public)
}

/// What a salt is to the backend of a version; it is asked before the device is.
fn offered(
    permit: &Permit,
    key: &Key,
    version: &Version,
    algorithm: EncryptionAlgorithm,
) -> Result<Salting, Error> {
    let backend = &version.backend;
    let capabilities =
        permit.capabilities(backend).ok_or_else(|| Error::BackendGone { backend: backend.clone() })?;
    capabilities.encrypt(key.key_type, algorithm).and_then(|support| support.salting).ok_or_else(|| {
        Error::NotOffered { backend: backend.clone(), what: format!("encrypting with {algorithm}") }
    })
}
