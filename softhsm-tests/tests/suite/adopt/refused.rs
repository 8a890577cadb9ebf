//! What is not taken over, and what is not used any more.

use skms::proto;
use tokio::task::JoinSet;

use super::{adopt, adopted, home, mac, token};
use crate::ask::{create, metadata, outcome, sign};

/// What a refusal says.
async fn why(client: &skms::client::Client, uri: &str) -> String {
    let refused = client.adopt_key(adopt(uri, "refused")).await;
    assert_eq!(outcome(&refused), "InvalidArgument FIELD_INVALID", "{uri}");
    format!("{:?}", refused.unwrap_err())
}

#[tokio::test]
async fn a_name_of_none_or_of_many_or_of_another_token_is_refused() {
    let Some(home) = home() else { return };
    for id in ["01", "02"] {
        token(&home).make("EC:prime256v1", id, "same", &["--usage-sign"]);
    }
    token(&home).make("AES:16", "01", "secret", &[]);
    let gateway = home.start();
    let client = gateway.client().await;
    for (uri, said) in [
        ("pkcs11:object=same", "2 keys on the token"),
        ("pkcs11:id=%01", "2 keys on the token"),
        ("pkcs11:object=none", "no private or secret key"),
        ("pkcs11:object=same;id=%03", "no private or secret key"),
        ("pkcs11:object=secret;type=private", "no private or secret key"),
        ("pkcs11:token=other;object=same;id=%01", "another token"),
        ("pkcs11:serial=0;object=same;id=%01", "another token"),
        ("pkcs11:manufacturer=other;object=same;id=%01", "another token"),
        ("pkcs11:model=other;object=same;id=%01", "another token"),
        ("pkcs11:type=private", "name the key"),
        ("pkcs11:object=same;x-vendor=1", "unknown attribute"),
        ("pkcs11:object=same;slot-id=1", "slots change"),
        ("pkcs11:object=same?module-path=/x.so", "`module-path` is not taken"),
        ("pkcs11:object=same?module-name=x", "`module-name` is not taken"),
        ("object=same", "write a PKCS#11 URI"),
    ] {
        let why = why(&client, uri).await;
        assert!(why.contains(said), "{uri}: {why}");
    }
    let mut request = adopt("pkcs11:object=same;id=%02", "same");
    request.params =
        Some(proto::KeyParams { purpose: proto::KeyPurpose::KeyAgreement.into(), ..Default::default() });
    let refused = format!("{:?}", client.adopt_key(request).await.unwrap_err());
    assert!(refused.contains("sign-verify only"), "{refused}");
    adopted(&client, "pkcs11:object=same;id=%02", "same").await;
    let soft = proto::AdoptKeyRequest { backend: "soft".into(), ..adopt("pkcs11:object=same;id=%01", "x") };
    assert_eq!(outcome(&client.adopt_key(soft).await), "Unimplemented OPERATION_NOT_SUPPORTED_BY_BACKEND");
    let none = proto::AdoptKeyRequest { backend: "none".into(), ..adopt("pkcs11:object=same;id=%01", "x") };
    assert_eq!(outcome(&client.adopt_key(none).await), "NotFound BACKEND_NOT_FOUND");
}

#[tokio::test]
async fn a_pin_in_a_uri_is_refused_and_repeated_nowhere() {
    const PIN: &str = "47110815";
    let Some(home) = home() else { return };
    token(&home).make("EC:prime256v1", "01", "ec", &[]);
    let gateway = home.start();
    let client = gateway.client().await;
    for part in ["?pin-value=", ";pin-value=", "?pin-source=", "?module-path=/x.so&pin-value="] {
        let why = why(&client, &format!("pkcs11:id=%01{part}{PIN}")).await;
        assert!(why.contains("is not taken") && !why.contains(PIN), "{why}");
    }
    assert!(!serde_json::to_string(&home.audit_log()).unwrap().contains(PIN));
    assert!(!gateway.log().contains(PIN));
}

