//! The service `SystemService`.

use std::time::Duration;

use tonic::{Request, Response, Status};

use super::{
    BATCH_BYTES, CHUNK_BYTES, convert,
    key_management::{closed, opened},
    parse::Fields,
};
use crate::{
    keys::{BackendShown, Call, Error, Keyring, Limits, Permission, ServerInfo},
    model::{Action, Reason, Target},
    proto::{self, system_service_server::SystemService},
};

/// The service, over the use cases.
pub(super) struct Service {
    keyring: Keyring,
}

impl Service {
    pub(super) const fn new(keyring: Keyring) -> Self {
        Self { keyring }
    }

    async fn backend(
        &self,
        call: &Call,
        request: proto::GetBackendRequest,
    ) -> Result<proto::GetBackendResponse, Error> {
        let mut fields = Fields::default();
        if request.name.is_empty() {
            fields.fail("name", Reason::FieldRequired, "ListBackends names those there are");
        }
        let name = fields.backend("name", &request.name).flatten();
        let shown = self.keyring.backend(call, fields.finish(name)?).await?;
        Ok(proto::GetBackendResponse { backend: Some(backend(&shown)) })
    }
}

impl Service {
    async fn permissions(
        &self,
        call: &Call,
        request: &proto::TestPermissionsRequest,
    ) -> Result<proto::TestPermissionsResponse, Error> {
        let mut fields = Fields::default();
        let key = match request.key_id.as_str() {
            "" => Some(None),
            id => fields.key_id("key_id", id).map(Some),
        };
        if request.actions.len() > ACTIONS {
            let why = format!("{} are more than the limit of {ACTIONS}", request.actions.len());
            fields.fail("actions", Reason::FieldInvalid, why);
        }
        let target = if request.key_id.is_empty() { Target::Gateway } else { Target::Key };
        let mut actions = Vec::new();
        for (at, name) in request.actions.iter().take(ACTIONS).enumerate() {
            let known = Action::ALL.into_iter().find(|action| action.name() == name);
            match known.filter(|action| action.target() == target) {
                Some(action) => actions.push(action),
                None => {
                    let why = "no action on this: a key where `key_id` is set, else the gateway";
                    fields.fail(&format!("actions[{at}]"), Reason::FieldInvalid, why);
                }
            }
        }
        let key = fields.finish(key)?;
        let permissions = self.keyring.permissions(call, actions, key.as_ref()).await?;
        let permission = |permission: Permission| proto::Permission {
            action: permission.action.name().to_owned(),
            allowed: permission.allowed,
            policies: permission.policies,
        };
        Ok(proto::TestPermissionsResponse { permissions: permissions.into_iter().map(permission).collect() })
    }
}

/// The most actions in one question; there are fewer.
const ACTIONS: usize = 64;

#[tonic::async_trait]
impl SystemService for Service {
    async fn list_backends(
        &self,
        request: Request<proto::ListBackendsRequest>,
    ) -> Result<Response<proto::ListBackendsResponse>, Status> {
        let (call, _) = opened(request)?;
        let listed = self.keyring.backends(&call).await;
        let answer =
            listed.map(|list| proto::ListBackendsResponse { backends: list.iter().map(backend).collect() });
        closed(&call, answer)
    }

