//! UpdateKey, the verbs that change the states of versions, and SetPrimaryVersion.

use uuid::Uuid;

use super::{Service, keys::ETAG_BYTES};
use crate::{
    keys::{Amend, Amendment, Call, Change, Error, Limits},
    model::{Reason, Verb},
    proto,
    rpc::{
        convert::{self, View},
        parse::{self, Fields},
    },
};

/// What every request for a change of a key has.
struct Asked<'a> {
    key_id: &'a str,
    etag: &'a str,
    request_id: &'a str,
    validate_only: bool,
    /// Of the whole request, without its id.
    fingerprint: [u8; 32],
}

/// A verb on versions, of the fields that all their requests have.
macro_rules! turn {
    ($service:expr, $call:expr, $verb:expr, $request:expr, $response:ident) => {{
        let mut request = $request;
        let request_id = std::mem::take(&mut request.request_id);
        let asked = Asked {
            key_id: &request.key_id,
            etag: &request.etag,
            request_id: &request_id,
            validate_only: request.validate_only,
            fingerprint: parse::fingerprint(&request),
        };
        let key = $service.turn($call, $verb, &request.versions, &asked).await?;
        Ok(proto::$response { key: Some(key) })
    }};
}

impl Service {
    pub(super) async fn enable(
        &self,
        call: &Call,
        request: proto::EnableKeyRequest,
    ) -> Result<proto::EnableKeyResponse, Error> {
        turn!(self, call, Verb::Enable, request, EnableKeyResponse)
    }

    pub(super) async fn disable(
        &self,
        call: &Call,
        request: proto::DisableKeyRequest,
    ) -> Result<proto::DisableKeyResponse, Error> {
        turn!(self, call, Verb::Disable, request, DisableKeyResponse)
    }

    pub(super) async fn restore(
        &self,
        call: &Call,
        request: proto::RestoreKeyRequest,
    ) -> Result<proto::RestoreKeyResponse, Error> {
        turn!(self, call, Verb::Restore, request, RestoreKeyResponse)
    }

    pub(super) async fn mark_compromised(
        &self,
        call: &Call,
        request: proto::MarkKeyCompromisedRequest,
    ) -> Result<proto::MarkKeyCompromisedResponse, Error> {
        turn!(self, call, Verb::MarkCompromised, request, MarkKeyCompromisedResponse)
    }

    pub(super) async fn schedule_destruction(
        &self,
        call: &Call,
        request: proto::ScheduleKeyDestructionRequest,
    ) -> Result<proto::ScheduleKeyDestructionResponse, Error> {
        turn!(self, call, Verb::ScheduleDestruction, request, ScheduleKeyDestructionResponse)
    }

    pub(super) async fn set_primary(
        &self,
        call: &Call,
        mut request: proto::SetPrimaryVersionRequest,
    ) -> Result<proto::SetPrimaryVersionResponse, Error> {
        let request_id = std::mem::take(&mut request.request_id);
        let fingerprint = parse::fingerprint(&request);
        let mut fields = Fields::default();
        if request.version == 0 {
            fields.fail("version", Reason::FieldRequired, "the version that is to be the primary");
        }
        let asked = Asked {
            key_id: &request.key_id,
            etag: &request.etag,
            request_id: &request_id,
            validate_only: request.validate_only,
            fingerprint,
        };
        let amendment = Amendment::Primary(request.version);
        let amend = asked.amend(fields, Some(amendment), request.expected_primary_version)?;
        let key = self.amend(call, amend).await?;
        Ok(proto::SetPrimaryVersionResponse { key: Some(key) })
    }

    pub(super) async fn update(
        &self,
        call: &Call,
        mut request: proto::UpdateKeyRequest,
    ) -> Result<proto::UpdateKeyResponse, Error> {
        let request_id = std::mem::take(&mut request.request_id);
        let fingerprint = parse::fingerprint(&request);
        let mut fields = Fields::default();
        let metadata = request.metadata.unwrap_or_default();
        let change = change(&mut fields, request.update_mask, metadata, self.keyring.limits());
        let asked = Asked {
            key_id: &request.key_id,
            etag: &request.etag,
            request_id: &request_id,
            validate_only: request.validate_only,
            fingerprint,
        };
        let amend = asked.amend(fields, change.map(Amendment::Said), 0)?;
        let key = self.amend(call, amend).await?;
        Ok(proto::UpdateKeyResponse { key: Some(key) })
    }

