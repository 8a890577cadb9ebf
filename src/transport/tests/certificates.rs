//! Which client certificates are taken, for whom, and what is said of those that are not.

use std::{path::Path, time::Duration};

use rcgen::{
    BasicConstraints, CrlDistributionPoint, CrlIssuingDistributionPoint, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, NameConstraints, SanType,
};
use rustls::AlertDescription::{
    self, CertificateExpired, CertificateRequired, CertificateRevoked, CertificateUnknown, DecryptError,
    UnknownCA, UnsupportedCertificate,
};
use tokio::io::AsyncReadExt as _;

use super::{
    pki::{self, Ca, Leaf, write},
    served::{self, Served},
    soon,
};
use crate::transport::{ClientCertificates, tls};

/// What becomes of a client.
enum Outcome {
    /// With this alert, and for those who run the gateway these words.
    Refused(AlertDescription, &'static str),
    Taken(&'static str),
}

use Outcome::{Refused, Taken};

const EXPIRED: &str = "the client certificate has expired";
const EARLY: &str = "the client certificate is not valid yet";
const NO_CLIENT: &str = "the certificate is not for clients";
const REQUIRED: &str = "a client certificate is required";
const REVOKED: &str = "the client certificate was revoked";
const UNKNOWN: &str = "the client certificate is of no authority that is known here";
const UNLISTED: &str = "no current list says whether the client certificate was revoked";
const UNPROVEN: &str = "the client does not prove to have the key of its certificate";
const UNUSABLE: &str = "the client certificate is not taken";

fn authority(directory: &Path, name: &str, ca: &str, crls: &[&str]) -> tls::Authority {
    let file = |(index, crl): (usize, &&str)| write(directory, &format!("{name}-{index}.crl"), crl);
    tls::Authority {
        name: name.to_owned(),
        ca: write(directory, &format!("{name}.pem"), ca),
        crls: crls.iter().enumerate().map(file).collect(),
    }
}

async fn expect(served: &Served, server: &Ca, table: &[(&str, Option<Leaf>, Outcome)]) {
    let mut refused = 0;
    for (name, leaf, expected) in table {
        let mut stream = served.tls(&served::client(server, leaf.as_ref())).await.unwrap();
        // In TLS 1.3 a client is done before the server has looked at its certificate, so
        // it hears of it when it reads; and one that is taken must call to hear anything.
        match expected {
            Taken(expected) => {
                let who = served::Client::over(stream).await.who().await;
                assert_eq!(who.expect(name), *expected, "{name}");
            }
            Refused(expected, detail) => {
                let error = soon(stream.read(&mut [0])).await.expect_err(name);
                match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                    Some(rustls::Error::AlertReceived(alert)) => assert_eq!(alert, expected, "{name}"),
                    _ => panic!("{name}: {error}"),
                }
                refused += 1;
                // The client hears of it first.
                let told = async {
                    while served.refused.lock().len() < refused {
                        tokio::task::yield_now().await;
                    }
                };
                soon(told).await;
                assert_eq!(served.refused.lock().last(), Some(detail), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn a_certificate_is_taken_only_if_all_of_it_is_right() {
    let directory = tempfile::tempdir().unwrap();
    let (server, mesh, other) = (Ca::root("server"), Ca::root("mesh"), Ca::root("mesh"));
    let stranger = Ca::root("mesh");
    served::certify(directory.path(), &server.server());
    let authorities = [
        authority(directory.path(), "mesh", mesh.pem(), &[]),
        authority(directory.path(), "other", other.pem(), &[]),
        authority(directory.path(), "rsa1024", include_str!("weak/rsa1024-ca.pem"), &[]),
        authority(directory.path(), "sha1", include_str!("weak/sha1-ca.pem"), &[]),
    ];
    let config = served::over_tls(directory.path(), ClientCertificates::Required);
    let served = Served::start(config, served::bounds(), &authorities).await;

    let narrow = mesh.under("narrow", |params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("good.example".to_owned())],
            excluded_subtrees: Vec::new(),
        });
    });
    let dns = |name: &'static str| {
        move |params: &mut rcgen::CertificateParams| {
            params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
        }
    };
    let is_for = |usage: &[ExtendedKeyUsagePurpose]| {
        let usage = usage.to_vec();
        mesh.leaf(|params| params.extended_key_usages = usage)
    };
    let with_another_key = Leaf { key: mesh.client().key, ..mesh.client() };
    let forged = Leaf {
        chain: [&stranger.client().chain[..1], &narrow.client().chain[1..]].concat(),
        ..stranger.client()
    };
    let table = [
        ("right", Some(mesh.client()), Taken(r#"mesh 7 ["spiffe://test/client"] [] []"#)),
        (
            "the same name of another authority",
            Some(other.client()),
            Taken(r#"other 7 ["spiffe://test/client"] [] []"#),
        ),
        (
            "through another authority",
            Some(narrow.leaf(dns("a.good.example"))),
            Taken(r#"mesh 7 [] ["a.good.example"] []"#),
        ),
        (
            "outside of what that may vouch for",
            Some(narrow.leaf(dns("bad.example"))),
            Refused(CertificateUnknown, UNUSABLE),
        ),
        (
            "a pattern outside of it",
            Some(narrow.leaf(dns("*.bad.example"))),
            Refused(CertificateUnknown, UNUSABLE),
        ),
        ("none", None, Refused(CertificateRequired, REQUIRED)),
        (
            "one of an authority",
            Some(mesh.leaf(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
            Refused(CertificateUnknown, UNUSABLE),
        ),
        (
            "for servers",
            Some(is_for(&[ExtendedKeyUsagePurpose::ServerAuth])),
            Refused(UnsupportedCertificate, NO_CLIENT),
        ),
        (
            "for anything",
            Some(is_for(&[ExtendedKeyUsagePurpose::Any])),
            Refused(UnsupportedCertificate, NO_CLIENT),
        ),
        ("for nothing in particular", Some(is_for(&[])), Refused(UnsupportedCertificate, NO_CLIENT)),
        (
            "expired",
            Some(mesh.leaf(|params| params.not_after = rcgen::date_time_ymd(2026, 1, 1))),
            Refused(CertificateExpired, EXPIRED),
        ),
        (
            "not valid yet",
            Some(mesh.leaf(|params| params.not_before = rcgen::date_time_ymd(4000, 1, 1))),
            Refused(CertificateExpired, EARLY),
        ),
        ("of an authority of the same name", Some(stranger.client()), Refused(UnknownCA, UNKNOWN)),
        ("with the chain of somebody else", Some(forged), Refused(UnknownCA, UNKNOWN)),
        ("vouched for by itself", Some(pki::self_signed()), Refused(UnknownCA, UNKNOWN)),
        (
            "signed with RSA-1024",
            Some(pki::weak(include_str!("weak/rsa1024.pem"))),
            Refused(UnknownCA, UNKNOWN),
        ),
        (
            "signed with SHA-1",
            Some(pki::weak(include_str!("weak/sha1.pem"))),
            Refused(DecryptError, UNUSABLE),
        ),
        ("of somebody else", Some(with_another_key), Refused(DecryptError, UNPROVEN)),
    ];
    expect(&served, &server, &table).await;
}

#[tokio::test]
async fn what_is_revoked_or_cannot_be_looked_up_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = Ca::root("server");
    served::certify(directory.path(), &server.server());
    let (listed, stale, elsewhere) = (Ca::root("listed"), Ca::root("stale"), Ca::root("elsewhere"));
    let (good, bad) = (listed.under("good", |_| {}), {
        listed.under("bad", |params| params.serial_number = Some(rcgen::SerialNumber::from_slice(&[66])))
    });
    let unlisted = listed.under("unlisted", |_| {});
    let at = |uri: &str| CrlDistributionPoint { uris: vec![uri.to_owned()] };
    let old = stale.crl_with(&[], |params| params.next_update = rcgen::date_time_ymd(2026, 2, 1));
    let partial = elsewhere.crl_with(&[], |params| {
        let distribution_point = at("http://crl/1");
        params.issuing_distribution_point =
            Some(CrlIssuingDistributionPoint { distribution_point, scope: None });
    });
    let authorities = [
        authority(
            directory.path(),
            "listed",
            listed.pem(),
            &[&listed.crl(&[13, 66]), &good.crl(&[13]), &bad.crl(&[])],
        ),
        authority(directory.path(), "stale", stale.pem(), &[&old]),
        authority(directory.path(), "elsewhere", elsewhere.pem(), &[&partial]),
    ];
    let config = served::over_tls(directory.path(), ClientCertificates::Optional);
    let served = Served::start(config, served::bounds(), &authorities).await;
    let serial = |serial: u8| {
        move |params: &mut rcgen::CertificateParams| {
            params.serial_number = Some(rcgen::SerialNumber::from_slice(&[serial]));
        }
    };
    let table = [
        ("none", None, Taken("health_only=false")),
        ("not revoked", Some(listed.client()), Taken(r#"listed 7 ["spiffe://test/client"] [] []"#)),
        ("revoked", Some(listed.leaf(serial(13))), Refused(CertificateRevoked, REVOKED)),
        ("of a good one", Some(good.client()), Taken(r#"listed 7 ["spiffe://test/client"] [] []"#)),
        ("revoked by a good one", Some(good.leaf(serial(13))), Refused(CertificateRevoked, REVOKED)),
        ("of one that is revoked", Some(bad.client()), Refused(CertificateRevoked, REVOKED)),
        ("of one that has no list", Some(unlisted.client()), Refused(UnknownCA, UNLISTED)),
        ("of a list that is out of date", Some(stale.client()), Refused(UnknownCA, UNLISTED)),
        (
            "of a list that is about others",
            Some(elsewhere.leaf(|params| params.crl_distribution_points = vec![at("http://crl/2")])),
            Refused(UnknownCA, UNLISTED),
        ),
    ];
    expect(&served, &server, &table).await;
}

#[tokio::test]
async fn a_connection_ends_with_its_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let (server, mesh) = (Ca::root("server"), Ca::root("mesh"));
    served::certify(directory.path(), &server.server());
    let authorities = [authority(directory.path(), "mesh", mesh.pem(), &[])];
    let config = served::over_tls(directory.path(), ClientCertificates::Required);
    let served = Served::start(config, served::bounds(), &authorities).await;
    let short = mesh.leaf(|params| pki::end(params, Duration::from_secs(2)));
    let mut lasting = served.client(&served::client(&server, Some(&mesh.client()))).await;
    let mut ending = served.client(&served::client(&server, Some(&short))).await;
    ending.who().await.unwrap();
    soon(ending.connection).await.unwrap().unwrap();
    lasting.who().await.unwrap();
}

#[test]
fn authorities_that_cannot_be_told_apart_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (server, mesh) = (Ca::root("server"), Ca::root("mesh"));
    served::certify(directory.path(), &server.server());
    let config = served::over_tls(directory.path(), ClientCertificates::Required);
    let open = |authorities: &[tls::Authority]| {
        let opened = tls::Live::open(&"api".parse().unwrap(), &config, authorities);
        opened.err().map(|error| error.to_string()).unwrap_or_default()
    };
    let [a, b] = ["a", "b"].map(|name| authority(directory.path(), name, mesh.pem(), &[]));
    let leaf = authority(directory.path(), "leaf", &mesh.client().pem, &[]);
    assert!(open(&[a.clone(), b]).starts_with("`a` and `b` have a certificate in common"));
    assert!(open(&[leaf]).contains("leaf.pem`: a certificate is not one of an authority"));
    assert_eq!(open(&[a]), "");
}
