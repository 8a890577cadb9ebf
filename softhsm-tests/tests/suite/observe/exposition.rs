//! The text format of OpenMetrics 1.0, read and checked as far as the gateway uses it.

use std::collections::{BTreeMap, BTreeSet};

/// What a scrape gave: the samples by name and labels.
pub(crate) struct Exposition {
    samples: BTreeMap<(String, String), f64>,
}

impl Exposition {
    /// Reads it, and demands that it is well formed.
    pub(crate) fn read(text: &str) -> Self {
        let form = regex::Regex::new(
            r#"^(?<name>[a-z_]+)(?:\{(?<labels>(?:[a-z]+="[^"\\]*",?)*)\})? (?<value>[0-9.eE+-]+)$"#,
        )
        .unwrap();
        let (mut family, mut kind) = (String::new(), String::new());
        let (mut families, mut samples) = (BTreeSet::new(), BTreeMap::new());
        let body = text.strip_suffix("# EOF\n").unwrap();
        for line in body.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let (what, rest) = comment.split_once(' ').unwrap();
                let (name, rest) = rest.split_once(' ').unwrap();
                match what {
                    "HELP" => {
                        assert!(families.insert(name.to_owned()), "{name} comes twice");
                        family = name.to_owned();
                    }
                    "TYPE" => kind = rest.to_owned(),
                    "UNIT" => assert!(family.ends_with(rest), "{line}"),
                    _ => panic!("{line}"),
                }
                assert_eq!(name, family, "{line}");
                continue;
            }
            let found = form.captures(line).unwrap_or_else(|| panic!("malformed: {line}"));
            let end = found["name"].strip_prefix(family.as_str()).unwrap();
            let ends: &[&str] = match kind.as_str() {
                "counter" => &["_total"],
                "gauge" => &[""],
                "histogram" => &["_bucket", "_count", "_sum"],
                "info" => &["_info"],
                _ => panic!("{kind}"),
            };
            assert!(ends.contains(&end), "{line} is no sample of a {kind}");
            let value: f64 = found["value"].parse().unwrap();
            assert!(value >= 0.0, "{line}");
            let labels = found.name("labels").map_or("", |labels| labels.as_str()).to_owned();
            assert!(
                samples.insert((found["name"].to_owned(), labels), value).is_none(),
                "{line} comes twice"
            );
        }
        let read = Self { samples };
        read.check_buckets();
        read
    }

    /// Every histogram grows from bucket to bucket, up to its count.
    fn check_buckets(&self) {
        let mut histograms: BTreeMap<(String, String), Vec<(f64, f64)>> = BTreeMap::new();
        for ((name, labels), value) in &self.samples {
            let Some(family) = name.strip_suffix("_bucket") else { continue };
            let (rest, bound) = labels.split_once("le=\"").unwrap();
            let (bound, after) = bound.split_once('"').unwrap();
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
            let rest = format!("{rest}{}", after.trim_start_matches(','));
            let key = (family.to_owned(), rest.trim_end_matches(',').to_owned());
            histograms.entry(key).or_default().push((bound, *value));
        }
        assert!(!histograms.is_empty());
        for ((family, labels), mut buckets) in histograms {
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            assert!(buckets.is_sorted_by(|one, other| one.1 <= other.1), "{family}{{{labels}}}: {buckets:?}");
            let last = buckets.last().unwrap();
            assert_eq!(*last, (f64::INFINITY, self.value(&format!("{family}_count"), &labels)));
        }
    }

    /// One sample.
    pub(crate) fn value(&self, name: &str, labels: &str) -> f64 {
        let key = (name.to_owned(), labels.to_owned());
        *self.samples.get(&key).unwrap_or_else(|| panic!("there is no {name}{{{labels}}}"))
    }

    /// By how much each sample of a name has grown, where it has, by its labels.
    pub(crate) fn since(&self, before: &Self, name: &str) -> BTreeMap<String, usize> {
        let mut grown = BTreeMap::new();
        for ((other, labels), value) in &self.samples {
            let key = (other.clone(), labels.clone());
            let by = value - before.samples.get(&key).unwrap_or(&0.0);
            assert!(!other.ends_with("_total") || by >= 0.0, "{other}{{{labels}}} shrank");
            if other == name && by > 0.0 {
                grown.insert(labels.clone(), format!("{by:.0}").parse().unwrap());
            }
        }
        grown
    }
}
