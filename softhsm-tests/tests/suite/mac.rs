//! GenerateMac, VerifyMac and GenerateRandom.

use skms::proto;
use skms_tests::gateway::Home;

use crate::ask::{PROGRAM, create, outcome, rotate};

#[tokio::test]
async fn a_code_is_valid_for_its_message_and_after_a_rotation_still() {
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let mut codes = 0;
    for backend in home.backends() {
        let offered = client.get_backend(backend).await.unwrap().key_types;
        for offer in offered.iter().filter(|offer| offer.mac) {
            let key = format!("{backend}.{}", offer.key_type);
            client.create_key(create(&offer.key_type, &key, backend)).await.unwrap();
            let request = proto::GenerateMacRequest {
                key_id: key.clone(),
                message: "a message".into(),
                message_crc32c: Some(crc32c::crc32c(b"a message")),
                ..Default::default()
            };
            let made = client.generate_mac(request.clone()).await.unwrap();
            let length = offer.key_type.trim_start_matches("hmac-sha").parse::<usize>().unwrap() / 8;
            assert_eq!((made.mac.len(), made.version, made.verified_message_crc32c), (length, 1, true));
            assert_eq!(client.generate_mac(request.clone()).await.unwrap().mac, made.mac);
            client.rotate_key(rotate(&key)).await.unwrap();
            assert_ne!(client.generate_mac(request).await.unwrap().mac, made.mac);

            let check = async |message: &'static str, mac: &[u8], version| {
                let request = proto::VerifyMacRequest {
                    key_id: key.clone(),
                    message: message.into(),
                    mac: mac.to_vec().into(),
                    version,
                    ..Default::default()
                };
                let answer = client.verify_mac(request).await.unwrap();
                assert_eq!(answer.valid, answer.verified_valid_integrity);
                (answer.valid, answer.version)
            };
            assert_eq!(check("a message", &made.mac, 0).await, (true, 1));
            assert_eq!(check("a message", &made.mac, 1).await, (true, 1));
            assert_eq!(check("a message", &made.mac, 2).await, (false, 0));
            assert_eq!(check("another", &made.mac, 0).await, (false, 0));
            assert_eq!(check("a message", &made.mac[1..], 0).await, (false, 0));
            for at in 0..made.mac.len() {
                let mut changed = made.mac.to_vec();
                changed[at] ^= 0x80;
                assert_eq!(check("a message", &changed, 1).await, (false, 0));
            }
            codes += 1;
        }
    }
    assert!(codes > 0, "no backend makes codes");
}

#[tokio::test]
async fn random_bytes_differ_and_say_where_they_are_from() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let request = |length_bytes, backend: &str| proto::GenerateRandomRequest {
        length_bytes,
        backend: backend.into(),
        ..Default::default()
    };
    let first = client.generate_random(request(64, "soft")).await.unwrap();
    let second = client.generate_random(request(64, "soft")).await.unwrap();
    assert_eq!((first.data.len(), first.backend.as_str()), (64, "soft"));
    assert_eq!(first.data_crc32c, crc32c::crc32c(&first.data));
    assert_ne!(first.data, second.data);
    assert_eq!(client.generate_random(request(1024, "")).await.unwrap().data.len(), 1024);
    let refused = [
        (request(0, ""), "InvalidArgument FIELD_REQUIRED length_bytes"),
        (request(1025, ""), "InvalidArgument FIELD_INVALID length_bytes"),
        (request(1, "none"), "NotFound BACKEND_NOT_FOUND"),
        (
            proto::GenerateRandomRequest { protection_level: 3, ..request(1, "soft") },
            "FailedPrecondition PROTECTION_LEVEL_UNSATISFIABLE",
        ),
    ];
    for (request, expected) in refused {
        let got = outcome(&client.generate_random(request).await);
        assert!(expected.starts_with(&got), "{got}, expected {expected}");
    }
}
