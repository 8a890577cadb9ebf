//! CreateKey, GetKey and RotateKey.

use std::num::NonZeroU64;

use skms_backend::{CHALLENGE_BYTES, KeyType, SignatureAlgorithm};

use super::Service;
use crate::{
    keys::{Attest, Call, Create, Error, Limits, Rotate, Show},
    model::{Purpose, Reason},
    proto,
    rpc::{
        convert::{self, View},
        parse::{self, Fields},
    },
};

impl Service {
    pub(super) async fn create(
        &self,
        call: &Call,
        request: proto::CreateKeyRequest,
    ) -> Result<proto::KeyResponse, Error> {
        self.created(call, self.to_create(request)?).await
    }

    pub(super) async fn created(&self, call: &Call, create: Create) -> Result<proto::KeyResponse, Error> {
        let shown = self.keyring.create(call, create).await?;
        Ok(convert::key(&shown, View { full: false, version: 0 }))
    }

    /// What is to be made, if its form is right.
    pub(super) fn to_create(&self, mut request: proto::CreateKeyRequest) -> Result<Create, Error> {
        let mut fields = Fields::default();
        let request_id = fields.request_id(&std::mem::take(&mut request.request_id));
        let repeatable = request_id.map(|id| id.map(|id| (id, parse::fingerprint(&request))));
        if request.params.as_ref().is_some_and(|params| params.import_only) {
            let why = "CreateKey makes its own material; ImportKey makes such a key";
            fields.fail("params.import_only", Reason::ParameterNotApplicable, why);
        }
        let parsed = create(&mut fields, request, repeatable, self.keyring.limits());
        fields.finish(parsed)
    }

    pub(super) async fn get(
        &self,
        call: &Call,
        request: proto::GetKeyRequest,
    ) -> Result<proto::KeyResponse, Error> {
        let mut fields = Fields::default();
        let key = fields.required_key_id("key_id", &request.key_id);
        let full = fields.full(request.view);
        let challenge = request.attestation_challenge;
        fields.at_most("attestation_challenge", challenge.len(), CHALLENGE_BYTES);
        if full == Some(false) && !challenge.is_empty() {
            let why = "attestations are shown with KEY_VIEW_FULL only";
            fields.fail("attestation_challenge", Reason::ParameterNotApplicable, why);
        }
        let (key, full) = fields.finish(key.zip(full))?;
        let attest = match (full, challenge.is_empty()) {
            (false, _) => Attest::No,
            (true, true) => Attest::IfItCan,
            (true, false) => Attest::Challenged(challenge),
        };
        let shown = self.keyring.show(call, Show { key, version: request.version, attest }).await?;
        Ok(convert::key(&shown, View { full, version: request.version }))
    }

    pub(super) async fn rotate(
        &self,
        call: &Call,
        mut request: proto::RotateKeyRequest,
    ) -> Result<proto::KeyResponse, Error> {
        let mut fields = Fields::default();
        let request_id = fields.request_id(&std::mem::take(&mut request.request_id));
        let key = fields.required_key_id("key_id", &request.key_id);
        fields.at_most("etag", request.etag.len(), ETAG_BYTES);
        let fingerprint = parse::fingerprint(&request);
        let parsed = (|| {
            Some(Rotate {
                key: key?,
                repeatable: request_id?.map(|id| (id, fingerprint)),
                etag: Some(request.etag).filter(|etag| !etag.is_empty()),
                expected_primary: request.expected_primary_version,
                stage_only: request.stage_only,
                due: None,
            })
        })();
        let shown = self.keyring.rotate(call, fields.finish(parsed)?).await?;
        Ok(convert::key(&shown, View { full: false, version: 0 }))
    }
}

/// An etag of this gateway is shorter; a longer one is not one.
pub(super) const ETAG_BYTES: usize = 64;

pub(super) fn create(
    fields: &mut Fields,
    request: proto::CreateKeyRequest,
    repeatable: Option<Option<(uuid::Uuid, [u8; 32])>>,
    limits: &Limits,
) -> Option<Create> {
    let key_type = key_type(fields, &request.key_type);
    like(fields, key_type, request, repeatable, limits)
}

