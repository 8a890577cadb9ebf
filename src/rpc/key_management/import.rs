//! CreateImportJob, GetImportJob and ImportKey.

use skms_backend::{KeyType, Secret};

use super::{
    Service,
    keys::{ETAG_BYTES, create, key_type},
};
use crate::{
    keys::{Call, CreateImportJob, Error, Import, ImportJobShown, Limits, Material, Rotate, Wrapped},
    model::{ImportMethod, Reason},
    proto::{self, import_key_request::Material as Given},
    rpc::{
        convert::{self, View},
        parse::{self, Fields},
    },
};

/// A request id and the fingerprint of its request, if it has one.
type Repeatable = Option<(uuid::Uuid, [u8; 32])>;

impl Service {
    pub(super) async fn create_job(
        &self,
        call: &Call,
        mut request: proto::CreateImportJobRequest,
    ) -> Result<proto::CreateImportJobResponse, Error> {
        let mut fields = Fields::default();
        let request_id = fields.request_id(&std::mem::take(&mut request.request_id));
        let fingerprint = parse::fingerprint(&request);
        let method = method(&mut fields, request.method);
        let id = match request.import_job_id.as_str() {
            "" => Some(None),
            id => fields.key_id("import_job_id", id).map(Some),
        };
        let floor = fields.protection("protection_level", request.protection_level);
        let parsed = (|| {
            Some(CreateImportJob {
                id: id?,
                method: method?,
                floor: floor?,
                repeatable: request_id?.map(|id| (id, fingerprint)),
                validate_only: request.validate_only,
            })
        })();
        let shown = self.keyring.create_import_job(call, fields.finish(parsed)?).await?;
        Ok(proto::CreateImportJobResponse { import_job: Some(job(&shown)) })
    }

    pub(super) async fn job(
        &self,
        call: &Call,
        request: &proto::GetImportJobRequest,
    ) -> Result<proto::GetImportJobResponse, Error> {
        let mut fields = Fields::default();
        let id = job_id(&mut fields, "import_job_id", &request.import_job_id);
        let shown = self.keyring.import_job(call, fields.finish(id)?).await?;
        Ok(proto::GetImportJobResponse { import_job: Some(job(&shown)) })
    }

    pub(super) async fn import(
        &self,
        call: &Call,
        mut request: proto::ImportKeyRequest,
    ) -> Result<proto::ImportKeyResponse, Error> {
        let mut fields = Fields::default();
        let request_id = fields.request_id(&std::mem::take(&mut request.request_id));
        let repeatable = request_id.map(|id| id.map(|id| (id, parse::fingerprint(&request))));
        let material = material(&mut fields, request.material.take());
        let parsed = if request.new_version {
            version(&mut fields, request, repeatable)
        } else {
            key(&mut fields, request, repeatable, self.keyring.limits())
        };
        let (import, material) = fields.finish(parsed.zip(material))?;
        let shown = self.keyring.import(call, import, material).await?;
        let key = convert::key(&shown, View { full: false, version: 0 });
        Ok(proto::ImportKeyResponse { key: Some(key) })
    }
}

/// A key of its own.
fn key(
    fields: &mut Fields,
    request: proto::ImportKeyRequest,
    repeatable: Option<Repeatable>,
    limits: &Limits,
) -> Option<Import> {
    const WHY: &str = "only a new version has this";
    fields.not_applicable("etag", !request.etag.is_empty(), WHY);
    fields.not_applicable("expected_primary_version", request.expected_primary_version != 0, WHY);
    fields.not_applicable("stage_only", request.stage_only, WHY);
    let request = proto::CreateKeyRequest {
        key_type: request.key_type,
        metadata: request.metadata,
        params: request.params,
        key_id: request.key_id,
        request_id: String::new(),
        validate_only: request.validate_only,
    };
    create(fields, request, repeatable, limits).map(Import::Key)
}

