//! Tokens and certificates together, certificates alone, and local users: J14, and who
//! the owner of a certificate is.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use serde_json::json;

use super::{
    CORP, Gate, MESH, certificate,
    idp::{self, Draft},
    reason,
};
use crate::{
    auth::{Evidence, Method},
    model::{ClientCertificate, Reason},
};

fn bound(to: &ClientCertificate) -> Draft {
    Draft::new().claim("cnf", json!({"x5t#S256": BASE64.encode(to.fingerprint)}))
}

#[tokio::test]
async fn j14_a_bound_token_needs_its_certificate() {
    let gate = Gate::new();
    let (mine, other) =
        (certificate("mesh", &["spiffe://test/a"]), certificate("mesh", &["spiffe://test/b"]));
    let proxy = certificate("mesh", &["spiffe://test/proxy"]);
    let token = bound(&mine).signed();
    for _ in 0..2 {
        let caller = gate.on(Some(&token), &mine).await.unwrap();
        assert_eq!((caller.id(), caller.method()), ("corp/alice", Method::Token));
        gate.refuses(&token, Reason::ClientCertificateRequired, "no certificate").await;
        for wrong in [&other, &proxy] {
            assert_eq!(reason(gate.on(Some(&token), wrong).await), Reason::ClientCertificateRequired);
        }
    }
    let x5t = |text: &str| json!({"x5t#S256": text});
    for (cnf, expected) in [
        (json!(null), Reason::TokenMalformed),
        (json!("x"), Reason::TokenMalformed),
        (json!({}), Reason::TokenMalformed),
        (json!([]), Reason::TokenMalformed),
        (json!({"x5t#S256": 1}), Reason::TokenMalformed),
        (x5t(""), Reason::TokenMalformed),
        (x5t(&BASE64.encode([7; 31])), Reason::TokenMalformed),
        (x5t(&BASE64.encode([7; 33])), Reason::TokenMalformed),
        (x5t(&format!("{}=", BASE64.encode(mine.fingerprint))), Reason::TokenMalformed),
        (x5t(&hex::encode(mine.fingerprint)), Reason::TokenMalformed),
        (json!({"jkt": "x"}), Reason::ClientCertificateRequired),
        (json!({"x5t#S256": BASE64.encode(mine.fingerprint), "jkt": "x"}), Reason::ClientCertificateRequired),
    ] {
        let token = Draft::new().claim("cnf", cnf.clone()).signed();
        gate.refuses(&token, expected, &cnf.to_string()).await;
        assert_eq!(reason(gate.on(Some(&token), &mine).await), expected, "{cnf}");
    }
}

#[tokio::test]
async fn j14_where_all_tokens_are_bound_one_that_is_not_is_refused() {
    let config = CORP.replace("jwks =", "certificate_bound = 'required'\njwks =");
    let gate = Gate::with(&format!("{config}{MESH}"), &idp::jwks());
    let mine = certificate("mesh", &["spiffe://test/a"]);
    gate.refuses(&Draft::new().signed(), Reason::ClientCertificateRequired, "not bound").await;
    assert!(gate.on(Some(&bound(&mine).signed()), &mine).await.is_ok());
    let proxy = certificate("mesh", &["spiffe://test/proxy"]);
    let refused = gate.on(Some(&Draft::new().signed()), &proxy).await;
    assert_eq!(reason(refused), Reason::ClientCertificateRequired);
}

#[tokio::test]
async fn only_a_listed_proxy_carries_the_tokens_of_others() {
    let config = format!("{CORP}{MESH}{}", MESH.replace("mesh", "other"));
    let gate = Gate::with(&config, &idp::jwks());
    let token = Draft::new().signed();
    let proxy = certificate("mesh", &["spiffe://test/proxy"]);
    for _ in 0..2 {
        assert_eq!(gate.on(Some(&token), &proxy).await.unwrap().id(), "corp/alice");
    }
    for certificate in [
        certificate("mesh", &["spiffe://test/a"]),
        certificate("mesh", &["spiffe://test/proxy2"]),
        certificate("mesh", &["spiffe://TEST/proxy"]),
        certificate("mesh", &["spiffe://test/proxy", "spiffe://test/a"]),
        certificate("mesh", &[]),
        certificate("other", &["spiffe://test/proxy"]),
        certificate("unknown", &["spiffe://test/proxy"]),
    ] {
        let refused = gate.on(Some(&token), &certificate).await;
        assert_eq!(reason(refused), Reason::ClientCertificateRequired, "{certificate:?}");
    }
    gate.deny("subjects = ['mesh/spiffe://test/proxy']");
    assert_eq!(reason(gate.on(Some(&token), &proxy).await), Reason::TokenRevoked);
}

