//! Certificates, authorities and lists that change while connections live.

use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use rcgen::{CrlDistributionPoint, CrlIssuingDistributionPoint};
use rustls::ClientConfig;
use tokio::time::Instant;

use super::{
    pki::{self, Ca, write},
    raw::{GOAWAY, HEADERS, Raw},
    served::{self, Served},
    soon,
};
use crate::transport::{ClientCertificates, tls};

struct World {
    directory: tempfile::TempDir,
    server: Ca,
    mesh: Ca,
    served: Served,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (server, mesh) = (Ca::root("server"), Ca::root("mesh"));
        served::certify(directory.path(), &server.server());
        let authority = tls::Authority {
            name: "mesh".to_owned(),
            ca: write(directory.path(), "mesh.pem", mesh.pem()),
            crls: vec![write(directory.path(), "mesh.crl", &mesh.crl(&[]))],
        };
        let config = served::over_tls(directory.path(), ClientCertificates::Required);
        let served = Served::start(config, served::bounds(), &[authority]).await;
        Self { directory, server, mesh, served }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn live(&self) -> &tls::Live {
        self.served.live.as_ref().unwrap()
    }

    /// A client whose certificate has this serial number.
    fn client(&self, serial: u8) -> Arc<ClientConfig> {
        let leaf = self.mesh.leaf(|params| {
            params.serial_number = Some(rcgen::SerialNumber::from_slice(&[serial]));
        });
        served::client(&self.server, Some(&leaf))
    }

    /// What the gateway shows.
    async fn shown(&self) -> Vec<u8> {
        let stream = self.served.tls(&self.client(1)).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }
}

