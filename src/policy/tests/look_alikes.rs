//! Names that look alike, or mean something elsewhere, are different names here: the
//! ways in which policies of other systems were got round (`*` in a name that is put
//! into a pattern, `..` in a path, case folding, roles that contain others).

use super::{Action, Caller, ids, key, policies, shipped, sign};

#[test]
fn a_caller_is_named_letter_by_letter() {
    let policies = policies(
        "@id(\"alice\") permit (principal == Caller::\"corp/alice\", action, resource);\n\
         @id(\"stars\") permit (principal == Caller::\"corp/*\", action, resource);",
    );
    let may = |issuer, subject| {
        let decision = sign(&policies, &Caller::sample(issuer, subject, &[], None), &key("a"));
        ids(&decision).join(" ")
    };
    assert_eq!(may("corp", "alice"), "alice");
    for (issuer, subject) in [
        ("corp", "Alice"),
        ("CORP", "alice"),
        ("corp", "alice "),
        ("corp", "alice/"),
        ("corp", "./alice"),
        ("corp", "../corp/alice"),
        ("corp", "bob/../alice"),
        ("corp", "alice\0"),
        ("corp", "alic\u{0435}"),
        ("corp", "alice\u{200b}"),
        ("corp", "al*"),
        ("corp", "+"),
        ("corp", "alice,bob"),
        ("corp", "\"alice\""),
        ("corp", "alice\", action, resource); permit (principal, action, resource) //"),
        ("", "corp/alice"),
        ("other", "alice"),
    ] {
        assert_eq!(may(issuer, subject), "", "{issuer}/{subject}");
    }
    // A star is a star: it names one caller, and in the name of a caller it widens nothing.
    assert_eq!(may("corp", "*"), "stars");
}

#[test]
fn a_star_in_what_is_compared_is_no_pattern() {
    let policies = policies(
        "permit (principal, action, resource is Key)\n\
         when { resource.hasTag(\"team\") && principal.roles.contains(resource.getTag(\"team\")) };",
    );
    let may = |role: &str, label: &str| {
        let key = super::labelled(key("a"), "team", label);
        sign(&policies, &Caller::sample("corp", "a", &[role], None), &key).allowed
    };
    assert!(may("payroll", "payroll"));
    for (role, label) in [
        ("*", "payroll"),
        ("payroll", "*"),
        ("pay*", "payroll"),
        ("payroll", "pay*"),
        ("+", "payroll"),
        ("payroll,ops", "payroll"),
        ("payroll", "payroll,ops"),
        ("payroll/..", "payroll"),
        ("Payroll", "payroll"),
        ("", "payroll"),
        ("payroll", ""),
    ] {
        assert!(!may(role, label), "{role} {label}");
    }
}

#[test]
fn a_role_is_named_letter_by_letter() {
    let policies = shipped();
    let may = |roles: &[&str]| {
        let caller = Caller::sample("corp", "a", roles, None);
        let called = policies.may_call(&caller, Action::SignMessage).allowed;
        assert_eq!(called, sign(&policies, &caller, &key("a")).allowed);
        called
    };
    assert!(may(&["signer"]));
    assert!(may(&["verifier", "signer"]));
    for role in [
        "Signer",
        "SIGNER",
        "sign",
        "signers",
        "signer ",
        " signer",
        "signer\n",
        "signer\0",
        "signer,admin",
        "signer admin",
        "verifier signer",
        "signer/admin",
        "../admin",
        "*",
        "sign*",
        "",
        "Role::\"signer\"",
        "\"signer\"",
        // Cyrillic, full width, with a soft hyphen, and with a letter that folds to `s`.
        "\u{0455}igner",
        "\u{ff53}igner",
        "sig\u{ad}ner",
        "\u{017f}igner",
        "adm\u{0131}n",
        "root",
        "gateway",
    ] {
        assert!(!may(&[role]), "{role:?}");
    }
}

#[test]
fn a_key_is_named_letter_by_letter() {
    let policies = policies("permit (principal, action, resource == Key::\"pay.roll\");");
    let may = |id| sign(&policies, &Caller::sample("corp", "a", &[], None), &key(id)).allowed;
    assert!(may("pay.roll"));
    // The grammar of ids leaves no `*`, no `/` and no capital letter to try.
    for id in ["payroll", "pay-roll", "pay.roll.x", "a.pay.roll", "pay..roll", "pay"] {
        assert!(!may(id), "{id}");
    }
    for id in ["pay*", "pay/roll", "../pay.roll", "Pay.roll", "pay.roll ", "\u{0440}ay.roll"] {
        assert!(id.parse::<crate::model::KeyId>().is_err(), "{id}");
    }
}

#[test]
fn a_role_does_not_become_a_caller_nor_a_caller_a_role() {
    let policies = policies("permit (principal in Role::\"corp/alice\", action, resource);");
    assert!(!sign(&policies, &Caller::sample("corp", "alice", &[], None), &key("a")).allowed);
    assert!(sign(&policies, &Caller::sample("corp", "eve", &["corp/alice"], None), &key("a")).allowed);
}

#[test]
fn what_is_forbidden_for_all_keys_is_not_had_through_a_narrower_permit() {
    let policies = policies(
        "@id(\"narrow\") permit (principal == Caller::\"corp/a\", action == Action::\"sign-message\", \
         resource == Key::\"a\");\n\
         @id(\"wide\") forbid (principal, action, resource);",
    );
    let caller = Caller::sample("corp", "a", &[], None);
    let decision = sign(&policies, &caller, &key("a"));
    assert!(!decision.allowed);
    assert_eq!(ids(&decision), ["wide"]);
    assert!(!policies.may_call(&caller, Action::SignMessage).allowed);
}
