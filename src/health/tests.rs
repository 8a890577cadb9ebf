//! The gateway serves while everything holds, and says so at once when it does not.

use std::{collections::BTreeMap, num::NonZeroUsize};

use skms_backend_software::SoftwareBackend;
use tonic_health::{
    pb::{HealthCheckRequest, health_server::Health as _},
    server::HealthService,
};

use super::*;

/// Backends with one in software, and what its master key is kept in.
fn backends() -> (tempfile::TempDir, Arc<Backends>) {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("master.key");
    std::fs::write(&path, "0123456789abcdef".repeat(4)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = skms_backend_software::Config {
        master_key: format!("file:{}", path.display()).parse().unwrap(),
        threads: NonZeroUsize::MIN,
        queue: NonZeroUsize::MIN,
    };
    let backend: Arc<dyn skms_backend::KeyBackend> =
        Arc::new(SoftwareBackend::open("soft", &config, None, Arc::new(())).unwrap());
    let (_, backends) = crate::backends::of(BTreeMap::from([("soft".parse().unwrap(), backend)]));
    (directory, backends)
}

#[tokio::test]
async fn a_condition_that_holds_no_more_is_reported_before_the_next_probe() {
    let (_directory, backends) = backends();
    let (audit, holds) = watch::channel(true);
    let readiness = Arc::new(Readiness::new(backends, vec![Condition { name: "audit", holds }]));
    assert_eq!(readiness.missing(), ["backends"], "none was probed");
    // The next probe is far away.
    let config = Config { probe_interval: Duration::from_secs(3600), ..Config::default() };
    let reporter = HealthReporter::new();
    probe_all(&config, &readiness, &reporter).await;
    assert!(readiness.missing().is_empty());

    let service = HealthService::from_health_reporter(reporter.clone());
    let request = tonic::Request::new(HealthCheckRequest { service: String::new() });
    let mut told = service.watch(request).await.unwrap().into_inner();
    let mut next = async || {
        use futures_util::StreamExt as _;
        told.next().await.unwrap().unwrap().status()
    };
    use tonic_health::pb::health_check_response::ServingStatus as Told;
    assert_eq!(next().await, Told::Serving);
    let stop = CancellationToken::new();
    let watching = tokio::spawn(watch(config, Arc::clone(&readiness), reporter, stop.clone()));
    audit.send(false).unwrap();
    while next().await == Told::Serving {}
    assert_eq!(readiness.missing(), ["audit"]);
    audit.send(true).unwrap();
    while next().await == Told::NotServing {}
    // Whoever could change it goes; that changes nothing.
    drop(audit);
    assert!(readiness.missing().is_empty());
    stop.cancel();
    watching.await.unwrap();
    while next().await == Told::Serving {}
    assert_eq!(readiness.missing(), ["draining"]);
}
