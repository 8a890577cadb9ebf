//! From where, and in whose name, strangers call; and what they call.

use std::net::IpAddr;

use bytes::Bytes;
use prost::Message as _;
use skms::{model::Rpc, proto};
use skms_tests::gateway::Gateway;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_reflection::pb::{v1, v1alpha};

use super::issuer::Draft;
use crate::ask;

/// Whom a stranger claims to be, and from where.
pub(super) struct Claimed {
    pub(super) subject: &'static str,
    roles: &'static [&'static str],
    tenant: Option<&'static str>,
    near: Near,
}

/// The near end of a connection.
#[derive(Clone, Copy)]
pub(super) enum Near {
    /// An address of this machine.
    Tcp(&'static str),
    /// The Unix socket, as a user whom the gateway knows.
    Unix,
}

const fn claimed(
    subject: &'static str,
    roles: &'static [&'static str],
    tenant: Option<&'static str>,
    near: Near,
) -> Claimed {
    Claimed { subject, roles, tenant, near }
}

/// One of every role, of every kind of tenant, from several addresses.
pub(super) static CALLERS: [Claimed; 12] = [
    claimed("admin", &["admin"], None, Near::Tcp("127.0.0.1")),
    claimed("admin-of-acme", &["admin"], Some("acme"), Near::Tcp("127.0.0.2")),
    claimed("key-manager", &["key-manager"], None, Near::Tcp("127.0.0.3")),
    claimed("key-manager-of-acme", &["key-manager"], Some("acme"), Near::Tcp("127.0.0.3")),
    claimed("signer", &["signer"], None, Near::Tcp("127.0.0.4")),
    claimed("signer-of-acme", &["signer"], Some("acme"), Near::Tcp("127.0.0.4")),
    claimed("verifier", &["verifier"], None, Near::Tcp("127.0.0.5")),
    claimed("auditor", &["auditor"], None, Near::Tcp("127.0.0.6")),
    claimed("payroll", &["team-signer", "payroll"], None, Near::Tcp("127.0.0.7")),
    claimed("nobody", &[], None, Near::Tcp("127.0.0.8")),
    claimed("local-admin", &["admin"], None, Near::Unix),
    claimed("local-signer", &["signer"], Some("acme"), Near::Unix),
];

impl Claimed {
    /// The token that would be good.
    pub(super) fn good(&self) -> Draft {
        Draft::new(self.subject, self.roles, self.tenant)
    }

    /// Whether the kernel vouches for it.
    pub(super) const fn is_local(&self) -> bool {
        matches!(self.near, Near::Unix)
    }

    /// A connection of its own.
    pub(super) async fn connect(&self, gateway: &Gateway) -> Channel {
        let endpoint = match self.near {
            Near::Tcp(address) => Endpoint::from_shared(gateway.endpoint())
                .unwrap()
                .local_address(Some(address.parse::<IpAddr>().unwrap())),
            Near::Unix => Endpoint::from_shared(format!("unix://{}", gateway.socket().display())).unwrap(),
        };
        endpoint.connect().await.unwrap()
    }
}

