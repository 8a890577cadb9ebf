//! The client against a real server in the same process.

mod again;

use std::{fs, path::Path, time::Duration};

use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{
    Client, ClientConfig, Error, Token, TokenSource,
    fake::{Fake, pki},
};
use crate::proto;

fn config(fake: &Fake) -> ClientConfig {
    ClientConfig::new(fake.endpoint().parse().unwrap())
}

fn get(id: &str) -> proto::GetKeyRequest {
    proto::GetKeyRequest { key_id: id.into(), ..Default::default() }
}

fn write(folder: &Path, name: &str, text: &str) -> Option<std::path::PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    Some(path)
}

#[test]
fn every_call_is_answered() {
    let fake = Fake::tcp();
    fake.block_on(async {
        let client = Client::connect(config(&fake)).await.unwrap();
        assert_eq!(client.create_key(proto::CreateKeyRequest::default()).await.unwrap().id, "made");
        assert_eq!(client.get_key(get("payroll")).await.unwrap().id, "payroll");
        assert_eq!(client.list_keys(proto::ListKeysRequest::default()).await.unwrap().keys.len(), 3);
        let rotate = proto::RotateKeyRequest { key_id: "payroll".into(), ..Default::default() };
        assert_eq!(client.rotate_key(rotate).await.unwrap().id, "payroll");
        let sign = proto::SignRequest {
            input: Some(proto::sign_request::Input::Message("hello".into())),
            ..Default::default()
        };
        let signature = client.sign(sign).await.unwrap().signature;
        let verify = proto::VerifyRequest {
            input: Some(proto::verify_request::Input::Message("hello".into())),
            signature,
            ..Default::default()
        };
        assert!(client.verify(verify).await.unwrap().valid);
        assert_eq!(client.list_backends().await.unwrap().len(), 1);
        assert_eq!(client.get_backend("softhsm").await.unwrap().name, "softhsm");
        assert_eq!(client.server_info().await.unwrap().version, "9.9.9");
        assert_eq!(client.health("").await.unwrap(), ServingStatus::Serving);
        let unknown = client.health("nobody").await.unwrap_err();
        assert_eq!(unknown.failure().unwrap().code, Code::NotFound);
    });
}

#[test]
fn an_error_arrives_with_its_details() {
    let fake = Fake::tcp();
    let error = fake.block_on(async {
        Client::connect(config(&fake)).await.unwrap().get_key(get("broken")).await.unwrap_err()
    });
    let failure = error.failure().unwrap();
    assert_eq!(failure.code, Code::InvalidArgument);
    assert_eq!(failure.reason.as_deref(), Some("FIELD_INVALID"));
    assert_eq!(failure.violations[0].field, "key_id");
    assert_eq!(failure.metadata["keyId"], "broken");
    assert_eq!(failure.request_id.as_deref(), Some("req-1"));
}

#[test]
fn every_call_carries_the_token_and_the_deadline() {
    let fake = Fake::tcp();
    let folder = tempfile::tempdir().unwrap();
    let config = ClientConfig {
        token: write(folder.path(), "token", "first\n").map(TokenSource::File),
        ..config(&fake)
    };
    fake.block_on(async {
        let client = Client::connect(config).await.unwrap();
        client.get_key(get("payroll")).await.unwrap();
        client.list_backends().await.unwrap();
        client.with_token(Token::new("second").unwrap()).get_key(get("payroll")).await.unwrap();
    });
    let bearer = |token: &str| Some(format!("Bearer {token}"));
    assert_eq!(fake.seen("authorization"), [bearer("first"), bearer("first"), bearer("second")]);
    assert!(fake.seen("grpc-timeout").iter().all(Option::is_some));
}

#[test]
fn no_token_is_sent_where_none_is_configured() {
    let fake = Fake::tcp();
    fake.block_on(async {
        Client::connect(config(&fake)).await.unwrap().get_key(get("payroll")).await.unwrap();
    });
    assert_eq!(fake.seen("authorization"), [None]);
}

#[test]
fn a_token_does_not_leave_the_machine_in_the_clear() {
    let fake = Fake::tcp();
    let folder = tempfile::tempdir().unwrap();
    let config = ClientConfig {
        endpoints: vec!["http://gateway.invalid:1".parse().unwrap()],
        token: write(folder.path(), "token", "secret").map(TokenSource::File),
        ..config(&fake)
    };
    let error = fake.block_on(Client::connect(config)).unwrap_err();
    assert!(matches!(error, Error::PlaintextToken { .. }), "{error:?}");
}

#[test]
fn a_call_ends_at_its_deadline() {
    let fake = Fake::tcp();
    let config = ClientConfig { call_timeout: Duration::from_millis(50), ..config(&fake) };
    let error = fake
        .block_on(async { Client::connect(config).await.unwrap().get_key(get("slow")).await.unwrap_err() });
    assert_eq!(error.failure().unwrap().code, Code::DeadlineExceeded);
}

#[test]
fn tls_reaches_the_gateway_that_the_ca_vouches_for_and_no_other() {
    let (ca, certificate, key) = pki();
    let fake = Fake::tls(&certificate, &key);
    let folder = tempfile::tempdir().unwrap();
    fake.block_on(async {
        let trusted = ClientConfig { ca_file: write(folder.path(), "ca.pem", &ca), ..config(&fake) };
        let client = Client::connect(trusted).await.unwrap();
        assert_eq!(client.get_key(get("payroll")).await.unwrap().id, "payroll");

        let stranger = ClientConfig { ca_file: write(folder.path(), "other.pem", &pki().0), ..config(&fake) };
        let error = Client::connect(stranger).await.unwrap_err();
        assert_eq!(error.io_error().unwrap().kind(), std::io::ErrorKind::InvalidData, "{error:?}");

        let error = Client::connect(config(&fake)).await.unwrap_err();
        assert!(matches!(error, Error::CaMissing { .. }), "{error:?}");

        let empty = ClientConfig { ca_file: write(folder.path(), "empty.pem", "\n"), ..config(&fake) };
        let error = Client::connect(empty).await.unwrap_err();
        assert!(matches!(error, Error::Ca { .. }), "{error:?}");
    });
}

#[test]
fn a_unix_socket_reaches_the_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("skms.sock");
    let fake = Fake::unix(&path);
    fake.block_on(async {
        let client = Client::connect(config(&fake)).await.unwrap();
        assert_eq!(client.get_key(get("payroll")).await.unwrap().id, "payroll");
    });
}

#[test]
fn nobody_listening_is_a_connection_error_that_keeps_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::tcp();
    for endpoint in ["http://127.0.0.1:1".to_owned(), format!("unix:{}/nobody", folder.path().display())] {
        let config = ClientConfig::new(endpoint.parse().unwrap());
        let error = fake.block_on(Client::connect(config)).unwrap_err();
        assert!(matches!(error, Error::Connect { .. }), "{error:?}");
        let kind = error.io_error().unwrap().kind();
        let expected = [std::io::ErrorKind::ConnectionRefused, std::io::ErrorKind::NotFound];
        assert!(expected.contains(&kind), "{kind:?}");
    }
}