#[tokio::test]
async fn j14_a_certificate_for_one_tenant_goes_with_no_token_of_another() {
    let tenants = "tenant = 'payroll'\n[certificates.mesh.subjects.'spiffe://test/free']\nroles = ['x']\n";
    let gate = Gate::with(&format!("{CORP}{MESH}{tenants}"), &idp::jwks());
    let of = |certificate: &ClientCertificate, tenant: Option<&str>| match tenant {
        Some(tenant) => bound(certificate).claim("tenant", json!(tenant)).signed(),
        None => bound(certificate).signed(),
    };
    let (payroll, free) =
        (certificate("mesh", &["spiffe://test/a"]), certificate("mesh", &["spiffe://test/free"]));
    assert!(gate.on(Some(&of(&payroll, Some("payroll"))), &payroll).await.is_ok());
    for tenant in [Some("treasury"), Some("Payroll"), None] {
        let refused = gate.on(Some(&of(&payroll, tenant)), &payroll).await;
        assert_eq!(reason(refused), Reason::ClientCertificateRequired, "{tenant:?}");
    }
    assert!(gate.on(Some(&of(&free, Some("treasury"))), &free).await.is_ok());
    let proxy = certificate("mesh", &["spiffe://test/proxy"]);
    let token = Draft::new().claim("tenant", json!("treasury")).signed();
    assert_eq!(reason(gate.on(Some(&token), &proxy).await), Reason::ClientCertificateRequired);
}

#[tokio::test]
async fn a_bad_token_is_not_made_good_by_a_certificate() {
    let gate = Gate::new();
    let mine = certificate("mesh", &["spiffe://test/a"]);
    assert_eq!(gate.on(None, &mine).await.unwrap().id(), "mesh/spiffe://test/a");
    for (token, expected) in [
        ("x".to_owned(), Reason::TokenMalformed),
        (Draft::new().claim("iss", json!("x")).signed(), Reason::TokenIssuerUntrusted),
        (bound(&mine).claim("aud", json!("x")).signed(), Reason::TokenAudienceMismatch),
    ] {
        assert_eq!(reason(gate.on(Some(&token), &mine).await), expected);
    }
    let evidence = Evidence { authorization: &[b"Basic YTpi"], certificate: None, uid: Some(1000) };
    assert_eq!(reason(gate.authenticator.caller(&evidence).await), Reason::TokenMalformed);
}

#[tokio::test]
async fn a_certificate_is_the_one_name_of_its_kind() {
    let kinds = "[certificates.hosts]\nca = 'c'\nidentity = 'dns'\n[certificates.people]\nca = 'c'\nidentity = 'email'\n";
    let gate = Gate::with(&format!("{CORP}{MESH}{kinds}"), &idp::jwks());
    let with = |authority: &str, uris: &[&str], dns: &[&str], emails: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let seed = [uris, dns, emails].concat();
        ClientCertificate {
            dns_names: owned(dns),
            emails: owned(emails),
            uris: owned(uris),
            ..certificate(authority, &seed)
        }
    };
    for (certificate, id) in [
        (with("mesh", &["spiffe://test/a"], &["a.test", "b.test"], &[]), "mesh/spiffe://test/a"),
        (with("hosts", &["u:1", "u:2"], &["a.test"], &[]), "hosts/a.test"),
        (with("people", &[], &["a.test"], &["alice@test"]), "people/alice@test"),
    ] {
        for _ in 0..2 {
            let caller = gate.on(None, &certificate).await.unwrap();
            assert_eq!((caller.id(), caller.method()), (id, Method::Certificate));
            assert_eq!(caller.expires(), None);
        }
    }
    for certificate in [
        // The common name is not even known here.
        with("mesh", &[], &[], &[]),
        with("mesh", &[], &["spiffe://test/a"], &["spiffe://test/a"]),
        with("hosts", &["a.test"], &[], &["a.test"]),
        with("people", &[], &[], &[]),
        with("mesh", &["spiffe://test/a", "spiffe://test/b"], &[], &[]),
        with("mesh", &["spiffe://test/a", "spiffe://test/a"], &[], &[]),
        with("hosts", &[], &["*.test"], &[]),
        with("mesh", &[""], &[], &[]),
        with("mesh", &["spiffe://test/a\0b"], &[], &[]),
        with("mesh", &[&"a".repeat(513)], &[], &[]),
        with("stranger", &["spiffe://test/a"], &[], &[]),
        with("", &["spiffe://test/a"], &[], &[]),
    ] {
        let refused = gate.on(None, &certificate).await;
        assert_eq!(reason(refused), Reason::ClientCertificateRequired, "{certificate:?}");
    }
}

