//! What `config/` has for Prometheus and Grafana: rules that fire when they should, and
//! queries of metrics that exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use regex::Regex;
use serde_json::Value;

/// What Prometheus says of every series beside what the gateway says.
const OF_PROMETHEUS: [&str; 3] = ["instance", "job", "le"];

#[test]
fn every_alert_is_fired_by_its_test_and_not_by_the_opposite() {
    let said = promtool(&["test", "rules", "config/prometheus/alerts.test.yml"]);
    assert!(said.contains("SUCCESS"), "{said}");
    let alerts = found(r"(?m)^ +- alert: (\w+)$", &text("config/prometheus/alerts.yml"));
    let tests = text("config/prometheus/alerts.test.yml");
    let fired = found(r#"exp_samples: \[\{ labels: 'ALERTS\{alertname="(\w+)""#, &tests);
    let quiet = found(r"(?m)^ +- name: (\w+), not fired$", &tests);
    assert!(alerts.len() > 10);
    assert_eq!(alerts, fired);
    assert_eq!(alerts, quiet);
}

#[test]
fn the_configuration_of_prometheus_is_in_order() {
    let said = promtool(&["check", "config", "config/prometheus/prometheus.yml"]);
    assert!(said.contains("rules found"), "{said}");
}

#[test]
fn every_query_of_the_dashboard_can_be_asked() {
    let folder = tempfile::tempdir().unwrap();
    let queries = queries_of_the_dashboard();
    // promtool reads queries only as rules.
    let mut rules = String::from("groups: [{ name: dashboard, rules: [\n");
    for (number, query) in queries.iter().enumerate() {
        let query = serde_json::to_string(&query.replace("$__rate_interval", "1m")).unwrap();
        rules += &format!("{{ record: 'query:{number}', expr: {query} }},\n");
    }
    rules += "] }]\n";
    let file = folder.path().join("rules.yml");
    fs::write(&file, rules).unwrap();
    let said = promtool(&["check", "rules", file.to_str().unwrap()]);
    assert!(said.contains(&format!("SUCCESS: {} rules found", queries.len())), "{said}");
}

#[test]
fn the_dashboard_and_the_alerts_use_metrics_labels_and_values_that_exist() {
    let metrics = metrics();
    let values = text("src/telemetry/labels.rs");
    let metric = Regex::new(r"\b(skms_[a-z0-9_]+)(?:\{([^}]*)\})?").unwrap();
    let matcher = Regex::new(r#"(\w+)(=~|=)"([^"]*)""#).unwrap();
    let grouping = Regex::new(r"\b(?:by|on) \(([^)]*)\)").unwrap();
    let alerts = text("config/prometheus/alerts.yml");
    let rules = alerts.split("- alert: ").skip(1).map(|rule| {
        let (_, rest) = rule.split_once("expr:").unwrap();
        let end = rest.find("\n        labels:").unwrap();
        rest[..end].to_owned()
    });
    let mut used = BTreeSet::new();
    for query in queries_of_the_dashboard().into_iter().chain(rules) {
        let mut known: BTreeSet<_> = OF_PROMETHEUS.map(str::to_owned).into();
        for found in metric.captures_iter(&query) {
            let name = family(&found[1], &metrics);
            let labels = metrics.get(name).unwrap_or_else(|| panic!("no metric `{name}`: {query}"));
            used.insert(name.to_owned());
            known.extend(labels.iter().cloned());
            for found in matcher.captures_iter(found.get(2).map_or("", |found| found.as_str())) {
                let label = &found[1];
                let exists = OF_PROMETHEUS.contains(&label) || labels.contains(label);
                assert!(exists, "`{name}` has no label `{label}`: {query}");
                // Those with a `$` are chosen by whoever looks at the dashboard.
                for value in found[3].split('|').filter(|value| !value.starts_with('$')) {
                    assert!(values.contains(&format!("= \"{value}\"")), "no label is `{value}`: {query}");
                }
            }
        }
        for found in grouping.captures_iter(&query) {
            for label in found[1].split(", ") {
                assert!(known.contains(label), "nothing has the label `{label}`: {query}");
            }
        }
    }
    assert!(used.len() > 30, "{used:?}");
}

#[test]
fn no_panel_of_the_dashboard_lies_over_another() {
    let mut taken = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    let dashboard = dashboard();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(numbers.insert(panel["id"].as_u64().unwrap()), "`{title}` has the id of another");
        let place = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "`{title}` is too wide");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "`{title}` lies over another");
            }
        }
    }
    assert!(numbers.len() > 10);
}

/// The metric that a name means: those of histograms have an end of their own.
fn family<'a>(name: &'a str, metrics: &BTreeMap<String, BTreeSet<String>>) -> &'a str {
    let ends = ["_bucket", "_count", "_sum"];
    let short = ends.iter().find_map(|end| name.strip_suffix(end));
    short.filter(|short| metrics.contains_key(*short)).unwrap_or(name)
}

/// The list of metrics with their labels, which a test of the gateway keeps true.
fn metrics() -> BTreeMap<String, BTreeSet<String>> {
    let list = text("src/telemetry/metrics.txt");
    let lines = list.lines().map(|line| {
        let (name, rest) = line.split_once(' ').unwrap();
        let (_, labels) = rest.split_once('{').unwrap();
        let labels = labels.trim_end_matches('}').split(',').map(str::to_owned).collect();
        (name.to_owned(), labels)
    });
    lines.collect()
}

fn queries_of_the_dashboard() -> Vec<String> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect();
    assert!(queries.len() > 30);
    queries
}

fn dashboard() -> Value {
    serde_json::from_str(&text("config/grafana/skms.json")).unwrap()
}

/// What a pattern finds, each once and in order.
fn found(pattern: &str, text: &str) -> BTreeSet<String> {
    Regex::new(pattern).unwrap().captures_iter(text).map(|found| found[1].to_owned()).collect()
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// What Prometheus's own tool says; it has to find nothing wrong.
fn promtool(arguments: &[&str]) -> String {
    let program: PathBuf = root().join("var/tools/promtool");
    let output = Command::new(&program)
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}; run `make setup`", program.display()));
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    said
}
