//! Making import jobs, showing them, and removing them when their time is long over.

use std::{sync::Arc, time::SystemTime};

use skms_backend::{Class, KeyRef, KeyTag, ProtectionLevel};
use tracing::warn;
use uuid::Uuid;

use crate::{
    auth::Caller,
    catalog::{BegunJob, Error as CatalogError, Idempotency},
    failpoint,
    gate::{Permit, Subject, Work},
    keys::{
        Call, Error, Keyring,
        intent::Withdrawn,
        placement::{self, Wanted},
    },
    model::{Action, ImportJob, ImportMethod, KeyId, Origin, Purpose, Reason},
};

/// What import job to make.
#[derive(Clone, Debug)]
pub struct CreateImportJob {
    /// Its id; `None`: one is made.
    pub id: Option<KeyId>,
    /// How material will be wrapped.
    pub method: ImportMethod,
    /// The least protection of its private half that will do.
    pub floor: Option<ProtectionLevel>,
    /// The id under which the call may be repeated, and the fingerprint of the request.
    pub repeatable: Option<(Uuid, [u8; 32])>,
    /// Only find out whether it could be made.
    pub validate_only: bool,
}

/// An import job, and whether it can be used.
#[derive(Clone, Debug)]
pub struct ImportJobShown {
    /// The job.
    pub job: Arc<ImportJob>,
    /// Whether its time is over.
    pub expired: bool,
}

impl ImportJobShown {
    fn now(job: Arc<ImportJob>) -> Self {
        let expired = job.has_expired(SystemTime::now());
        Self { job, expired }
    }
}

impl Keyring {
    /// Makes an import job. Its private half is made by the first backend in placement
    /// order that decrypts RSAES-OAEP with SHA-256, and never leaves it.
    ///
    /// # Errors
    /// The id is taken; no backend offers it; the device or the catalog failed, and then
    /// nothing of it is left or the sweep removes it; what the gate refuses.
    pub async fn create_import_job(
        &self,
        call: &Call,
        request: CreateImportJob,
    ) -> Result<ImportJobShown, Error> {
        let id = match &request.id {
            Some(id) => id.clone(),
            None => format!("import-{}", Uuid::new_v4().simple())
                .parse()
                .map_err(|_| Error::Internal { what: "a generated id breaks the grammar" })?,
        };
        let (keyring, principal) = (self.clone(), call.caller.principal());
        self.gate
            .admit(call, Action::CreateImportJob, Subject::Gateway, move |permit| async move {
                permit.note(|facts| facts.import_job = Some(id.clone()));
                let idempotency = request.repeatable.map(|(request_id, fingerprint)| Idempotency {
                    principal: principal.clone(),
                    action: Action::CreateImportJob,
                    request_id,
                    fingerprint,
                });
                // What was answered before is answered again, whatever has changed since.
                if let Some(job) = keyring.catalog.first_job(idempotency.clone()).await? {
                    return Ok(repeated(&permit, job));
                }
                permit.note(|facts| facts.validate_only = request.validate_only);
                let job = keyring.proposed_job(&permit, id, principal, &request)?;
                permit.note(|facts| facts.backend = Some(job.backend.clone()));
                if keyring.catalog.import_job(&job.id).is_some() {
                    return Err(CatalogError::JobExists(job.id).into());
                }
                if request.validate_only {
                    return Ok(ImportJobShown::now(Arc::new(job)));
                }
                permit.charge_caller(Work::Generate, job.method.key_type(), job.protection_level)?;
                keyring.make_job(&permit, job, idempotency).await
            })
            .await
    }

    /// Shows an import job to whoever made it.
    ///
    /// # Errors
    /// There is no such job of this caller; what the gate refuses.
    pub async fn import_job(&self, call: &Call, id: KeyId) -> Result<ImportJobShown, Error> {
        let (keyring, caller) = (self.clone(), call.caller.clone());
        self.gate
            .admit(call, Action::GetImportJob, Subject::Gateway, move |permit| async move {
                permit.note(|facts| facts.import_job = Some(id.clone()));
                Ok(ImportJobShown::now(keyring.job_of(&caller, &id)?))
            })
            .await
    }

    /// A job that this caller made. That of another is none to it.
    pub(super) fn job_of(&self, caller: &Caller, id: &KeyId) -> Result<Arc<ImportJob>, Error> {
        self.catalog
            .import_job(id)
            .filter(|job| job.owner == caller.principal() && job.public_key.is_some())
            .ok_or_else(|| Error::JobNotFound { job: id.clone() })
    }

