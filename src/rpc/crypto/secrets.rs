//! GenerateDataKey, GenerateRandom, GenerateMac, VerifyMac and DeriveSharedSecret.

use skms_backend::{EncryptionAlgorithm, Hash, KeyType, PublicKey};

use super::{Service, aad::Given};
use crate::{
    keys::{Call, DataKey, Derive, Error, GenerateMac, Hkdf, Limits, PlaintextMode, Random, VerifyMac},
    model::Reason,
    proto,
    rpc::{convert, parse::Fields},
};

impl Service {
    pub(super) async fn data_key(
        &self,
        call: &Call,
        request: proto::GenerateDataKeyRequest,
    ) -> Result<proto::GenerateDataKeyResponse, Error> {
        let mut fields = Fields::default();
        let key = fields.required_key_id("key_id", &request.key_id);
        let length = length(&mut fields, request.size, self.keyring.limits().random_bytes);
        let mode = mode(&mut fields, request.plaintext_mode, &request.recipient_public_key);
        if let (Some(length), Some(PlaintextMode::Wrap(recipient))) = (length, &mode) {
            let most = EncryptionAlgorithm::RsaOaepSha256.oaep_max_bytes(recipient.key_type());
            fields.payload("size", length, most.unwrap_or_default());
        }
        let aad = Given::from(request.aad);
        let aad = aad.with_checksum(&mut fields, request.aad_crc32c);
        fields.at_most("reference", request.reference.len(), Limits::REFERENCE_BYTES);
        let parsed = (|| Some(DataKey { key: key?, length: length?, aad, mode: mode? }))();
        let made = self.keyring.data_key(call, fields.finish(parsed)?).await?;
        let plaintext = made.plaintext.unwrap_or_default();
        Ok(proto::GenerateDataKeyResponse {
            ciphertext_crc32c: crc32c::crc32c(&made.ciphertext),
            plaintext_crc32c: crc32c::crc32c(&plaintext),
            plaintext,
            ciphertext: made.ciphertext,
            wrapped_plaintext: made.wrapped.unwrap_or_default(),
            key_id: made.key.id.to_string(),
            version: made.version,
            algorithm: convert::encryption(made.algorithm).into(),
            verified_aad_crc32c: request.aad_crc32c.is_some(),
            protection_level: convert::protection(made.protection_level).into(),
            reference: request.reference,
        })
    }

    pub(super) async fn random(
        &self,
        call: &Call,
        request: &proto::GenerateRandomRequest,
    ) -> Result<proto::GenerateRandomResponse, Error> {
        let mut fields = Fields::default();
        let length =
            bytes(&mut fields, "length_bytes", request.length_bytes, self.keyring.limits().random_bytes);
        let floor = fields.protection("protection_level", request.protection_level);
        let backend = fields.backend("backend", &request.backend);
        let parsed = (|| Some(Random { length: length?, floor: floor?, backend: backend? }))();
        let made = self.keyring.random(call, fields.finish(parsed)?).await?;
        Ok(proto::GenerateRandomResponse {
            data_crc32c: crc32c::crc32c(made.bytes.expose()),
            data: made.bytes.into_bytes(),
            backend: made.backend.to_string(),
            protection_level: convert::protection(made.protection_level).into(),
        })
    }

    pub(super) async fn generate_mac(
        &self,
        call: &Call,
        request: proto::GenerateMacRequest,
    ) -> Result<proto::GenerateMacResponse, Error> {
        let mut fields = Fields::default();
        let key = fields.required_key_id("key_id", &request.key_id);
        self.bounded(&mut fields, "message", &request.message, 0);
        fields.checksum("message_crc32c", request.message_crc32c, &request.message);
        fields.at_most("reference", request.reference.len(), Limits::REFERENCE_BYTES);
        let parsed = key.map(|key| GenerateMac { key, message: request.message, version: request.version });
        let made = self.keyring.generate_mac(call, fields.finish(parsed)?).await?;
        Ok(proto::GenerateMacResponse {
            mac_crc32c: crc32c::crc32c(&made.mac),
            mac: made.mac,
            key_id: made.key.id.to_string(),
            version: made.version,
            verified_message_crc32c: request.message_crc32c.is_some(),
            protection_level: convert::protection(made.protection_level).into(),
            reference: request.reference,
        })
    }

