//! What can be configured, and what stops the gateway at its start.

use std::path::Path;

use super::config_of;
use crate::auth::{Algorithm, Authenticator, JwksSource, JwksSourceError, Name, NameError};

#[test]
fn keys_come_from_files_and_from_servers_that_prove_who_they_are() {
    for good in [
        "file:keys.json",
        "file:/etc/keys.json",
        "https://idp.test/keys",
        "https://idp.test:8443",
        "http://127.0.0.1:80/keys",
        "http://[::1]/keys",
        "http://localhost:1",
    ] {
        assert!(good.parse::<JwksSource>().is_ok(), "{good}");
    }
    for bad in
        ["http://idp.test/keys", "http://127.0.0.2/", "http://localhost.evil.test/", "http://10.0.0.1/"]
    {
        assert_eq!(bad.parse::<JwksSource>(), Err(JwksSourceError::Plain), "{bad}");
    }
    for bad in [
        "",
        "file:",
        "keys.json",
        "/etc/keys.json",
        "https://",
        "https:///keys",
        "ftp://idp.test/",
        "https://user:secret@idp.test/",
        "http://127.0.0.1@evil.test/",
        "https://idp.test/ x",
    ] {
        assert_eq!(bad.parse::<JwksSource>(), Err(JwksSourceError::Form), "{bad}");
    }
    let relative =
        config_of(&super::CORP.replace("deny.toml", "/etc/deny.toml")).relative_to(Path::new("/base"));
    assert_eq!(relative.deny_file.as_deref(), Some(Path::new("/etc/deny.toml")));
    assert_eq!(relative.issuers["corp"].jwks, JwksSource::File("/base/jwks.json".into()));
}

#[test]
fn names_are_short_and_plain() {
    for bad in ["", "Corp", "a/b", "a b", "ü", "a.b", "a_b", &"x".repeat(33)] {
        assert_eq!(bad.parse::<Name>(), Err(NameError), "{bad}");
    }
    assert_eq!("corp-2".parse::<Name>().unwrap().as_str(), "corp-2");
}

#[test]
fn the_names_of_algorithms_are_those_of_the_registry() {
    for algorithm in Algorithm::ALL {
        let read: Algorithm = serde_json::from_value(algorithm.name().into()).unwrap();
        assert_eq!((read, Algorithm::named(algorithm.name())), (algorithm, Some(algorithm)));
        assert_eq!(format!("{:?}", jsonwebtoken::Algorithm::from(algorithm)), algorithm.name());
    }
    for shared in ["HS256", "HS384", "HS512", "none"] {
        assert!(serde_json::from_value::<Algorithm>(shared.into()).is_err());
    }
}

#[test]
fn a_file_that_is_missing_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let open = |config: &str| Authenticator::open(&config_of(config).relative_to(folder.path())).unwrap_err();
    assert!(open("deny_file = 'deny.toml'").to_string().ends_with("deny.toml`"));
    assert!(open(super::CORP).to_string().ends_with("jwks.json`"));
    let remote = super::CORP
        .replace("file:jwks.json", "https://idp.test/keys")
        .replace("jwks =", "jwks_ca = 'ca.pem'\njwks =")
        .replace("deny_file = \"deny.toml\"", "");
    assert!(open(&remote).to_string().ends_with("ca.pem`"));
    std::fs::write(folder.path().join("ca.pem"), "no certificate").unwrap();
    assert!(open(&remote).to_string().ends_with("ca.pem` holds no certificate in PEM"));
}
