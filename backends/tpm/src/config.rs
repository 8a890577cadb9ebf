//! How a TPM backend is configured.

use std::{num::NonZeroUsize, path::Path, str::FromStr, time::Duration};

use serde::Deserialize;
use skms_backend::{SecretRef, WorkersConfig};
use tss_esapi::tcti_ldr::TctiNameConf;

/// One TPM 2.0.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The way to the TPM.
    pub tcti: Tcti,
    /// Where the authorization of the owner hierarchy is kept; none: it is empty.
    #[serde(default)]
    pub owner_auth: Option<SecretRef>,
    /// Whether nobody can listen or write on the way to the TPM. Then a signature is
    /// authorized with the plain authorization value of its key, which is quicker.
    #[serde(default)]
    pub trusted_path: bool,
    /// Calls that may wait for the TPM; one more is refused at once.
    #[serde(default = "queue")]
    pub queue: NonZeroUsize,
    /// A call that takes longer is taken for one that does not come back.
    #[serde(default = "hang_limit", with = "humantime_serde")]
    pub hang_limit: Duration,
}

impl Config {
    /// The same with relative paths resolved against `base`.
    #[must_use]
    pub fn relative_to(mut self, base: &Path) -> Self {
        self.owner_auth = self.owner_auth.map(|auth| auth.relative_to(base));
        self
    }

    /// One context: a TPM does one thing at a time, and contexts share its few slots.
    pub(crate) const fn workers(&self) -> WorkersConfig {
        WorkersConfig { contexts: NonZeroUsize::MIN, queue: self.queue, hang_limit: self.hang_limit }
    }
}

fn queue() -> NonZeroUsize {
    WorkersConfig::default().queue
}

const fn hang_limit() -> Duration {
    WorkersConfig::HANG_LIMIT
}

/// The way to a TPM: `device:/dev/tpmrm0`, or `swtpm:host=HOST,port=PORT`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Tcti {
    text: String,
    conf: TctiNameConf,
}

impl Tcti {
    pub(crate) fn conf(&self) -> TctiNameConf {
        self.conf.clone()
    }

    /// Whether something on the way keeps the handles of its users apart, as the resource
    /// manager of the kernel does. Else the TPM is this backend's alone.
    pub(crate) fn is_managed(&self) -> bool {
        self.text.starts_with("device:") && self.text.contains("tpmrm")
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl FromStr for Tcti {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const REMEDY: &str = "write `device:/dev/tpmrm0` or `swtpm:host=127.0.0.1,port=2321`";
        let Some((kind, rest)) = text.split_once(':') else { return Err(REMEDY) };
        if rest.is_empty() || !matches!(kind, "device" | "swtpm") {
            return Err(REMEDY);
        }
        // What is not understood would be left out in silence, and the default taken.
        let known = |part: &str| part.starts_with("host=") || part.starts_with("port=");
        if kind == "swtpm" && !rest.split(',').all(known) {
            return Err(REMEDY);
        }
        let conf = TctiNameConf::from_str(text).map_err(|_| REMEDY)?;
        Ok(Self { text: text.to_owned(), conf })
    }
}

impl TryFrom<String> for Tcti {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_is_not_understood_is_refused() {
        for good in ["device:/dev/tpmrm0", "device:/dev/tpm0", "swtpm:host=127.0.0.1,port=4711"] {
            assert_eq!(good.parse::<Tcti>().unwrap().text(), good);
        }
        for bad in
            ["", "/dev/tpmrm0", "device:", "swtpm:", "swtpm:prot=1", "swtpm:port=x", "tabrmd:", "pkcs11:x"]
        {
            assert!(bad.parse::<Tcti>().is_err(), "{bad}");
        }
        assert!("device:/dev/tpmrm1".parse::<Tcti>().unwrap().is_managed());
        assert!(!"device:/dev/tpm0".parse::<Tcti>().unwrap().is_managed());
    }
}
