//! Import jobs in the catalog. As with versions, a job is an intent on disk before any
//! device hears of its tag, and its tag is activated or given up, never both. Jobs are
//! no keys: they have a name space of their own, and no row among the changes.

use std::{sync::Arc, time::SystemTime};

use rusqlite::{OptionalExtension as _, Row, Transaction, named_params, params};
use skms_backend::{GeneratedKey, KeyRef, KeyTag, Pin, PublicKey};

use super::{
    Catalog, Error, Idempotency, rows,
    store::{Store, Written, first_answer, remember},
    view::Change,
};
use crate::{
    failpoint,
    model::{BackendName, ImportJob, ImportMethod, KeyId},
};

/// How the intent to make an import job was received.
pub enum BegunJob {
    /// It is on disk; the device may be asked.
    New,
    /// The call was made before: this was its answer.
    Repeated(Box<ImportJob>),
}

impl Catalog {
    /// The import job of this id, from memory.
    #[must_use]
    pub fn import_job(&self, id: &KeyId) -> Option<Arc<ImportJob>> {
        self.view.load().job(id).cloned()
    }

    /// Every import job, from memory.
    #[must_use]
    pub fn import_jobs(&self) -> Vec<Arc<ImportJob>> {
        self.view.load_full().jobs()
    }

    /// The answer that was given to this call before, if it was made before.
    ///
    /// # Errors
    /// [`Error::RequestIdReused`], [`Error::InProgress`], and [`Error::Store`].
    pub async fn first_job(&self, request: Option<Idempotency>) -> Result<Option<ImportJob>, Error> {
        match request {
            Some(request) => self.write(move |store| store.first_job(&request)).await,
            None => Ok(None),
        }
    }

    /// Writes down that an import job is about to be made.
    ///
    /// # Errors
    /// [`Error::JobExists`], [`Error::RequestIdReused`], [`Error::InProgress`], and
    /// [`Error::Store`].
    pub async fn begin_job(&self, job: ImportJob, request: Option<Idempotency>) -> Result<BegunJob, Error> {
        self.write(move |store| store.begin_job(&job, request.as_ref())).await
    }

    /// Takes the import job with this tag into use: its key pair was made.
    ///
    /// # Errors
    /// [`Error::JobMissing`] where the intent was given up meanwhile, and
    /// [`Error::Store`].
    pub async fn activate_job(
        &self,
        id: KeyId,
        tag: KeyTag,
        made: GeneratedKey,
    ) -> Result<Arc<ImportJob>, Error> {
        self.write(move |store| store.activate_job(&id, tag, &made)).await
    }

    /// Gives up the intent with this tag; the tag is kept for the sweep. `false` where
    /// there is no such intent any more.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn abandon_job(&self, id: KeyId, tag: KeyTag) -> Result<bool, Error> {
        self.write(move |store| store.remove_job(&id, tag, "AND public_key IS NULL")).await
    }

    /// Forgets an import job, made or not; the tag is kept for the sweep. `false` where
    /// there is no such job any more.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn forget_job(&self, id: KeyId, tag: KeyTag) -> Result<bool, Error> {
        self.write(move |store| store.remove_job(&id, tag, "")).await
    }
}

impl Store {
    pub(super) fn load_jobs(&self) -> Result<Vec<ImportJob>, Error> {
        let mut statement = self.connection().prepare("SELECT * FROM import_jobs")?;
        let mut rows = statement.query([])?;
        let mut jobs = Vec::new();
        while let Some(row) = rows.next()? {
            jobs.push(job(row)?);
        }
        Ok(jobs)
    }

    fn first_job(&mut self, request: &Idempotency) -> Result<Written<Option<ImportJob>>, Error> {
        let transaction = self.begin()?;
        Ok(Written { value: first_answer(&transaction, Some(request))?, changes: Vec::new() })
    }

    fn begin_job(
        &mut self,
        job: &ImportJob,
        request: Option<&Idempotency>,
    ) -> Result<Written<BegunJob>, Error> {
        let transaction = self.begin()?;
        if let Some(first) = first_answer(&transaction, request)? {
            return Ok(Written { value: BegunJob::Repeated(Box::new(first)), changes: Vec::new() });
        }
        if load(&transaction, &job.id)?.is_some() {
            return Err(Error::JobExists(job.id.clone()));
        }
        insert(&transaction, job)?;
        remember(&transaction, request, &kept_under(&job.id), NO_VERSION)?;
        commit(transaction)?;
        Ok(Written { value: BegunJob::New, changes: vec![Change::PutJob(Arc::new(job.clone()))] })
    }

