//! What the chip can do, asked of the chip (TPM2_GetCapability, TPM2_TestParms).
//!
//! Two things no list says: how long the salts of RSASSA-PSS are, which may be as long as
//! the modulus leaves room for and are to be as long as the digest; and with which hashes
//! RSAES-OAEP works. They are tried, with a key of RSA-2048 that software makes for that
//! and that is never wrapped.

use aws_lc_rs::{encoding::AsDer, encoding::Pkcs8V1Der, rsa::KeySize, signature::RsaKeyPair};
use bytes::Bytes;
use skms_backend::{
    Capabilities, DeviceIdentity, EncryptSupport, EncryptionAlgorithm, Error, Hash, KeyTag, KeyType,
    KeyTypeSupport, Operation, ProtectionLevel, Salting, SignInput, SignSupport, SignatureAlgorithm,
};
use tracing::info;
use tss_esapi::{
    constants::AlgorithmIdentifier as Algorithm,
    constants::{CapabilityType, PropertyTag},
    interface_types::resource_handles::Hierarchy,
    structures::{
        Auth, CapabilityData, HmacScheme, KeyedHashScheme, MaxBuffer, PublicKeyedHashParameters,
        PublicParameters,
    },
};

use crate::{
    cipher,
    device::{Connection, Guard},
    duty::Duty,
    error::device,
    material::Material,
    sign::{self, MAX_MESSAGE_BYTES},
    template::{self, Source, ecc_parameters, hashing, rsa_parameters},
};

/// The most random bytes in one call to this backend: a TPM gives 32 to 64 in a command.
const MAX_RANDOM_BYTES: usize = 1024;
/// How many algorithms are asked for at once: more than there are.
const ALGORITHMS: u32 = 254;

/// What the gateway is told about the TPM.
pub(crate) fn capabilities(connection: &mut Connection) -> Result<Capabilities, Error> {
    let failed = device(Operation::Open);
    let known = algorithms(connection)?;
    let has = |wanted: Algorithm| known.contains(&wanted);
    let hashes: Vec<Hash> = [Hash::Sha256, Hash::Sha384, Hash::Sha512]
        .into_iter()
        .filter(|hash| has(Algorithm::from(hashing(*hash))))
        .collect();
    let hashes_of =
        |algorithm: SignatureAlgorithm| algorithm.hash().is_some_and(|hash| hashes.contains(&hash));
    let rsa = if has(Algorithm::Rsa) { trial(connection)? } else { Rsa::default() };
    let mut key_types = Vec::new();
    for key_type in KeyType::ALL {
        let mut support = KeyTypeSupport::new(key_type);
        support.import = true;
        if let Some(bits) = template::rsa_bits(key_type) {
            if !takes(connection, PublicParameters::Rsa(rsa_parameters(bits)))? {
                continue;
            }
            support.sign = signatures(&rsa.signatures);
            support.encrypt =
                rsa.encryption.iter().map(|&algorithm| EncryptSupport { algorithm, salting: None }).collect();
        } else if let Some(curve) = template::curve(key_type) {
            if !has(Algorithm::Ecc) || !takes(connection, PublicParameters::Ecc(ecc_parameters(curve)))? {
                continue;
            }
            if has(Algorithm::EcDsa) {
                let signs: Vec<_> = SignatureAlgorithm::of(key_type).filter(|one| hashes_of(*one)).collect();
                support.sign = signatures(&signs);
            }
            support.agree = has(Algorithm::EcDh);
        } else if let Some(hash) = key_type.mac_hash() {
            let scheme = KeyedHashScheme::Hmac { hmac_scheme: HmacScheme::new(hashing(hash)) };
            let parameters = PublicParameters::KeyedHash(PublicKeyedHashParameters::new(scheme));
            support.mac = hashes.contains(&hash) && takes(connection, parameters)?;
        } else if key_type.is_aes() {
            support.encrypt = EncryptionAlgorithm::of(key_type)
                .map(|algorithm| EncryptSupport { algorithm, salting: Some(Salting::Derived) })
                .collect();
        }
        if !support.sign.is_empty() || !support.encrypt.is_empty() || support.mac || support.agree {
            key_types.push(support);
        }
    }
    let buffer = connection.context.get_tpm_property(PropertyTag::InputBuffer).map_err(&failed)?;
    let buffer = buffer.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(MaxBuffer::MAX_SIZE);
    Ok(Capabilities {
        protection_level: ProtectionLevel::Tpm,
        identity: identity(connection)?,
        kept_only: key_types.iter().map(|one| one.key_type).filter(|one| one.is_aes()).collect(),
        key_types,
        max_message_bytes: MAX_MESSAGE_BYTES,
        max_mac_bytes: buffer.min(MaxBuffer::MAX_SIZE),
        max_random_bytes: MAX_RANDOM_BYTES,
    })
}

fn signatures(algorithms: &[SignatureAlgorithm]) -> Vec<SignSupport> {
    algorithms.iter().map(|&algorithm| SignSupport { algorithm, digest: true }).collect()
}

