//! What TLS is spoken.

use rustls::{AlertDescription, HandshakeKind, version::TLS12};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    pki::{Ca, write},
    raw::PREFACE,
    served::{self, Served},
    soon,
};
use crate::transport::{ClientCertificates, tls};

async fn start() -> (Ca, Served) {
    let directory = tempfile::tempdir().unwrap();
    let (server, mesh) = (Ca::root("server"), Ca::root("mesh"));
    served::certify(directory.path(), &server.server());
    let ca = write(directory.path(), "mesh.pem", mesh.pem());
    let authority = tls::Authority { name: "mesh".to_owned(), ca, crls: Vec::new() };
    let config = served::over_tls(directory.path(), ClientCertificates::Optional);
    (server, Served::start(config, served::bounds(), &[authority]).await)
}

fn alert(error: &std::io::Error) -> AlertDescription {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        _ => panic!("{error}"),
    }
}

#[tokio::test]
async fn the_key_exchange_withstands_a_quantum_computer() {
    let (server, served) = start().await;
    let stream = served.tls(&served::client(&server, None)).await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), rustls::NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn an_older_version_is_refused() {
    let (server, served) = start().await;
    let old = served::client_with(&server, None, &[&TLS12], &[b"h2"]);
    let error = served.tls(&old).await.unwrap_err();
    assert_eq!(alert(&error), AlertDescription::ProtocolVersion);
}

#[tokio::test]
async fn only_who_asks_for_http2_is_served() {
    let (server, served) = start().await;
    let versions = &[&rustls::version::TLS13];
    let other = served::client_with(&server, None, versions, &[b"http/1.1"]);
    let error = served.tls(&other).await.unwrap_err();
    assert_eq!(alert(&error), AlertDescription::NoApplicationProtocol);
    let silent = served::client_with(&server, None, versions, &[]);
    let mut stream = served.tls(&silent).await.unwrap();
    let mut byte = [0];
    assert!(matches!(soon(stream.read(&mut byte)).await, Ok(0) | Err(_)), "it was served");
    let both = served::client_with(&server, None, versions, &[b"http/1.1", b"h2"]);
    served.client(&both).await.who().await.unwrap();
}

#[tokio::test]
async fn no_session_is_resumed() {
    let (server, served) = start().await;
    let config = served::client(&server, None);
    for _ in 0..2 {
        let stream = served.tls(&config).await.unwrap();
        let kind = stream.get_ref().1.handshake_kind();
        // With an answer, as tickets would come before it.
        served::Client::over(stream).await.who().await.unwrap();
        assert!(
            matches!(kind, Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest)),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn plain_text_is_not_spoken_where_tls_is() {
    let (_, served) = start().await;
    let mut stream = served.tcp().await;
    stream.write_all(PREFACE).await.unwrap();
    let mut answer = Vec::new();
    let _ = soon(stream.read_to_end(&mut answer)).await;
    // At most an alert (RFC 8446 §5.1), and no frame.
    assert!(matches!(answer.first(), None | Some(21)), "{answer:?}");
}