#[tokio::test]
async fn a_new_certificate_is_shown_and_no_connection_ends() {
    let world = World::new().await;
    let mut client = world.served.client(&world.client(1)).await;
    client.who().await.unwrap();
    let before = world.shown().await;
    assert!(!world.live().reload().unwrap(), "nothing has changed");
    let new = world.server.server();
    served::certify(world.path(), &new);
    assert!(world.live().reload().unwrap());
    assert_ne!(world.shown().await, before);
    assert_eq!(world.shown().await, new.chain[0].to_vec());
    client.who().await.unwrap();
    assert!(!client.connection.is_finished());
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_and_the_old_one_stays() {
    let world = World::new().await;
    let mut client = world.served.client(&world.client(1)).await;
    client.who().await.unwrap();
    let before = world.shown().await;
    let (other, crl) = (world.server.server(), world.mesh.crl(&[1]));
    let expired = world.server.leaf(|params| params.not_after = rcgen::date_time_ymd(2026, 1, 1));
    let early = world.server.leaf(|params| params.not_before = rcgen::date_time_ymd(4000, 1, 1));
    let half = |text: &str| text[..text.len() / 2].to_owned();
    let table = [
        ("an empty certificate", "server.pem", String::new(), "no certificate in PEM"),
        ("half a certificate", "server.pem", half(&other.pem), "cannot use"),
        ("one and a half", "server.pem", format!("{}{}", other.pem, half(&other.pem)), "cannot use"),
        ("another certificate with the old key", "server.pem", other.pem.clone(), "cannot use the key"),
        ("another key", "server.key", other.key_pem.clone(), "cannot use the key"),
        ("an empty key", "server.key", String::new(), "it is empty"),
        ("half a key", "server.key", half(&other.key_pem), "no private key"),
        ("a certificate that has expired", "server.pem", expired.pem, "has expired"),
        ("a certificate of next year", "server.pem", early.pem, "not valid yet"),
        ("no authority", "mesh.pem", String::new(), "no certificate in PEM"),
        ("half a list", "mesh.crl", half(&crl), "cannot use"),
        ("no list", "mesh.crl", String::new(), "no revocation list"),
    ];
    for (name, file, text, expected) in table {
        let path = world.path().join(file);
        let good = std::fs::read_to_string(&path).unwrap();
        write(world.path(), file, &text);
        let error = world.live().reload().expect_err(name);
        assert!(error.to_string().contains(expected), "{name}: {error}");
        write(world.path(), file, &good);
        assert_eq!(world.shown().await, before, "{name}");
        client.who().await.unwrap();
    }
    let key = world.path().join("server.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(world.live().reload().unwrap_err().to_string().contains("everybody may read it"));
    std::fs::remove_file(&key).unwrap();
    assert!(world.live().reload().is_err());
    client.who().await.unwrap();
}

/// Files that somebody else makes; the parser of one of these shapes once panicked
/// (RUSTSEC-2026-0104).
#[tokio::test]
async fn what_is_malformed_is_refused_and_no_panic() {
    let world = World::new().await;
    let mut client = world.served.client(&world.client(1)).await;
    client.who().await.unwrap();
    let (list, own) = (pki::der(&world.mesh.crl(&[1])), pki::der(world.mesh.pem()));
    let mut shapes: Vec<(String, Vec<u8>)> = [
        ("nothing", &[][..]),
        ("an empty sequence", &[0x30, 0]),
        ("an empty string of bits", &[0x30, 2, 0x03, 0]),
        ("a string of nine unused bits", &[0x30, 3, 0x03, 1, 9]),
        ("a length that is not there", &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]),
        ("a length without an end", &[0x30, 0x80, 0, 0]),
        ("text", b"a list of nobody"),
    ]
    .map(|(name, der)| (name.to_owned(), der.to_vec()))
    .to_vec();
    for good in [&list, &own] {
        let ends = (1..good.len()).step_by(7);
        shapes.extend(ends.map(|end| (format!("the first {end} bytes"), good[..end].to_vec())));
        shapes.push(("more than there should be".to_owned(), [&good[..], &[0]].concat()));
    }
    shapes.push(("a list of reasons without one".to_owned(), no_reasons(&world.mesh)));
    for (label, file) in [("X509 CRL", "mesh.crl"), ("CERTIFICATE", "mesh.pem")] {
        let old = std::fs::read_to_string(world.path().join(file)).unwrap();
        let armoured = shapes.iter().map(|(name, der)| (name.as_str(), pki::pem(label, der)));
        let garbled = format!("-----BEGIN {label}-----\n?!\n-----END {label}-----\n");
        for (name, text) in armoured.chain([("no base64", garbled)]) {
            write(world.path(), file, &text);
            let refused = world.live().reload().map_err(|error| error.to_string());
            assert!(
                refused.as_ref().is_err_and(|error| error.contains("cannot use")),
                "{file}, {name}: {refused:?}"
            );
            // What is good before it does not make it better.
            write(world.path(), file, &format!("{old}{text}"));
            assert!(world.live().reload().is_err(), "{file}, {name} after a good one");
        }
        write(world.path(), file, &old);
    }
    client.who().await.unwrap();
    assert!(!world.live().reload().unwrap(), "the old ones did not stay");
}

/// A list that is about certificates revoked for reasons of which it names none: the
/// field `onlySomeReasons` (RFC 5280 §5.2.5) is a string of bits without any bytes.
fn no_reasons(ca: &Ca) -> Vec<u8> {
    let uri = b"http://lists/1";
    let list = ca.crl_with(&[], |params| {
        let uris = vec![String::from_utf8(uri.to_vec()).unwrap()];
        let distribution_point = CrlDistributionPoint { uris };
        params.issuing_distribution_point =
            Some(CrlIssuingDistributionPoint { distribution_point, scope: None });
    });
    let mut list = pki::der(&list);
    // [0] { [0] { [6] uri } }, made two bytes shorter for the two of the other field.
    let at = list.windows(uri.len()).position(|part| part == uri).unwrap();
    for length in [at - 1, at - 3, at - 5] {
        list[length] -= 2;
    }
    list[at + uri.len() - 2..at + uri.len()].copy_from_slice(&[0x83, 0]);
    list
}

#[tokio::test]
async fn who_is_revoked_is_gone_within_five_seconds_and_nobody_else() {
    let world = World::new().await;
    let mut good = world.served.client(&world.client(1)).await;
    let mut revoked = world.served.client(&world.client(13)).await;
    let mut running = world.served.client(&world.client(13)).await;
    for client in [&mut good, &mut revoked, &mut running] {
        client.who().await.unwrap();
    }
    // One that is in the middle of a call is not spared.
    let call = tokio::spawn(async move { running.call("/slow", bytes::Bytes::new()).await });
    soon(world.served.begun.acquire()).await.unwrap().forget();
    write(world.path(), "mesh.crl", &world.mesh.crl(&[13]));
    let begun = Instant::now();
    assert!(world.live().reload().unwrap());
    let _ = soon(revoked.connection).await;
    assert!(soon(call).await.unwrap().is_err(), "it was answered");
    assert!(begun.elapsed() < Duration::from_secs(5));
    good.who().await.unwrap();
    let mut again = world.served.client(&world.client(13)).await;
    assert!(again.who().await.is_err(), "it came back");
}

#[tokio::test]
async fn a_call_that_arrives_in_the_last_words_is_known_for_one() {
    let world = World::new().await;
    let stream = world.served.tls(&world.client(13)).await.unwrap();
    let mut raw = Raw::opened(stream).await.unwrap();
    raw.call(1, "/late").await;
    assert!(raw.has(HEADERS).await);
    assert_eq!(world.served.begun.available_permits(), 0);
    write(world.path(), "mesh.crl", &world.mesh.crl(&[13]));
    assert!(world.live().reload().unwrap());
    assert!(raw.has(GOAWAY).await);
    // It does as if it had not heard.
    raw.call(3, "/late").await;
    assert!(raw.has(HEADERS).await);
    assert_eq!(world.served.begun.available_permits(), 1);
    raw.end().await;
}

#[tokio::test]
async fn clients_of_an_authority_that_has_gone_are_gone() {
    let world = World::new().await;
    let mut client = world.served.client(&world.client(1)).await;
    client.who().await.unwrap();
    let other = Ca::root("mesh");
    write(world.path(), "mesh.pem", other.pem());
    write(world.path(), "mesh.crl", &other.crl(&[]));
    assert!(world.live().reload().unwrap());
    let _ = soon(client.connection).await;
    let new = served::client(&world.server, Some(&other.client()));
    world.served.client(&new).await.who().await.unwrap();
}
