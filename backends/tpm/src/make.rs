//! Making keys and taking them in. Nothing stays in the TPM but what was used last.
//!
//! **Invariant:** no key is given out before it was read back from its blob and did what
//! it is for.

use aws_lc_rs::{agreement, rand};
use bytes::Bytes;
use skms_backend::{
    Class, EncryptionAlgorithm, Error, GeneratedKey, KeyRef, KeyTag, KeyType, Operation, Pin, PublicKey,
    SaltedKey, Secret, SignInput, SignatureAlgorithm,
};
use tss_esapi::structures::{Auth, EncryptedSecret, SensitiveData, SymmetricDefinitionObject};
use zeroize::Zeroizing;

use crate::{
    blob::{AUTH_BYTES, Wrapped},
    cipher,
    device::{Connection, Guard, Tpm},
    duty::Duty,
    error::{blames_material, device},
    material::Material,
    public, resolve, sign, template,
    template::{Source, Unique},
    wrap,
};

/// What a key is made as, and with which algorithms it is tried.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) tag: KeyTag,
    pub(crate) key_type: KeyType,
    pub(crate) duty: Duty,
    pub(crate) signature: Option<SignatureAlgorithm>,
    pub(crate) encryption: Option<EncryptionAlgorithm>,
}

/// Makes a key, or takes one in.
pub(crate) fn make(
    tpm: &Tpm,
    connection: &mut Connection,
    order: &Order,
    material: Option<&Secret>,
) -> Result<GeneratedKey, Error> {
    let operation = if material.is_some() { Operation::Import } else { Operation::Generate };
    let Order { tag, key_type, .. } = *order;
    let wrapped = match (material, key_type.secret_bytes()) {
        (None, Some(length)) if key_type.is_aes() => {
            let mut bytes = Zeroizing::new(vec![0; length]);
            rand::fill(&mut bytes).map_err(|error| Error::new(Class::Broken, operation).source(error))?;
            create(connection, order, Some(&bytes), operation)
        }
        (None, _) => create(connection, order, None, operation),
        (Some(material), Some(length)) if material.expose().len() == length => {
            create(connection, order, Some(material.expose()), operation)
        }
        (Some(_), Some(_)) => Err(no_key(key_type)),
        (Some(material), None) => {
            let material = Material::read(key_type, material.expose()).ok_or_else(|| no_key(key_type))?;
            import(connection, order, &material)
        }
    }?;
    let broken = |why: &'static str| Error::new(Class::Broken, operation).detail(why);
    let told = public::read(key_type, &wrapped.public);
    let blob = wrapped.write().ok_or_else(|| broken("the TPM made a key that cannot be kept"))?;
    let key = KeyRef { tag, key_type, blob, pin: told.map(Pin::Public) };
    let pin = match prove(tpm, connection, order, &key, operation) {
        Err(error) if matches!(error.class(), Class::Caller | Class::Key) => {
            return Err(broken("the new key does not do what it is for").source(error));
        }
        proved => proved?,
    };
    Ok(GeneratedKey { pin, blob: key.blob })
}

fn no_key(key_type: KeyType) -> Error {
    Error::new(Class::Caller, Operation::Import).detail(format!("it is no key of type {key_type}"))
}

fn create(
    connection: &mut Connection,
    order: &Order,
    data: Option<&[u8]>,
    operation: Operation,
) -> Result<Wrapped, Error> {
    let failed = device(operation);
    let source = if data.is_some() { Source::Given } else { Source::Tpm };
    let template = template::key((order.tag, order.key_type, order.duty), source, &Unique::None)
        .map_err(&failed)?
        .ok_or_else(|| Error::new(Class::Unsupported, operation))?;
    let data = data.map(SensitiveData::try_from).transpose().map_err(&failed)?;
    let auth = random_auth(operation)?;
    let parent = connection.parent;
    let made = connection.call(Guard::Sealed, operation, |context| {
        context.create(parent, template.clone(), Some(auth.clone()), data.clone(), None, None)
    })?;
    Ok(Wrapped { parent: connection.parent_name, auth, public: made.out_public, private: made.out_private })
}