/// A new version of a key that is there.
fn version(
    fields: &mut Fields,
    request: proto::ImportKeyRequest,
    repeatable: Option<Repeatable>,
) -> Option<Import> {
    const WHY: &str = "a new version has this of its key";
    let of: Option<Option<KeyType>> = match request.key_type.as_str() {
        "" => Some(None),
        name => key_type(fields, name).map(Some),
    };
    fields.not_applicable("metadata", !request.metadata.is_empty(), WHY);
    fields.not_applicable("params", request.params.is_some(), WHY);
    fields.not_applicable("validate_only", request.validate_only, "RotateKey has no such check either");
    let key = fields.required_key_id("key_id", &request.key_id);
    fields.at_most("etag", request.etag.len(), ETAG_BYTES);
    let rotate = Rotate {
        key: key?,
        etag: Some(request.etag).filter(|etag| !etag.is_empty()),
        expected_primary: request.expected_primary_version,
        repeatable: repeatable?,
        stage_only: request.stage_only,
        due: None,
    };
    Some(Import::Version { rotate, key_type: of? })
}

fn material(fields: &mut Fields, given: Option<Given>) -> Option<Material> {
    match given {
        None => {
            fields.fail("material", Reason::FieldRequired, "set `wrapped` or `plain`");
            None
        }
        Some(Given::Wrapped(wrapped)) => {
            let job = job_id(fields, "wrapped.import_job", &wrapped.import_job);
            if wrapped.ciphertext.is_empty() {
                fields.fail("wrapped.ciphertext", Reason::FieldRequired, "the wrapped material");
            }
            fields.payload("wrapped.ciphertext", wrapped.ciphertext.len(), Limits::MATERIAL_BYTES);
            Some(Material::Wrapped(Wrapped { job: job?, ciphertext: wrapped.ciphertext }))
        }
        Some(Given::Plain(bytes)) => {
            if bytes.is_empty() {
                fields.fail("plain", Reason::FieldRequired, "the material");
            }
            fields.payload("plain", bytes.len(), Limits::MATERIAL_BYTES);
            // What the transport has of it cannot be wiped: one reason more to wrap.
            Some(Material::Plain(Secret::new(bytes.to_vec())))
        }
    }
}

fn job_id(fields: &mut Fields, field: &str, id: &str) -> Option<crate::model::KeyId> {
    if id.is_empty() {
        fields.fail(field, Reason::FieldRequired, "the id of an import job");
        return None;
    }
    fields.key_id(field, id)
}

fn method(fields: &mut Fields, number: i32) -> Option<ImportMethod> {
    use proto::ImportMethod as P;
    match fields.known("method", number)? {
        P::Unspecified => {
            fields.fail("method", Reason::FieldRequired, "how the material will be wrapped");
            None
        }
        P::RsaOaep3072Sha256 => Some(ImportMethod::RsaOaep3072Sha256),
        P::RsaOaep4096Sha256 => Some(ImportMethod::RsaOaep4096Sha256),
        P::RsaOaep3072Sha256Aes256 => Some(ImportMethod::RsaOaep3072Sha256Aes256),
        P::RsaOaep4096Sha256Aes256 => Some(ImportMethod::RsaOaep4096Sha256Aes256),
    }
}

fn job(shown: &ImportJobShown) -> proto::ImportJob {
    let job = &shown.job;
    proto::ImportJob {
        id: job.id.to_string(),
        method: match job.method {
            ImportMethod::RsaOaep3072Sha256 => proto::ImportMethod::RsaOaep3072Sha256,
            ImportMethod::RsaOaep4096Sha256 => proto::ImportMethod::RsaOaep4096Sha256,
            ImportMethod::RsaOaep3072Sha256Aes256 => proto::ImportMethod::RsaOaep3072Sha256Aes256,
            ImportMethod::RsaOaep4096Sha256Aes256 => proto::ImportMethod::RsaOaep4096Sha256Aes256,
        }
        .into(),
        public_key: job.public_key.as_ref().map(skms_backend::PublicKey::to_pem).unwrap_or_default(),
        state: match (shown.expired, &job.public_key) {
            (true, _) => proto::ImportJobState::Expired,
            (false, Some(_)) => proto::ImportJobState::Active,
            // It was only checked whether it could be made.
            (false, None) => proto::ImportJobState::Unspecified,
        }
        .into(),
        protection_level: convert::protection(job.protection_level).into(),
        backend: job.backend.to_string(),
        create_time: Some(job.created.into()),
        expire_time: Some(job.expires.into()),
    }
}
