//! What is in a token, as a process sees it that has never seen it before.
//!
//! SoftHSM lists what a failed creation left behind only to a library that was
//! initialised after it, so the list is made by another process: the program
//! `softhsm-objects` of this package.

use std::{collections::BTreeSet, env, fs, path::PathBuf, process::Command};

use super::SoftHsm;

/// An object in a token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// `private-key`, `public-key`, `secret-key`, `certificate`, `data`, `other`
    /// or, where not even that can be read, `unreadable`.
    pub class: String,
    /// The `CKA_ID`.
    pub id: Vec<u8>,
    /// The `CKA_LABEL`.
    pub label: String,
    /// Which boolean attributes are true, such as `CKA_SENSITIVE`.
    pub attributes: BTreeSet<String>,
}

impl SoftHsm {
    /// Every object in the token, in some stable order.
    ///
    /// # Panics
    /// When the token cannot be read.
    #[must_use]
    pub fn list(&self) -> Vec<Object> {
        let program = program();
        let output = Command::new(&program)
            .args([self.module().as_os_str(), self.label().as_ref(), self.pin_file().as_os_str()])
            .envs([self.env()])
            .output()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}; {BUILD}", program.display()));
        assert!(output.status.success(), "cannot list: {}", String::from_utf8_lossy(&output.stderr));
        let mut objects: Vec<Object> = String::from_utf8(output.stdout).unwrap().lines().map(read).collect();
        objects.sort();
        objects
    }

    /// How many object files the directory of the token has: what is left behind
    /// is counted even if no library can read it.
    ///
    /// # Panics
    /// When the directory cannot be read.
    #[must_use]
    pub fn object_files(&self) -> usize {
        let token = fs::read_dir(self.token_dir()).unwrap().next().unwrap().unwrap().path();
        let names = fs::read_dir(token).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name != "token.object" && name.to_string_lossy().ends_with(".object")).count()
    }
}

/// One line: class, identifier and label in hexadecimal, attributes.
fn read(line: &str) -> Object {
    let [class, id, label, attributes] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
    Object {
        class: class.to_owned(),
        id: hex::decode(id).unwrap(),
        label: String::from_utf8_lossy(&hex::decode(label).unwrap()).into_owned(),
        attributes: attributes.split_terminator(',').map(str::to_owned).collect(),
    }
}

/// Cargo says where the program is; a binary that is started by hand stands in
/// the directory beneath it.
fn program() -> PathBuf {
    env::var_os("CARGO_BIN_EXE_softhsm-objects").map_or_else(
        || env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("softhsm-objects"),
        PathBuf::from,
    )
}

const BUILD: &str = "run `cargo build --release -p skms-tests --bin softhsm-objects`";
