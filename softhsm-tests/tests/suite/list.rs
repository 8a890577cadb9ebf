//! GetKey and ListKeys: views, versions, pages and filters.

use skms::{client::Client, proto};
use skms_tests::gateway::Home;

use crate::ask::{PROGRAM, create, metadata, outcome, rotate, stop_and_set_states};

#[tokio::test]
async fn a_view_shows_versions_only_when_it_is_full() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        let first = client.create_key(create("ec-p256", backend, backend)).await.unwrap();
        let second = client.rotate_key(rotate(backend)).await.unwrap();
        use proto::KeyView::{Basic, Full, Unspecified};
        let (old, new) = (&first.public_key, &second.public_key);
        for (view, version, public_key, versions) in [
            (Unspecified, 0, new, vec![]),
            (Basic, 0, new, vec![]),
            (Full, 0, new, vec![1, 2]),
            (Basic, 1, old, vec![]),
            (Full, 1, old, vec![1]),
            (Full, 2, new, vec![2]),
        ] {
            let request = proto::GetKeyRequest {
                key_id: backend.into(),
                view: view.into(),
                version,
                ..Default::default()
            };
            let key = client.get_key(request).await.unwrap();
            assert_eq!(key.public_key, *public_key, "{view:?} of version {version}");
            let shown: Vec<_> = metadata(&key).versions.iter().map(|version| version.version).collect();
            assert_eq!(shown, versions, "{view:?} of version {version}");
            // The fingerprint is that of the public key that is shown; the rest is about the key.
            assert_eq!(metadata(&key).primary_version, 2);
            let of = if *public_key == *old { &first } else { &second };
            assert_eq!(metadata(&key).public_key_sha256, metadata(of).public_key_sha256);
        }
    }
}

/// The ids of one page, and the token of the next.
async fn page(client: &Client, request: &proto::ListKeysRequest) -> (Vec<String>, String) {
    let page = client.list_keys(request.clone()).await.unwrap();
    (page.keys.into_iter().map(|key| key.id).collect(), page.next_page_token)
}

#[tokio::test]
async fn pages_of_every_size_show_every_key_once_and_in_order() {
    const KEYS: usize = 105;
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let nothing = page(&client, &proto::ListKeysRequest::default()).await;
    assert_eq!(nothing, (vec![], String::new()));
    for at in (0..KEYS).rev() {
        client.create_key(create("ed25519", &format!("key-{at:03}"), "")).await.unwrap();
    }
    let every: Vec<_> = (0..KEYS).map(|at| format!("key-{at:03}")).collect();
    for (size, pages) in [(1, KEYS), (7, 15), (21, 5), (104, 2), (105, 1), (0, 2), (1000, 1), (i32::MAX, 1)] {
        let mut request = proto::ListKeysRequest { page_size: size, ..Default::default() };
        let (mut ids, mut count) = (Vec::new(), 0);
        loop {
            let (some, next) = page(&client, &request).await;
            ids.extend(some);
            count += 1;
            if next.is_empty() {
                break;
            }
            request.page_token = next;
        }
        assert_eq!((&ids, count), (&every, pages), "pages of {size}");
    }
    let (first, _) = page(&client, &proto::ListKeysRequest::default()).await;
    assert_eq!(first.len(), 100, "a page without a size");
    let refused = client.list_keys(proto::ListKeysRequest { page_size: -1, ..Default::default() }).await;
    assert_eq!(outcome(&refused), "InvalidArgument FIELD_INVALID");
}

