//! Who is taken for whom, and who for nobody: each test is one row of cases against an
//! [`Authenticator`] with real keys. J1 to J19 and the cases of client certificates are
//! those of the project's list of pitfalls.

mod binding;
mod cache;
mod claims;
mod configuration;
mod form;
mod idp;
mod remote;
mod replay;
mod server;
mod signatures;

use std::{fs, path::Path, time::Duration};

use serde_json::Value;
use tempfile::TempDir;

use self::idp::Draft;
use super::{
    Authenticator, Caller, Config, Evidence, Refusal,
    clock::{Clock, Shift},
};
use crate::model::{ClientCertificate, Reason};

/// An authenticator over files in a folder of its own.
struct Gate {
    folder: TempDir,
    authenticator: Authenticator,
    clock: Clock,
}

/// The issuer of most tests; more can follow.
const CORP: &str = r#"
deny_file = "deny.toml"
proxies = ["mesh/spiffe://test/proxy"]

[issuers.corp]
issuer = "https://idp.test"
audiences = ["skms", "kms"]
algorithms = ["RS256", "ES256", "ES384", "EdDSA"]
jwks = "file:jwks.json"
tenant_claim = "tenant"
"#;

const MESH: &str = r#"
[certificates.mesh]
ca = "mesh.pem"
identity = "uri"
roles = ["service"]
"#;

impl Gate {
    fn new() -> Self {
        Self::with(&format!("{CORP}{MESH}"), &idp::jwks())
    }

    /// With this configuration, and with these keys in `jwks.json`.
    fn with(config: &str, jwks: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("jwks.json"), jwks.to_string()).unwrap();
        fs::write(folder.path().join("deny.toml"), "").unwrap();
        let clock = Clock::default();
        let config = config_of(config).relative_to(folder.path());
        assert_eq!(config.bad_values(), []);
        let authenticator = Authenticator::open_at(&config, clock.clone()).unwrap();
        Self { folder, authenticator, clock }
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.path().join(file), text).unwrap();
    }

    /// Writes the list of whom to deny, and has it read.
    fn deny(&self, text: &str) {
        self.write("deny.toml", text);
        self.authenticator.reload().unwrap();
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn shift(&self, change: impl FnOnce(&mut Shift)) {
        change(&mut self.clock.shift.lock());
    }

    async fn headers(&self, headers: &[&[u8]]) -> Result<Caller, Refusal> {
        let evidence = Evidence { authorization: headers, ..Evidence::default() };
        self.authenticator.caller(&evidence).await
    }

    async fn token(&self, token: &str) -> Result<Caller, Refusal> {
        self.headers(&[format!("Bearer {token}").as_bytes()]).await
    }

    /// A token on a connection with a certificate, or the certificate alone.
    async fn on(&self, token: Option<&str>, certificate: &ClientCertificate) -> Result<Caller, Refusal> {
        let header = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<&[u8]> = header.iter().map(String::as_bytes).collect();
        let evidence = Evidence { authorization: &headers, certificate: Some(certificate), uid: None };
        self.authenticator.caller(&evidence).await
    }

    /// The token is refused for this reason, twice, and its detail says nothing of it.
    async fn refuses(&self, token: &str, reason: Reason, case: &str) {
        for _ in 0..2 {
            let refusal = self.token(token).await.expect_err(case);
            assert_eq!(refusal.reason, reason, "{case}: {}", refusal.detail);
            assert!(!refusal.text().is_empty() && refusal.text() != "the call is not authenticated");
        }
    }

    /// The token is taken, twice: the second time from the cache.
    async fn takes(&self, token: &str, case: &str) -> Caller {
        let first = self.token(token).await.unwrap_or_else(|refusal| panic!("{case}: {refusal:?}"));
        let second = self.token(token).await.unwrap_or_else(|refusal| panic!("{case}: {refusal:?}"));
        assert_eq!(first.digest(), second.digest(), "{case}");
        first
    }
}

fn config_of(text: &str) -> Config {
    toml::from_str(text).unwrap()
}

/// A certificate that the listener has verified.
fn certificate(authority: &str, uris: &[&str]) -> ClientCertificate {
    let mut fingerprint = [7; 32];
    for (index, byte) in uris.concat().bytes().enumerate() {
        fingerprint[index % 32] ^= byte;
    }
    ClientCertificate {
        authority: authority.to_owned(),
        fingerprint,
        serial: "aff01".to_owned(),
        uris: uris.iter().map(|&uri| uri.to_owned()).collect(),
        dns_names: Vec::new(),
        emails: Vec::new(),
    }
}

fn reason(result: Result<Caller, Refusal>) -> Reason {
    result.expect_err("it was taken").reason
}

#[tokio::test]
async fn a_good_token_names_its_caller() {
    let gate = Gate::new();
    let token = Draft::new().claim("tenant", "payroll".into()).signed();
    let caller = gate.takes(&token, "good").await;
    assert_eq!((caller.id(), caller.issuer(), caller.subject()), ("corp/alice", "corp", "alice"));
    assert_eq!((caller.method().name(), caller.tenant()), ("token", Some("payroll")));
    assert_eq!(caller.roles().iter().collect::<Vec<_>>(), ["signer"]);
    let left = caller.expires().unwrap().duration_since(std::time::SystemTime::now()).unwrap();
    assert!(left > Duration::from_secs(590) && left <= Duration::from_secs(605), "{left:?}");
    for algorithm in ["RS256", "ES256", "ES384", "EdDSA"] {
        gate.takes(&Draft::algorithm(algorithm).signed(), algorithm).await;
    }
}

#[tokio::test]
async fn the_text_for_clients_depends_on_the_reason_alone() {
    let mut texts = std::collections::BTreeSet::new();
    for reason in [
        Reason::TokenMissing,
        Reason::TokenMalformed,
        Reason::TokenExpired,
        Reason::TokenNotYetValid,
        Reason::TokenSignatureInvalid,
        Reason::TokenIssuerUntrusted,
        Reason::TokenAudienceMismatch,
        Reason::TokenRevoked,
        Reason::ClientCertificateRequired,
    ] {
        let texts_of = ["one", "other"].map(|detail| Refusal { reason, detail }.text());
        assert_eq!(texts_of[0], texts_of[1]);
        assert!(texts.insert(texts_of[0]), "{reason:?} has a text of its own");
    }
}
