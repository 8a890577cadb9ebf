//! What the gateway says of itself: its backends, its limits, its health, its API.

use std::collections::BTreeSet;

use skms::proto;
use skms_backend::KeyType;
use skms_tests::gateway::{Gateway, Home};
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tonic_reflection::pb::{v1, v1alpha};

use crate::ask::{PROGRAM, create, outcome, sign};

#[tokio::test]
async fn backends_are_listed_in_placement_order_with_what_they_can_do() {
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let listed = client.list_backends().await.unwrap();
    let names: Vec<_> = listed.iter().map(|backend| backend.name.as_str()).collect();
    assert_eq!(names, home.backends());
    for backend in &listed {
        let identity = backend.identity.as_ref().unwrap();
        let (kind, level) = match backend.name.as_str() {
            "hsm" => ("pkcs11", proto::ProtectionLevel::Hsm),
            "tpm" => ("tpm", proto::ProtectionLevel::Tpm),
            _ => ("software", proto::ProtectionLevel::Software),
        };
        assert_eq!((identity.kind.as_str(), backend.protection_level()), (kind, level));
        if let ("hsm", Some(token)) = (backend.name.as_str(), home.softhsm()) {
            assert_eq!((identity.label.as_str(), identity.serial.as_str()), (token.label(), token.serial()));
        }
        assert_eq!(backend.availability(), proto::BackendAvailability::Available);
        assert!(backend.probe_time.is_some() && backend.probe_duration.is_some());
        let offered: BTreeSet<_> = backend.key_types.iter().map(|offer| offer.key_type.as_str()).collect();
        if backend.name == "tpm" {
            assert_eq!((identity.manufacturer.as_str(), identity.model.as_str()), ("IBM", "SW   TPM"));
            assert!(identity.firmware.split('.').count() == 4 && identity.serial.len() == 64, "{identity:?}");
        }
        // What SoftHSM 2.6.1 does not have, and what libtpms has not.
        let lacks = |key_type: &KeyType| match (backend.name.as_str(), key_type) {
            ("hsm" | "tpm", KeyType::X25519) => true,
            ("hsm" | "tpm", key_type) if key_type.is_ml_dsa() => true,
            ("tpm", KeyType::Rsa4096 | KeyType::EcSecp256k1 | KeyType::Ed25519) => true,
            _ => false,
        };
        let expected = KeyType::ALL.into_iter().filter(|key_type| !lacks(key_type));
        assert_eq!(offered, expected.map(KeyType::name).collect());
        for offer in &backend.key_types {
            let uses = offer.signature_algorithms.len() + offer.encryption_algorithms.len();
            assert!(uses > 0 || offer.mac || offer.key_agreement, "{}", offer.key_type);
        }
        let pool = backend.pool.as_ref().unwrap();
        assert_eq!((pool.contexts > 0, pool.failed, pool.queue_capacity), (true, 0, 1024));

        let shown = client.get_backend(&backend.name).await.unwrap();
        assert_eq!((&shown.key_types, &shown.identity), (&backend.key_types, &backend.identity));
    }
}

