//! Published test vectors (Project Wycheproof): nothing invalid is accepted, and nothing
//! valid is refused but for the reasons that are written down here.

mod gateway;
mod signatures;

use std::collections::BTreeMap;

use wycheproof::TestResult;

/// What came of the vectors.
#[derive(Default)]
struct Tally {
    valid: usize,
    invalid: usize,
    /// Valid ones that were refused, by the reason for it.
    refused: BTreeMap<&'static str, usize>,
    wrong: Vec<String>,
}

impl Tally {
    /// Counts one. `reason` says why it may be refused although it is valid.
    fn count(&mut self, name: &str, result: TestResult, accepted: bool, reason: Option<&'static str>) {
        match (result, accepted) {
            (TestResult::Valid, true) => self.valid += 1,
            (TestResult::Invalid, false) => self.invalid += 1,
            (TestResult::Valid | TestResult::Acceptable, false) if reason.is_some() => {
                *self.refused.entry(reason.unwrap_or_default()).or_default() += 1;
            }
            // What may go either way and is of no known kind is to be looked at.
            (result, accepted) => self.wrong.push(format!("{name}: {result:?}, accepted: {accepted}")),
        }
    }

    /// The counts; fails where one is wrong.
    fn finish(self, what: &str, least: usize) -> String {
        let Self { valid, invalid, refused, wrong } = self;
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
        assert!(valid + invalid >= least, "only {} vectors", valid + invalid);
        format!("{what}: {valid} valid accepted, {invalid} invalid refused, refused by choice {refused:?}")
    }
}
