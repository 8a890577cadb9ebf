//! A call that makes key material, and that can be made again.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use skms::{
    client::{Client, Error},
    proto::{self, import_key_request::Material},
};
use uuid::Uuid;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Call {
    Create,
    Rotate,
    /// Of material in the clear: under a job the same key would come to the device.
    Import,
}

impl Call {
    pub(super) const ALL: [Self; 3] = [Self::Create, Self::Rotate, Self::Import];

    /// The name of its action in the audit log.
    pub(super) const fn action(self) -> &'static str {
        match self {
            Self::Create => "create-key",
            Self::Rotate => "rotate-key",
            Self::Import => "import-key",
        }
    }
}

/// A call with its arguments. Made twice, it is the same call.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) call: Call,
    pub(super) key: String,
    backend: String,
    request_id: String,
    /// What is imported: of every ask another key.
    material: Vec<u8>,
}

impl Ask {
    pub(super) fn new(call: Call, key: &str, backend: &str) -> Self {
        let request_id = Uuid::new_v4().to_string();
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let material = pair.to_pkcs8v1().unwrap().as_ref().to_vec();
        Self { call, key: key.to_owned(), backend: backend.to_owned(), request_id, material }
    }

    pub(super) async fn make(&self, client: &Client) -> Result<proto::KeyResponse, Error> {
        match self.call {
            Call::Create => {
                let request = proto::CreateKeyRequest {
                    key_type: "ec-p256".into(),
                    key_id: self.key.clone(),
                    request_id: self.request_id.clone(),
                    params: Some(proto::KeyParams { backend: self.backend.clone(), ..Default::default() }),
                    ..Default::default()
                };
                client.create_key(request).await
            }
            Call::Rotate => {
                let request = proto::RotateKeyRequest {
                    key_id: self.key.clone(),
                    request_id: self.request_id.clone(),
                    ..Default::default()
                };
                client.rotate_key(request).await
            }
            Call::Import => {
                let request = proto::ImportKeyRequest {
                    key_type: "ec-p256".into(),
                    key_id: self.key.clone(),
                    request_id: self.request_id.clone(),
                    params: Some(proto::KeyParams { backend: self.backend.clone(), ..Default::default() }),
                    material: Some(Material::Plain(self.material.clone().into())),
                    ..Default::default()
                };
                client.import_key(request).await
            }
        }
    }
}

/// Demands that a call ended because its gateway did: a refusal would be an answer.
pub(super) fn demand_lost(ask: &Ask, error: &Error) {
    let answered = error.failure().is_none_or(|failure| failure.reason.is_some());
    assert!(!answered, "{ask:?} was refused: {error:?}");
}