    fn proposed_job(
        &self,
        permit: &Permit,
        id: KeyId,
        owner: String,
        request: &CreateImportJob,
    ) -> Result<ImportJob, Error> {
        let wanted = Wanted {
            key_type: request.method.key_type(),
            purpose: Purpose::EncryptDecrypt,
            signatures: &[],
            encryption: &[ImportMethod::OAEP],
            floor: request.floor,
            backend: None,
            origin: Origin::Generated,
        };
        let place = placement::choose(permit.backends(), &wanted).map_err(|error| match error {
            // The request names no type and no algorithm; the method does.
            Error::Invalid { .. } => {
                let why = "no backend offers the private half of such a job";
                Error::invalid("method", Reason::AlgorithmNotAllowed, why)
            }
            error => error,
        })?;
        let tag = KeyTag::random().ok_or(Error::Internal { what: "the system gives no random bytes" })?;
        let created = SystemTime::now();
        Ok(ImportJob {
            id,
            method: request.method,
            owner,
            backend: place.backend,
            protection_level: place.protection_level,
            key: Some(KeyRef { tag, key_type: wanted.key_type, blob: bytes::Bytes::new(), pin: None }),
            public_key: None,
            created,
            expires: created + self.limits.import_job_lifetime,
        })
    }

    async fn make_job(
        &self,
        permit: &Permit,
        job: ImportJob,
        request: Option<Idempotency>,
    ) -> Result<ImportJobShown, Error> {
        let tag = tag_of(&job)?;
        let _at_work = self.working(vec![tag]);
        let backend = job.backend.clone();
        let device =
            permit.device(&backend).ok_or_else(|| Error::BackendGone { backend: backend.clone() })?;
        if let BegunJob::Repeated(job) = self.catalog.begin_job(job.clone(), request).await? {
            return Ok(repeated(permit, *job));
        }
        failpoint::reached("create-import-job.intent-written");
        let ctx = permit.wanted_context(self.limits.generate_timeout);
        let failed = match device.generate(&job.method.spec(), tag, &ctx).await {
            Ok(made) => {
                failpoint::reached("create-import-job.material-made");
                match self.catalog.activate_job(job.id.clone(), tag, made).await {
                    Ok(job) => return Ok(ImportJobShown::now(job)),
                    Err(error) => Error::from(error),
                }
            }
            Err(source) => {
                // The device may still be making it: too early to look for remnants.
                let unknown = matches!(source.class(), Class::Timeout | Class::Cancelled);
                let failed = Error::Backend { backend, source };
                if unknown {
                    if let Err(error) = self.catalog.abandon_job(job.id.clone(), tag).await {
                        warn!(job = %job.id, %error, "intent left to the sweep");
                    }
                    return Err(failed);
                }
                failed
            }
        };
        self.withdraw_job(permit, &job, tag).await;
        Err(failed)
    }

    /// Forgets a job that is not made or whose time is long over, and then removes what a
    /// device may hold of it; in this order, for the reason that `withdraw` has.
    pub(in crate::keys) async fn withdraw_job(
        &self,
        permit: &Permit,
        job: &ImportJob,
        tag: KeyTag,
    ) -> Withdrawn {
        let forgotten = match &job.public_key {
            None => self.catalog.abandon_job(job.id.clone(), tag).await,
            Some(_) => self.catalog.forget_job(job.id.clone(), tag).await,
        };
        match forgotten {
            Ok(true) => {}
            Ok(false) => return Withdrawn::Never,
            Err(error) => {
                warn!(job = %job.id, %error, "left to the sweep");
                return Withdrawn::Left;
            }
        }
        let Some(device) = permit.device(&job.backend) else { return Withdrawn::Left };
        let ctx = permit.patient_context(self.limits.operation_timeout);
        if let Err(error) = device.destroy(tag, &ctx).await {
            warn!(job = %job.id, %tag, %error, "remnant left to the sweep");
            return Withdrawn::Left;
        }
        Withdrawn::Wholly
    }

    /// Jobs that are to be removed: those that no call is making any more, and those whose
    /// time has been over for as long again. Until then their makers are told that it is.
    pub(in crate::keys) fn stale_jobs(&self, now: SystemTime) -> Vec<(Arc<ImportJob>, KeyTag)> {
        let kept = self.limits.import_job_lifetime;
        let at_work = self.at_work.lock();
        self.catalog
            .import_jobs()
            .into_iter()
            .filter_map(|job| tag_of(&job).ok().map(|tag| (job, tag)))
            .filter(|(job, tag)| {
                let long_over = job.expires.checked_add(kept).is_some_and(|end| now >= end);
                (job.public_key.is_none() && !at_work.contains(tag)) || long_over
            })
            .collect()
    }
}

fn tag_of(job: &ImportJob) -> Result<KeyTag, Error> {
    job.key.as_ref().map(|key| key.tag).ok_or(Error::Internal { what: "the import job has no tag" })
}

/// The first answer to a call that is made again.
fn repeated(permit: &Permit, job: ImportJob) -> ImportJobShown {
    permit.note(|facts| {
        facts.import_job = Some(job.id.clone());
        facts.repeated = true;
    });
    ImportJobShown::now(Arc::new(job))
}
