//! Too many connections.

use super::{
    raw::Raw,
    served::{self, Served},
    soon,
};
use crate::transport::{Config, Connections, ListenAddress, Listener, Name, Serves};

#[tokio::test]
async fn one_too_many_is_closed_at_once_and_its_place_is_free_again() {
    for bounds in
        [Connections { total: 2, ..served::bounds() }, Connections { per_address: 2, ..served::bounds() }]
    {
        let served = Served::start(served::plain(), bounds, &[]).await;
        let first = Raw::opened(served.tcp().await).await.unwrap();
        let mut second = Raw::opened(served.tcp().await).await.unwrap();
        assert!(Raw::opened(served.tcp().await).await.is_none(), "it was served");
        drop(first);
        let again = async {
            loop {
                if let Some(raw) = Raw::opened(served.tcp().await).await {
                    return raw;
                }
            }
        };
        let _third = soon(again).await;
        // Who was there is not disturbed.
        second.call(1, "/who").await;
        assert!(second.has(super::raw::HEADERS).await);
    }
}

#[tokio::test]
async fn a_crowd_at_the_api_does_not_keep_probes_out() {
    let config = Config { serves: Serves::Health, ..served::plain() };
    let name: Name = "probes".parse().unwrap();
    let api = Listener::bind(
        &"api".parse().unwrap(),
        &served::plain(),
        None,
        &mut crate::transport::Passed::default(),
    )
    .await
    .unwrap();
    let health =
        Listener::bind(&name, &config, None, &mut crate::transport::Passed::default()).await.unwrap();
    let ListenAddress::Tcp(probes) = health.address().unwrap() else { panic!("not TCP") };
    let bounds = Connections { total: 1, ..served::bounds() };
    let served = Served::with(vec![api, health], None, bounds);
    let _first = Raw::opened(served.tcp().await).await.unwrap();
    assert!(Raw::opened(served.tcp().await).await.is_none());
    let stream = tokio::net::TcpStream::connect(probes).await.unwrap();
    let mut probe = served::Client::over(stream).await;
    assert_eq!(probe.who().await.unwrap(), "health_only=true");
}

#[tokio::test]
async fn a_unix_socket_is_for_whom_its_mode_says() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    for (mode, expected) in [(None, 0o600), (Some("0660"), 0o660)] {
        let path = directory.path().join("skms.sock");
        let config = Config {
            mode: mode.map(|mode| mode.parse().unwrap()),
            ..Config::at(ListenAddress::Unix(path.clone()))
        };
        let _listener =
            Listener::bind(&"api".parse().unwrap(), &config, None, &mut crate::transport::Passed::default())
                .await
                .unwrap();
        let permissions = std::fs::metadata(&path).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, expected);
    }
}