    fn activate_job(
        &mut self,
        id: &KeyId,
        tag: KeyTag,
        made: &GeneratedKey,
    ) -> Result<Written<Arc<ImportJob>>, Error> {
        let transaction = self.begin()?;
        let activated = transaction.execute(
            "UPDATE import_jobs SET blob = ?3, public_key = ?4
             WHERE id = ?1 AND tag = ?2 AND public_key IS NULL",
            params![
                id.as_str(),
                tag.as_bytes(),
                made.blob.as_ref(),
                made.pin.public_key().map(|key| key.spki_der().as_ref()),
            ],
        )?;
        let job = load(&transaction, id)?.filter(|_| activated > 0).ok_or(Error::JobMissing)?;
        let answer = serde_json::to_string(&job).map_err(|_| Error::Unreadable { what: "import job" })?;
        transaction.execute(
            "UPDATE requests SET answer = ?2 WHERE key_id = ?1 AND answer IS NULL",
            params![kept_under(id), answer],
        )?;
        commit(transaction)?;
        let job = Arc::new(job);
        Ok(Written { value: Arc::clone(&job), changes: vec![Change::PutJob(job)] })
    }

    fn remove_job(&mut self, id: &KeyId, tag: KeyTag, only: &'static str) -> Result<Written<bool>, Error> {
        let transaction = self.begin()?;
        let backend: Option<String> = transaction
            .query_row(
                &format!("DELETE FROM import_jobs WHERE id = ?1 AND tag = ?2 {only} RETURNING backend"),
                params![id.as_str(), tag.as_bytes()],
                |row| row.get(0),
            )
            .optional()?;
        let Some(backend) = backend else { return Ok(Written { value: false, changes: Vec::new() }) };
        transaction.execute(
            "INSERT INTO withdrawn VALUES (?1, ?2, ?3)",
            params![tag.as_bytes(), backend, rows::millis(SystemTime::now())],
        )?;
        transaction.execute("DELETE FROM requests WHERE key_id = ?1 AND answer IS NULL", [kept_under(id)])?;
        commit(transaction)?;
        Ok(Written { value: true, changes: vec![Change::RemovedJob(id.clone())] })
    }
}

/// Answers are kept by what they are about; no key id has a colon.
fn kept_under(id: &KeyId) -> String {
    format!("import-job:{id}")
}

/// Of the job, which has no versions.
const NO_VERSION: u32 = 0;

fn commit(transaction: Transaction<'_>) -> Result<(), Error> {
    failpoint::reached("catalog.before-commit");
    transaction.commit()?;
    failpoint::reached("catalog.after-commit");
    Ok(())
}

fn insert(transaction: &Transaction<'_>, job: &ImportJob) -> Result<(), Error> {
    let Some(key) = &job.key else { return Err(Error::Unreadable { what: "import job without a tag" }) };
    transaction.execute(
        "INSERT INTO import_jobs (id, method, owner, backend, protection_level, tag, blob, created, expires)
         VALUES (:id, :method, :owner, :backend, :protection_level, :tag, :blob, :created, :expires)",
        named_params! {
            ":id": job.id.as_str(),
            ":method": job.method.name(),
            ":owner": job.owner,
            ":backend": job.backend.as_str(),
            ":protection_level": job.protection_level.name(),
            ":tag": key.tag.as_bytes(),
            ":blob": key.blob.as_ref(),
            ":created": rows::millis(job.created),
            ":expires": rows::millis(job.expires),
        },
    )?;
    Ok(())
}

fn load(transaction: &Transaction<'_>, id: &KeyId) -> Result<Option<ImportJob>, Error> {
    let mut statement = transaction.prepare_cached("SELECT * FROM import_jobs WHERE id = ?1")?;
    let mut found = statement.query([id.as_str()])?;
    found.next()?.map(job).transpose()
}

/// A row of `import_jobs`.
fn job(row: &Row<'_>) -> Result<ImportJob, Error> {
    let id: String = row.get("id")?;
    let method: String = row.get("method")?;
    let method = ImportMethod::from_name(&method).ok_or(Error::Unreadable { what: "import method" })?;
    let (tag, blob): (Vec<u8>, Vec<u8>) = (row.get("tag")?, row.get("blob")?);
    let public_key: Option<Vec<u8>> = row.get("public_key")?;
    let public_key = public_key.map(|der| PublicKey::from_stored(method.key_type(), der.into()));
    Ok(ImportJob {
        id: id.try_into().map_err(|_| Error::Unreadable { what: "id of an import job" })?,
        method,
        owner: row.get("owner")?,
        backend: rows::named::<BackendName>(row.get("backend")?, "backend name")?,
        protection_level: rows::named(row.get("protection_level")?, "protection level")?,
        key: Some(KeyRef {
            tag: KeyTag::from_slice(&tag).ok_or(Error::Unreadable { what: "tag" })?,
            key_type: method.key_type(),
            blob: blob.into(),
            pin: public_key.clone().map(Pin::Public),
        }),
        public_key,
        created: rows::time(row.get("created")?),
        expires: rows::time(row.get("expires")?),
    })
}
