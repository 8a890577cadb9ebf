//! Import jobs.

use serde::Serialize;

use crate::{
    cli::{names::name, text::rfc3339},
    proto::{ImportJob, ImportJobState, ImportMethod, ProtectionLevel},
};

/// An import job.
#[derive(Serialize)]
pub(in crate::cli) struct ImportJobView {
    id: String,
    method: String,
    public_key: String,
    state: String,
    protection_level: String,
    backend: String,
    create_time: Option<String>,
    expire_time: Option<String>,
}

impl From<ImportJob> for ImportJobView {
    fn from(job: ImportJob) -> Self {
        let ImportJob { id, method, public_key, state, protection_level, backend, create_time, expire_time } =
            job;
        Self {
            id,
            method: name::<ImportMethod>(method),
            public_key,
            state: name::<ImportJobState>(state),
            protection_level: name::<ProtectionLevel>(protection_level),
            backend,
            create_time: rfc3339(create_time.as_ref()),
            expire_time: rfc3339(expire_time.as_ref()),
        }
    }
}
