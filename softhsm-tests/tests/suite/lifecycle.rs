//! The lives of keys: taken in and out of use, rotated and destroyed when their time
//! has come, and what is said of them meanwhile.
//!
//! | read | for |
//! |---|---|
//! | `states` | the verbs, and what each use of a key answers in each state |
//! | `destroy` | the end of material: on time, with a device away, through crashes |
//! | `schedule` | rotations that nobody asks for |
//! | `said` | minimums, other names, times |
//! | `limit` | how often a version may protect something |
//! | `histories` | random histories through crashes, held against a model |
//! | `model` | the rules once more, as simple as can be |

mod destroy;
mod histories;
mod limit;
mod model;
mod said;
mod schedule;
mod states;
mod table;

use std::time::Duration;

use skms::{
    client::{Client, Error},
    proto,
};

use crate::ask::{full, metadata};

/// Reached only by what never happens.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is done to versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Enable,
    Disable,
    Restore,
    Compromise,
    Destroy,
}

/// A verb on some versions of a key, or on the whole of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn {
    key: String,
    versions: Vec<u32>,
    etag: String,
    request_id: String,
    validate_only: bool,
}

pub(crate) fn turn(key: &str, versions: &[u32]) -> Turn {
    Turn { key: key.into(), versions: versions.into(), ..Turn::default() }
}

macro_rules! request {
    ($message:ident, $turn:expr) => {{
        let Turn { key, versions, etag, request_id, validate_only } = $turn;
        proto::$message { key_id: key, versions, etag, request_id, validate_only }
    }};
}

impl Verb {
    const ALL: [Self; 5] = [Self::Enable, Self::Disable, Self::Restore, Self::Compromise, Self::Destroy];

    pub(crate) async fn ask(self, client: &Client, turn: Turn) -> Result<proto::KeyResponse, Error> {
        match self {
            Self::Enable => client.enable_key(request!(EnableKeyRequest, turn)).await,
            Self::Disable => client.disable_key(request!(DisableKeyRequest, turn)).await,
            Self::Restore => client.restore_key(request!(RestoreKeyRequest, turn)).await,
            Self::Compromise => client.mark_key_compromised(request!(MarkKeyCompromisedRequest, turn)).await,
            Self::Destroy => {
                client.schedule_key_destruction(request!(ScheduleKeyDestructionRequest, turn)).await
            }
        }
    }
}

/// Another primary.
fn lead(key: &str, version: u32) -> proto::SetPrimaryVersionRequest {
    proto::SetPrimaryVersionRequest { key_id: key.into(), version, ..Default::default() }
}

/// A change of these fields.
pub(crate) fn update(key: &str, paths: &[&str], metadata: proto::KeyMetadata) -> proto::UpdateKeyRequest {
    let paths = paths.iter().map(|&path| path.to_owned()).collect();
    proto::UpdateKeyRequest {
        key_id: key.into(),
        metadata: Some(metadata),
        update_mask: Some(prost_types::FieldMask { paths }),
        ..Default::default()
    }
}

/// The states of all versions.
async fn states(client: &Client, key: &str) -> Vec<proto::KeyState> {
    let shown = client.get_key(full(key)).await.unwrap();
    metadata(&shown).versions.iter().map(proto::KeyVersion::state).collect()
}

/// Asks until the key is as it is to be, and gives it.
pub(crate) async fn until(
    client: &Client,
    key: &str,
    wanted: impl Fn(&proto::KeyMetadata) -> bool,
) -> proto::KeyResponse {
    let waiting = async {
        loop {
            let shown = client.get_key(full(key)).await.unwrap();
            if wanted(metadata(&shown)) {
                return shown;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap()
}
