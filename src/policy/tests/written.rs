//! What is written wrongly, and what is said about it.

use super::{Action, Caller, Directory, Resource, policies};

/// What is in the file `a.cedar`, and what is said about it.
const MISTAKES: &[(&str, &str)] = &[
    (
        r#"permit (principal, action, resource)"#,
        r#"a.cedar:1: unexpected end of input: expected `;` or identifier"#,
    ),
    (
        r#"permit (principal, action, resource;"#,
        r#"a.cedar:1: unexpected token `;`: expected `!=`, `)`, `,`, `:`, `<`, `<=`, `==`, `>`, `>=`, `in`, or `is`"#,
    ),
    (
        r#"permit (principal, action, resource);
allow (principal, action, resource);"#,
        r#"a.cedar:2: invalid policy effect: allow; effect must be either `permit` or `forbid`"#,
    ),
    (
        r#"permit (principal, action, resource);

permit (principal, action, resource) when { true ;"#,
        r#"a.cedar:3: unexpected token `;`: expected `!=`, `&&`, `(`, `*`, `+`, `-`, `.`, `::`, `<`, `<=`, `==`, `>`, `>=`, `[`, `||`, `}`, `has`, `in`, `is`, or `like`"#,
    ),
    (
        r#"permit (principal in Role::"signer, action, resource);"#,
        r#"a.cedar:1: invalid token; try checking that all strings are closed properly"#,
    ),
    (
        r#"permit (principal, action, resource);
permit (principal, action, resource) when { principal.name == "a" };"#,
        r#"a.cedar:2: for policy `a#2`, attribute `name` on entity type `Caller` not found; did you mean `roles`?"#,
    ),
    (
        r#"permit (principal, action, resource)
when { resource is Key }
when { resource.tenant == "a" };"#,
        r#"a.cedar:3: for policy `a#1`, unable to guarantee safety of access to optional attribute `tenant` on entity type `Key`; try testing for the attribute's presence with `e has tenant && ..`"#,
    ),
    (
        r#"permit (principal, action, resource is Key)
when {
    resource.getTag("team") == "a"
};"#,
        r#"a.cedar:3: for policy `a#1`, unable to guarantee safety of access to tag `"team"` on entity type `Key`; try testing for the tag's presence with `.hasTag("team") && ..`"#,
    ),
    (
        r#"permit (principal, action, resource);
permit (principal in Group::"a", action, resource);"#,
        r#"a.cedar:2: for policy `a#2`, unrecognized entity type `Group`; did you mean `Role`?"#,
    ),
    (
        r#"permit (principal, action, resource);
permit (principal == User::"a", action, resource);"#,
        r#"a.cedar:2: for policy `a#2`, unrecognized entity type `User`; did you mean `Key`?"#,
    ),
    (
        r#"permit (principal, action, resource);
permit (
    principal,
    action == Action::"sign-mesage",
    resource
);"#,
        r#"a.cedar:4: for policy `a#2`, unrecognized action `Action::"sign-mesage"`; did you mean `Action::"sign-message"`?"#,
    ),
    (
        r#"permit (principal, action, resource);
permit (principal, action in [Action::"get-key", Action::"find-orphans"], resource);"#,
        r#"a.cedar:2: for policy `a#2`, unrecognized action `Action::"find-orphans"`"#,
    ),
    (
        r#"permit (principal, action, resource);
permit (principal, action, resource) when { context.time == 1 };"#,
        r#"a.cedar:2: for policy `a#2`, attribute `time` in context for Action::"adopt-key" not found"#,
    ),
    (
        r#"permit (principal, action, resource);
permit (principal, action == Action::"read-keys", resource);"#,
        r#"a.cedar:2: for policy `a#2`, policy is impossible: the policy expression evaluates to false for all valid requests"#,
    ),
    (
        r#"permit (principal, action, resource);
permit (principal, action == Action::"list-keys", resource is Key);"#,
        r#"a.cedar:2: for policy `a#2`, policy is impossible: the policy expression evaluates to false for all valid requests"#,
    ),
    (
        r#"permit (principal, action, resource);
permit (principal, action, resource) when { principal in Role::"s\u{0456}gner" };"#,
        r#"a.cedar:2: for policy `a#2`, identifier `sіgner` contains mixed scripts"#,
    ),
    (
        r#"permit (principal, action, resource);
permit (principal, action, resource) when { principal.subject == 1 };"#,
        r#"a.cedar:2: the types Long and String are not compatible; for policy `a#2`, both operands to a `==` expression must have compatible types. Types must be exactly equal to be compatible"#,
    ),
    (
        r#"permit (principal, action, resource);
permit (principal == ?principal, action, resource);"#,
        r#"a.cedar:2: is a template; only policies without `?principal` and `?resource` are taken"#,
    ),
    (
        r#"permit (principal, action, resource);
@id("a") @id("b") permit (principal, action, resource);"#,
        r#"a.cedar:2: duplicate annotation: @id"#,
    ),
];

#[test]
fn mistakes_are_told_with_their_lines() {
    for (text, expected) in MISTAKES {
        let complaint = Directory::new(&[("a.cedar", text)]).complaint();
        // Which of several names is nearest to a wrong one is the library's to say.
        assert!(complaint.starts_with(expected), "{text}\n  got {complaint}\n  not {expected}");
    }
}

const PERMIT: &str = "permit (principal, action, resource);\n";

#[test]
fn every_problem_of_every_file_is_told_at_once() {
    let directory = Directory::new(&[
        (
            "b.cedar",
            "permit (principal, action, resource) when { resource.a };\npermit (principal, action, resource) when { principal.b };",
        ),
        ("a.cedar", "permit (principal, action, resource;\n"),
        ("good.cedar", PERMIT),
    ]);
    let complaint = directory.complaint();
    let mut places: Vec<_> = complaint.lines().map(|line| line.split(": ").next().unwrap()).collect();
    places.dedup();
    assert_eq!(places, ["a.cedar:1", "b.cedar:1", "b.cedar:2"], "{complaint}");
}

#[test]
fn ids_are_those_of_the_annotations_or_of_the_file() {
    let directory = Directory::new(&[(
        "roles.cedar",
        "// permit (principal, action, resource);\npermit (principal, action, resource);\n\n\
         @id(\"named\") @advice(\"x\")\nforbid (principal, action, resource is Key) when { !resource.exists };\n\
         permit (principal, action, resource); // again\n",
    )]);
    let statements = directory.load().unwrap().statements();
    let told: Vec<_> = statements
        .iter()
        .map(|statement| (&*statement.id, statement.effect.name(), statement.line))
        .collect();
    assert_eq!(told, [("roles#1", "permit", 2), ("named", "forbid", 4), ("roles#3", "permit", 6)]);
}

#[test]
fn an_id_is_used_once() {
    let named = |id: &str| format!("@id(\"{id}\")\n{PERMIT}");
    let twice = Directory::new(&[("a.cedar", &named("x")), ("b.cedar", &format!("\n{}", named("x")))]);
    assert_eq!(twice.complaint(), "b.cedar:2: the id `x` is used at a.cedar:1 already");
    // What a file without annotations would give away.
    let given = Directory::new(&[("a.cedar", PERMIT), ("b.cedar", &named("a#1"))]);
    assert_eq!(given.complaint(), "b.cedar:1: the id `a#1` is used at a.cedar:1 already");
    assert!(Directory::new(&[("a.cedar", &named("x")), ("b.cedar", &named("X"))]).load().is_ok());
}

#[test]
fn an_id_is_short_and_printable() {
    let longest = "x".repeat(128);
    assert!(Directory::new(&[("a.cedar", &format!("@id(\"{longest}\")\n{PERMIT}"))]).load().is_ok());
    for id in ["", &"x".repeat(129), "ä", "a\\nb", "a\\u{1b}[31m"] {
        let complaint = Directory::new(&[("a.cedar", &format!("@id(\"{id}\")\n{PERMIT}"))]).complaint();
        assert!(complaint.starts_with("a.cedar:1: the id `"), "{complaint}");
        assert!(complaint.ends_with("` is not of 1 to 128 printable bytes"), "{complaint}");
        assert!(!complaint.contains(['\n', '\u{1b}']));
    }
}

#[test]
fn the_name_of_the_gateway_is_not_to_be_had() {
    let complaint = Directory::new(&[("a.cedar", &format!("@id(\"gateway-itself\")\n{PERMIT}"))]).complaint();
    assert_eq!(complaint, "a.cedar:1: the id `gateway-itself` stands for the gateway itself; use another");
}

#[test]
fn a_directory_that_permits_nothing_is_refused() {
    let expected =
        "DIRECTORY: no policy allows anything; put a file `NAME.cedar` there that permits something";
    assert_eq!(Directory::new(&[]).complaint(), expected);
    assert_eq!(Directory::new(&[("a.cedar", "// nothing\n")]).complaint(), expected);
    assert_eq!(Directory::new(&[("a.cedar", "forbid (principal, action, resource);")]).complaint(), expected);
    assert_eq!(Directory::new(&[("a.txt", PERMIT), (".a.cedar", PERMIT)]).complaint(), expected);
}

#[test]
fn a_file_that_might_be_a_policy_is_not_passed_over() {
    let case =
        Directory::new(&[("a.cedar", PERMIT), ("stop.CEDAR", "forbid (principal, action, resource);")]);
    assert_eq!(case.complaint(), "stop.CEDAR: must end with `.cedar` in small letters, or otherwise");
    let folder = Directory::new(&[("a.cedar", PERMIT)]);
    std::fs::create_dir(folder.path().join("b.cedar")).unwrap();
    assert_eq!(folder.complaint(), "b.cedar: is not a file");
    let link = Directory::new(&[("a.cedar", PERMIT)]);
    std::os::unix::fs::symlink("nowhere", link.path().join("b.cedar")).unwrap();
    assert!(link.complaint().starts_with("b.cedar: cannot be read: "));
}

#[test]
fn there_are_bounds() {
    let many = PERMIT.repeat(1_001);
    assert_eq!(Directory::new(&[("a.cedar", &many)]).complaint(), "DIRECTORY: more than 1000 policies");
    let half = format!("{PERMIT}//{}\n", "x".repeat(600 * 1024));
    let complaint = Directory::new(&[("a.cedar", &half), ("b.cedar", &half)]).complaint();
    assert_eq!(complaint, "b.cedar: the policies are longer than 1048576 bytes in all");
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let Err(error) = super::load(std::path::Path::new("/nowhere/policies")) else { panic!("it was read") };
    assert_eq!(error.to_string(), "cannot read the directory of policies `/nowhere/policies`");
}

#[test]
fn groups_show_and_do_not_use() {
    let policies = policies(
        "permit (principal, action in [Action::\"read-keys\", Action::\"read-gateway\"], resource);",
    );
    let caller = Caller::sample("corp", "a", &[], None);
    let allowed: Vec<_> =
        Action::ALL.into_iter().filter(|action| policies.may_call(&caller, *action).allowed).collect();
    let expected = [
        Action::GetKey,
        Action::GetPublicKey,
        Action::ListKeys,
        Action::ListBackends,
        Action::GetBackend,
        Action::GetServerInfo,
        Action::DescribeApi,
    ];
    assert_eq!(allowed, expected);
    assert!(policies.decide(&caller, Action::GetBackend, Resource::Gateway).allowed);
}

#[test]
fn what_is_too_deep_or_too_long_to_be_read_is_refused() {
    let when = |text: &str| format!("{PERMIT}permit (principal, action, resource) when {{ {text} }};\n");
    let chain = |link: &str, end: &str, times: usize| when(&(link.repeat(times) + end));
    let nested =
        |open: &str, close: &str, times| when(&format!("{}true{}", open.repeat(times), close.repeat(times)));
    // As large as may be: read, evaluated or not, and dropped on a stack of 2 MiB.
    for text in [
        nested("(", ")", 99),
        nested("if (", ") then true else true", 80),
        chain("true&&", "true", 2_700),
        chain("1-", "1 == 0", 8_000),
        chain("if true then true else ", "true", 850),
        chain("true||", "true", 2_700),
        chain("principal == principal && ", "true", 600),
    ] {
        let policies = policies(&text);
        let decision =
            policies.decide(&Caller::sample("a", "b", &[], None), Action::ListKeys, Resource::Gateway);
        assert!(decision.allowed);
    }
    let deep = "a.cedar:2: more than 100 brackets within each other";
    let long = "a.cedar:2: a policy of more than 16384 bytes; split it, or use roles and labels";
    for (text, expected) in [
        (nested("(", ")", 1_000), deep),
        (nested("[", "]", 100_000), deep),
        (nested("{a: ", "}", 1_000), deep),
        (nested("if (\"\\\"((\" == \"//\") then (", ") else true", 200), deep),
        (chain("true && ", "true", 100_000), long),
        (chain("-", "1 == 0", 100_000), long),
        (chain("\";\" == \";\" && ", "true", 10_000), long),
    ] {
        assert_eq!(Directory::new(&[("a.cedar", &text)]).complaint(), expected, "{}", &text[..100]);
    }
    // Brackets in strings and in comments are none.
    let strings =
        format!("// {}\n", "(".repeat(1_000)) + &when(&format!("\"{}\\\"\" != \"\"", "(".repeat(1_000)));
    policies(&strings);
}
