//! How a key of the model is asked for, and what the answers are compared by.

use bytes::Bytes;
use prost::Message as _;
use skms::{client::Client, model::Rpc, proto};
use skms_tests::gateway::{Gateway, Home};
use tonic::{Status, metadata::MetadataMap, transport::Channel};
use tonic_types::StatusExt as _;

use super::model::{KEYS, Key, MISSING, Who};
use crate::{
    ask::{PROGRAM, create, full, outcome, public, rotate, sign, verify, versions},
    refusals::raw,
    strangers::callers::{batch_of, body, streamed},
};

/// A gateway with the keys of the model.
pub(super) async fn furnished() -> (Home, Gateway) {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    for Key { name, about } in &KEYS {
        let Some(about) = about else { continue };
        let maker = gateway.client_of(&home.idp().token_in("maker", &["admin"], about.tenant)).await;
        let mut request = create("ec-p256", name, "");
        request.metadata.extend(about.team.map(|team| ("team".to_owned(), team.to_owned())));
        maker.create_key(request).await.unwrap();
    }
    (home, gateway)
}

/// What such a caller sends with every call.
pub(super) fn headers(home: &Home, who: &Who) -> MetadataMap {
    let token = home.idp().token_in(who.name, who.roles, who.tenant);
    let mut headers = MetadataMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    headers
}

/// Asks for this of a key of this name, without making one or labelling it.
pub(super) async fn call(
    channel: &Channel,
    headers: &MetadataMap,
    rpc: Rpc,
    key: &str,
) -> Result<Option<Bytes>, Status> {
    let asked = streamed(rpc, key).unwrap_or_else(|| (vec![asking(rpc, key).into()], 0));
    let got = raw::first(channel.clone(), rpc.path(), headers.clone(), asked).await;
    got.and_then(|answer| unbatched(rpc, answer))
}

/// What became of the one item of a batch; everything else as it is.
fn unbatched(rpc: Rpc, answer: Option<Bytes>) -> Result<Option<Bytes>, Status> {
    macro_rules! only {
        ($response:ident, $module:ident) => {{
            let bytes = answer.unwrap();
            let [result] = &proto::$response::decode(bytes).unwrap().results[..] else { panic!("not one") };
            match result.result.clone().unwrap() {
                proto::$module::Result::Response(item) => Ok(Some(item.encode_to_vec().into())),
                proto::$module::Result::Error(error) => Err(of_item(&error)),
            }
        }};
    }
    match rpc {
        Rpc::BatchSign => only!(BatchSignResponse, batch_sign_result),
        Rpc::BatchVerify => only!(BatchVerifyResponse, batch_verify_result),
        Rpc::BatchEncrypt => only!(BatchEncryptResponse, batch_encrypt_result),
        Rpc::BatchDecrypt => only!(BatchDecryptResponse, batch_decrypt_result),
        Rpc::BatchCreateKeys => {
            use proto::batch_create_keys_result::Result as Made;
            let all = proto::BatchCreateKeysResponse::decode(answer.unwrap()).unwrap().results;
            match all.into_iter().next().and_then(|result| result.result).unwrap() {
                Made::Key(key) => Ok(Some(key.encode_to_vec().into())),
                Made::Error(error) => Err(of_item(&error)),
            }
        }
        Rpc::SignStream => {
            use proto::sign_stream_response::Result as Answer;
            match proto::SignStreamResponse::decode(answer.unwrap()).unwrap().result.unwrap() {
                Answer::Error(error) => Err(of_item(&error)),
                other => Ok(Some(format!("{other:?}").into())),
            }
        }
        Rpc::VerifyStream => {
            use proto::verify_stream_response::Result as Answer;
            match proto::VerifyStreamResponse::decode(answer.unwrap()).unwrap().result.unwrap() {
                Answer::Error(error) => Err(of_item(&error)),
                other => Ok(Some(format!("{other:?}").into())),
            }
        }
        _ => Ok(answer),
    }
}

/// The error of an item, as the call of one would have it.
fn of_item(error: &tonic_types::Status) -> Status {
    let details = error.encode_to_vec().into();
    Status::with_details(error.code.into(), error.message.clone(), details)
}