    async fn get_backend(
        &self,
        request: Request<proto::GetBackendRequest>,
    ) -> Result<Response<proto::GetBackendResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.backend(&call, request).await)
    }

    async fn test_permissions(
        &self,
        request: Request<proto::TestPermissionsRequest>,
    ) -> Result<Response<proto::TestPermissionsResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.permissions(&call, &request).await)
    }

    async fn get_server_info(
        &self,
        request: Request<proto::GetServerInfoRequest>,
    ) -> Result<Response<proto::GetServerInfoResponse>, Status> {
        let (call, _) = opened(request)?;
        closed(&call, self.keyring.server_info(&call).await.map(|info| server_info(&info)))
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn backend(shown: &BackendShown) -> proto::Backend {
    let capabilities = &shown.capabilities;
    let identity = capabilities.identity.clone();
    let probed = shown.probed;
    proto::Backend {
        name: shown.name.to_string(),
        identity: Some(proto::DeviceIdentity {
            kind: identity.kind,
            manufacturer: identity.manufacturer,
            model: identity.model,
            serial: identity.serial,
            label: identity.label,
            firmware: identity.firmware,
            library: identity.library,
        }),
        protection_level: convert::protection(capabilities.protection_level).into(),
        availability: convert::availability(probed.map(|probed| probed.availability)).into(),
        probe_time: convert::timestamp(probed.map(|probed| probed.time)),
        probe_duration: probed.and_then(|probed| prost_types::Duration::try_from(probed.duration).ok()),
        key_types: capabilities
            .key_types
            .iter()
            .map(|offered| proto::KeyTypeSupport {
                key_type: offered.key_type.name().to_owned(),
                signature_algorithms: offered
                    .sign
                    .iter()
                    .map(|sign| proto::SignatureAlgorithmSupport {
                        algorithm: convert::algorithm(sign.algorithm).into(),
                        digest: sign.digest,
                    })
                    .collect(),
                encryption_algorithms: offered
                    .encrypt
                    .iter()
                    .map(|encrypt| convert::encryption(encrypt.algorithm).into())
                    .collect(),
                mac: offered.mac,
                key_agreement: offered.agree,
                import: offered.import,
                protection_level: convert::protection(capabilities.protection_of(offered.key_type)).into(),
            })
            .collect(),
        pool: Some(proto::Pool {
            contexts: count(shown.pool.contexts),
            busy: count(shown.pool.busy),
            failed: count(shown.pool.failed),
            queued: count(shown.pool.queued),
            queue_capacity: count(shown.pool.queue_capacity),
            quarantined: count(shown.pool.quarantined),
        }),
    }
}

fn span(span: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(span).ok()
}

fn server_info(info: &ServerInfo) -> proto::GetServerInfoResponse {
    proto::GetServerInfoResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance_id: info.instance.to_string(),
        start_time: convert::timestamp(Some(info.started)),
        limits: Some(proto::Limits {
            max_message_bytes: info.limits.message_bytes as u64,
            max_labels: count(info.limits.labels),
            max_label_key_bytes: count(info.limits.label_key_bytes),
            max_label_value_bytes: count(info.limits.label_value_bytes),
            max_aliases: count(Limits::ALIASES),
            max_description_bytes: count(Limits::DESCRIPTION_BYTES),
            max_page_size: count(Limits::PAGE_SIZE),
            max_verify_versions: count(Limits::VERIFY_VERSIONS),
            request_id_lifetime: span(info.request_id_lifetime),
            max_reference_bytes: count(Limits::REFERENCE_BYTES),
            max_filter_bytes: count(Limits::FILTER_BYTES),
            max_signature_bytes: count(Limits::SIGNATURE_BYTES),
            max_batch_items: count(info.limits.batch_items),
            max_batch_bytes: count(BATCH_BYTES),
            max_random_bytes: count(info.limits.random_bytes),
            max_derived_key_bytes: count(Limits::DERIVED_KEY_BYTES),
            max_hkdf_salt_bytes: count(Limits::HKDF_SALT_BYTES),
            max_hkdf_info_bytes: count(Limits::HKDF_INFO_BYTES),
            max_aad_bytes: count(Limits::AAD_BYTES),
            max_context_entries: count(Limits::CONTEXT_ENTRIES),
            max_context_name_bytes: count(Limits::CONTEXT_NAME_BYTES),
            max_context_value_bytes: count(Limits::CONTEXT_VALUE_BYTES),
            max_public_key_bytes: count(Limits::PUBLIC_KEY_BYTES),
            max_versions_named: count(Limits::VERSIONS),
            max_import_material_bytes: count(Limits::MATERIAL_BYTES),
            max_pkcs11_uri_bytes: count(Limits::PKCS11_URI_BYTES),
            max_subject_bytes: count(Limits::SUBJECT_BYTES),
            max_subject_names: count(Limits::SUBJECT_NAMES),
            max_subject_name_bytes: count(Limits::SUBJECT_NAME_BYTES),
            import_job_lifetime: span(info.limits.import_job_lifetime),
            min_destroy_scheduled_duration: span(info.limits.min_destroy_scheduled_duration),
            max_destroy_scheduled_duration: span(Limits::DESTROY_AFTER_MAX),
            min_rotation_period: span(info.limits.min_rotation_period),
            max_rotation_period: span(Limits::ROTATION_PERIOD_MAX),
            max_operation_duration: span(info.limits.operation_timeout),
            max_generate_duration: span(info.limits.generate_timeout),
            max_operations_per_version: Limits::OPERATIONS,
            max_stream_in_flight: count(info.limits.stream_in_flight),
            max_chunk_bytes: count(CHUNK_BYTES),
            max_stream_duration: span(info.limits.stream_timeout),
            max_stream_idle_duration: span(info.limits.stream_idle_timeout),
            watch_bookmark_interval: span(info.limits.watch_bookmark_interval),
        }),
        key_types: info.key_types.iter().map(|key_type| key_type.name().to_owned()).collect(),
    }
}
