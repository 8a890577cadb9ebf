//! The life of an import job: until its time is over, and longer than any crash.

use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use skms::proto::{ImportJobState, ImportMethod};
use skms_tests::gateway::Home;
use std::os::unix::process::ExitStatusExt as _;

use super::material::{OpenSsl, job, wrapped};
use crate::ask::{PROGRAM, outcome, request_id};

#[tokio::test]
async fn a_job_outlives_its_gateway_and_not_its_time() {
    let home = Home::software(PROGRAM).configured("[limits]\nimport_job_lifetime = \"2s\"\n");
    let gateway = home.start();
    let client = gateway.client().await;
    let openssl = OpenSsl::new();
    let made = client.create_import_job(job(ImportMethod::RsaOaep3072Sha256, "job")).await.unwrap();
    let again = client.create_import_job(job(ImportMethod::RsaOaep3072Sha256, "job")).await;
    assert_eq!(outcome(&again), "AlreadyExists IMPORT_JOB_ALREADY_EXISTS");
    let ciphertext = openssl.wrap(&made, &openssl.make("aes-256"));
    let end = SystemTime::try_from(made.expire_time.unwrap()).unwrap();
    assert!(gateway.stop().await.success());
    let gateway = home.start();
    let client = gateway.client().await;
    while SystemTime::now() < end {
        tokio::task::yield_now().await;
    }
    let shown = client.import_job("job").await.unwrap();
    assert_eq!((shown.state(), &shown.public_key), (ImportJobState::Expired, &made.public_key));
    let refused = client.import_key(wrapped("aes-256", "key", "job", &ciphertext)).await;
    assert_eq!(outcome(&refused), "FailedPrecondition IMPORT_JOB_EXPIRED");
    // It is removed when it has been over for as long again; every start looks for that.
    while SystemTime::now() < end + Duration::from_secs(2) {
        tokio::task::yield_now().await;
    }
    assert!(gateway.stop().await.success());
    let gateway = home.start();
    let gone = gateway.client().await.import_job("job").await;
    assert_eq!(outcome(&gone), "NotFound IMPORT_JOB_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_a_job_is_made_leaves_nothing() {
    for point in ["create-import-job.intent-written", "create-import-job.material-made"] {
        let home = Home::software(PROGRAM);
        let mut gateway = home.start_with([("FAILPOINTS", format!("{point}=return").into())]);
        let mut request = job(ImportMethod::RsaOaep3072Sha256, "job");
        request.request_id = request_id();
        let lost = gateway.client().await.create_import_job(request.clone()).await;
        assert!(lost.is_err_and(|error| error.failure().is_none_or(|failure| failure.reason.is_none())));
        let status = tokio::task::block_in_place(|| gateway.ended());
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{point}");
        let gateway = home.start();
        let client = gateway.client().await;
        assert_eq!(outcome(&client.import_job("job").await), "NotFound IMPORT_JOB_NOT_FOUND", "{point}");
        let count = |table: &str| {
            let catalog = rusqlite::Connection::open_with_flags(
                home.path().join("catalog.db"),
                rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
            );
            let sql = format!("SELECT count(*) FROM {table}");
            catalog.unwrap().query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap()
        };
        let made = client.create_import_job(request).await.unwrap();
        assert_eq!(made.state(), ImportJobState::Active);
        assert!(gateway.stop().await.success());
        assert_eq!((count("import_jobs"), count("requests WHERE answer IS NULL")), (1, 0), "{point}");
    }
}
