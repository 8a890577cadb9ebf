//! The two steps, over policies made at random; what is remembered of them; and what
//! becomes of a policy that cannot be evaluated.

use std::sync::Arc;

use skms_backend::{KeyType, ProtectionLevel};

use super::{
    Action, Caller, Decision, Directory, Key, Policies, Resource, ids, in_state, key, labelled,
    matrix::{callers, keys, resource},
    of_tenant, policies, proposed, shipped, sign,
};
use crate::model::{State, Target};

/// Numbers that look random and are the same in every run (xorshift64).
struct Dice(u64);

impl Dice {
    fn one_of<'a>(&mut self, sides: &[&'a str]) -> &'a str {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        sides[usize::try_from(self.0 % sides.len() as u64).unwrap()]
    }

    fn policy(&mut self) -> String {
        let effect = self.one_of(&["permit", "permit", "permit", "forbid"]);
        let principal = self.one_of(&[
            "principal",
            "principal in Role::\"signer\"",
            "principal in Role::\"admin\"",
            "principal in Role::\"team-signer\"",
            "principal is Caller in Role::\"payroll\"",
            "principal == Caller::\"corp/signer\"",
            "principal is Caller",
        ]);
        // Each action with a resource that it can have.
        let (action, resource) = self
            .one_of(&[
                "action|resource",
                "action|resource is Key",
                "action == Action::\"sign-message\"|resource",
                "action == Action::\"sign-message\"|resource == Key::\"plain\"",
                "action in [Action::\"get-key\", Action::\"create-key\"]|resource is Key",
                "action in Action::\"read-keys\"|resource",
                "action in Action::\"read-keys\"|resource == Key::\"payroll\"",
                "action in Action::\"read-gateway\"|resource is Gateway",
                "action == Action::\"list-keys\"|resource == Gateway::\"gateway\"",
                "action == Action::\"rotate-key\"|resource in Key::\"acme\"",
            ])
            .split_once('|')
            .unwrap();
        let mut text = format!("{effect} ({principal}, {action}, {resource})");
        for _ in 0..2 {
            text += self.one_of(&[
                "",
                "",
                "when { principal has tenant }",
                "unless { principal has tenant && principal.tenant == \"acme\" }",
                "when { principal.subject like \"*-of-acme\" }",
                "when { resource is Key && resource.hasTag(\"team\") && resource.getTag(\"team\") == \"payroll\" }",
                "unless { resource is Key && resource.state != \"enabled\" }",
                "when { resource is Key && resource has tenant }",
                "unless { resource is Key && !resource.exists }",
                "unless { principal.roles.contains(\"auditor\") }",
                // It cannot be evaluated.
                "when { 9223372036854775807 + 1 == 0 }",
            ]);
        }
        text + ";\n"
    }
}

