//! Client certificates that are not taken: each is refused in its handshake, each is on
//! record, and no device hears of any.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use skms::client::{Client, ClientConfig, IdentityFiles};
use skms_tests::{
    gateway::{Gateway, Home},
    pki::{Ca, Leaf, self_signed},
};

use crate::{
    ask::{PROGRAM, create, sign},
    observe::scrape,
    strangers::{device_calls, on_record},
};

const URI: &str = "spiffe://test/signer";
/// Reached only by what never happens.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_taken_is_on_record() {
    for mode in ["optional", "required"] {
        let (servers, clients, others) = (Ca::new("servers"), Ca::new("clients"), Ca::new("clients"));
        let home = Home::new(PROGRAM).secured(&servers, &clients);
        home.replace("clients.crl", &clients.crl(2, &[1000]));
        let gateway = home.start_with([("SKMS__LISTENERS__TLS__CLIENT_CERTIFICATES", mode.into())]);
        gateway.client().await.create_key(create("ed25519", "key", "")).await.unwrap();
        let before = scrape(&gateway);
        let mut table = vec![
            ("of another authority of the same name", Some(others.client(7, URI))),
            ("revoked", Some(clients.client(1000, URI))),
            ("expired", Some(clients.expired_client(URI))),
            ("vouched for by itself", Some(self_signed(URI))),
            ("for servers", Some(clients.server())),
            ("of a server's authority", Some(servers.client(7, URI))),
        ];
        if mode == "required" {
            table.push(("none", None));
        }
        for (name, leaf) in &table {
            let refusals = refusals(&gateway);
            assert!(!signs(&home, &gateway, leaf.as_ref()).await, "{mode}, {name}: it was let in");
            // The client hears of it first.
            let begun = Instant::now();
            while self::refusals(&gateway) == refusals {
                assert!(begun.elapsed() < PATIENCE, "{mode}, {name}: it was not counted");
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(device_calls(&scrape(&gateway), &before), BTreeMap::new());
        // That it is the certificate.
        assert!(signs(&home, &gateway, Some(&clients.client(7, URI))).await);
        let refused = refusals(&gateway);
        assert!(gateway.stop().await.success());
        let recorded = on_record(&home);
        assert_eq!(recorded.keys().collect::<Vec<_>>(), ["CLIENT_CERTIFICATE_REQUIRED"]);
        // A client may try more than once.
        let recorded = recorded["CLIENT_CERTIFICATE_REQUIRED"];
        assert!(recorded >= refused, "{recorded} of {refused} are on record");
        assert!(refused >= table.len() as u64);
        let first = home.audit().into_iter().find(|record| record["action"] == "handshake").unwrap();
        assert_eq!(first["detail"], "the client certificate is of no authority that is known here");
        assert_eq!(first["caller"], "127.0.0.1");
    }
}

/// Whether a signature is to be had with this certificate.
async fn signs(home: &Home, gateway: &Gateway, leaf: Option<&Leaf>) -> bool {
    let identity_files = leaf.map(|leaf| {
        home.private("client.pem", &leaf.certificate);
        home.private("client.key", &leaf.key);
        let [certificate, key] = ["client.pem", "client.key"].map(|name| home.path().join(name));
        IdentityFiles { certificate, key }
    });
    let config = ClientConfig {
        ca_file: Some(home.path().join("servers.pem")),
        identity_files,
        ..ClientConfig::new(gateway.tls_endpoint().parse().unwrap())
    };
    // In TLS 1.3 a client hears of it after it has said all it had to say.
    match Client::connect(config).await {
        Ok(client) => client.sign(sign("key", "text")).await.is_ok(),
        Err(_) => false,
    }
}

/// How many certificates were not taken so far.
fn refusals(gateway: &Gateway) -> u64 {
    let value = scrape(gateway).value("skms_handshake_failures_total", "why=\"certificate\"");
    format!("{value:.0}").parse().unwrap()
}