    pub(super) async fn verify_mac(
        &self,
        call: &Call,
        request: proto::VerifyMacRequest,
    ) -> Result<proto::VerifyMacResponse, Error> {
        let mut fields = Fields::default();
        let key = fields.required_key_id("key_id", &request.key_id);
        self.bounded(&mut fields, "message", &request.message, 0);
        fields.checksum("message_crc32c", request.message_crc32c, &request.message);
        if request.mac.is_empty() {
            fields.fail("mac", Reason::FieldRequired, "the code to check");
        }
        fields.at_most("mac", request.mac.len(), Limits::SIGNATURE_BYTES);
        fields.checksum("mac_crc32c", request.mac_crc32c, &request.mac);
        fields.at_most("reference", request.reference.len(), Limits::REFERENCE_BYTES);
        let parsed = key.map(|key| VerifyMac {
            key,
            message: request.message,
            mac: request.mac,
            version: request.version,
            accept_compromised: request.accept_compromised,
        });
        let verified = self.keyring.verify_mac(call, fields.finish(parsed)?).await?;
        let valid = verified.matched.is_some();
        let state = verified.matched.map_or(proto::KeyState::Unspecified, |(_, state)| convert::state(state));
        Ok(proto::VerifyMacResponse {
            valid,
            version: verified.matched.map_or(0, |(number, _)| number),
            key_id: verified.key.id.to_string(),
            version_state: state.into(),
            verified_message_crc32c: request.message_crc32c.is_some(),
            verified_mac_crc32c: request.mac_crc32c.is_some(),
            verified_valid_integrity: valid,
            reference: request.reference,
        })
    }

    pub(super) async fn derive(
        &self,
        call: &Call,
        request: proto::DeriveSharedSecretRequest,
    ) -> Result<proto::DeriveSharedSecretResponse, Error> {
        let mut fields = Fields::default();
        let key = fields.required_key_id("key_id", &request.key_id);
        if request.peer_public_key.is_empty() {
            fields.fail("peer_public_key", Reason::FieldRequired, "the public key of the other side");
        }
        fields.at_most("peer_public_key", request.peer_public_key.len(), Limits::PUBLIC_KEY_BYTES);
        let hkdf = match (request.hkdf, request.raw) {
            (Some(hkdf), false) => parsed_hkdf(&mut fields, hkdf).map(Some),
            (None, true) => Some(None),
            (None, false) => {
                fields.fail("hkdf", Reason::FieldRequired, "how the secret becomes a key");
                None
            }
            (Some(_), true) => {
                let why = "the raw secret is not derived; leave one of the two unset";
                fields.fail("hkdf", Reason::ParameterNotApplicable, why);
                None
            }
        };
        fields.at_most("reference", request.reference.len(), Limits::REFERENCE_BYTES);
        let parsed = (|| {
            Some(Derive { key: key?, peer: request.peer_public_key, hkdf: hkdf?, version: request.version })
        })();
        let made = self.keyring.derive(call, fields.finish(parsed)?).await?;
        Ok(proto::DeriveSharedSecretResponse {
            secret_crc32c: crc32c::crc32c(made.secret.expose()),
            secret: made.secret.into_bytes(),
            key_id: made.key.id.to_string(),
            version: made.version,
            protection_level: convert::protection(made.protection_level).into(),
            reference: request.reference,
        })
    }
}

/// A number of bytes, at least one.
fn bytes(fields: &mut Fields, field: &str, number: u32, most: usize) -> Option<usize> {
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    if number == 0 {
        fields.fail(field, Reason::FieldRequired, format!("1 to {most}"));
        return None;
    }
    if number > most {
        fields.fail(field, Reason::FieldInvalid, format!("must be 1 to {most}"));
        return None;
    }
    Some(number)
}