#[tokio::test]
async fn what_the_gateway_made_or_has_is_not_taken_over() {
    let Some(home) = home() else { return };
    token(&home).make("EC:prime256v1", "01", "ec", &[]);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "own", "hsm")).await.unwrap();
    let own = token(&home).list().into_iter().find(|object| object.label.starts_with("skms:")).unwrap();
    let id: String = own.id.iter().map(|byte| format!("%{byte:02x}")).collect();
    let refused = why(&client, &format!("pkcs11:id={id};type=private")).await;
    assert!(refused.contains("a key of this gateway"), "{refused}");

    adopted(&client, "pkcs11:id=%01", "first").await;
    let (one, two) = tokio::join!(
        client.adopt_key(adopt("pkcs11:id=%01", "a")),
        client.adopt_key(adopt("pkcs11:object=ec", "b"))
    );
    for refused in [one, two] {
        assert_eq!(outcome(&refused), "AlreadyExists KEY_ALREADY_EXISTS");
        assert!(refused.unwrap_err().to_string().contains("`first`"));
    }
}

#[tokio::test]
async fn of_many_calls_for_one_key_one_gets_it() {
    let Some(home) = home() else { return };
    token(&home).make("EC:prime256v1", "01", "ec", &[]);
    let gateway = home.start();
    let client = gateway.client().await;
    let mut calls = JoinSet::new();
    for at in 0..8 {
        let client = client.clone();
        calls.spawn(async move { client.adopt_key(adopt("pkcs11:id=%01", &format!("key-{at}"))).await });
    }
    let answers = calls.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for refused in answers.iter().filter(|answer| answer.is_err()) {
        assert_eq!(outcome(refused), "AlreadyExists KEY_ALREADY_EXISTS");
    }
    let listed = client.list_keys(proto::ListKeysRequest::default()).await.unwrap().keys;
    assert_eq!(listed.len(), 1);
}

#[tokio::test]
async fn another_key_in_the_place_of_one_that_was_taken_over_is_not_used() {
    let Some(home) = home() else { return };
    token(&home).make("EC:prime256v1", "01", "ec", &[]);
    token(&home).make("GENERIC:32", "04", "hmac", &[]);
    let gateway = home.start();
    let client = gateway.client().await;
    adopted(&client, "pkcs11:object=ec", "ec").await;
    let (hmac, _) = adopted(&client, "pkcs11:object=hmac", "hmac").await;
    assert_eq!(metadata(&hmac).key_type, "hmac-sha256");
    assert!(gateway.stop().await.success());

    for class in ["privkey", "pubkey"] {
        token(&home).remove(class, "01");
    }
    token(&home).remove("secrkey", "04");
    token(&home).make("EC:prime256v1", "01", "ec", &[]);
    token(&home).make("GENERIC:32", "04", "hmac", &[]);
    let gateway = home.start();
    let client = gateway.client().await;
    let gone = "DataLoss KEY_MATERIAL_MISSING";
    assert_eq!(outcome(&client.sign(sign("ec", "text")).await), gone);
    assert_eq!(outcome(&client.generate_mac(mac("hmac")).await), gone);
    // The line may come a little later than the answer.
    let begun = std::time::Instant::now();
    for part in ["does not belong to the public key", "another key than the one that was taken over"] {
        while !gateway.log().contains(part) {
            assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{part}: {}", gateway.log());
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn taking_over_needs_the_permission_to_and_no_tenant() {
    let Some(home) = home() else { return };
    token(&home).make("EC:prime256v1", "01", "ec", &[]);
    let gateway = home.start();
    for (roles, tenant, reason) in [
        (["key-manager"], None, "METHOD_NOT_ALLOWED"),
        (["signer"], None, "METHOD_NOT_ALLOWED"),
        (["admin"], Some("acme"), "KEY_ACCESS_DENIED"),
    ] {
        let client = gateway.client_of(&home.idp().token_in("somebody", &roles, tenant)).await;
        let refused = client.adopt_key(adopt("pkcs11:id=%01", "ec")).await;
        assert_eq!(outcome(&refused), format!("PermissionDenied {reason}"), "{roles:?} {tenant:?}");
    }
    // Nor is it enough alone.
    let policy = "@id(\"adopter\") permit (principal in Role::\"adopter\", action == Action::\"adopt-key\", resource);\n";
    home.replace("policies/adopter.cedar", policy);
    assert!(gateway.stop().await.success());
    let gateway = home.start();
    let client = gateway.client_of(&home.idp().token_in("somebody", &["adopter"], None)).await;
    let refused = client.adopt_key(adopt("pkcs11:id=%01", "ec")).await;
    assert_eq!(outcome(&refused), "PermissionDenied KEY_ACCESS_DENIED");
    let record = home.audit().into_iter().rev().find(|record| record["phase"] == "outcome").unwrap();
    assert_eq!((record["action"].as_str(), record["key"].as_str()), (Some("adopt-key"), Some("ec")));
    assert_eq!(record["denied"], "create-key");
}
