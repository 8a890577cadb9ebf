//! The policies that are shipped, and the schema they are written in.

use std::{collections::BTreeSet, str::FromStr as _};

use cedar_policy::{Entities, EntityUid, Request, Schema};

use super::{
    super::entities::Nouns,
    Action, Caller, Key, Resource, ids, key, labelled,
    matrix::{callers, keys, resource},
    of_tenant, proposed, shipped, shipped_directory, sign,
};
use crate::model::{KeyId, Target};

fn schema() -> Schema {
    Schema::from_str(include_str!("../schema.cedarschema")).unwrap()
}

fn names<'a>(uids: impl IntoIterator<Item = &'a EntityUid>) -> BTreeSet<String> {
    uids.into_iter().map(|uid| uid.id().unescaped().to_owned()).collect()
}

#[test]
fn the_schema_has_every_action_with_its_target_and_no_other() {
    let schema = schema();
    let groups = names(schema.action_groups());
    assert_eq!(groups, ["read-gateway", "read-keys"].map(str::to_owned).into());
    let actions: BTreeSet<_> = &names(schema.actions()) - &groups;
    let expected = Action::ALL.into_iter().filter(|action| action.target() != Target::Nothing);
    assert_eq!(actions, expected.clone().map(|action| action.name().to_owned()).collect());
    for action in expected {
        let uid: EntityUid = format!("Action::\"{}\"", action.name()).parse().unwrap();
        let types = |of: Vec<String>| of.join(" ");
        let resources = schema.resources_for_action(&uid).unwrap().map(ToString::to_string).collect();
        let principals = schema.principals_for_action(&uid).unwrap().map(ToString::to_string).collect();
        let target = if action.target() == Target::Key { "Key" } else { "Gateway" };
        assert_eq!((types(principals), types(resources)), ("Caller".to_owned(), target.to_owned()), "{uid}");
    }
}

#[test]
fn what_cedar_is_asked_is_of_the_schema() {
    let (schema, nouns) = (schema(), Nouns::new().unwrap());
    let check = |caller: &Caller, action: Action, on: Resource<'_>| {
        let (request, entities) = nouns.request(caller, action, on).unwrap();
        let part = |uid: Option<&EntityUid>| uid.unwrap().clone();
        let context = request.context().unwrap().clone();
        let (principal, resource) = (part(request.principal()), part(request.resource()));
        Request::new(principal, part(request.action()), resource, context, Some(&schema)).unwrap();
        Entities::from_entities(entities, Some(&schema)).unwrap();
    };
    for caller in callers() {
        for action in Action::ALL {
            match action.target() {
                Target::Key => keys().iter().for_each(|(_, key)| check(&caller, action, resource(key))),
                Target::Gateway => check(&caller, action, Resource::Gateway),
                Target::Nothing => {}
            }
        }
    }
}

#[test]
fn every_shipped_policy_has_an_id_and_a_comment() {
    let policies = shipped();
    assert!(policies.files().len() >= 8);
    assert_eq!(policies.directory(), shipped_directory());
    for statement in policies.statements() {
        assert!(!statement.id.contains('#'), "{statement:?} has no @id");
        let text = std::fs::read_to_string(&statement.file).unwrap();
        let line = text.lines().nth(statement.line - 1).unwrap();
        assert_eq!(line, format!("@id(\"{}\")", statement.id), "{statement:?}");
        assert!(
            text.lines()
                .nth(statement.line - 2)
                .is_some_and(|line| line.is_empty() || line.starts_with("//"))
        );
        assert!(text.starts_with("// "), "{}", statement.file.display());
    }
}

#[test]
fn the_gateway_itself_needs_no_policy() {
    let policies = shipped();
    for action in Action::ALL {
        let decision = policies.decide(&Caller::gateway(), action, Resource::Key(&key("a")));
        assert!(decision.allowed);
        assert_eq!(ids(&decision), ["gateway-itself"]);
        assert_eq!(policies.may_call(&Caller::gateway(), action), decision);
    }
}