/// A call that an admin could make: an answer that is no refusal would be seen on a
/// device or in the catalog. A new RPC joins with an empty message.
pub(crate) fn body(rpc: Rpc) -> Bytes {
    use v1::server_reflection_request::MessageRequest as Asked;
    use v1alpha::server_reflection_request::MessageRequest as AskedAlpha;
    match rpc {
        Rpc::CreateKey => ask::create("ec-p256", "", "").encode_to_vec(),
        Rpc::AdoptKey => {
            proto::AdoptKeyRequest { pkcs11_uri: "pkcs11:object=none".into(), ..Default::default() }
                .encode_to_vec()
        }
        Rpc::GetKey => ask::full(KEY).encode_to_vec(),
        Rpc::GetPublicKey => ask::public(KEY).encode_to_vec(),
        Rpc::ListKeyVersions => ask::versions(KEY).encode_to_vec(),
        Rpc::RotateKey => ask::rotate(KEY).encode_to_vec(),
        Rpc::UpdateKey => proto::UpdateKeyRequest {
            key_id: KEY.into(),
            update_mask: Some(prost_types::FieldMask { paths: vec!["params.description".into()] }),
            ..Default::default()
        }
        .encode_to_vec(),
        // Tried only: else the key would be gone for the calls after it. Its fields are
        // those of all verbs.
        Rpc::EnableKey
        | Rpc::DisableKey
        | Rpc::RestoreKey
        | Rpc::MarkKeyCompromised
        | Rpc::ScheduleKeyDestruction => {
            proto::DisableKeyRequest { key_id: KEY.into(), validate_only: true, ..Default::default() }
                .encode_to_vec()
        }
        Rpc::SetPrimaryVersion => {
            proto::SetPrimaryVersionRequest { key_id: KEY.into(), version: 1, ..Default::default() }
                .encode_to_vec()
        }
        Rpc::SignMessage => ask::sign(KEY, "text").encode_to_vec(),
        Rpc::VerifySignature => ask::verify(KEY, "text", "no signature").encode_to_vec(),
        // The key is the field 1 of its message, too.
        Rpc::BatchCreateKeys => batch_of(&body(Rpc::CreateKey)),
        Rpc::BatchSign => batch_of(&body(Rpc::SignMessage)),
        Rpc::BatchVerify => batch_of(&body(Rpc::VerifySignature)),
        Rpc::BatchEncrypt => batch_of(&body(Rpc::Encrypt)),
        Rpc::BatchDecrypt => batch_of(&body(Rpc::Decrypt)),
        Rpc::Encrypt => {
            proto::EncryptRequest { key_id: CIPHER.into(), plaintext: "text".into(), ..Default::default() }
                .encode_to_vec()
        }
        // Nobody has a ciphertext before it was made.
        Rpc::Decrypt => {
            proto::DecryptRequest { key_id: CIPHER.into(), ciphertext: "none".into(), ..Default::default() }
                .encode_to_vec()
        }
        Rpc::ReEncrypt => proto::ReEncryptRequest {
            source_key_id: CIPHER.into(),
            destination_key_id: CIPHER.into(),
            ciphertext: "none".into(),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::GenerateDataKey => proto::GenerateDataKeyRequest {
            key_id: CIPHER.into(),
            size: Some(proto::generate_data_key_request::Size::LengthBytes(32)),
            plaintext_mode: proto::PlaintextMode::Include.into(),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::GenerateMac => {
            proto::GenerateMacRequest { key_id: CODE.into(), ..Default::default() }.encode_to_vec()
        }
        Rpc::VerifyMac => {
            proto::VerifyMacRequest { key_id: CODE.into(), mac: "none".into(), ..Default::default() }
                .encode_to_vec()
        }
        Rpc::DeriveSharedSecret => proto::DeriveSharedSecretRequest {
            key_id: AGREE.into(),
            peer_public_key: [&X25519[..], &[9; 32]].concat().into(),
            raw: true,
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::CreateImportJob => proto::CreateImportJobRequest {
            method: proto::ImportMethod::RsaOaep3072Sha256.into(),
            validate_only: true,
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::GetImportJob => proto::GetImportJobRequest { import_job_id: "none".into() }.encode_to_vec(),
        Rpc::ImportKey => proto::ImportKeyRequest {
            key_type: "aes-256".into(),
            material: Some(proto::import_key_request::Material::Plain(vec![7; 32].into())),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::CreateCertificateSigningRequest => proto::CreateCertificateSigningRequestRequest {
            key_id: KEY.into(),
            subject: "CN=a".into(),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::GenerateRandom => {
            proto::GenerateRandomRequest { length_bytes: 32, ..Default::default() }.encode_to_vec()
        }
        Rpc::GetBackend => proto::GetBackendRequest { name: "soft".into() }.encode_to_vec(),
        Rpc::HealthCheck | Rpc::HealthWatch => HealthCheckRequest::default().encode_to_vec(),
        Rpc::Reflect => v1::ServerReflectionRequest {
            message_request: Some(Asked::ListServices(String::new())),
            ..Default::default()
        }
        .encode_to_vec(),
        Rpc::ReflectAlpha => v1alpha::ServerReflectionRequest {
            message_request: Some(AskedAlpha::ListServices(String::new())),
            ..Default::default()
        }
        .encode_to_vec(),
        _ => Vec::new(),
    }
    .into()
}

/// What a stream of one item consists of, and how many answers come before that of the
/// item; nothing for what is no stream of a caller.
pub(crate) fn streamed(rpc: Rpc, key: &str) -> Option<(Vec<Bytes>, usize)> {
    macro_rules! messages {
        ($request:ident, $module:ident: $($kind:ident($message:expr) $($sequence:literal)?),+) => {
            [$(proto::$request {
                kind: Some(proto::$module::Kind::$kind($message)),
                $(sequence: $sequence,)?
            }),+].iter().map(|message| message.encode_to_vec().into()).collect()
        };
    }
    let (sign, verify) = (ask::sign(key, "text"), ask::verify(key, "text", "no signature"));
    let end = proto::LargeMessageEnd { total_size: 4, crc32c: None };
    match rpc {
        Rpc::SignStream => {
            let start = proto::SignStreamStart::default();
            Some((messages!(SignStreamRequest, sign_stream_request: Start(start) 0, Sign(sign) 1), 1))
        }
        Rpc::VerifyStream => {
            let start = proto::VerifyStreamStart::default();
            Some((messages!(VerifyStreamRequest, verify_stream_request: Start(start) 0, Verify(verify) 1), 1))
        }
        Rpc::SignLargeMessage => {
            let parameters = Some(proto::SignRequest { input: None, ..sign });
            let start = proto::SignLargeMessageStart { parameters, declared_size: 0 };
            let messages = messages!(SignLargeMessageRequest, sign_large_message_request:
                Start(start), Chunk("text".into()), End(end));
            Some((messages, 0))
        }
        Rpc::VerifyLargeMessage => {
            let parameters = Some(proto::VerifyRequest { input: None, ..verify });
            let start = proto::VerifyLargeMessageStart { parameters, declared_size: 0 };
            let messages = messages!(VerifyLargeMessageRequest, verify_large_message_request:
                Start(start), Chunk("text".into()), End(end));
            Some((messages, 0))
        }
        Rpc::EncryptStream => {
            let parameters = Some(proto::EncryptRequest { key_id: key.into(), ..Default::default() });
            let start = proto::EncryptStreamStart { parameters, declared_size: 0 };
            let messages = messages!(EncryptStreamRequest, encrypt_stream_request:
                Start(start), Chunk("text".into()), End(end));
            Some((messages, 0))
        }
        Rpc::DecryptStream => {
            let parameters = Some(proto::DecryptRequest { key_id: key.into(), ..Default::default() });
            let start = proto::DecryptStreamStart { parameters, declared_size: 0 };
            let messages = messages!(DecryptStreamRequest, decrypt_stream_request:
                Start(start), Chunk("text".into()), End(end));
            Some((messages, 0))
        }
        _ => None,
    }
}

/// A batch of one item: the field 1 of its message.
pub(crate) fn batch_of(item: &[u8]) -> Vec<u8> {
    let mut batch = vec![0x0a];
    prost::encoding::encode_varint(item.len() as u64, &mut batch);
    [batch, item.to_vec()].concat()
}

/// The key of the gateway that signs.
pub(super) const KEY: &str = "key";
/// The one that encrypts.
pub(super) const CIPHER: &str = "cipher";
/// The one that makes codes.
pub(super) const CODE: &str = "code";
/// The one that agrees.
pub(super) const AGREE: &str = "agree";
/// What stands before the 32 bytes of a public key of X25519 (RFC 8410).
const X25519: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x6e\x03\x21\x00";
/// What no method answers to; a stranger does not learn that.
pub(super) const NOWHERE: [&str; 2] = ["/skms.v1.KeyManagement/Explode", "/skms.v9.Nothing/Nothing"];
