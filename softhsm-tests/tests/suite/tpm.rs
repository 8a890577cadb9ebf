//! What befalls a TPM, and no other device: power cuts, a chip that stands still, one that
//! was cleared, and others who use it.
//!
//! | read | for |
//! |---|---|
//! | `attest` | what it says of its keys |
//! | `cuts` | power cuts under load, and a chip that does not answer |
//! | `master` | master keys that are sealed to it |
//! | `owner` | TPM2_Clear, the owner authorization, lockout |
//! | `slots` | handles: how many there are, and that none is left behind |
//! | `wire` | what can be heard on the way to the chip |

mod attest;
mod cuts;
mod master;
mod owner;
mod slots;
mod wire;

use std::{sync::Arc, time::Duration};

use skms_backend::{KeyBackend, KeyRef, KeySpec, KeyTag, KeyType, OpContext, Usage};
use skms_backend_tpm::TpmBackend;
use skms_tests::swtpm::Swtpm;

/// Long enough on a busy machine; nothing waits for it.
fn soon() -> OpContext {
    OpContext::within(Duration::from_secs(60))
}

/// A backend over a TPM, configured with this besides.
fn open(tpm: &Swtpm, more: &str) -> Result<Arc<dyn KeyBackend>, skms_backend::Error> {
    let config = toml::from_str(&format!("{}{more}", tpm.config())).unwrap();
    Ok(Arc::new(TpmBackend::open("tpm", &config, None, Arc::new(()))?))
}

/// A key that signs.
async fn make(backend: &dyn KeyBackend, key_type: KeyType) -> KeyRef {
    let (tag, usage) = (KeyTag::random().unwrap(), Usage::Sign(Vec::new()));
    let made = backend.generate(&KeySpec { key_type, usage }, tag, &soon()).await.unwrap();
    KeyRef { tag, key_type, blob: made.blob, pin: Some(made.pin) }
}