fn for_every_question(mut ask: impl FnMut(&Caller, Action, Resource<'_>)) {
    let keys = keys();
    for caller in callers() {
        for action in Action::ALL {
            match action.target() {
                Target::Key => keys.iter().for_each(|(_, key)| ask(&caller, action, resource(key))),
                Target::Gateway => ask(&caller, action, Resource::Gateway),
                Target::Nothing => {}
            }
        }
    }
}

#[test]
fn the_first_step_refuses_nobody_whom_the_second_could_allow() {
    let mut dice = Dice(0x5eed);
    let (mut sets, mut allowed, mut refused) = (0, 0, 0);
    while sets < 40 {
        let text: String = (0..6).map(|_| dice.policy()).collect();
        // What can never apply is not taken.
        let Ok(policies) = Directory::new(&[("a.cedar", &text)]).load() else { continue };
        sets += 1;
        for_every_question(|caller, action, on| {
            let first = policies.may_call(caller, action).allowed;
            let second = policies.decide(caller, action, on).allowed;
            assert!(first || !second, "{} {action:?} {on:?} by\n{text}", caller.id());
            allowed += usize::from(second);
            refused += usize::from(!first);
        });
    }
    // Else nothing was tried.
    assert!(allowed > 1_000 && refused > 1_000, "{allowed} allowed, {refused} refused at the first step");
}

#[test]
fn the_first_step_refuses_whom_no_policy_could_allow() {
    let policies = shipped();
    let may = |roles: &[&str], action| policies.may_call(&Caller::sample("corp", "a", roles, None), action);
    assert!(!may(&[], Action::SignMessage).allowed);
    assert!(!may(&["auditor"], Action::SignMessage).allowed);
    assert!(!may(&["signer"], Action::SetKeyLabels).allowed);
    assert_eq!(ids(&may(&["signer"], Action::SignMessage)), ["signer"]);
    let stopped = super::policies(
        "permit (principal, action, resource);\n\
         @id(\"stop\") forbid (principal, action == Action::\"sign-message\", resource);",
    );
    let decision = stopped.may_call(&Caller::sample("corp", "a", &[], None), Action::SignMessage);
    assert!(!decision.allowed);
    assert_eq!(ids(&decision), ["stop"]);
}

#[test]
fn a_forbid_that_cannot_be_evaluated_denies_and_is_named() {
    let broken = "when { 9223372036854775807 + 1 == 0 }";
    let policies = policies(&format!(
        "@id(\"all\") permit (principal, action, resource);\n\
         @id(\"broken-permit\") permit (principal, action, resource) {broken};\n\
         @id(\"broken-forbid\") forbid (principal in Role::\"x\", action, resource) {broken};"
    ));
    let allowed = sign(&policies, &Caller::sample("corp", "a", &[], None), &key("a"));
    assert!(allowed.allowed);
    assert_eq!(ids(&allowed), ["all"]);
    let denied = sign(&policies, &Caller::sample("corp", "a", &["x"], None), &key("a"));
    assert!(!denied.allowed);
    assert_eq!(ids(&denied), ["broken-forbid"]);
}

#[test]
fn a_policy_on_another_entity_than_those_of_the_call_denies_too() {
    // Valid by the schema, and yet nobody knows the owner of `other` here.
    let policies = policies(
        "permit (principal, action, resource);\n\
         @id(\"stray\") forbid (principal, action, resource) when { Key::\"other\".owner == \"corp/eve\" };",
    );
    let decision = sign(&policies, &Caller::sample("corp", "a", &[], None), &key("a"));
    assert!(!decision.allowed);
    assert_eq!(ids(&decision), ["stray"]);
}

#[test]
fn an_answer_is_remembered_for_as_long_as_nothing_changes() {
    let policies = shipped();
    let signer = Caller::sample("corp", "a", &["signer"], None);
    let key = key("a");
    let asked = |decide: &dyn Fn() -> Decision| {
        let before = policies.evaluations();
        let decision = decide();
        (decision.allowed, policies.evaluations() - before)
    };
    assert_eq!(asked(&|| sign(&policies, &signer, &key)), (true, 1));
    assert_eq!(asked(&|| sign(&policies, &signer, &key)), (true, 0));
    // The same caller by another token, the same key from another view.
    let again = Caller::sample("corp", "a", &["signer"], None);
    assert_eq!(asked(&|| sign(&policies, &again, &key.clone())), (true, 0));
    // Each part of the question.
    let others =
        [Caller::sample("corp", "a", &["signer"], Some("acme")), Caller::sample("corp", "a", &[], None)];
    for other in &others {
        assert_eq!(asked(&|| sign(&policies, other, &key)), (false, 1));
    }
    let changed = of_tenant(key, "acme");
    assert_eq!(asked(&|| sign(&policies, &signer, &changed)), (false, 1));
    assert_eq!(asked(&|| policies.may_call(&signer, Action::SignMessage)), (true, 1));
    assert_eq!(asked(&|| policies.may_call(&signer, Action::SignMessage)), (true, 0));
    let list = || policies.decide(&signer, Action::ListKeys, Resource::Gateway);
    assert_eq!((asked(&list), asked(&list)), ((true, 1), (true, 0)));
}

#[test]
fn keys_that_look_alike_are_one_question_unless_a_policy_names_keys() {
    let named = Directory::new(&[(
        "a.cedar",
        "permit (principal, action, resource is Key) when { resource.id like \"key-1*\" };",
    )]);
    let signer = Caller::sample("corp", "a", &["signer"], None);
    for (policies, questions, allowed) in [(shipped(), 1, 1_000), (named.load().unwrap(), 1_000, 111)] {
        let keys = (0..1_000).map(|number| key(&format!("key-{number}")));
        let may = |key: &Key| policies.decide_among(&signer, Action::GetKey, key).allowed;
        assert_eq!(keys.filter(may).count(), allowed);
        assert_eq!(policies.evaluations(), questions);
    }
}

#[test]
fn keys_that_a_policy_can_tell_apart_do_not_look_alike() {
    let policies = shipped();
    let signer = Caller::sample("corp", "a", &["signer"], None);
    let plain = || key("a");
    let mut looks = vec![
        plain(),
        of_tenant(plain(), ""),
        of_tenant(plain(), "acme"),
        labelled(plain(), "team", "payroll"),
        labelled(plain(), "teampay", "roll"),
        in_state(plain(), State::Disabled),
        Key { key_type: KeyType::EcP384, ..plain() },
        Key { backend: "soft".parse().unwrap(), ..plain() },
        Key { owner: "corp/other".to_owned(), ..plain() },
    ];
    let mut weaker = plain();
    Arc::make_mut(&mut weaker.versions[0]).protection_level = ProtectionLevel::Software;
    looks.push(weaker);
    for key in &looks {
        let _ = policies.decide_among(&signer, Action::GetKey, key);
    }
    assert_eq!(policies.evaluations(), looks.len() as u64);
}

#[test]
fn what_is_only_proposed_and_what_is_missing_is_not_remembered() {
    let policies = shipped();
    let manager = Caller::sample("corp", "m", &["key-manager"], Some("acme"));
    let label = |tenant| {
        let proposal = Key { revision: 0, ..of_tenant(key("a"), tenant) };
        policies.decide(&manager, Action::SetKeyLabels, Resource::Key(&proposal)).allowed
    };
    assert_eq!([label("acme"), label("other"), label("acme")], [true, false, true]);
    let before = policies.evaluations();
    let missing = "missing".parse().unwrap();
    for _ in 0..2 {
        assert!(!policies.decide(&manager, Action::GetKey, Resource::Missing(&missing)).allowed);
    }
    assert_eq!(policies.evaluations() - before, 2);
}

#[test]
fn three_hundred_policies_decide_like_ten() {
    let few = shipped();
    let more: String = (0..290)
        .map(|n| {
            format!(
                "@id(\"team-{n}\") permit (principal in Role::\"team-{n}\", action == Action::\"sign-message\", \
                 resource is Key) when {{ resource.hasTag(\"team\") && resource.getTag(\"team\") == \"{n}\" }};\n"
            )
        })
        .collect();
    let directory = Directory::new(&[("more.cedar", &more)]);
    for file in few.files() {
        std::fs::copy(&file, directory.path().join(file.file_name().unwrap())).unwrap();
    }
    let many: Policies = directory.load().unwrap();
    assert_eq!(many.statements().len(), few.statements().len() + 290);
    for_every_question(|caller, action, on| {
        assert_eq!(
            many.decide(caller, action, on),
            few.decide(caller, action, on),
            "{} {action:?}",
            caller.id()
        );
        assert_eq!(many.may_call(caller, action), few.may_call(caller, action), "{} {action:?}", caller.id());
    });
    let team = Caller::sample("corp", "a", &["team-7"], None);
    assert_eq!(ids(&sign(&many, &team, &labelled(key("a"), "team", "7"))), ["team-7"]);
}

#[test]
fn policies_see_what_a_key_is() {
    let seen = |text: &str, key: &Key| {
        let policies = policies(&format!("permit (principal, action, resource is Key) when {{ {text} }};"));
        sign(&policies, &Caller::sample("corp", "a", &[], None), key).allowed
    };
    let full = labelled(of_tenant(key("payroll-2026"), "acme"), "env", "prod");
    for text in [
        "resource == Key::\"payroll-2026\"",
        "resource.id == \"payroll-2026\"",
        "resource.type == \"ec-p256\"",
        "resource.backend == \"hsm\"",
        "resource.protection == \"hsm\"",
        "resource.purpose == \"sign-verify\"",
        "resource.owner == \"corp/keeper\"",
        "resource has tenant && resource.tenant == \"acme\"",
        "resource.state == \"enabled\"",
        "resource.exists",
        "resource.hasTag(\"env\") && resource.getTag(\"env\") == \"prod\"",
        "principal.issuer == \"corp\" && principal.subject == \"a\" && principal.method == \"token\"",
    ] {
        assert!(seen(text, &full), "{text}");
        let denied = format!("!({text})");
        assert!(!seen(&denied, &full), "{denied}");
    }
    assert!(seen("resource.state == \"destroyed\"", &in_state(full.clone(), State::Destroyed)));
    let floor = Key { protection_floor: Some(ProtectionLevel::Tpm), ..proposed(full.clone()) };
    assert!(seen("resource.protection == \"tpm\" && resource.state == \"pending-generation\"", &floor));
    assert!(seen("resource.protection == \"\"", &proposed(full)));
}