#[tokio::test]
async fn the_same_name_of_another_authority_is_another_caller() {
    let second = "[certificates.second]\nca = 'c'\nidentity = 'uri'\n";
    let gate = Gate::with(&format!("{CORP}{MESH}{second}"), &idp::jwks());
    let (first, second) = (certificate("mesh", &["u:a"]), certificate("second", &["u:a"]));
    // Even where both vouch for the very same certificate.
    assert_eq!(first.fingerprint, second.fingerprint);
    for _ in 0..2 {
        let callers = [gate.on(None, &first).await.unwrap(), gate.on(None, &second).await.unwrap()];
        assert_eq!([callers[0].id(), callers[1].id()], ["mesh/u:a", "second/u:a"]);
        assert_ne!(callers[0].digest(), callers[1].digest());
    }
}

#[tokio::test]
async fn single_names_have_roles_of_their_own() {
    let listed = "only_listed = true\ntenant = 'common'\n\
                  [certificates.mesh.subjects.'u:signer']\nroles = ['signer']\ntenant = 'payroll'\n\
                  [certificates.mesh.subjects.'u:nothing']\n";
    let gate = Gate::with(&format!("{CORP}{MESH}{listed}"), &idp::jwks());
    for (name, roles, tenant) in [("u:signer", vec!["signer"], Some("payroll")), ("u:nothing", vec![], None)]
    {
        let caller = gate.on(None, &certificate("mesh", &[name])).await.unwrap();
        assert_eq!(
            (caller.roles().iter().collect::<Vec<_>>(), caller.tenant()),
            (roles.iter().map(|&r| r.to_owned()).collect::<Vec<_>>().iter().collect(), tenant)
        );
    }
    for name in ["u:other", "u:signer2", "U:signer"] {
        let refused = gate.on(None, &certificate("mesh", &[name])).await;
        assert_eq!(reason(refused), Reason::ClientCertificateRequired, "{name}");
    }
}

#[tokio::test]
async fn a_local_user_is_known_by_its_number() {
    let users = "[unix.operator]\nuid = 1000\nroles = ['admin']\ntenant = 'payroll'\n[unix.root]\nuid = 0\n";
    let gate = Gate::with(&format!("{CORP}{MESH}{users}"), &idp::jwks());
    let by = async |uid| {
        let evidence = Evidence { uid, ..Evidence::default() };
        gate.authenticator.caller(&evidence).await
    };
    let caller = by(Some(1000)).await.unwrap();
    assert_eq!(
        (caller.id(), caller.method(), caller.tenant()),
        ("unix/operator", Method::Unix, Some("payroll"))
    );
    assert_eq!(by(Some(0)).await.unwrap().id(), "unix/root");
    assert_eq!(reason(by(Some(1001)).await), Reason::TokenMissing);
    assert_eq!(reason(by(None).await), Reason::TokenMissing);
    // A token says more than the socket.
    let header = format!("Bearer {}", Draft::new().signed());
    let evidence = Evidence { authorization: &[header.as_bytes()], certificate: None, uid: Some(1000) };
    assert_eq!(gate.authenticator.caller(&evidence).await.unwrap().id(), "corp/alice");
    gate.deny("subjects = ['unix/operator']\ntenants = []");
    assert_eq!(reason(by(Some(1000)).await), Reason::TokenRevoked);
}