#[tokio::test]
async fn a_token_goes_on_where_its_page_ended_and_fits_no_other_list() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for id in ["a", "c", "e", "g"] {
        client.create_key(create("ed25519", id, "")).await.unwrap();
    }
    let request =
        proto::ListKeysRequest { page_size: 2, filter: "state = enabled".into(), ..Default::default() };
    let (ids, token) = page(&client, &request).await;
    assert_eq!(ids, ["a", "c"]);
    // Keys that come meanwhile are shown where they belong, and none twice.
    for id in ["b", "d"] {
        client.create_key(create("ed25519", id, "")).await.unwrap();
    }
    let next = proto::ListKeysRequest { page_token: token, ..request };
    assert_eq!(page(&client, &next).await.0, ["d", "e"]);
    let wider = proto::ListKeysRequest { page_size: 9, ..next.clone() };
    assert_eq!(page(&client, &wider).await.0, ["d", "e", "g"]);
    for (what, other) in [
        ("filter", proto::ListKeysRequest { filter: String::new(), ..next.clone() }),
        ("order", proto::ListKeysRequest { order_by: "key_id".into(), ..next.clone() }),
        ("view", proto::ListKeysRequest { view: proto::KeyView::Full.into(), ..next.clone() }),
        ("destroyed", proto::ListKeysRequest { show_destroyed: true, ..next }),
    ] {
        let refused = client.list_keys(other).await;
        assert_eq!(outcome(&refused), "InvalidArgument PAGE_TOKEN_INVALID", "{what}");
    }
}

#[tokio::test]
async fn every_order_is_kept_over_pages_of_every_size() {
    const KEYS: usize = 12;
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    // The ids fall while the time rises; and the first that was made is the last that changed.
    for at in (0..KEYS).rev() {
        client.create_key(create("ed25519", &format!("key-{at:02}"), "")).await.unwrap();
    }
    client.rotate_key(rotate(&format!("key-{:02}", KEYS - 1))).await.unwrap();
    let all = client.list_keys(proto::ListKeysRequest::default()).await.unwrap().keys;
    let time = |time: Option<prost_types::Timestamp>| time.map(|time| (time.seconds, time.nanos));
    let created = |key: &proto::KeyResponse| time(metadata(key).create_time);
    let updated = |key: &proto::KeyResponse| time(metadata(key).update_time);
    let sorted = |by: &dyn Fn(&proto::KeyResponse) -> Option<(i64, i32)>| {
        let mut keys: Vec<_> = all.iter().map(|key| (by(key), key.id.clone())).collect();
        keys.sort();
        keys.into_iter().map(|(_, id)| id).collect::<Vec<_>>()
    };
    let orders =
        [("key_id", sorted(&|_| None)), ("create_time", sorted(&created)), ("update_time", sorted(&updated))];
    assert_eq!(orders[2].1.last().unwrap(), "key-11");
    for (field, ascending) in orders {
        for (direction, expected) in [
            ("", ascending.clone()),
            (" asc", ascending.clone()),
            (" desc", ascending.iter().rev().cloned().collect()),
        ] {
            for size in [1, 5, 12] {
                let mut request = proto::ListKeysRequest {
                    page_size: size,
                    order_by: format!("{field}{direction}"),
                    ..Default::default()
                };
                let mut ids = Vec::new();
                loop {
                    let (some, next) = page(&client, &request).await;
                    ids.extend(some);
                    if next.is_empty() {
                        break;
                    }
                    request.page_token = next;
                }
                assert_eq!(ids, expected, "{field}{direction}, pages of {size}");
            }
        }
    }
    // A key that changes between two pages moves to the end, and hides no other.
    let request =
        proto::ListKeysRequest { page_size: 6, order_by: "update_time".into(), ..Default::default() };
    let (first, token) = page(&client, &request).await;
    client.rotate_key(rotate(&first[0])).await.unwrap();
    let rest =
        page(&client, &proto::ListKeysRequest { page_token: token, page_size: 100, ..request }).await.0;
    assert_eq!(rest.len(), KEYS - 6 + 1);
    assert_eq!(rest.last(), first.first());
}

