//! Labels on the command line: `--label NAME=VALUE`.

use std::{collections::BTreeMap, str::FromStr};

use super::Error;

/// One label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    name: String,
    value: String,
}

impl FromStr for Label {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or("a label is NAME=VALUE")?;
        if name.is_empty() {
            Err("a label needs a name")
        } else {
            Ok(Self { name: name.into(), value: value.into() })
        }
    }
}

/// All of them, none twice.
pub(super) fn by_name(labels: &[Label]) -> Result<BTreeMap<String, String>, Error> {
    let mut all = BTreeMap::new();
    for Label { name, value } in labels.iter().cloned() {
        if all.insert(name.clone(), value).is_some() {
            return Err(Error::Usage(format!("the label `{name}` is given twice")));
        }
    }
    Ok(all)
}