fn import(connection: &mut Connection, order: &Order, material: &Material) -> Result<Wrapped, Error> {
    let failed = device(Operation::Import);
    let public = template::key((order.tag, order.key_type, order.duty), Source::Imported, &material.unique)
        .map_err(&failed)?
        .ok_or_else(|| Error::new(Class::Unsupported, Operation::Import))?;
    let auth = random_auth(Operation::Import)?;
    let sensitive = material.sensitive(auth.clone()).map_err(&failed)?;
    let wrapping = wrap::wrap(&sensitive, &public)
        .ok_or_else(|| Error::new(Class::Broken, Operation::Import).detail("the key cannot be wrapped"))?;
    let parent = connection.parent;
    let imported = connection.ask(Guard::Sealed, |context| {
        context.import(
            parent.into(),
            Some(wrapping.key.clone()),
            public.clone(),
            wrapping.duplicate.clone(),
            EncryptedSecret::default(),
            SymmetricDefinitionObject::AES_128_CFB,
        )
    });
    match imported {
        Ok(private) => Ok(Wrapped { parent: connection.parent_name, auth, public, private }),
        Err(error) if blames_material(&error) => Err(no_key(order.key_type)),
        Err(error) => Err(failed(error)),
    }
}

fn random_auth(operation: Operation) -> Result<Auth, Error> {
    let mut auth = Zeroizing::new([0; AUTH_BYTES]);
    rand::fill(&mut *auth).map_err(|error| Error::new(Class::Broken, operation).source(error))?;
    // A TPM drops zeros at the end (TPM 2.0 part 1, chapter 19.6.4.3), the stack does not.
    if let Some(last) = auth.last_mut() {
        *last |= 1;
    }
    Auth::try_from(auth.as_slice()).map_err(device(operation))
}

/// Has a new key do what it is for, and checks what comes of it (FIPS 140-3, pairwise
/// consistency); gives what it is told by.
fn prove(
    tpm: &Tpm,
    connection: &mut Connection,
    order: &Order,
    key: &KeyRef,
    operation: Operation,
) -> Result<Pin, Error> {
    const SAMPLE: &[u8] = b"pairwise consistency";
    let broken = |why: &'static str| Error::new(Class::Broken, operation).detail(why);
    let wrong = || broken("the new key does not do what it is for");
    let (key_type, duty) = (order.key_type, order.duty);
    if key_type.is_aes() {
        let bytes = resolve::unseal(tpm, connection, key, operation)?;
        let value = SaltedKey::new(bytes.expose()).check_value(key_type);
        return value.map(Pin::Secret).ok_or_else(wrong);
    }
    let handle = resolve::resolve(connection, key, duty, operation)?;
    match (duty, key.pin.as_ref().and_then(Pin::public_key)) {
        (Duty::Sign, Some(public)) => {
            let algorithm = order.signature.ok_or_else(wrong)?;
            let input = SignInput::Message(Bytes::from_static(SAMPLE));
            let what = (key_type, algorithm);
            let signature = sign::one(connection, handle, what, Guard::Proof, &input)?;
            public
                .verify(algorithm, &input, &signature.0)
                .then(|| Pin::Public(public.clone()))
                .ok_or_else(wrong)
        }
        (Duty::Encrypt, Some(public)) => {
            let algorithm = order.encryption.ok_or_else(wrong)?;
            let ciphertext = public.encrypt_oaep(algorithm, SAMPLE).map_err(|_| wrong())?;
            let opened = cipher::decrypt(connection, handle, algorithm, &ciphertext)?;
            (opened.expose() == SAMPLE).then(|| Pin::Public(public.clone())).ok_or_else(wrong)
        }
        (Duty::Agree, Some(public)) => {
            let (half, expected) = agreed(public).ok_or_else(wrong)?;
            let secret = cipher::agree(connection, handle, key_type, &half)?;
            (secret == expected).then(|| Pin::Public(public.clone())).ok_or_else(wrong)
        }
        (Duty::Mac, None) => cipher::check_value(connection, handle, key_type, operation).map(Pin::Secret),
        _ => Err(wrong()),
    }
}

/// A public key of the same type, and the secret that its private half agrees on.
fn agreed(public: &PublicKey) -> Option<(PublicKey, Secret)> {
    let curve = match public.key_type() {
        KeyType::EcP256 => &agreement::ECDH_P256,
        KeyType::EcP384 => &agreement::ECDH_P384,
        KeyType::EcP521 => &agreement::ECDH_P521,
        _ => return None,
    };
    let other = agreement::PrivateKey::generate(curve).ok()?;
    let half = other.compute_public_key().ok()?;
    let half = PublicKey::from_point(public.key_type(), half.as_ref()).ok()?;
    let peer = agreement::UnparsedPublicKey::new(curve, public.raw());
    let secret = agreement::agree(&other, peer, (), |secret| Ok(Secret::new(secret.to_vec()))).ok()?;
    Some((half, secret))
}
