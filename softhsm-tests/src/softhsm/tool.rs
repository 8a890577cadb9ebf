//! Objects that somebody else makes in a token: `pkcs11-tool` of OpenSC.

use std::{fs, path::PathBuf, process::Command};

use tempfile::TempDir;

use super::SoftHsm;

impl SoftHsm {
    /// Runs `pkcs11-tool` as the user of the token.
    ///
    /// # Panics
    /// When it fails, or is missing.
    pub fn tool(&self, arguments: &[&str]) -> String {
        let output = Command::new("pkcs11-tool")
            .arg("--module")
            .arg(self.module())
            .args(["--token-label", self.label(), "--login", "--pin", &self.pin()])
            .args(arguments)
            .envs([self.env()])
            .output()
            .unwrap_or_else(|error| panic!("cannot run pkcs11-tool: {error}; run `apt-get install opensc`"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pkcs11-tool {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Makes a key or a key pair of this type, as `pkcs11-tool` names it.
    pub fn make(&self, key_type: &str, id: &str, label: &str, more: &[&str]) {
        let secret = key_type.starts_with("AES") || key_type.starts_with("GENERIC");
        let what = if secret { "--keygen" } else { "--keypairgen" };
        let arguments = [&[what, "--key-type", key_type, "--id", id, "--label", label], more].concat();
        self.tool(&arguments);
    }

    /// Removes an object: `privkey`, `pubkey`, `secrkey`, `cert`.
    pub fn remove(&self, class: &str, id: &str) {
        self.tool(&["--delete-object", "--type", class, "--id", id]);
    }

    /// Writes a certificate (DER) into the token.
    pub fn write_certificate(&self, der: &[u8], id: &str) {
        let directory = TempDir::new().unwrap();
        let path: PathBuf = directory.path().join("certificate.der");
        fs::write(&path, der).unwrap();
        self.tool(&["--write-object", &path.display().to_string(), "--type", "cert", "--id", id]);
    }
}