/// All of a request but the type of the key, where that is known.
pub(super) fn like(
    fields: &mut Fields,
    key_type: Option<KeyType>,
    request: proto::CreateKeyRequest,
    repeatable: Option<Option<(uuid::Uuid, [u8; 32])>>,
    limits: &Limits,
) -> Option<Create> {
    let id = match request.key_id.as_str() {
        "" => Some(None),
        id => fields.key_id("key_id", id).map(Some),
    };
    let labels = fields.labels("metadata", request.metadata, limits);
    let params = request.params.unwrap_or_default();
    let aliases = fields.aliases("params.aliases", id.as_ref().and_then(Option::as_ref), &params.aliases);
    let purpose = purpose(fields, key_type, params.purpose);
    let fit =
        |wanted, fits: bool| purpose.is_none_or(|purpose| purpose == wanted) && (key_type.is_none() || fits);
    let signatures = algorithms(
        fields,
        "params.signature_algorithms",
        &params.signature_algorithms,
        Fields::algorithm,
        |algorithm| fit(Purpose::SignVerify, key_type.is_some_and(|key_type| algorithm.fits(key_type))),
    );
    let encryption = algorithms(
        fields,
        "params.encryption_algorithms",
        &params.encryption_algorithms,
        Fields::encryption,
        |algorithm| fit(Purpose::EncryptDecrypt, key_type.is_some_and(|key_type| algorithm.fits(key_type))),
    );
    let protection_floor = fields.protection("params.protection_level", params.protection_level);
    let backend = fields.backend("params.backend", &params.backend);
    let destroy_after = fields.destroy_after(params.destroy_scheduled_duration, limits);
    let not_before = fields.time("params.not_before_time", params.not_before_time);
    let expires = fields.time("params.expire_time", params.expire_time);
    if let (Some(Some(not_before)), Some(Some(expires))) = (not_before, expires)
        && expires <= not_before
    {
        fields.fail("params.expire_time", Reason::FieldInvalid, "must be after `not_before_time`");
    }
    fields.at_most("params.description", params.description.len(), Limits::DESCRIPTION_BYTES);
    let rotation_period = fields.rotation_period("params.rotation_period", params.rotation_period, limits);
    let next_rotation = fields.time("params.next_rotation_time", params.next_rotation_time);
    if params.next_rotation_time.is_some() && params.rotation_period.is_none() {
        fields.fail("params.next_rotation_time", Reason::FieldInvalid, "needs a `rotation_period`");
    }
    if params.import_only && params.rotation_period.is_some() {
        let why = "every version of such a key is imported";
        fields.fail("params.rotation_period", Reason::ParameterNotApplicable, why);
    }
    if params.max_operations_per_version > Limits::OPERATIONS {
        let why = format!("must be at most {}; 0 is no limit", Limits::OPERATIONS);
        fields.fail("params.max_operations_per_version", Reason::FieldInvalid, why);
    }
    let export = fields.known("params.export_policy", params.export_policy);
    fields.not_built("params.export_policy", export == Some(proto::ExportPolicy::Wrapped));
    Some(Create {
        id: id?,
        key_type: key_type?,
        purpose: purpose?,
        signature_algorithms: signatures?,
        encryption_algorithms: encryption?,
        protection_floor: protection_floor?,
        backend: backend?,
        labels,
        aliases,
        description: params.description,
        import_only: params.import_only,
        not_before: not_before?,
        expires: expires?,
        max_operations: NonZeroU64::new(params.max_operations_per_version),
        destroy_after: destroy_after?,
        rotation_period: rotation_period?,
        next_rotation: next_rotation?,
        repeatable: repeatable?,
        validate_only: request.validate_only,
    })
}

pub(super) fn key_type(fields: &mut Fields, name: &str) -> Option<KeyType> {
    if name.is_empty() {
        fields.fail("key_type", Reason::FieldRequired, "for example `ec-p256`");
        return None;
    }
    let parsed = name.parse().ok();
    if parsed.is_none() {
        let known = KeyType::ALL.map(KeyType::name).join(", ");
        let why = format!("unknown key type; known are {known}");
        fields.fail("key_type", Reason::UnsupportedKeyType, why);
    }
    parsed
}

/// A list of algorithms for a key of this type, each once.
fn algorithms<A: Copy + PartialEq>(
    fields: &mut Fields,
    list: &str,
    numbers: &[i32],
    parse: impl Fn(&mut Fields, &str, i32) -> Option<Option<A>>,
    fits: impl Fn(A) -> bool,
) -> Option<Vec<A>> {
    let mut parsed = Vec::new();
    let mut complete = true;
    if numbers.len() > ALGORITHMS {
        fields.fail(list, Reason::FieldInvalid, "more algorithms than there are");
        return None;
    }
    for (at, &number) in numbers.iter().enumerate() {
        let field = format!("{list}[{at}]");
        match parse(fields, &field, number) {
            Some(Some(algorithm)) if parsed.contains(&algorithm) => {
                fields.fail(&field, Reason::FieldInvalid, "the same algorithm twice");
            }
            Some(Some(algorithm)) if !fits(algorithm) => {
                let why = "a key of this type and purpose cannot use this algorithm";
                fields.fail(&field, Reason::AlgorithmNotAllowed, why);
            }
            Some(Some(algorithm)) => parsed.push(algorithm),
            Some(None) => fields.fail(&field, Reason::FieldInvalid, "must be specified"),
            None => complete = false,
        }
    }
    complete.then_some(parsed)
}

/// More than any key has.
const ALGORITHMS: usize = SignatureAlgorithm::ALL.len();

fn purpose(fields: &mut Fields, key_type: Option<KeyType>, number: i32) -> Option<Purpose> {
    let purpose = match fields.known("params.purpose", number)? {
        proto::KeyPurpose::Unspecified => return key_type.map(Purpose::of),
        proto::KeyPurpose::SignVerify => Purpose::SignVerify,
        proto::KeyPurpose::EncryptDecrypt => Purpose::EncryptDecrypt,
        proto::KeyPurpose::Mac => Purpose::Mac,
        proto::KeyPurpose::KeyAgreement => Purpose::KeyAgreement,
        proto::KeyPurpose::KeyEncapsulation | proto::KeyPurpose::Wrap => {
            let why = "this purpose is reserved and not built yet";
            fields.fail("params.purpose", Reason::FieldInvalid, why);
            return None;
        }
    };
    match key_type {
        Some(key_type) if !purpose.fits(key_type) => {
            let why = format!(
                "a key of type {key_type} is not for {}; it is for {} unless you say otherwise",
                purpose.name(),
                Purpose::of(key_type).name()
            );
            fields.fail("params.purpose", Reason::FieldInvalid, why);
            None
        }
        _ => Some(purpose),
    }
}