#[tokio::test]
async fn destroyed_keys_are_listed_only_when_they_are_asked_for() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for id in ["a", "b", "c"] {
        client.create_key(create("ed25519", id, "")).await.unwrap();
    }
    let gateway =
        stop_and_set_states(&home, gateway, &[("b", "destroyed"), ("c", "destroy-scheduled")]).await;
    let client = gateway.client().await;
    for (show_destroyed, filter, expected) in [
        (false, "", vec!["a", "c"]),
        (true, "", vec!["a", "b", "c"]),
        (false, "state = destroyed", vec![]),
        (true, "state = destroyed", vec!["b"]),
        (true, "state != enabled", vec!["b", "c"]),
    ] {
        let request = proto::ListKeysRequest { show_destroyed, filter: filter.into(), ..Default::default() };
        assert_eq!(page(&client, &request).await.0, expected, "{show_destroyed} {filter}");
    }
}

#[tokio::test]
async fn a_filter_shows_what_it_says() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for (key_type, id, env) in [("ec-p256", "a", "prod"), ("ed25519", "b", "test"), ("ed25519", "c", "prod")]
    {
        for backend in home.backends() {
            let mut request = create(key_type, &format!("{id}-{backend}"), backend);
            request.metadata = [("env".into(), env.into()), ("who/what".into(), "x y".into())].into();
            client.create_key(request).await.unwrap();
        }
    }
    for (filter, expected) in [
        ("", "abc"),
        ("  ", "abc"),
        ("key_type = ed25519", "bc"),
        ("key_type=P-256", "a"),
        ("key_type = rsa-2048", ""),
        ("state = enabled", "abc"),
        ("state = ENABLED", "abc"),
        ("state = \"enabled\"", "abc"),
        ("state = destroyed", ""),
        ("labels.env = prod", "ac"),
        ("labels.env = prod AND key_type = ed25519", "c"),
        ("labels.env=prod AND labels.env=test", ""),
        ("labels.who/what = \"x y\"", "abc"),
        ("labels.nobody = x", ""),
        ("labels:env", "abc"),
        ("labels:nobody", ""),
        ("labels.env != prod", "b"),
        ("NOT labels.env = prod", "b"),
        ("-labels.env:prod", "b"),
        ("key_id = a-* OR key_id = b-*", "ab"),
        ("key_id != a-*", "bc"),
        ("purpose = SIGN_VERIFY", "abc"),
        ("owner = test/admin", "abc"),
        ("owner != 'test/admin'", ""),
        // OR binds tighter.
        ("labels.env = test OR labels.env = prod AND key_type = ed25519", "bc"),
        ("labels.env = test OR (labels.env = prod AND key_type = ec-p256)", "ab"),
        ("create_time > 2026-01-01T00:00:00Z AND update_time < \"9999-01-01T01:00:00+01:00\"", "abc"),
        ("create_time < 2026-01-01T00:00:00Z", ""),
        ("expire_time:*", ""),
        ("NOT expire_time:*", "abc"),
    ] {
        let request = proto::ListKeysRequest { filter: filter.into(), ..Default::default() };
        let mut wanted = Vec::new();
        for id in expected.chars() {
            wanted.extend(home.backends().iter().map(|backend| format!("{id}-{backend}")));
        }
        assert_eq!(page(&client, &request).await.0, wanted, "{filter}");
    }
    for backend in home.backends() {
        let level = if backend == "hsm" { "hsm" } else { "software" };
        let wanted: Vec<_> = ["a", "b", "c"].map(|id| format!("{id}-{backend}")).into();
        let every = home.backends().len() == 1;
        for filter in [
            format!("backend = {backend}"),
            format!("protection_level = {level}"),
            format!("protection_level = PROTECTION_LEVEL_{}", level.to_uppercase()),
            if every { String::new() } else { format!("NOT backend != {backend}") },
        ] {
            let request = proto::ListKeysRequest { filter: filter.clone(), ..Default::default() };
            assert_eq!(page(&client, &request).await.0, wanted, "{filter}");
        }
    }
}
