//! What clients were told, and whether it still holds.

use std::collections::{BTreeMap, BTreeSet};

use skms::{client::Client, proto};

use super::ask::{Ask, Call};

/// Every answer that a client received.
#[derive(Default)]
pub(super) struct Ledger {
    keys: BTreeMap<String, Told>,
    /// How many answers there were, by action and key; each has a record.
    answers: BTreeMap<(Call, String), usize>,
    /// Versions that have signed since they were made.
    signed: BTreeSet<(String, u32)>,
}

/// What was told of one key.
#[derive(Default)]
struct Told {
    /// The public keys that answers carried.
    public_keys: BTreeSet<String>,
    /// Calls that were answered, each of which made one version.
    calls: usize,
}

impl Ledger {
    /// A call was answered for the first time.
    pub(super) fn told(&mut self, ask: &Ask, answer: &proto::KeyResponse) {
        let told = self.keys.entry(ask.key.clone()).or_default();
        assert!(answer.public_key.starts_with("-----BEGIN PUBLIC KEY-----"), "{ask:?}: {answer:?}");
        told.public_keys.insert(answer.public_key.clone());
        told.calls += 1;
        self.told_again(ask);
    }

    /// A call was answered as it had been before.
    pub(super) fn told_again(&mut self, ask: &Ask) {
        *self.answers.entry((ask.call, ask.key.clone())).or_default() += 1;
    }

    /// How many versions there must be.
    pub(super) fn versions(&self) -> usize {
        self.keys.values().map(|told| told.calls).sum()
    }

    /// The answers, by action and key.
    pub(super) const fn answers(&self) -> &BTreeMap<(Call, String), usize> {
        &self.answers
    }

    /// Demands a signature of every version again.
    pub(super) fn trust_nothing(&mut self) {
        self.signed.clear();
    }

    /// Demands that the gateway has exactly what its clients were told of, and that
    /// all of it signs.
    pub(super) async fn demand(&mut self, client: &Client) {
        let shown = list(client).await;
        let ids: Vec<_> = shown.iter().map(|key| key.id.as_str()).collect();
        let told: Vec<_> = self.keys.keys().map(String::as_str).collect();
        assert_eq!(ids, told, "the keys that are there, and those that clients know of");
        for key in shown {
            let Some(told) = self.keys.get(&key.id) else { continue };
            let metadata = key.metadata.unwrap();
            assert_eq!(metadata.versions.len(), told.calls, "the versions of {}", key.id);
            let mut held = BTreeSet::new();
            for version in &metadata.versions {
                assert_eq!(version.state(), proto::KeyState::Enabled, "{} {}", key.id, version.version);
                held.insert(version.public_key.clone());
                if self.signed.insert((key.id.clone(), version.version)) {
                    demand_signature(client, &key.id, version.version).await;
                }
            }
            assert_eq!(held.len(), told.calls, "each version of {} has a public key of its own", key.id);
            let lost: Vec<_> = told.public_keys.difference(&held).collect();
            assert!(lost.is_empty(), "{} has lost {lost:?}", key.id);
            let newest = metadata.versions.iter().map(|version| version.version).max();
            assert_eq!(Some(metadata.primary_version), newest, "the primary of {}", key.id);
        }
    }
}

/// Every key, in full.
pub(super) async fn list(client: &Client) -> Vec<proto::KeyResponse> {
    let mut keys = Vec::new();
    let mut request = proto::ListKeysRequest { view: proto::KeyView::Full.into(), ..Default::default() };
    loop {
        let page = client.list_keys(request.clone()).await.unwrap();
        keys.extend(page.keys);
        if page.next_page_token.is_empty() {
            return keys;
        }
        request.page_token = page.next_page_token;
    }
}

async fn demand_signature(client: &Client, id: &str, version: u32) {
    let message = format!("{id} {version}");
    let request = proto::SignRequest {
        key_id: id.into(),
        version,
        input: Some(proto::sign_request::Input::Message(message.clone().into())),
        ..Default::default()
    };
    let signed = client.sign(request).await.unwrap_or_else(|error| panic!("{message}: {error:?}"));
    let request = proto::VerifyRequest {
        key_id: id.into(),
        version,
        input: Some(proto::verify_request::Input::Message(message.clone().into())),
        signature: signed.signature,
        ..Default::default()
    };
    assert!(client.verify(request).await.unwrap().valid, "{message}");
}