fn algorithms(connection: &mut Connection) -> Result<Vec<Algorithm>, Error> {
    let (data, _) = connection.call(Guard::None, Operation::Open, |context| {
        context.get_capability(CapabilityType::Algorithms, 0, ALGORITHMS)
    })?;
    Ok(match data {
        CapabilityData::Algorithms(list) => {
            list.into_iter().map(|property| property.algorithm_identifier()).collect()
        }
        _ => Vec::new(),
    })
}

/// Whether the chip takes keys of these parameters. It says no with one error or another.
fn takes(connection: &mut Connection, parameters: PublicParameters) -> Result<bool, Error> {
    let tested = connection.call(Guard::None, Operation::Generate, |context| context.test_parms(parameters));
    match tested {
        Ok(()) => Ok(true),
        Err(error) if error.class().context_survives() || error.class() == skms_backend::Class::Broken => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// What works with RSA.
#[derive(Default)]
struct Rsa {
    signatures: Vec<SignatureAlgorithm>,
    encryption: Vec<EncryptionAlgorithm>,
}

/// Tries every algorithm of RSA with a key of software.
fn trial(connection: &mut Connection) -> Result<Rsa, Error> {
    const SAMPLE: &[u8] = b"trial";
    let broken =
        || Error::new(skms_backend::Class::Broken, Operation::Open).detail("no key for a trial can be made");
    let key_type = KeyType::Rsa2048;
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| broken())?;
    let encoded: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| broken())?;
    let material = Material::read(key_type, encoded.as_ref()).ok_or_else(broken)?;
    let tag = KeyTag::random().ok_or_else(broken)?;
    let mut works = Rsa::default();
    for duty in [Duty::Sign, Duty::Encrypt] {
        let public = template::key((tag, key_type, duty), Source::Imported, &material.unique)
            .map_err(device(Operation::Open))?
            .ok_or_else(broken)?;
        let sensitive = material.sensitive(Auth::default()).map_err(device(Operation::Open))?;
        let handle = connection.call(Guard::None, Operation::Open, |context| {
            context.load_external(sensitive.clone(), public.clone(), Hierarchy::Null)
        })?;
        if duty == Duty::Sign {
            for algorithm in SignatureAlgorithm::of(key_type) {
                let input = SignInput::Message(Bytes::from_static(SAMPLE));
                let signed =
                    sign::one(connection, handle.into(), (key_type, algorithm), Guard::Plain, &input);
                match signed {
                    Ok(signature) if material.public.verify(algorithm, &input, &signature.0) => {
                        works.signatures.push(algorithm);
                    }
                    Ok(_) => info!(%algorithm, "not offered: the TPM takes another salt"),
                    Err(error) => info!(%algorithm, %error, "not offered: the TPM does not sign so"),
                }
            }
        } else {
            for algorithm in EncryptionAlgorithm::of(key_type) {
                let ciphertext = material.public.encrypt_oaep(algorithm, SAMPLE).map_err(|_| broken())?;
                match cipher::decrypt(connection, handle.into(), algorithm, &ciphertext) {
                    Ok(opened) if opened.expose() == SAMPLE => works.encryption.push(algorithm),
                    Ok(_) | Err(_) => info!(%algorithm, "not offered: the TPM does not decrypt so"),
                }
            }
        }
        connection.flush(handle.into());
    }
    Ok(works)
}

/// Who made the chip, as the chip says.
fn identity(connection: &mut Connection) -> Result<DeviceIdentity, Error> {
    let mut property = |tag| connection.context.get_tpm_property(tag).map_err(device(Operation::Open));
    let text = |number: Option<u32>| -> String {
        let bytes = number.unwrap_or_default().to_be_bytes();
        bytes.into_iter().filter(|byte| byte.is_ascii_graphic() || *byte == b' ').map(char::from).collect()
    };
    let manufacturer = text(property(PropertyTag::Manufacturer)?).trim().to_owned();
    let mut model = String::new();
    for tag in [
        PropertyTag::VendorString1,
        PropertyTag::VendorString2,
        PropertyTag::VendorString3,
        PropertyTag::VendorString4,
    ] {
        model.push_str(&text(property(tag)?));
    }
    let [one, two] = [PropertyTag::FirmwareVersion1, PropertyTag::FirmwareVersion2].map(property);
    let (one, two) = (one?.unwrap_or_default(), two?.unwrap_or_default());
    let firmware = format!("{}.{}.{}.{}", one >> 16, one & 0xffff, two >> 16, two & 0xffff);
    Ok(DeviceIdentity {
        kind: "tpm".to_owned(),
        manufacturer,
        model: model.trim().to_owned(),
        // A TPM has no number; what it makes of its seed tells it from others.
        serial: hex::encode(connection.parent_name),
        label: String::new(),
        firmware,
        library: LIBRARY.to_owned(),
    })
}

/// The library does not say its version to safe code, so it stands here; a test
/// compares it with what is linked.
const LIBRARY: &str = "tss-esapi 7.7.0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_the_one_that_is_linked() {
        let lock = include_str!("../../../Cargo.lock");
        let (name, version) = LIBRARY.split_once(' ').unwrap();
        assert!(
            lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")),
            "Cargo.lock links another version of {name} than {version}: correct LIBRARY"
        );
    }
}
