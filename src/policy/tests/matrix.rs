//! The golden matrix: every action, for sample callers and sample keys, by the policies
//! that are shipped.
//!
//! `SKMS_BLESS=1 cargo test -p skms --lib policy` writes it anew; read the difference
//! before committing it, because it says who may do what from now on.

use std::{fmt::Write as _, fs, path::Path};

use comfy_table::{Table, presets};

use super::{
    Action, Caller, Decision, Key, Policies, Resource, State, ids, in_state, key, labelled, of_tenant,
    proposed, shipped,
};
use crate::model::{KeyId, Target};

#[test]
fn the_matrix_is_as_it_was_agreed() {
    let now = matrix(&shipped());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/policy/matrix.txt");
    if std::env::var_os("SKMS_BLESS").is_some() {
        fs::write(&file, &now).unwrap();
    }
    let golden = fs::read_to_string(&file).unwrap_or_default();
    for (line, (now, golden)) in now.lines().zip(golden.lines()).enumerate() {
        assert_eq!(now, golden, "line {} of src/policy/matrix.txt; SKMS_BLESS=1 writes it anew", line + 1);
    }
    assert_eq!(now.lines().count(), golden.lines().count(), "lines of src/policy/matrix.txt");
}

/// The callers of the matrix.
pub(super) fn callers() -> Vec<Caller> {
    [
        ("nobody", &[][..], None),
        ("admin", &["admin"], None),
        ("admin-of-acme", &["admin"], Some("acme")),
        ("key-manager", &["key-manager"], None),
        ("key-manager-of-acme", &["key-manager"], Some("acme")),
        ("signer", &["signer"], None),
        ("signer-of-acme", &["signer"], Some("acme")),
        ("verifier", &["verifier"], None),
        ("encrypter", &["encrypter"], None),
        ("auditor", &["auditor"], None),
        ("payroll", &["team-signer", "payroll"], None),
        ("payroll-of-acme", &["team-signer", "payroll"], Some("acme")),
        ("team-without-name", &["team-signer"], None),
        ("two-roles", &["auditor", "signer"], None),
    ]
    .into_iter()
    .map(|(subject, roles, tenant)| Caller::sample("corp", subject, roles, tenant))
    .collect()
}

/// The keys of the matrix; the one that does not exist is only an id.
pub(super) fn keys() -> Vec<(&'static str, Result<Key, KeyId>)> {
    let payroll = |key| labelled(key, "team", "payroll");
    vec![
        ("plain", Ok(key("plain"))),
        ("destroyed", Ok(in_state(key("destroyed"), State::Destroyed))),
        ("payroll", Ok(payroll(key("payroll")))),
        ("acme", Ok(of_tenant(key("acme"), "acme"))),
        ("acme-payroll", Ok(payroll(of_tenant(key("acme-payroll"), "acme")))),
        ("other-payroll", Ok(payroll(of_tenant(key("other-payroll"), "other")))),
        ("proposed", Ok(proposed(key("proposed")))),
        ("proposed-acme", Ok(proposed(of_tenant(key("proposed-acme"), "acme")))),
        ("missing", Err("missing".parse().unwrap())),
    ]
}

pub(super) fn resource(key: &Result<Key, KeyId>) -> Resource<'_> {
    match key {
        Ok(key) => Resource::Key(key),
        Err(id) => Resource::Missing(id),
    }
}

fn matrix(policies: &Policies) -> String {
    let mut text = HEAD.to_owned();
    let keys = keys();
    for caller in callers() {
        let roles: Vec<_> = caller.roles().iter().map(String::as_str).collect();
        let tenant = caller.tenant().map(|tenant| format!(", tenant {tenant}")).unwrap_or_default();
        let _ = write!(text, "\n{}: roles [{}]{tenant}\n\n", caller.id(), roles.join(", "));
        text += &table("", keys.iter().map(|(name, _)| *name), Target::Key, |action| {
            let decided = keys.iter().map(|(_, key)| policies.decide(&caller, action, resource(key)));
            [policies.may_call(&caller, action)].into_iter().chain(decided).collect()
        });
        text.push('\n');
        text += &table("", ["gateway"], Target::Gateway, |action| {
            vec![policies.may_call(&caller, action), policies.decide(&caller, action, Resource::Gateway)]
        });
    }
    text.push_str("\nevery caller\n\n");
    for action in Action::ALL.into_iter().filter(|action| action.target() == Target::Nothing) {
        let of_all = callers();
        assert!(of_all.iter().all(|caller| !policies.may_call(caller, action).allowed));
        let _ = writeln!(text, "{}  -", action.name());
    }
    text
}

fn table<'a>(
    corner: &str,
    columns: impl IntoIterator<Item = &'a str>,
    target: Target,
    decide: impl Fn(Action) -> Vec<Decision>,
) -> String {
    let mut table = Table::new();
    let header = [corner, "METHOD"].into_iter().map(str::to_owned);
    table.load_style(presets::NOTHING).set_header(header.chain(columns.into_iter().map(str::to_uppercase)));
    for action in Action::ALL.into_iter().filter(|action| action.target() == target) {
        let cells = decide(action).iter().map(cell).collect::<Vec<_>>();
        table.add_row([action.name().to_owned()].into_iter().chain(cells));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt() + "\n"
}

fn cell(decision: &Decision) -> String {
    let sign = if decision.allowed { "+" } else { "-" };
    format!("{sign} {}", ids(decision).join(" ")).trim_end().to_owned()
}

const HEAD: &str = "\
Who may do what by the policies in config/policies: every action, sample callers, sample keys.
`+` allowed, by these policies; `-` denied, by these policies or because none permits it.
METHOD is the first step (may it be called at all?), the others are the second (on this key?).
";