#[tokio::test]
async fn the_server_says_which_limits_hold() {
    let limits = "[limits]\nmessage_bytes = 1000\nbatch_items = 3\nrandom_bytes = 16\nlabels = 2\n\
                  label_key_bytes = 4\nlabel_value_bytes = 5\n";
    let home = Home::software(PROGRAM).configured(limits);
    let gateway = home.start();
    let info = gateway.client().await.server_info().await.unwrap();
    assert_eq!(info.version, env!("CARGO_PKG_VERSION"));
    let span = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let expected = proto::Limits {
        max_message_bytes: 1000,
        max_labels: 2,
        max_label_key_bytes: 4,
        max_label_value_bytes: 5,
        max_aliases: 16,
        max_description_bytes: 1024,
        max_page_size: 1000,
        max_verify_versions: 8,
        request_id_lifetime: span(86_400),
        max_reference_bytes: 256,
        max_filter_bytes: 1_024,
        max_signature_bytes: 16_384,
        max_batch_items: 3,
        max_batch_bytes: 4_194_304,
        max_random_bytes: 16,
        max_derived_key_bytes: 1_024,
        max_hkdf_salt_bytes: 1_024,
        max_hkdf_info_bytes: 1_024,
        max_aad_bytes: 16_384,
        max_context_entries: 64,
        max_context_name_bytes: 63,
        max_context_value_bytes: 1_024,
        max_public_key_bytes: 4_096,
        max_versions_named: 100,
        max_import_material_bytes: 12_288,
        max_pkcs11_uri_bytes: 4_096,
        max_subject_bytes: 1_024,
        max_subject_names: 100,
        max_subject_name_bytes: 512,
        import_job_lifetime: span(259_200),
        min_destroy_scheduled_duration: span(86_400),
        max_destroy_scheduled_duration: span(315_619_200),
        min_rotation_period: span(86_400),
        max_rotation_period: span(315_619_200),
        max_operation_duration: span(30),
        max_generate_duration: span(120),
        max_operations_per_version: 1 << 53,
        max_stream_in_flight: 256,
        max_chunk_bytes: 262_144,
        max_stream_duration: span(3_600),
        watch_bookmark_interval: Some(prost_types::Duration { seconds: 15, nanos: 0 }),
        max_stream_idle_duration: span(300),
    };
    assert_eq!(info.limits, Some(expected));
    assert_eq!(info.key_types, KeyType::ALL.map(KeyType::name));
    assert!(info.start_time.is_some());
    // The instance is the catalog's and not the process's.
    assert!(gateway.stop().await.success());
    let again = home.start().client().await.server_info().await.unwrap();
    assert_eq!(again.instance_id, info.instance_id);
    assert_ne!(again.start_time, info.start_time);
}

#[tokio::test]
async fn the_limits_of_the_configuration_are_those_that_refuse() {
    let limits = "[limits]\nbatch_items = 3\nrandom_bytes = 2000\nlabels = 2\nlabel_key_bytes = 4\n\
                  label_value_bytes = 5\n";
    let home = Home::software(PROGRAM).configured(limits);
    let gateway = home.start();
    let client = gateway.client().await;
    let labelled = |id: &str, labels: &[(&str, &str)]| {
        let labels = labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        proto::CreateKeyRequest { metadata: labels.collect(), ..create("ec-p256", id, "soft") }
    };
    client.create_key(labelled("fits", &[("a", ""), ("name", "value")])).await.unwrap();
    for (labels, why) in [
        (&[("a", ""), ("b", ""), ("c", "")][..], "3 labels are more than the limit of 2"),
        (&[("names", "")], "a label's name is 1 to 4 of"),
        (&[("a", "values")], "a label's value has at most 5 bytes"),
    ] {
        let refused = client.create_key(labelled("other", labels)).await.unwrap_err();
        let failure = refused.failure().unwrap();
        assert_eq!(failure.code, Code::InvalidArgument);
        assert!(failure.message.contains(why), "{}", failure.message);
    }
    let random = |length_bytes| proto::GenerateRandomRequest { length_bytes, ..Default::default() };
    assert_eq!(client.generate_random(random(2000)).await.unwrap().data.len(), 2000);
    assert_eq!(outcome(&client.generate_random(random(2001)).await), "InvalidArgument FIELD_INVALID");
    let batch =
        |items| proto::BatchSignRequest { requests: vec![sign("fits", "text"); items], ..Default::default() };
    assert_eq!(client.batch_sign(batch(3)).await.unwrap().results.len(), 3);
    assert_eq!(outcome(&client.batch_sign(batch(4)).await), "InvalidArgument FIELD_INVALID");
}

