//! What `skms policy` prints, over the policies that are shipped.

use std::fs;

use crate::cli::tests::{Done, Shell};

/// Runs `skms policy` and takes the path of the directory out of what it prints.
fn policy(line: &str) -> (Done, String) {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/config/policies");
    let done = Shell::new().skms(&format!("policy {}", line.replace("SHIPPED", directory)));
    let text = done.text().replace(directory, "SHIPPED");
    (done, text)
}

#[test]
fn good_policies_are_counted() {
    let (done, text) = policy("check --directory SHIPPED");
    assert_eq!((done.exit, done.stderr.as_str()), (0, ""));
    assert_eq!(text, "SHIPPED: good; 12 policies (9 permit, 3 forbid) in 9 files\n");
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/config/dev.toml");
    let (by_config, text_by_config) = policy(&format!("check --config {config}"));
    assert_eq!((by_config.exit, text_by_config), (0, text));
    let (json, _) = policy("check --directory SHIPPED --output json");
    let json = json.json();
    assert_eq!(json["files"].as_array().unwrap().len(), 9);
    assert_eq!(json["policies"][0]["id"], "admin");
    assert_eq!(json["policies"][0]["effect"], "permit");
    assert_eq!(json["policies"][0]["line"], 4);
}

#[test]
fn bad_policies_are_refused_with_every_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display().to_string();
    fs::write(directory.path().join("a.cedar"), "permit (principal, action, resource)\n").unwrap();
    fs::write(directory.path().join("b.cedar"), "\npermit (principal in Group::\"a\", action, resource);\n")
        .unwrap();
    let (done, text) = policy(&format!("check --directory {path}"));
    assert_eq!((done.exit, text.as_str()), (78, ""));
    assert_eq!(
        done.stderr.replace(&path, "."),
        "error: ./a.cedar:1: unexpected end of input: expected `;` or identifier\n       \
         ./b.cedar:2: for policy `b#1`, unrecognized entity type `Group`; did you mean `Role`?\n"
    );
    let (missing, _) = policy("check --directory /nowhere/policies");
    assert_eq!(missing.exit, 78);
    assert!(missing.stderr.starts_with("error: cannot read the directory of policies `/nowhere/policies`: "));
    assert_eq!(policy("check").0.exit, 2);
    assert_eq!(policy("check --directory SHIPPED --config x.toml").0.exit, 2);
}

#[test]
fn a_permission_is_explained_with_the_policy_and_its_place() {
    let (done, text) = policy(
        "explain --directory SHIPPED --caller corp/alice --role signer --role extra --tenant acme \
         --action sign-message --key-id payroll --key-tenant acme --label env=prod",
    );
    assert_eq!(
        text,
        "CALLER  corp/alice, by token\n\
         ROLES   extra, signer\n\
         TENANT  acme\n\
         ACTION  sign-message\n\
         KEY     payroll, ec-p256, enabled, backend example, protection hsm, owner example/owner, tenant acme, labels \
         env=prod\n\
         \n\
         STEP  MAY IT          ANSWER  POLICY           AT\n\
         1     call it at all  yes     signer (permit)  SHIPPED/signer.cedar:4\n\
         2     to this key     yes     signer (permit)  SHIPPED/signer.cedar:4\n",
        "{}",
        done.stderr
    );
    assert_eq!(done.exit, 0);
}

#[test]
fn a_refusal_is_explained_and_has_an_exit_code_of_its_own() {
    let explain = |rest: &str| policy(&format!("explain --directory SHIPPED --caller corp/alice {rest}"));
    let (done, text) = explain("--role signer --action sign-message --key-id payroll --missing");
    assert_eq!(done.exit, 5, "{}", done.stderr);
    assert!(text.contains("KEY     payroll, which does not exist\n"), "{text}");
    assert!(
        text.ends_with(
            "1     call it at all  yes     signer (permit)         SHIPPED/signer.cedar:4\n\
             2     to this key     no      tenant-of-key (forbid)  SHIPPED/tenants.cedar:22\n"
        ),
        "{text}"
    );
    let (done, text) = explain("--action list-keys");
    assert_eq!(done.exit, 5);
    assert!(
        text.ends_with(
            "1     call it at all  no      none permits it  -\n\
             2     to the gateway  no      none permits it  -\n"
        ),
        "{text}"
    );
}

#[test]
fn an_explanation_is_had_as_json() {
    let (done, _) = policy(
        "explain --directory SHIPPED --output json --caller corp/a/b --method certificate --role team-signer \
         --role payroll --action sign-message --key-id k --label team=payroll --state disabled --key-type ed25519 \
         --backend soft --protection software --owner corp/m",
    );
    assert_eq!(done.exit, 0, "{}", done.stderr);
    let json = done.json();
    assert_eq!(json["caller"]["id"], "corp/a/b");
    assert_eq!(json["caller"]["method"], "certificate");
    assert_eq!(json["caller"]["tenant"], serde_json::Value::Null);
    assert_eq!(
        json["key"],
        serde_json::json!({
            "id": "k", "exists": true, "key_type": "ed25519", "backend": "soft", "protection_level": "software",
            "owner": "corp/m", "tenant": null, "state": "disabled", "labels": { "team": "payroll" },
        })
    );
    assert_eq!((&json["allowed"], &json["may_call"]["allowed"]), (&true.into(), &true.into()));
    assert_eq!(json["decide"]["policies"][0]["id"], "team-signer-keys");
    assert_eq!(json["decide"]["policies"][0]["effect"], "permit");
}

#[test]
fn what_does_not_go_together_is_wrong_usage() {
    for line in [
        "--action sign-message",
        "--action list-keys --key-id k",
        "--action sweep",
        "--action sign-message --missing",
        "--action sign-message --key-id k --missing --owner corp/a",
        "--action sign-message --key-id K",
        "--action sign-message --key-id k --label a=1 --label a=2",
        "--action list-keys --label a=1",
        "--action sign-message --key-id k --method local",
    ] {
        let (done, _) = policy(&format!("explain --directory SHIPPED --caller corp/alice {line}"));
        assert_eq!(done.exit, 2, "{line}: {}", done.stderr);
    }
    for caller in ["alice", "/alice", "corp/"] {
        let (done, _) = policy(&format!("explain --directory SHIPPED --caller {caller} --action list-keys"));
        assert_eq!(done.exit, 2, "{caller}");
    }
}

#[test]
fn a_key_that_is_to_be_made_has_no_version_yet() {
    let (done, text) = policy(
        "explain --directory SHIPPED --caller corp/m --role key-manager --action create-key --key-id k",
    );
    assert_eq!(done.exit, 0, "{}", done.stderr);
    assert!(
        text.contains("KEY     k, ec-p256, pending-generation, backend example, owner example/owner\n"),
        "{text}"
    );
}