fn length(
    fields: &mut Fields,
    size: Option<proto::generate_data_key_request::Size>,
    most: usize,
) -> Option<usize> {
    use proto::generate_data_key_request::Size;
    match size {
        None => {
            fields.fail("size", Reason::FieldRequired, "set `length_bytes` or `key_type`");
            None
        }
        Some(Size::LengthBytes(number)) => bytes(fields, "length_bytes", number, most),
        Some(Size::KeyType(name)) => {
            let length = name.parse::<KeyType>().ok().and_then(KeyType::secret_bytes);
            if length.is_none() {
                let secret: Vec<_> = KeyType::ALL.into_iter().filter(|known| known.is_secret()).collect();
                let names: Vec<_> = secret.into_iter().map(KeyType::name).collect();
                let why = format!("a data key is one of {}", names.join(", "));
                fields.fail("key_type", Reason::UnsupportedKeyType, why);
            }
            length
        }
    }
}

fn mode(fields: &mut Fields, number: i32, recipient: &[u8]) -> Option<PlaintextMode> {
    use proto::PlaintextMode as P;
    let mode = fields.known("plaintext_mode", number)?;
    if !recipient.is_empty() && mode != P::WrapToRecipientPublicKey {
        let why = "only WRAP_TO_RECIPIENT_PUBLIC_KEY takes a recipient";
        fields.fail("recipient_public_key", Reason::ParameterNotApplicable, why);
        return None;
    }
    Some(match mode {
        P::Unspecified => {
            fields.fail(
                "plaintext_mode",
                Reason::FieldRequired,
                "INCLUDE, OMIT, or WRAP_TO_RECIPIENT_PUBLIC_KEY",
            );
            return None;
        }
        P::Include => PlaintextMode::Include,
        P::Omit => PlaintextMode::Omit,
        P::WrapToRecipientPublicKey => PlaintextMode::Wrap(parsed_recipient(fields, recipient)?),
    })
}

fn parsed_recipient(fields: &mut Fields, der: &[u8]) -> Option<PublicKey> {
    const FIELD: &str = "recipient_public_key";
    if der.is_empty() {
        fields.fail(FIELD, Reason::FieldRequired, "the public key of the recipient");
        return None;
    }
    let types = KeyType::ALL.into_iter().filter(|key_type| key_type.rsa_bits().is_some());
    let key = types.filter_map(|key_type| PublicKey::from_spki(key_type, der).ok()).next();
    if key.is_none() {
        let why = "must be the SubjectPublicKeyInfo of an RSA key of 2,048, 3,072 or 4,096 bits";
        fields.fail(FIELD, Reason::FieldInvalid, why);
    }
    key
}

fn parsed_hkdf(fields: &mut Fields, hkdf: proto::Hkdf) -> Option<Hkdf> {
    use proto::HashAlgorithm as P;
    let hash = match fields.known("hkdf.hash", hkdf.hash) {
        Some(P::Sha256) => Some(Hash::Sha256),
        Some(P::Sha384) => Some(Hash::Sha384),
        Some(P::Sha512) => Some(Hash::Sha512),
        Some(P::Unspecified) => {
            fields.fail("hkdf.hash", Reason::FieldRequired, "SHA256, SHA384 or SHA512");
            None
        }
        Some(P::Sha3256 | P::Sha3384 | P::Sha3512) => {
            fields.fail("hkdf.hash", Reason::FieldInvalid, "must be SHA256, SHA384 or SHA512");
            None
        }
        None => None,
    };
    fields.at_most("hkdf.salt", hkdf.salt.len(), Limits::HKDF_SALT_BYTES);
    fields.at_most("hkdf.info", hkdf.info.len(), Limits::HKDF_INFO_BYTES);
    let length = bytes(fields, "hkdf.length_bytes", hkdf.length_bytes, Limits::DERIVED_KEY_BYTES);
    Some(Hkdf { hash: hash?, salt: hkdf.salt, info: hkdf.info, length: length? })
}