#[tokio::test]
async fn health_is_known_by_the_name_of_every_service_and_backend() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let mut names = vec![String::new(), "skms.v1.KeyManagement".into(), "skms.v1.SystemService".into()];
    names.extend(home.backends().iter().map(|backend| format!("backend/{backend}")));
    for name in names {
        assert_eq!(client.health(&name).await.unwrap(), ServingStatus::Serving, "{name}");
        let request = HealthCheckRequest { service: name.clone() };
        let mut watching = client.health_checks().watch(request).await.unwrap().into_inner();
        assert_eq!(watching.message().await.unwrap().unwrap().status(), ServingStatus::Serving, "{name}");
    }
    for name in ["backend/none", "skms.v1.Nothing", "hsm", "/"] {
        let refused = client.health(name).await.unwrap_err();
        assert_eq!(refused.failure().unwrap().code, Code::NotFound, "{name}");
    }
}

/// The names of the services, asked in both versions of the protocol.
async fn reflected(gateway: &Gateway) -> [Result<BTreeSet<String>, Code>; 2] {
    let channel = gateway.channel().await;
    let stable = async {
        use v1::{server_reflection_request::MessageRequest, server_reflection_response::MessageResponse};
        let request = v1::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
        let asked = client.server_reflection_info(tokio_stream::once(request)).await;
        let answer = asked.map_err(|status| status.code())?.into_inner().next().await.unwrap().unwrap();
        match answer.message_response.unwrap() {
            MessageResponse::ListServicesResponse(list) => {
                Ok(list.service.into_iter().map(|service| service.name).collect())
            }
            other => panic!("{other:?}"),
        }
    };
    let old = async {
        use v1alpha::{
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let request = v1alpha::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel.clone());
        let asked = client.server_reflection_info(tokio_stream::once(request)).await;
        let answer = asked.map_err(|status| status.code())?.into_inner().next().await.unwrap().unwrap();
        match answer.message_response.unwrap() {
            MessageResponse::ListServicesResponse(list) => {
                Ok(list.service.into_iter().map(|service| service.name).collect())
            }
            other => panic!("{other:?}"),
        }
    };
    [stable.await, old.await]
}

#[tokio::test]
async fn the_api_is_described_only_where_the_configuration_says_so() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    for services in reflected(&gateway).await {
        let services = services.unwrap();
        for name in ["skms.v1.KeyManagement", "skms.v1.SystemService", "grpc.health.v1.Health"] {
            assert!(services.contains(name), "{name}: {services:?}");
        }
    }
    assert!(gateway.stop().await.success());
    let asked = |record: &&serde_json::Value| record["action"] == "describe-api" && record["result"] == "ok";
    assert_eq!(home.audit().iter().filter(asked).count(), 2, "who was told is on record");
    let gateway = home.start_with([("SKMS__SERVER__REFLECTION", "false".into())]);
    assert_eq!(reflected(&gateway).await, [Err(Code::Unimplemented), Err(Code::Unimplemented)]);
}

/// Both sockets speak the same API; a Unix socket says which user is there.
#[tokio::test]
async fn the_unix_socket_serves_as_the_port_does() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let endpoint = format!("unix:{}", gateway.socket().display()).parse().unwrap();
    let local = skms::client::Client::connect(skms::client::ClientConfig::new(endpoint)).await.unwrap();
    let made = local.create_key(create("ed25519", "key", "")).await.unwrap();
    let request = proto::GetKeyRequest { key_id: "key".into(), ..Default::default() };
    assert_eq!(gateway.client().await.get_key(request).await.unwrap(), made);
    let peers: Vec<_> = home
        .audit()
        .iter()
        .filter(|record| record["key"] == "key" && record["phase"] == "outcome")
        .map(|record| record["peer"].as_str().unwrap().to_owned())
        .collect();
    let uid = rustix::process::getuid().as_raw();
    assert_eq!(peers[0], format!("unix:uid={uid}"));
    assert!(peers[1].starts_with("127.0.0.1:"), "{peers:?}");
}
