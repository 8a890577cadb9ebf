//! A SoftHSM2 token that a test has to itself.
//!
//! SoftHSM reads one configuration file, named by `SOFTHSM2_CONF`, when its
//! library is initialised. The environment of a running test cannot be changed
//! safely, and all tests of a binary share it. So whoever opens the library
//! does it in a process that was started with the variable set:
//!
//! * a test that starts the gateway as a process gives it [`SoftHsm::env`];
//! * a test that opens the library itself runs its body through [`alone()`], which
//!   starts the test binary once more for that one test.
//!
//! A crash of the library is then the failure of one test, nothing that a test
//! does to the library or the token is seen by another, and plain `cargo test`
//! works without a script around it.

use std::{
    env,
    ffi::OsString,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;
use uuid::Uuid;

use crate::chaos::Chaos;

mod alone;
mod objects;
mod tool;

pub use self::{
    alone::{alone, alone_with},
    objects::Object,
};

/// A token in a directory of its own, which goes when this is dropped.
pub struct SoftHsm {
    directory: PathBuf,
    module: PathBuf,
    label: String,
    serial: String,
    /// What stands before it.
    chaos: Option<Chaos>,
    _owned: Option<TempDir>,
}

/// Which of its mechanisms SoftHSM offers. What it does not offer it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanisms {
    /// All that it has.
    All,
    /// All but these, by their names in PKCS#11.
    Without(&'static [&'static str]),
}

