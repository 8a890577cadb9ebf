//! Lists of keys and of versions that are asked for wrongly.

use skms::proto;

use super::rows::{Call, Row};

pub(super) fn keys() -> Vec<Row> {
    let filter = |text: &str| proto::ListKeysRequest { filter: text.into(), ..Default::default() };
    let token = |text: &str| proto::ListKeysRequest { page_token: text.into(), ..Default::default() };
    let order = |text: &str| proto::ListKeysRequest { order_by: text.into(), ..Default::default() };
    let default = proto::ListKeysRequest::default;
    let row = |what: &str, request, expected: &str| {
        Row::new(format!("list: {what}"), Call::List(request), format!("InvalidArgument {expected}"))
    };
    let mut rows = vec![
        row(
            "a negative size",
            proto::ListKeysRequest { page_size: -1, ..default() },
            "FIELD_INVALID page_size",
        ),
        row("an unknown view", proto::ListKeysRequest { view: 3, ..default() }, "FIELD_INVALID view"),
        row(
            "everything at once",
            proto::ListKeysRequest {
                page_size: i32::MIN,
                page_token: "x".into(),
                filter: "x".into(),
                order_by: "x".into(),
                view: 9,
                show_destroyed: true,
            },
            "FIELD_INVALID view page_size page_token=PAGE_TOKEN_INVALID filter=FILTER_INVALID order_by",
        ),
    ];
    for text in ["desc", "state", "key_id up", "create_time DESC", "create_time, key_id", "expire_time"] {
        rows.push(row(&format!("the order `{text}`"), order(text), "FIELD_INVALID order_by"));
    }
    for text in TOKENS {
        rows.push(row("a token of its own making", token(text), "PAGE_TOKEN_INVALID page_token"));
    }
    let endless = "ab".repeat(4000);
    rows.push(row("an endless token", token(&endless), "PAGE_TOKEN_INVALID page_token"));
    for text in [
        "x",
        "=",
        "state",
        "state = ",
        "state = up",
        "state < enabled",
        "state : enabled",
        "state = enabled AND",
        "state = enabled OR",
        "state = enabled state = enabled",
        "state = enabled and state = enabled",
        "NOT",
        "NOT NOT state = enabled",
        "(state = enabled",
        "state = enabled)",
        "()",
        "key_type = rot13",
        "purpose = paint",
        "key_id = a*b",
        "owner > local",
        "labels.env",
        "labels. = x",
        "labels = x",
        "labels:*",
        "labels.env < x",
        "labels.env = \"prod",
        "labels.env = \"a\\b\"",
        "protection_level = strong",
        "create_time > yesterday",
        "create_time > \"2026-01-01\"",
        "create_time > 2026-13-01T00:00:00Z",
        "update_time : *",
        "expire_time = never",
        "tenant = acme",
        "'; DROP TABLE keys; --",
    ] {
        rows.push(row(&format!("the filter `{text}`"), filter(text), "FILTER_INVALID filter"));
    }
    let deep = "(".repeat(500);
    rows.push(row("a filter of parentheses", filter(&deep), "FILTER_INVALID filter"));
    let many = vec!["key_id = a"; 33].join(" OR ");
    rows.push(row("a filter of 33 comparisons", filter(&many), "FILTER_INVALID filter"));
    rows.push(row(
        "a filter of 1025 bytes",
        filter(&format!("labels.a = {}", "x".repeat(1014))),
        "FIELD_INVALID filter",
    ));
    rows
}

pub(super) fn versions() -> Vec<Row> {
    let row = |what: &str, request, expected: &str| {
        Row::new(format!("versions: {what}"), Call::Versions(request), expected)
    };
    let of = |id: &str| proto::ListKeyVersionsRequest { key_id: id.into(), ..Default::default() };
    let filter = |text: &str| proto::ListKeyVersionsRequest { filter: text.into(), ..of("soft.ec-p256") };
    let mut rows = vec![
        row("no key", of(""), "InvalidArgument FIELD_REQUIRED key_id"),
        row("a key in capitals", of("KEY"), "InvalidArgument FIELD_INVALID key_id"),
        row("an unknown key", of("nobody"), "NotFound KEY_NOT_FOUND"),
        row(
            "everything at once",
            proto::ListKeyVersionsRequest {
                key_id: "KEY".into(),
                page_size: -1,
                page_token: "x".into(),
                filter: "x".repeat(1025),
            },
            "InvalidArgument FIELD_INVALID key_id page_size page_token=PAGE_TOKEN_INVALID filter",
        ),
    ];
    for text in TOKENS {
        let request = proto::ListKeyVersionsRequest { page_token: text.into(), ..of("soft.ec-p256") };
        rows.push(row("a token of its own making", request, "InvalidArgument PAGE_TOKEN_INVALID page_token"));
    }
    for text in ["x", "state", "state = up", "state > enabled", "key_id = a", "version = 1", "labels:env"] {
        let what = format!("the filter `{text}`");
        rows.push(row(&what, filter(text), "InvalidArgument FILTER_INVALID filter"));
    }
    rows
}

const TOKENS: [&str; 5] = ["x", "00", "zz", "0011223344556677001122", "../../etc/passwd"];