    async fn turn(
        &self,
        call: &Call,
        verb: Verb,
        versions: &[u32],
        asked: &Asked<'_>,
    ) -> Result<proto::KeyResponse, Error> {
        let mut fields = Fields::default();
        fields.versions("versions", versions);
        let amendment = Amendment::Verb(verb, versions.to_vec());
        self.amend(call, asked.amend(fields, Some(amendment), 0)?).await
    }

    async fn amend(&self, call: &Call, amend: Amend) -> Result<proto::KeyResponse, Error> {
        let shown = self.keyring.amend(call, amend).await?;
        Ok(convert::key(&shown, View { full: false, version: 0 }))
    }
}

impl Asked<'_> {
    /// The change, if nothing is wrong with any field.
    fn amend(
        &self,
        mut fields: Fields,
        amendment: Option<Amendment>,
        expected_primary: u32,
    ) -> Result<Amend, Error> {
        let request_id: Option<Option<Uuid>> = fields.request_id(self.request_id);
        let key = fields.required_key_id("key_id", self.key_id);
        fields.at_most("etag", self.etag.len(), ETAG_BYTES);
        let parsed = (|| {
            Some(Amend {
                key: key?,
                amendment: amendment?,
                etag: Some(self.etag.to_owned()).filter(|etag| !etag.is_empty()),
                expected_primary,
                repeatable: request_id?.map(|id| (id, self.fingerprint)),
                validate_only: self.validate_only,
            })
        })();
        fields.finish(parsed)
    }
}

/// What the mask names, taken from the metadata.
fn change(
    fields: &mut Fields,
    mask: Option<prost_types::FieldMask>,
    metadata: proto::KeyMetadata,
    limits: &Limits,
) -> Option<Change> {
    let mut change = Change::default();
    let paths = mask.unwrap_or_default().paths;
    if paths.is_empty() {
        let why = format!("the fields to change: `{}`", PATHS.join("`, `"));
        fields.fail("update_mask", Reason::FieldRequired, why);
    }
    // No more can be meant than there are.
    if paths.len() > MASK_PATHS {
        let why = format!("{} paths are more than the limit of {MASK_PATHS}", paths.len());
        fields.fail("update_mask", Reason::FieldInvalid, why);
        return None;
    }
    let params = metadata.params.unwrap_or_default();
    let mut seen: Vec<&str> = Vec::new();
    for path in &paths {
        let Some(path) = PATHS.into_iter().find(|known| known == path) else {
            let why = format!("only these can be changed: `{}`", PATHS.join("`, `"));
            fields.fail("update_mask", Reason::FieldInvalid, why);
            continue;
        };
        if seen.contains(&path) {
            fields.fail("update_mask", Reason::FieldInvalid, "the same field twice");
            continue;
        }
        seen.push(path);
        let field = format!("metadata.{path}");
        match path {
            LABELS => change.labels = Some(fields.labels(&field, metadata.labels.clone(), limits)),
            DESCRIPTION => {
                fields.at_most(&field, params.description.len(), Limits::DESCRIPTION_BYTES);
                change.description = Some(params.description.clone());
            }
            ALIASES => change.aliases = Some(fields.aliases(&field, None, &params.aliases)),
            NOT_BEFORE => change.not_before = fields.time(&field, params.not_before_time),
            EXPIRES => change.expires = fields.time(&field, params.expire_time),
            PERIOD => {
                change.rotation_period = fields.rotation_period(&field, params.rotation_period, limits);
            }
            NEXT => change.next_rotation = fields.time(&field, params.next_rotation_time),
            MIN_PROTECT => change.min_protect = Some(metadata.min_protect_version),
            _ => change.min_process = Some(metadata.min_process_version),
        }
    }
    Some(change)
}

const LABELS: &str = "labels";
const MIN_PROTECT: &str = "min_protect_version";
const MIN_PROCESS: &str = "min_process_version";
const DESCRIPTION: &str = "params.description";
const ALIASES: &str = "params.aliases";
const NOT_BEFORE: &str = "params.not_before_time";
const EXPIRES: &str = "params.expire_time";
const PERIOD: &str = "params.rotation_period";
const NEXT: &str = "params.next_rotation_time";
/// What can be changed.
const PATHS: [&str; 9] =
    [LABELS, MIN_PROTECT, MIN_PROCESS, DESCRIPTION, ALIASES, NOT_BEFORE, EXPIRES, PERIOD, NEXT];
/// Far more than there are fields.
const MASK_PATHS: usize = 32;