impl SoftHsm {
    /// A new token with every mechanism of SoftHSM.
    ///
    /// # Panics
    /// With the command that installs SoftHSM where it is missing.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Mechanisms::All)
    }

    /// A new token with some mechanisms of SoftHSM.
    ///
    /// # Panics
    /// With the command that installs SoftHSM where it is missing.
    #[must_use]
    pub fn with(mechanisms: Mechanisms) -> Self {
        let module = find_module();
        let owned = TempDir::with_prefix("skms-softhsm-").unwrap();
        let directory = owned.path().to_owned();
        // Unique, so that a test that meets the wrong token fails.
        let unique = Uuid::new_v4().simple().to_string();
        let label = format!("skms-{}", &unique[..12]);
        let digits: String = unique.bytes().map(|byte| char::from(b'0' + byte % 10)).collect();

        fs::create_dir(directory.join(TOKENS)).unwrap();
        write_secret(&directory.join(USER_PIN), &digits[..8]);
        write_secret(&directory.join(SO_PIN), &digits[8..16]);
        fs::write(directory.join(LABEL), &label).unwrap();
        let mut conf = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            directory.join(TOKENS).display()
        );
        if let Mechanisms::Without(names) = mechanisms {
            // SoftHSM 2.6.1 overlooks the name that follows the minus sign.
            conf.push_str(&format!("slots.mechanisms = -overlooked,{}\n", names.join(",")));
        }
        fs::write(directory.join(CONF), conf).unwrap();

        let mut token =
            Self { directory, module, label, serial: String::new(), chaos: None, _owned: Some(owned) };
        let (so_pin, pin) = (token.so_pin(), token.pin());
        token.util(&["--init-token", "--free", "--label", &token.label, "--so-pin", &so_pin, "--pin", &pin]);
        token.serial = token.read_serial();
        token
    }

    /// The token that another process made in `directory`.
    fn attach(directory: &Path) -> Self {
        let mut token = Self {
            directory: directory.to_owned(),
            module: find_module(),
            label: fs::read_to_string(directory.join(LABEL)).unwrap(),
            serial: String::new(),
            chaos: None,
            _owned: None,
        };
        token.serial = token.read_serial();
        token
    }

    /// A new token whose module fails on command.
    ///
    /// # Panics
    /// With the command that installs SoftHSM where it is missing, and with the one that
    /// builds the module.
    #[must_use]
    pub fn chaotic() -> Self {
        let token = Self::new();
        Self { chaos: Some(Chaos::before(&token.module)), ..token }
    }

    /// What has it fail.
    ///
    /// # Panics
    /// Where it is not [`Self::chaotic`].
    #[must_use]
    pub fn chaos(&self) -> &Chaos {
        self.chaos.as_ref().unwrap()
    }

    /// What a process that opens the library must have in its environment.
    #[must_use]
    pub fn env(&self) -> (&'static str, OsString) {
        ("SOFTHSM2_CONF", self.conf().into_os_string())
    }

    /// What the gateway must have in its environment.
    pub(crate) fn envs(&self) -> Vec<(&'static str, OsString)> {
        let chaos = self.chaos.iter().flat_map(Chaos::env);
        [self.env()].into_iter().chain(chaos).collect()
    }

    /// The library.
    #[must_use]
    pub fn module(&self) -> &Path {
        &self.module
    }

    /// The configuration file of SoftHSM.
    #[must_use]
    pub fn conf(&self) -> PathBuf {
        self.directory.join(CONF)
    }

    /// The directory that holds the directory of the token. Renaming what is in
    /// it is how a token is pulled out.
    #[must_use]
    pub fn token_dir(&self) -> PathBuf {
        self.directory.join(TOKENS)
    }

    /// The label of the token.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The serial number of the token.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The PIN of the security officer.
    #[must_use]
    pub fn so_pin(&self) -> String {
        fs::read_to_string(self.directory.join(SO_PIN)).unwrap()
    }

    /// The PIN of the user.
    #[must_use]
    pub fn pin(&self) -> String {
        fs::read_to_string(self.pin_file()).unwrap()
    }

    /// A file with the PIN of the user, readable by its owner only.
    #[must_use]
    pub fn pin_file(&self) -> PathBuf {
        self.directory.join(USER_PIN)
    }

    /// The least that configures a PKCS#11 backend for this token, in TOML.
    #[must_use]
    pub fn config(&self) -> String {
        format!(
            "module = \"{}\"\ntoken = \"label:{}\"\npin = \"file:{}\"\n",
            self.chaos.as_ref().map_or_else(|| self.module.clone(), |_| Chaos::module()).display(),
            self.label,
            self.pin_file().display()
        )
    }

    fn util(&self, arguments: &[&str]) -> String {
        let output = Command::new("softhsm2-util")
            .args(arguments)
            .arg("--module")
            .arg(&self.module)
            .envs([self.env()])
            .output()
            .unwrap_or_else(|error| panic!("cannot run softhsm2-util: {error}; {INSTALL}"));
        assert!(output.status.success(), "softhsm2-util: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The only serial number in the list: a slot without a token has none.
    fn read_serial(&self) -> String {
        let slots = self.util(&["--show-slots"]);
        let serials = slots.lines().filter_map(|line| line.trim().strip_prefix("Serial number:"));
        serials.map(str::trim).find(|serial| !serial.is_empty()).unwrap().to_owned()
    }
}

impl Default for SoftHsm {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether `SKMS_TEST_BACKENDS` (for example `software,swtpm`) leaves SoftHSM out.
/// If so it says so on the standard error, whatever the test harness captures.
#[must_use]
pub fn left_out() -> bool {
    let Some(wanted) = env::var_os("SKMS_TEST_BACKENDS") else { return false };
    let wanted = wanted.to_string_lossy();
    let left_out = !wanted.split(',').any(|name| matches!(name.trim(), "softhsm" | "pkcs11"));
    if left_out {
        let _ = writeln!(std::io::stderr(), "left out: SoftHSM, because SKMS_TEST_BACKENDS is `{wanted}`");
    }
    left_out
}

/// The library, wherever the distributions put it.
fn find_module() -> PathBuf {
    const PLACES: [&str; 5] = [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib64/pkcs11/libsofthsm2.so",
        "/usr/local/lib/softhsm/libsofthsm2.so",
    ];
    if let Some(named) = env::var_os("SOFTHSM2_MODULE") {
        let named = PathBuf::from(named);
        assert!(named.exists(), "SOFTHSM2_MODULE names `{}`, which does not exist", named.display());
        return named;
    }
    PLACES
        .into_iter()
        .map(PathBuf::from)
        .find(|place| place.exists())
        .unwrap_or_else(|| panic!("SoftHSM is not installed; {INSTALL}"))
}

fn write_secret(path: &Path, secret: &str) {
    fs::write(path, secret).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

const TOKENS: &str = "tokens";
const CONF: &str = "softhsm2.conf";
const LABEL: &str = "label";
const USER_PIN: &str = "pin";
const SO_PIN: &str = "so-pin";
const INSTALL: &str = "run `apt-get install softhsm2`, set SOFTHSM2_MODULE to the path of libsofthsm2.so, \
     or leave SoftHSM out with SKMS_TEST_BACKENDS=software";
