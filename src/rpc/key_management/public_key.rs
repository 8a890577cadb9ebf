//! GetPublicKey.

use bytes::Bytes;

use super::Service;
use crate::{
    keys::{Call, Error, Public},
    proto::{self, PublicKeyFormat},
    rpc::{convert, jwk, parse::Fields},
};

impl Service {
    pub(super) async fn public_key(
        &self,
        call: &Call,
        request: &proto::GetPublicKeyRequest,
    ) -> Result<proto::GetPublicKeyResponse, Error> {
        let mut fields = Fields::default();
        let key = fields.required_key_id("key_id", &request.key_id);
        let format = fields.known("format", request.format);
        let (key, format) = fields.finish(key.zip(format))?;
        let public = self.keyring.public_key(call, &key, request.version).await?;
        let format = match format {
            PublicKeyFormat::Unspecified => PublicKeyFormat::Pem,
            format => format,
        };
        let written = written(&public, format)
            .ok_or(Error::Internal { what: "the public key in the catalog is damaged" })?;
        Ok(proto::GetPublicKeyResponse {
            key_id: public.key.id.to_string(),
            version: public.version.number,
            key_type: public.key.key_type.name().to_owned(),
            format: format.into(),
            public_key_crc32c: crc32c::crc32c(&written),
            public_key: written,
            public_key_sha256: public.public_key.sha256().to_vec().into(),
            signature_algorithms: public
                .key
                .signature_algorithms
                .iter()
                .map(|&algorithm| convert::algorithm(algorithm).into())
                .collect(),
            encryption_algorithms: public
                .key
                .encryption_algorithms
                .iter()
                .map(|&algorithm| convert::encryption(algorithm).into())
                .collect(),
            version_state: convert::state(public.version.state).into(),
        })
    }
}

/// The public key in this format; `None` where what was stored is damaged.
fn written(public: &Public, format: PublicKeyFormat) -> Option<Bytes> {
    let public_key = &public.public_key;
    match format {
        PublicKeyFormat::Unspecified | PublicKeyFormat::Pem => {
            Some(public_key.to_pem().into()).filter(|pem: &Bytes| !pem.is_empty())
        }
        PublicKeyFormat::Der => Some(public_key.spki_der().clone()),
        PublicKeyFormat::Jwk => jwk::text(&public.key, public_key).map(Bytes::from),
        PublicKeyFormat::Raw => Some(Bytes::copy_from_slice(public_key.raw())).filter(|raw| !raw.is_empty()),
    }
}
