//! Who may do what, through the front door: every RPC, for callers of every shipped
//! role, on keys of their own, of another tenant, with a label, and on none at all.
//!
//! What is expected is computed by [`model`], which knows nothing of Cedar. Of a key
//! that a caller may not see it learns no more than of one that is not there: the two
//! answers have the same bytes, but for the name that was asked for.

mod calls;
mod model;

use std::collections::BTreeMap;

use skms::{
    model::{Access, Action, Rpc, Target},
    proto,
};
use skms_tests::gateway::Home;
use tonic::transport::Endpoint;

use self::{
    calls::{asked, call, furnished, headers, labels, mask, nameless, outcome_of, pages},
    model::{CALLERS, KEYS, Key, MISSING},
};
use crate::ask::{PROGRAM, create, full, metadata, refusal, sign};

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_may_what_its_roles_say_and_learns_nothing_of_other_keys() {
    let (home, gateway) = furnished().await;
    let channel = Endpoint::from_shared(gateway.endpoint()).unwrap().connect().await.unwrap();
    let (mut differences, mut calls, mut hidden) = (Vec::new(), 0, 0);
    for who in &CALLERS {
        let headers = headers(&home, who);
        for rpc in Rpc::ALL {
            let mut told = BTreeMap::new();
            for key in &KEYS {
                let got = call(&channel, &headers, *rpc, key.name).await;
                let line = got.as_ref().map_or_else(refusal, |_| "ok".to_owned());
                let expected = who.expected(*rpc, key);
                if line != expected {
                    let what = format!("{} {rpc:?} {}", who.name, key.name);
                    differences.push(format!("{what}: expected {expected}, but got {line}"));
                }
                told.insert(key.name, nameless(got, key.name));
                calls += 1;
            }
            if !names_a_key(*rpc) {
                continue;
            }
            for key in KEYS.iter().filter(|key| key.about.is_some() && !who.may(Action::GetKey, key)) {
                let (of_key, of_none) = (&told[key.name], &told[MISSING]);
                if of_key != of_none {
                    differences
                        .push(format!("{} {rpc:?} {}: {of_key:?}, not {of_none:?}", who.name, key.name));
                }
                hidden += 1;
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    println!("roles: {calls} calls as the model says; {hidden} answers of hidden keys as of missing ones");
}

/// Whether it is about a key that is there already.
fn names_a_key(rpc: Rpc) -> bool {
    let of_key = |action: Action| action.target() == Target::Key && action != Action::CreateKey;
    rpc == Rpc::TestPermissions || matches!(rpc.access(), Access::Action(action) if of_key(action))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_what_may_be_read_and_counts_nothing_else() {
    let (home, gateway) = furnished().await;
    for who in CALLERS.iter().filter(|who| who.may_call(Action::ListKeys)) {
        let client = gateway.client_of(&home.idp().token_in(who.name, who.roles, who.tenant)).await;
        for (filter, wanted) in [("", None), ("labels.team = payroll", Some("payroll"))] {
            let mut visible: Vec<_> = KEYS
                .iter()
                .filter(|key| who.may(Action::GetKey, key))
                .filter_map(|key| Some((key.name, key.about.as_ref()?)))
                .filter(|(_, about)| wanted.is_none() || about.team == wanted)
                .map(|(name, _)| name)
                .collect();
            visible.sort_unstable();
            let pages = pages(&client, filter, "").await;
            // One key a page, none of them empty but the only one, and no page more.
            let shown: Vec<_> = pages.iter().flat_map(|page| page.keys.clone()).collect();
            assert_eq!(shown, visible, "{} `{filter}`", who.name);
            assert_eq!(pages.len(), visible.len().max(1), "{} `{filter}`", who.name);
            for page in &pages {
                let token = hex::decode(&page.next).unwrap();
                let named =
                    |key: &&Key| token.windows(key.name.len()).any(|part| part == key.name.as_bytes());
                for key in KEYS.iter().filter(named) {
                    assert!(visible.contains(&key.name), "{} learns of {}", who.name, key.name);
                }
            }
            // A token of another caller says where to go on, and nothing else.
            let of_admin = self::pages(&gateway.client().await, filter, "").await;
            for page in of_admin.iter().filter(|page| !page.next.is_empty()) {
                let after: Vec<_> = visible
                    .iter()
                    .filter(|name| page.keys.iter().all(|last| last.as_str() < **name))
                    .collect();
                let pages = self::pages(&client, filter, &page.next).await;
                assert_eq!(
                    pages.iter().flat_map(|page| &page.keys).collect::<Vec<_>>(),
                    after,
                    "{}",
                    who.name
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_told_which_policies_decide_and_not_which_keys_there_are() {
    let (home, gateway) = furnished().await;
    for who in &CALLERS {
        let client = gateway.client_of(&home.idp().token_in(who.name, who.roles, who.tenant)).await;
        let of_none = client.test_permissions(asked(MISSING, &[])).await.unwrap();
        for key in &KEYS {
            let told = client.test_permissions(asked(key.name, &[])).await.unwrap();
            let actions: Vec<_> = told.iter().map(|told| told.action.as_str()).collect();
            let of_keys = Action::ALL.into_iter().filter(|action| action.target() == Target::Key);
            assert_eq!(actions, of_keys.clone().map(Action::name).collect::<Vec<_>>());
            for (told, action) in told.iter().zip(of_keys) {
                let what = format!("{} {} {}", who.name, told.action, key.name);
                assert_eq!(told.allowed, who.may(action, key), "{what}");
                assert!(!told.allowed || !told.policies.is_empty(), "{what}: nothing permits it");
            }
            if !who.may(Action::GetKey, key) {
                assert_eq!(told, of_none, "{} learns of {}", who.name, key.name);
            }
        }
        for told in client.test_permissions(asked("", &[])).await.unwrap() {
            let action = Action::ALL.into_iter().find(|action| action.name() == told.action).unwrap();
            assert_eq!(told.allowed, who.may_to_gateway(action), "{} {}", who.name, told.action);
        }
    }
    let signer = gateway.client_of(&home.idp().token("signer", &["signer", "auditor"])).await;
    let told =
        signer.test_permissions(asked("nobodys", &["sign-message", "get-key", "rotate-key"])).await.unwrap();
    let lines: Vec<_> =
        told.iter().map(|told| (told.action.as_str(), told.allowed, told.policies.join(" "))).collect();
    assert_eq!(
        lines,
        [
            ("sign-message", true, "signer".to_owned()),
            ("get-key", true, "auditor signer".to_owned()),
            ("rotate-key", false, String::new()),
        ]
    );
}

/// Labels decide who may use a key: who may change them must be allowed to do so to
/// the key as it is and to the key as it would be.
#[tokio::test]
async fn labels_are_changed_by_those_who_may_before_and_after() {
    let home = Home::software(PROGRAM);
    home.private(
        "policies/teams.cedar",
        "@id(\"describe\") permit (principal in Role::\"lead\",\n  action in [Action::\"get-key\", \
         Action::\"update-key\"], resource is Key);\n@id(\"label\") permit (principal in Role::\"lead\",\n  \
         action == Action::\"set-key-labels\", resource is Key)\n\
         when { resource.hasTag(\"team\") && resource.getTag(\"team\") == \"red\" };\n",
    );
    let gateway = home.start();
    let admin = gateway.client().await;
    for team in ["red", "blue", ""] {
        let mut request = create("ed25519", &format!("key-{team}"), "");
        if team.is_empty() {
            request.key_id = "key-plain".into();
        } else {
            request.metadata.insert("team".into(), team.into());
        }
        admin.create_key(request).await.unwrap();
    }
    let lead = gateway.client_of(&home.idp().token("lead", &["lead"])).await;
    let set = async |key: &str, team: &str| outcome_of(&lead.update_key(labels(key, team)).await);
    let denied = "PermissionDenied KEY_ACCESS_DENIED";
    for (key, team, expected) in [
        ("key-red", "red", "ok"),
        ("key-red", "blue", denied),
        ("key-red", "", denied),
        ("key-blue", "red", denied),
        ("key-blue", "blue", denied),
        ("key-plain", "red", denied),
        ("key-plain", "", denied),
    ] {
        assert_eq!(set(key, team).await, expected, "{key} to `{team}`");
    }
    // What is no label it may say of them all, but not together with one.
    for key in ["key-red", "key-blue", "key-plain"] {
        let mut request = labels(key, "red");
        request.update_mask = Some(mask(&["params.description"]));
        assert_eq!(outcome_of(&lead.update_key(request.clone()).await), "ok", "{key}");
        request.update_mask = Some(mask(&["params.description", "labels"]));
        let expected = if key == "key-red" { "ok" } else { denied };
        assert_eq!(outcome_of(&lead.update_key(request).await), expected, "{key}");
    }
    let shown = admin.get_key(full("key-blue")).await.unwrap();
    assert_eq!(metadata(&shown).labels, [("team".into(), "blue".into())].into());
    // The record tells a label from a description, and what it was that was denied.
    let records = home.audit();
    let count = |decision: &str, also: bool, denied: Option<&str>| {
        let of_lead = records.iter().filter(|record| {
            record["subject"] == "lead"
                && record["action"] == "update-key"
                && record["phase"] == "outcome"
                && record["decision"] == decision
                && record.get("also").is_some() == also
                && record.get("denied").and_then(|denied| denied.as_str()) == denied
        });
        of_lead.count()
    };
    assert_eq!(count("allow", true, None), 2);
    assert_eq!(count("allow", false, None), 3);
    assert_eq!(count("deny", true, Some("set-key-labels")), 8);
}

/// Names are shared by all tenants. Who runs into one that it may not know of is told
/// that it may not have it: not whose it is, nor whether it is an id or an alias; and
/// it is not charged to the key that is in the way.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_is_told_only_to_those_who_may_see_the_key() {
    let home = Home::software(PROGRAM);
    let gateway = home.start_with([
        ("SKMS__RATES__KEY__PER_SECOND", "1".into()),
        ("SKMS__RATES__KEY__BURST", "80000".into()),
    ]);
    let of = async |tenant| {
        let token = home.idp().token_in("manager", &["key-manager", "signer"], Some(tenant));
        gateway.client_of(&token).await
    };
    let (acme, other) = (of("acme").await, of("other").await);
    let mut request = create("ed25519", "taken", "soft");
    request.params.as_mut().unwrap().aliases = vec!["taken.too".into()];
    acme.create_key(request).await.unwrap();
    for validate_only in [true, false] {
        for name in ["taken", "taken.too"] {
            for key_type in ["rsa-4096", "ed25519"] {
                let request = proto::CreateKeyRequest { validate_only, ..create(key_type, name, "soft") };
                for _ in 0..10 {
                    let refused = outcome_of(&other.create_key(request.clone()).await);
                    assert_eq!(refused, "PermissionDenied KEY_ACCESS_DENIED", "{name}");
                }
                let known = outcome_of(&acme.create_key(request).await);
                assert!(known.starts_with("AlreadyExists "), "{known}");
            }
        }
    }
    acme.sign(sign("taken", "text")).await.unwrap();
}

/// The same subject in two tenants is two callers, also where it repeats itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_of_another_tenant_repeats_nothing() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let request_id = crate::ask::request_id();
    let mut made = Vec::new();
    for tenant in ["acme", "other"] {
        let token = home.idp().token_in("manager", &["key-manager"], Some(tenant));
        let request =
            proto::CreateKeyRequest { request_id: request_id.clone(), ..create("ed25519", "", "soft") };
        made.push(gateway.client_of(&token).await.create_key(request).await.unwrap());
    }
    assert_ne!(made[0].id, made[1].id);
}
