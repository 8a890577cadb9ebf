//! `skms token`: the tokens that it makes are taken by the gateway that reads its keys.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::Shell;
use crate::{
    auth::{Authenticator, Caller, Config, Evidence, Refusal},
    client::fake::pki,
    model::{ClientCertificate, Reason},
};

/// The gateway with the keys in this folder asks who has this token.
fn caller(folder: &Path, token: &str, certificate: Option<&ClientCertificate>) -> Result<Caller, Refusal> {
    let config: Config = toml::from_str(
        "[issuers.dev]\nissuer = 'https://dev.test'\naudiences = ['skms']\nalgorithms = ['ES256']\n\
         jwks = 'file:jwks.json'\ntenant_claim = 'tenant'\n\
         [certificates.mesh]\nca = 'ca.pem'\nidentity = 'dns'\n",
    )
    .unwrap();
    let authenticator = Authenticator::open(&config.relative_to(folder)).unwrap();
    let header = format!("Bearer {}", token.trim_end());
    let evidence = Evidence { authorization: &[header.as_bytes()], certificate, uid: None };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(authenticator.caller(&evidence))
}

fn part(token: &str, index: usize) -> Value {
    let part = token.trim_end().split('.').nth(index).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_token_names_its_caller_to_a_gateway_with_the_keys() {
    let (shell, folder) = (Shell::new(), tempfile::tempdir().unwrap());
    let at = folder.path().join("idp");
    let path = at.display();
    let done = shell.skms(&format!("token keygen --out {path}"));
    assert_eq!((done.exit, done.stderr.as_str()), (0, ""));
    let jwks: Value = serde_json::from_slice(&fs::read(at.join("jwks.json")).unwrap()).unwrap();
    let kid = jwks["keys"][0]["kid"].as_str().unwrap();
    assert_eq!(done.text(), format!("made `{path}/issuer.key` and `{path}/jwks.json`, key id {kid}\n"));
    assert_eq!((mode(&at.join("issuer.key")), kid.len()), (0o600, 43));
    assert!(jwks["keys"][0].get("d").is_none());

    let base = format!(
        "token issue --key {path}/issuer.key --issuer https://dev.test --audience skms --subject alice"
    );
    let token = shell.skms(&base);
    assert_eq!((token.exit, token.stderr.as_str()), (0, ""));
    let known = caller(&at, token.text(), None).unwrap();
    assert_eq!((known.id(), known.roles().len(), known.tenant()), ("dev/alice", 0, None));
    assert_eq!(part(token.text(), 0), json!({"typ": "at+jwt", "alg": "ES256", "kid": kid}));
    let claims = part(token.text(), 1);
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);
    assert_eq!(claims["jti"].as_str().unwrap().len(), 36);

    let token =
        shell.skms(&format!("{base} --role signer --role admin --tenant payroll --lifetime 5m --jti one"));
    let known = caller(&at, token.text(), None).unwrap();
    assert_eq!(known.roles().iter().collect::<Vec<_>>(), ["admin", "signer"]);
    assert_eq!((known.tenant(), &part(token.text(), 1)["jti"]), (Some("payroll"), &json!("one")));

    let token = shell.skms(&format!("{base} --kid other"));
    assert_eq!(caller(&at, token.text(), None).unwrap_err().reason, Reason::TokenSignatureInvalid);
}

#[test]
fn a_token_goes_into_a_file_of_its_owner() {
    let (shell, folder) = (Shell::new(), tempfile::tempdir().unwrap());
    let path = folder.path().display();
    assert_eq!(shell.skms(&format!("token keygen --out {path} --name dev")).exit, 0);
    let out = folder.path().join("token");
    fs::write(&out, "old").unwrap();
    fs::set_permissions(&out, fs::Permissions::from_mode(0o644)).unwrap();
    let line = format!(
        "token issue --key {path}/issuer.key --kid dev --issuer https://dev.test --audience skms --subject bob --out {path}/token"
    );
    let done = shell.skms(&line);
    assert_eq!((done.exit, done.text(), mode(&out)), (0, "", 0o600));
    assert_eq!(caller(folder.path(), &fs::read_to_string(&out).unwrap(), None).unwrap().id(), "dev/bob");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing is left beside it");
    let done = shell.skms(&line.replace("/token", "/nowhere/token"));
    assert_eq!(done.exit, 1);
    assert!(done.stderr.starts_with("error: cannot write `"), "{}", done.stderr);
}

#[test]
fn a_token_can_be_bound_to_a_certificate() {
    let (shell, folder) = (Shell::new(), tempfile::tempdir().unwrap());
    let path = folder.path().display();
    let (_, certificate, _) = pki();
    fs::write(folder.path().join("client.pem"), &certificate).unwrap();
    assert_eq!(shell.skms(&format!("token keygen --out {path}")).exit, 0);
    let token = shell.skms(&format!(
        "token issue --key {path}/issuer.key --issuer https://dev.test --audience skms --subject bob --certificate {path}/client.pem"
    ));
    let der = <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(
        certificate.as_bytes(),
    );
    let mut mine = ClientCertificate {
        authority: "mesh".to_owned(),
        fingerprint: [0; 32],
        serial: "1".to_owned(),
        uris: Vec::new(),
        dns_names: Vec::new(),
        emails: Vec::new(),
    };
    let refused = caller(folder.path(), token.text(), Some(&mine)).unwrap_err();
    assert_eq!(refused.reason, Reason::ClientCertificateRequired);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der.unwrap());
    mine.fingerprint.copy_from_slice(digest.as_ref());
    assert_eq!(caller(folder.path(), token.text(), Some(&mine)).unwrap().id(), "dev/bob");
}

#[test]
fn a_key_is_not_overwritten_and_must_be_one() {
    let (shell, folder) = (Shell::new(), tempfile::tempdir().unwrap());
    let path = folder.path().display();
    assert_eq!(shell.skms(&format!("token keygen --out {path}")).exit, 0);
    let key = fs::read(folder.path().join("issuer.key")).unwrap();
    for keep in ["issuer.key", "jwks.json"] {
        let done = shell.skms(&format!("token keygen --out {path}"));
        assert_eq!(done.exit, 1);
        assert!(done.stderr.contains("it is there; remove it first"), "{keep}: {}", done.stderr);
        if keep == "issuer.key" {
            assert_eq!(fs::read(folder.path().join("issuer.key")).unwrap(), key);
            fs::remove_file(folder.path().join("issuer.key")).unwrap();
        }
    }
    let rest = "--issuer i --audience a --subject s";
    let done = shell.skms(&format!("token issue --key {path}/jwks.json {rest}"));
    assert_eq!(done.exit, 78);
    assert!(done.stderr.contains("holds no P-256 private key (PKCS#8, PEM)"), "{}", done.stderr);
    assert_eq!(shell.skms(&format!("token issue --key {path}/nothing {rest}")).exit, 1);
    fs::write(folder.path().join("issuer.key"), key).unwrap();
    for (more, exit) in [
        ("--lifetime 25h", 2),
        ("--lifetime 100ms", 2),
        ("--lifetime 0s", 2),
        ("--role=", 2),
        ("--certificate /nonexistent", 1),
        ("--certificate /etc/hostname", 78),
    ] {
        let done = shell.skms(&format!("token issue --key {path}/issuer.key {rest} {more}"));
        assert_eq!((done.exit, done.text()), (exit, ""), "{more}: {}", done.stderr);
    }
    assert_eq!(shell.skms("token").exit, 2);
    assert_eq!(shell.skms("token issue").exit, 2);
}
