//! AdoptKey.

use skms_backend::{Adopted, Custody};

use super::{Service, keys::like};
use crate::{
    keys::{Adopt, Call, Create, Error, Limits},
    model::{Purpose, Reason},
    proto,
    rpc::{
        convert::{self, View},
        parse::{self, Fields},
    },
};

impl Service {
    pub(super) async fn adopt(
        &self,
        call: &Call,
        mut request: proto::AdoptKeyRequest,
    ) -> Result<proto::AdoptKeyResponse, Error> {
        let mut fields = Fields::default();
        let request_id = fields.request_id(&std::mem::take(&mut request.request_id));
        let fingerprint = parse::fingerprint(&request);
        let uri = uri(&mut fields, std::mem::take(&mut request.pkcs11_uri));
        let backend = fields.backend("backend", &request.backend);
        if request.params.as_ref().is_some_and(|params| !params.backend.is_empty()) {
            let why = "name the backend in `backend`";
            fields.fail("params.backend", Reason::ParameterNotApplicable, why);
        }
        let import_only = request.params.as_ref().is_some_and(|params| params.import_only);
        fields.not_applicable("params.import_only", import_only, "the key is on the device already");
        let like_created = created(request);
        // All that can be wrong whatever the key is; the rest when it is known.
        like(&mut fields, None, like_created.clone(), Some(None), self.keyring.limits());
        let limits = self.keyring.limits().clone();
        let parsed = (|| {
            Some(Adopt {
                uri: uri?,
                backend: backend?,
                repeatable: request_id?.map(|id| (id, fingerprint)),
                becomes: Box::new(move |found| becomes(found, like_created, &limits)),
            })
        })();
        let adopted = self.keyring.adopt(call, fields.finish(parsed)?).await?;
        Ok(proto::AdoptKeyResponse {
            key: Some(convert::key(&adopted.shown, View { full: false, version: 0 })),
            custody: adopted.custody.map(custody),
        })
    }
}

fn uri(fields: &mut Fields, uri: String) -> Option<String> {
    if uri.is_empty() {
        fields.fail("pkcs11_uri", Reason::FieldRequired, "a PKCS#11 URI that names a key");
        return None;
    }
    fields.at_most("pkcs11_uri", uri.len(), Limits::PKCS11_URI_BYTES);
    Some(uri)
}

/// The same as a request to make a key, without its type.
fn created(request: proto::AdoptKeyRequest) -> proto::CreateKeyRequest {
    proto::CreateKeyRequest {
        key_type: String::new(),
        metadata: request.metadata,
        params: request.params,
        key_id: request.key_id,
        request_id: String::new(),
        validate_only: request.validate_only,
    }
}

/// The key that comes of what was found.
fn becomes(found: &Adopted, mut request: proto::CreateKeyRequest, limits: &Limits) -> Result<Create, Error> {
    let params = request.params.get_or_insert_default();
    let usual = Purpose::of(found.key_type);
    if params.purpose == proto::KeyPurpose::Unspecified as i32
        && let [only] = found.uses.as_slice()
        && Purpose::behind(only) != usual
    {
        params.purpose = convert::purpose(Purpose::behind(only)).into();
    }
    let mut fields = Fields::default();
    let create = like(&mut fields, Some(found.key_type), request, Some(None), limits);
    fields.finish(create)
}

const fn custody(custody: Custody) -> proto::Custody {
    let Custody { sensitive, extractable, always_sensitive, never_extractable, local, modifiable } = custody;
    proto::Custody { sensitive, extractable, always_sensitive, never_extractable, local, modifiable }
}
