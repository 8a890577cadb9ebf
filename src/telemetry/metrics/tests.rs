//! What a scrape gives: names, helps and labels, all of closed lists.

use std::{fmt::Write as _, time::Duration};

use skms_backend::{Observer as _, Operation, WorkersStatus};

use super::*;
use crate::model::Rpc;

/// Metrics in which every one has been counted once.
fn all() -> Metrics {
    let metrics = Metrics::new();
    metrics.request_begun();
    metrics.request_ended(Some(Rpc::SignMessage), Code::Ok, Duration::from_millis(3));
    let status =
        WorkersStatus { contexts: 4, busy: 1, queued: 7, queue_capacity: 1024, ..WorkersStatus::default() };
    metrics.pools_from(move || vec![Pool { backend: "soft".into(), up: true, status }]);
    let checkpoint = Some((7, SystemTime::now()));
    metrics.audit_from(move || AuditState { queued: 3, failing: false, checkpoint });
    metrics.device("soft").done(Operation::Sign, Duration::from_micros(5), Duration::from_micros(50));
    metrics.certificate_expires("127.0.0.1:7443", SystemTime::now());
    metrics.jwks_fetched("https://issuer.example");
    metrics
}

/// A metric as it is exposed.
#[derive(Debug, Default)]
struct Exposed {
    kind: String,
    help: String,
    labels: BTreeMap<String, Vec<String>>,
}

/// Reads the text, as far as these tests need it.
fn read(text: &str) -> BTreeMap<String, Exposed> {
    let mut exposed: BTreeMap<String, Exposed> = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", family, help] => {
                name = family.to_owned();
                exposed.entry(name.clone()).or_default().help = help.to_owned();
            }
            ["#", "TYPE", family, kind] => {
                assert_eq!(family, name);
                exposed.get_mut(&name).unwrap().kind = kind.to_owned();
            }
            ["#", "UNIT", family, unit] => assert!(family == name && name.ends_with(unit), "{line}"),
            ["#", "EOF"] => {}
            _ => {
                assert!(line.starts_with(name.as_str()), "{line} under {name}");
                let Some((_, labels)) = line.split_once('{') else { continue };
                for label in labels.split_once('}').unwrap().0.split(',') {
                    let (label, value) = label.split_once('=').unwrap();
                    let values = exposed.get_mut(&name).unwrap().labels.entry(label.to_owned()).or_default();
                    values.push(value.trim_matches('"').to_owned());
                }
            }
        }
    }
    exposed
}

#[test]
fn every_metric_has_a_help_and_is_on_the_list_for_dashboards() {
    let text = all().render();
    assert!(text.ends_with("# EOF\n"));
    let mut list = String::new();
    for (family, Exposed { kind, help, labels }) in read(&text) {
        assert!(help.len() > 10 && help.ends_with('.') && !help.ends_with(".."), "{family}: {help}");
        let form = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(family.starts_with("skms_") && form(&family), "{family}");
        let end = match kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let labels: Vec<_> = labels.into_keys().filter(|label| label != "le").collect();
        writeln!(list, "{family}{end} {kind} {{{}}}", labels.join(",")).unwrap();
    }
    assert_eq!(list, include_str!("../metrics.txt"), "src/telemetry/metrics.txt must be:\n{list}");
}

#[test]
fn no_label_is_outside_of_its_list() {
    let metrics = all();
    // Whatever path was asked for, it is one series.
    metrics.request_ended(Rpc::of_path("/evil{a=\"b\"}"), Code::Unimplemented, Duration::ZERO);
    let text = metrics.render();
    let exposed = read(&text);
    let rpcs: Vec<_> = Rpc::ALL.iter().map(|rpc| rpc.name()).chain(["unknown"]).collect();
    for Exposed { labels, .. } in exposed.values() {
        for (label, values) in labels {
            let closed = |value: &String| match label.as_str() {
                "rpc" => rpcs.contains(&value.as_str()),
                "reason" => Reason::ALL.iter().any(|reason| reason.text() == value),
                "operation" => Operation::ALL.iter().any(|operation| operation.name() == value),
                "code" => value.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'),
                "class" | "why" | "step" | "limit" | "what" | "outcome" | "task" => {
                    value.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'2')
                }
                "le" => value == "+Inf" || value.parse::<f64>().is_ok(),
                // Named by the configuration.
                "backend" => value == "soft",
                "listener" => value == "127.0.0.1:7443",
                "issuer" => value == "https://issuer.example",
                "version" => value == env!("CARGO_PKG_VERSION"),
                _ => false,
            };
            assert!(values.iter().all(closed), "{label}: {values:?}");
        }
    }
    assert!(text.contains("skms_requests_total{rpc=\"unknown\",code=\"UNIMPLEMENTED\"} 1\n"), "{text}");
}

#[test]
fn what_is_counted_is_what_is_exposed() {
    let metrics = all();
    metrics.auth_failure(Reason::TokenExpired);
    metrics.auth_failure(Reason::TokenExpired);
    metrics.rate_limited(Limit::Address);
    metrics.authorization_denied(Step::Key);
    let text = metrics.render();
    for line in [
        "skms_requests_total{rpc=\"skms.v1.KeyManagement/SignMessage\",code=\"OK\"} 1",
        "skms_request_duration_seconds_count{rpc=\"skms.v1.KeyManagement/SignMessage\",class=\"ok\"} 1",
        // There before its first event, which an alert would not see otherwise.
        "skms_requests_total{rpc=\"skms.v1.KeyManagement/SignMessage\",code=\"DATA_LOSS\"} 0",
        "skms_requests_in_flight 0",
        "skms_auth_failures_total{reason=\"TOKEN_EXPIRED\"} 2",
        "skms_auth_failures_total{reason=\"TOKEN_MISSING\"} 0",
        "skms_rate_limited_total{limit=\"address\"} 1",
        "skms_authorization_denied_total{step=\"key\"} 1",
        "skms_queue_seconds_count{backend=\"soft\",operation=\"sign\"} 1",
        "skms_device_seconds_count{backend=\"soft\",operation=\"sign\"} 1",
        "skms_pool_queued{backend=\"soft\"} 7",
        "skms_backend_up{backend=\"soft\"} 1",
        "skms_audit_checkpoint_sequence 7",
    ] {
        assert!(text.lines().any(|exposed| exposed == line), "{line} is not in\n{text}");
    }
    // A backend that is gone is not shown as it was.
    metrics.pools_from(Vec::new);
    assert!(!metrics.render().contains("skms_backend_up{"));
}
