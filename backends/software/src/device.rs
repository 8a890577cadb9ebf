//! What the threads do; a thread needs nothing of its own.

use std::time::Instant;

use aws_lc_rs::rand;
use bytes::Bytes;
use skms_backend::{
    Class, DecryptInput, Device, EncryptInput, EncryptionAlgorithm, Error, GeneratedKey, KeyRef, KeyTag,
    KeyType, OpContext, Operation, Pin, PublicKey, Salting, Secret, SignInput, Signature, SignatureAlgorithm,
};

use crate::{
    cipher,
    keys::{self, Duty, Material},
    seal::{Bound, Sealer},
    sign,
    unsealed::{self, UnsealedKeys},
};

/// What all threads share.
pub(crate) struct Software {
    pub(crate) sealer: Sealer,
    pub(crate) unsealed: UnsealedKeys,
}

impl Device for Software {
    type Context = ();

    fn open(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl Software {
    pub(crate) fn generate(&self, key_type: KeyType, duty: Duty, tag: KeyTag) -> Result<GeneratedKey, Error> {
        let making = |source| Error::new(Class::Broken, Operation::Generate).detail("making").source(source);
        let encoded = keys::generate(key_type).map_err(making)?;
        self.take_in(Bound { tag, key_type, duty }, &encoded, Operation::Generate)
    }

    pub(crate) fn import(
        &self,
        key_type: KeyType,
        duty: Duty,
        tag: KeyTag,
        material: &Secret,
    ) -> Result<GeneratedKey, Error> {
        let unfit = |_| {
            let why = format!("it is no key of type {key_type}, or cannot do this");
            Error::new(Class::Caller, Operation::Import).detail(why)
        };
        let encoded = keys::normalized(key_type, material.expose()).map_err(unfit)?;
        Material::read(key_type, duty, &encoded).map_err(unfit)?;
        self.take_in(Bound { tag, key_type, duty }, &encoded, Operation::Import)
    }

    /// Seals a key, and has it do what it is for: what is checked is what is given out,
    /// the key that is in the blob.
    fn take_in(&self, bound: Bound, encoded: &[u8], operation: Operation) -> Result<GeneratedKey, Error> {
        let Bound { tag, key_type, duty } = bound;
        let broken = |step: &'static str| Error::new(Class::Broken, operation).detail(step);
        let blob = self.sealer.seal(bound, encoded).map_err(|error| broken("sealing").source(error))?;
        let sealed = KeyRef { tag, key_type, blob, pin: None };
        let material = unsealed::open(&self.sealer, &sealed, duty, operation)
            .map_err(|error| broken("unsealing").source(error))?;
        let pin = unsealed::pin_of(&material, key_type).ok_or_else(|| broken("what tells it from others"))?;
        prove(&material, &pin, bound).ok_or_else(|| broken("the new key does not do what it is for"))?;
        Ok(GeneratedKey { pin, blob: sealed.blob })
    }

    pub(crate) fn each<I, T>(
        &self,
        (key, duty): (&KeyRef, Duty),
        operation: Operation,
        inputs: &[I],
        ctx: &OpContext,
        one: impl Fn(&Material, &I) -> Result<T, Error>,
    ) -> Result<Vec<Result<T, Error>>, Error> {
        let unsealed = self.unsealed.get(&self.sealer, key, duty)?;
        let one = |input| {
            // The caller has been answered by then; this only saves the work.
            if ctx.cancellation.is_cancelled() {
                return Err(Error::new(Class::Cancelled, operation));
            }
            if ctx.deadline <= Instant::now() {
                return Err(Error::new(Class::Timeout, operation));
            }
            one(&unsealed.key, input)
        };
        Ok(inputs.iter().map(one).collect())
    }

    /// Seals and unseals: the random source, the master key and the cipher at work.
    pub(crate) fn probe(&self, operation: Operation) -> Result<(), Error> {
        const SAMPLE: &[u8] = b"probe";
        let broken = |detail: String| Error::new(Class::Broken, operation).detail(detail);
        let tag = KeyTag::random().ok_or_else(|| broken("the system gives no random bytes".to_owned()))?;
        let bound = Bound { tag, key_type: KeyType::Ed25519, duty: Duty::Sign };
        let read = self
            .sealer
            .seal(bound, SAMPLE)
            .and_then(|blob| self.sealer.unseal(bound, &blob))
            .map_err(|error| broken(error.to_string()))?;
        if read.as_slice() == SAMPLE {
            Ok(())
        } else {
            Err(broken("what was sealed did not come back".to_owned()))
        }
    }
}

/// Random bytes of the system.
pub(crate) fn random(length: usize) -> Result<Secret, Error> {
    let mut bytes = zeroize::Zeroizing::new(vec![0; length]);
    rand::fill(&mut bytes).map_err(|error| Error::new(Class::Broken, Operation::Random).source(error))?;
    Ok(Secret::new(std::mem::take(&mut *bytes)))
}

/// Has a new key do what it is for, and checks what comes of it (FIPS 140-3, pairwise
/// consistency); `None` where that is wrong.
fn prove(material: &Material, pin: &Pin, bound: Bound) -> Option<()> {
    const SAMPLE: &[u8] = b"pairwise consistency";
    let key_type = bound.key_type;
    match (bound.duty, pin) {
        (Duty::Sign, Pin::Public(public)) => {
            let input = SignInput::Message(Bytes::from_static(SAMPLE));
            let algorithm = SignatureAlgorithm::of(key_type).next()?;
            let Signature(signature) = sign::sign(material, algorithm, &input).ok()?;
            public.verify(algorithm, &input, &signature).then_some(())
        }
        (Duty::Encrypt, Pin::Public(public)) => {
            let algorithm = EncryptionAlgorithm::of(key_type).next()?;
            let ciphertext = public.encrypt_oaep(algorithm, SAMPLE).ok()?;
            let opened = cipher::decrypt(material, algorithm, &DecryptInput::Oaep(ciphertext.into())).ok()?;
            (opened.expose() == SAMPLE).then_some(())
        }
        (Duty::Encrypt, Pin::Secret(_)) => {
            let algorithm = EncryptionAlgorithm::of(key_type).next()?;
            let input = EncryptInput {
                salt: vec![0; Salting::Derived.bytes()].into(),
                header: Bytes::new(),
                aad: Bytes::new(),
                plaintext: Bytes::from_static(SAMPLE),
            };
            let encrypted = cipher::encrypt(material, algorithm, &input).ok()?;
            let message = DecryptInput::Authenticated {
                salt: input.salt,
                header: input.header,
                commitment: encrypted.commitment,
                aad: input.aad,
                ciphertext: encrypted.ciphertext,
            };
            let opened = cipher::decrypt(material, algorithm, &message).ok()?;
            (opened.expose() == SAMPLE).then_some(())
        }
        (Duty::Mac, Pin::Secret(_)) => {
            let code = cipher::mac(material, key_type, SAMPLE).ok()?;
            (code.len() == key_type.mac_hash()?.digest_bytes()).then_some(())
        }
        (Duty::Agree, Pin::Public(public)) => {
            let other = Material::read(key_type, Duty::Agree, &keys::generate(key_type).ok()?).ok()?;
            let half: PublicKey = other.public_key(key_type).ok()??;
            let (here, there) = (cipher::agree(material, &half).ok()?, cipher::agree(&other, public).ok()?);
            (here == there).then_some(())
        }
        _ => None,
    }
}
