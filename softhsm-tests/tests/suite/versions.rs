//! ListKeyVersions: order, pages, filters, and that it is what GetKey shows.

use skms::{client::Client, proto};
use skms_tests::gateway::Home;

use crate::ask::{PROGRAM, create, full, metadata, outcome, rotate, stop_and_set_states, versions};

/// The numbers on one page, and the token of the next.
async fn page(client: &Client, request: &proto::ListKeyVersionsRequest) -> (Vec<u32>, String) {
    let page = client.list_key_versions(request.clone()).await.unwrap();
    (page.versions.iter().map(|version| version.version).collect(), page.next_page_token)
}

#[tokio::test]
async fn versions_are_listed_from_the_newest_as_the_key_shows_them() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        client.create_key(create("ec-p256", backend, backend)).await.unwrap();
        client.rotate_key(rotate(backend)).await.unwrap();
        let staged = proto::RotateKeyRequest { stage_only: true, ..rotate(backend) };
        client.rotate_key(staged).await.unwrap();
        let listed = client.list_key_versions(versions(backend)).await.unwrap();
        let mut shown = metadata(&client.get_key(full(backend)).await.unwrap()).versions.clone();
        shown.reverse();
        assert_eq!(shown.len(), 3);
        assert_eq!((listed.versions, listed.next_page_token.as_str()), (shown, ""));
    }
}

#[tokio::test]
async fn pages_of_versions_of_every_size_are_the_whole_and_go_on_where_they_ended() {
    const VERSIONS: u32 = 7;
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ed25519", "key", "")).await.unwrap();
    client.create_key(create("ed25519", "other", "")).await.unwrap();
    for _ in 1..VERSIONS {
        client.rotate_key(rotate("key")).await.unwrap();
    }
    let whole: Vec<_> = (1..=VERSIONS).rev().collect();
    for size in [0, 1, 2, 3, 6, 7, 8, i32::MAX] {
        let mut request = proto::ListKeyVersionsRequest { page_size: size, ..versions("key") };
        let mut numbers = Vec::new();
        loop {
            let (some, next) = page(&client, &request).await;
            numbers.extend(some);
            if next.is_empty() {
                break;
            }
            request.page_token = next;
        }
        assert_eq!(numbers, whole, "pages of {size}");
    }
    let request = proto::ListKeyVersionsRequest { page_size: 3, ..versions("key") };
    let (numbers, token) = page(&client, &request).await;
    assert_eq!(numbers, [7, 6, 5]);
    // A version that comes meanwhile is newer than what is still to be listed.
    client.rotate_key(rotate("key")).await.unwrap();
    let next = proto::ListKeyVersionsRequest { page_token: token, ..request };
    assert_eq!(page(&client, &next).await.0, [4, 3, 2]);
    for (what, other) in [
        ("key", proto::ListKeyVersionsRequest { key_id: "other".into(), ..next.clone() }),
        ("filter", proto::ListKeyVersionsRequest { filter: "state = enabled".into(), ..next }),
    ] {
        let refused = client.list_key_versions(other).await;
        assert_eq!(outcome(&refused), "InvalidArgument PAGE_TOKEN_INVALID", "{what}");
    }
}

#[tokio::test]
async fn versions_are_filtered_by_their_own_state() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ed25519", "key", "")).await.unwrap();
    client.rotate_key(rotate("key")).await.unwrap();
    client.rotate_key(rotate("key")).await.unwrap();
    let states = [("key.1", "destroyed"), ("key.2", "disabled")];
    let gateway = stop_and_set_states(&home, gateway, &states).await;
    let client = gateway.client().await;
    for (filter, expected) in [
        ("", vec![3, 2, 1]),
        ("state = enabled", vec![3]),
        ("state != destroyed", vec![3, 2]),
        ("state = DISABLED OR state = destroyed", vec![2, 1]),
        ("NOT (state = enabled OR state = disabled)", vec![1]),
    ] {
        let request = proto::ListKeyVersionsRequest { filter: filter.into(), ..versions("key") };
        assert_eq!(page(&client, &request).await.0, expected, "{filter}");
    }
}