fn asking(rpc: Rpc, key: &str) -> Vec<u8> {
    match rpc {
        Rpc::BatchCreateKeys => batch_of(&asking(Rpc::CreateKey, key)),
        Rpc::BatchSign => batch_of(&asking(Rpc::SignMessage, key)),
        Rpc::BatchVerify => batch_of(&asking(Rpc::VerifySignature, key)),
        Rpc::BatchEncrypt => batch_of(&asking(Rpc::Encrypt, key)),
        Rpc::BatchDecrypt => batch_of(&asking(Rpc::Decrypt, key)),
        Rpc::CreateKey => {
            let request = create("ec-p256", &format!("new-{key}"), "");
            proto::CreateKeyRequest { validate_only: true, ..request }.encode_to_vec()
        }
        Rpc::GetKey => full(key).encode_to_vec(),
        Rpc::GetPublicKey => public(key).encode_to_vec(),
        Rpc::ListKeyVersions => versions(key).encode_to_vec(),
        Rpc::RotateKey => rotate(key).encode_to_vec(),
        Rpc::UpdateKey => {
            let request = labels(key, "");
            proto::UpdateKeyRequest { validate_only: true, ..request }.encode_to_vec()
        }
        // Its fields are those of all verbs.
        Rpc::EnableKey
        | Rpc::DisableKey
        | Rpc::RestoreKey
        | Rpc::MarkKeyCompromised
        | Rpc::ScheduleKeyDestruction => {
            proto::EnableKeyRequest { key_id: key.into(), validate_only: true, ..Default::default() }
                .encode_to_vec()
        }
        Rpc::SetPrimaryVersion => {
            let request =
                proto::SetPrimaryVersionRequest { key_id: key.into(), version: 1, ..Default::default() };
            proto::SetPrimaryVersionRequest { validate_only: true, ..request }.encode_to_vec()
        }
        Rpc::SignMessage => sign(key, "text").encode_to_vec(),
        Rpc::VerifySignature => verify(key, "text", "no signature").encode_to_vec(),
        Rpc::Encrypt => proto::EncryptRequest { key_id: key.into(), ..Default::default() }.encode_to_vec(),
        Rpc::Decrypt => {
            let ciphertext = "none".into();
            proto::DecryptRequest { key_id: key.into(), ciphertext, ..Default::default() }.encode_to_vec()
        }
        Rpc::ReEncrypt => proto::ReEncryptRequest {
            source_key_id: key.into(),
            destination_key_id: key.into(),
            ciphertext: "none".into(),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::GenerateDataKey => proto::GenerateDataKeyRequest {
            key_id: key.into(),
            size: Some(proto::generate_data_key_request::Size::LengthBytes(32)),
            plaintext_mode: proto::PlaintextMode::Omit.into(),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::GenerateMac => {
            proto::GenerateMacRequest { key_id: key.into(), ..Default::default() }.encode_to_vec()
        }
        Rpc::VerifyMac => {
            let mac = "none".into();
            proto::VerifyMacRequest { key_id: key.into(), mac, ..Default::default() }.encode_to_vec()
        }
        Rpc::DeriveSharedSecret => proto::DeriveSharedSecretRequest {
            key_id: key.into(),
            peer_public_key: "none".into(),
            raw: false,
            hkdf: Some(proto::Hkdf {
                hash: proto::HashAlgorithm::Sha256.into(),
                length_bytes: 32,
                ..Default::default()
            }),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::ImportKey => {
            let wrapped = proto::WrappedMaterial { import_job: "none".into(), ciphertext: "none".into() };
            proto::ImportKeyRequest {
                key_id: key.into(),
                new_version: true,
                material: Some(proto::import_key_request::Material::Wrapped(wrapped)),
                ..Default::default()
            }
            .encode_to_vec()
        }
        Rpc::CreateCertificateSigningRequest => proto::CreateCertificateSigningRequestRequest {
            key_id: key.into(),
            subject: "CN=a".into(),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::TestPermissions => asked(key, &[]).encode_to_vec(),
        // No key is named there. A new RPC joins as one of them.
        _ => body(rpc).into(),
    }
}

/// An answer or a refusal without the name of the key and the id of the call.
pub(super) fn nameless(
    got: Result<Option<Bytes>, Status>,
    key: &str,
) -> Result<Vec<u8>, (i32, String, Vec<u8>)> {
    match got {
        Ok(answer) => Ok(without(answer.unwrap_or_default().to_vec(), key)),
        Err(status) => {
            let info = status.get_error_details().request_info().cloned();
            let Some(id) = info.map(|info| info.request_id) else { panic!("{status:?}") };
            let details = without(without(status.details().to_vec(), &id), key);
            Err((status.code().into(), status.message().replace(key, MISSING), details))
        }
    }
}

fn without(mut bytes: Vec<u8>, text: &str) -> Vec<u8> {
    while let Some(at) = bytes.windows(text.len()).position(|part| part == text.as_bytes()) {
        bytes[at..at + text.len()].fill(b'-');
    }
    bytes
}

/// A page of one key at most.
pub(super) struct Page {
    pub(super) keys: Vec<String>,
    pub(super) next: String,
}

/// All pages, from this token on.
pub(super) async fn pages(client: &Client, filter: &str, token: &str) -> Vec<Page> {
    let mut pages = Vec::new();
    let mut request = proto::ListKeysRequest {
        page_size: 1,
        filter: filter.to_owned(),
        page_token: token.to_owned(),
        ..Default::default()
    };
    loop {
        let page = client.list_keys(request.clone()).await.unwrap();
        let keys = page.keys.into_iter().map(|key| key.id).collect();
        pages.push(Page { keys, next: page.next_page_token.clone() });
        if page.next_page_token.is_empty() {
            return pages;
        }
        request.page_token = page.next_page_token;
    }
}

/// What the caller may do with the key; with the gateway, where it has no name.
pub(super) fn asked(key: &str, actions: &[&str]) -> proto::TestPermissionsRequest {
    let actions = actions.iter().map(|&action| action.to_owned()).collect();
    proto::TestPermissionsRequest { key_id: key.into(), actions }
}

/// `ok`, or why not.
pub(super) fn outcome_of<T: std::fmt::Debug>(result: &Result<T, skms::client::Error>) -> String {
    if result.is_ok() { "ok".to_owned() } else { outcome(result) }
}

/// Leaves the key with this one label, or with none.
pub(super) fn labels(key: &str, team: &str) -> proto::UpdateKeyRequest {
    let team = (!team.is_empty()).then(|| ("team".to_owned(), team.to_owned()));
    proto::UpdateKeyRequest {
        key_id: key.into(),
        metadata: Some(proto::KeyMetadata { labels: team.into_iter().collect(), ..Default::default() }),
        update_mask: Some(mask(&["labels"])),
        ..Default::default()
    }
}

pub(super) fn mask(paths: &[&str]) -> prost_types::FieldMask {
    prost_types::FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() }
}
