//! Certificate signing requests, as openssl reads them.

use std::process::Command;

use skms::proto::{self, SignatureAlgorithm};
use skms_tests::gateway::Home;

use crate::ask::{PROGRAM, create, outcome};

fn request(key: &str) -> proto::CreateCertificateSigningRequestRequest {
    proto::CreateCertificateSigningRequestRequest {
        key_id: key.into(),
        subject: r"CN=www.example.com,O=Example\, Inc.,C=DE".into(),
        dns_names: vec!["www.example.com".into(), "*.example.com".into()],
        ip_addresses: vec!["192.0.2.1".into(), "2001:db8::1".into()],
        email_addresses: vec!["ca@example.com".into()],
        uris: vec!["spiffe://example.com/payroll".into()],
        ..Default::default()
    }
}

/// What `openssl req` says of a request, if it takes it for good.
fn read(pem: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("csr.pem");
    std::fs::write(&path, pem).unwrap();
    let mut command = Command::new("openssl");
    let output = command.args(["req", "-verify", "-noout", "-text", "-nameopt", "RFC2253", "-in"]).arg(path);
    let output = output.output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && (out.clone() + &err).contains("verify OK"), "{out}\n{err}\n{pem}");
    out
}

#[tokio::test]
async fn openssl_verifies_a_request_of_every_key_and_algorithm_that_it_knows() {
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let mut verified = 0;
    for backend in home.backends() {
        for offered in client.get_backend(backend).await.unwrap().key_types {
            let key_type = offered.key_type;
            // This openssl knows no ML-DSA; primes for more bits take long and tell no more.
            if offered.signature_algorithms.is_empty()
                || key_type.starts_with("ml-")
                || key_type == "rsa-4096"
            {
                continue;
            }
            let id = format!("{backend}.{key_type}");
            let key = client.create_key(create(&key_type, &id, backend)).await.unwrap();
            for algorithm in &crate::ask::metadata(&key).params.as_ref().unwrap().signature_algorithms {
                let asked =
                    proto::CreateCertificateSigningRequestRequest { algorithm: *algorithm, ..request(&id) };
                let made = client.certificate_request(asked).await.unwrap();
                assert_eq!(
                    (made.key_id.as_str(), made.version, made.algorithm),
                    (id.as_str(), 1, *algorithm)
                );
                let text = read(&made.pem);
                assert!(text.contains(r"CN=www.example.com,O=Example\, Inc.,C=DE"), "{text}");
                let names = "DNS:www.example.com, DNS:*.example.com, IP Address:192.0.2.1, IP \
                             Address:2001:DB8:0:0:0:0:0:1, email:ca@example.com, \
                             URI:spiffe://example.com/payroll";
                assert!(text.contains(names), "{text}");
                verified += 1;
            }
        }
    }
    println!("{verified} certificate signing requests, each of which openssl verifies");
    assert!(verified >= 17, "{verified}");
}

#[tokio::test]
async fn ml_dsa_keys_request_certificates_too() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for (key_type, algorithm) in [
        ("ml-dsa-44", SignatureAlgorithm::MlDsa44),
        ("ml-dsa-65", SignatureAlgorithm::MlDsa65),
        ("ml-dsa-87", SignatureAlgorithm::MlDsa87),
    ] {
        client.create_key(create(key_type, key_type, "")).await.unwrap();
        let made = client.certificate_request(request(key_type)).await.unwrap();
        assert_eq!(made.algorithm(), algorithm);
        assert!(made.pem.starts_with("-----BEGIN CERTIFICATE REQUEST-----\n"), "{}", made.pem);
    }
}

#[tokio::test]
async fn who_requests_a_certificate_must_be_allowed_to_sign() {
    let home = Home::software(PROGRAM);
    let requester = r#"@id("requester") permit (principal in Role::"requester", action == Action::"create-csr", resource);"#;
    std::fs::write(home.path().join("policies/requester.cedar"), requester).unwrap();
    let gateway = home.start();
    let admin = gateway.client().await;
    admin.create_key(create("ed25519", "key", "")).await.unwrap();
    admin.create_key(create("aes-256", "secret", "")).await.unwrap();
    let signer = gateway.client_of(&home.idp().token("signer", &["signer"])).await;
    read(&signer.certificate_request(request("key")).await.unwrap().pem);
    let only = gateway.client_of(&home.idp().token("only", &["requester"])).await;
    assert_eq!(
        outcome(&only.certificate_request(request("key")).await),
        "PermissionDenied KEY_ACCESS_DENIED"
    );
    let secret = admin.certificate_request(request("secret")).await;
    assert_eq!(outcome(&secret), "FailedPrecondition KEY_PURPOSE_MISMATCH");
    let none = proto::CreateCertificateSigningRequestRequest { key_id: "key".into(), ..Default::default() };
    assert_eq!(outcome(&admin.certificate_request(none.clone()).await), "InvalidArgument FIELD_REQUIRED");
    let wrong = proto::CreateCertificateSigningRequestRequest { subject: "example".into(), ..none };
    assert_eq!(outcome(&admin.certificate_request(wrong).await), "InvalidArgument FIELD_INVALID");
    let wrong = proto::CreateCertificateSigningRequestRequest { version: 9, ..request("key") };
    assert_eq!(outcome(&admin.certificate_request(wrong).await), "NotFound KEY_VERSION_NOT_FOUND");
}