#[test]
fn nobody_does_what_is_the_gateways_own() {
    let policies = shipped();
    for caller in callers() {
        for action in [Action::FindOrphans, Action::Sweep] {
            for on in [Resource::Gateway, Resource::Key(&key("a"))] {
                assert!(!policies.may_call(&caller, action).allowed);
                assert!(!policies.decide(&caller, action, on).allowed);
            }
        }
    }
}

#[test]
fn an_action_on_what_it_is_not_done_to_is_denied() {
    let policies = shipped();
    let (admin, missing) = (Caller::sample("corp", "admin", &["admin"], None), "a".parse().unwrap());
    assert!(policies.decide(&admin, Action::SignMessage, Resource::Key(&key("a"))).allowed);
    assert!(!policies.decide(&admin, Action::SignMessage, Resource::Gateway).allowed);
    assert!(!policies.decide(&admin, Action::ListKeys, Resource::Key(&key("a"))).allowed);
    assert!(!policies.decide(&admin, Action::ListKeys, Resource::Missing(&missing)).allowed);
}

/// Every caller that may not touch all keys there are.
fn bound() -> Vec<Caller> {
    let all = callers();
    all.into_iter().filter(|caller| caller.tenant().is_some() || !caller.roles().contains("admin")).collect()
}

#[test]
fn missing_keys_and_forbidden_keys_are_the_same_to_whoever_may_not_touch_all() {
    let policies = shipped();
    let missing: KeyId = "missing".parse().unwrap();
    let forbidden = labelled(of_tenant(key("there"), "other"), "team", "other");
    for caller in bound() {
        for action in Action::ALL.into_iter().filter(|action| action.target() == Target::Key) {
            let of_missing = policies.decide(&caller, action, Resource::Missing(&missing));
            let of_forbidden = policies.decide(&caller, action, Resource::Key(&forbidden));
            assert_eq!(
                (of_missing.allowed, of_forbidden.allowed),
                (false, false),
                "{} {action:?}",
                caller.id()
            );
        }
    }
    let admin = Caller::sample("corp", "admin", &["admin"], None);
    assert!(policies.decide(&admin, Action::GetKey, Resource::Missing(&missing)).allowed);
}

#[test]
fn tenants_are_kept_apart() {
    let policies = shipped();
    let caller = |role: &str, tenant| Caller::sample("corp", "a", &[role], tenant);
    // Key of, caller of, role: may it sign?
    let cases = [
        (None, None, "signer", true),
        (Some("acme"), Some("acme"), "signer", true),
        (Some("acme"), Some("acme"), "admin", true),
        (Some("acme"), None, "admin", true),
        (Some("acme"), None, "signer", false),
        (Some("acme"), Some("other"), "signer", false),
        (Some("acme"), Some("other"), "admin", false),
        (None, Some("acme"), "signer", false),
        (None, Some("acme"), "admin", false),
        // Letter by letter.
        (Some("acme"), Some("Acme"), "admin", false),
        (Some("acme"), Some("acme "), "admin", false),
        (Some("acme"), Some("acm"), "admin", false),
        (Some("acme"), Some("*"), "admin", false),
        (Some("acme"), Some(""), "admin", false),
        (Some(""), None, "signer", false),
    ];
    for (of_key, of_caller, role, may) in cases {
        let key = Key { tenant: of_key.map(str::to_owned), ..key("a") };
        let decision = sign(&policies, &caller(role, of_caller), &key);
        assert_eq!(decision.allowed, may, "key of {of_key:?}, {role} of {of_caller:?}: {decision:?}");
    }
}

#[test]
fn a_new_key_is_of_its_creators_tenant_or_is_refused() {
    let policies = shipped();
    let manager = |tenant| Caller::sample("corp", "m", &["key-manager"], tenant);
    let create = |caller: &Caller, key: &Key| {
        policies.decide(caller, Action::CreateKey, Resource::Key(&proposed(key.clone()))).allowed
    };
    assert!(create(&manager(Some("acme")), &of_tenant(key("a"), "acme")));
    assert!(create(&manager(None), &key("a")));
    assert!(!create(&manager(Some("acme")), &key("a")));
    assert!(!create(&manager(Some("acme")), &of_tenant(key("a"), "other")));
    assert!(!create(&manager(None), &of_tenant(key("a"), "acme")));
}
