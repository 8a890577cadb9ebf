//! `skms policy explain`: what a caller could do with a key, and which policies say so.

mod suppose;

use self::suppose::Supposed;
use super::{
    Place,
    view::{DecisionView, Explanation, KeyView},
};
use crate::{
    cli::{
        Context, Error, Exit,
        text::{self, pairs},
    },
    model::{Key, KeyId, Target},
    policy::Resource,
};

/// Explain what a caller may do, and which policies decide it
///
/// The caller and the key need not exist: they are what the other arguments say. Exits
/// with 0 if the caller may, and with 5 if it may not.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    supposed: Supposed,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let (caller, action) = (args.supposed.caller(), args.supposed.action());
    let on = args.supposed.on()?;
    let policies = args.place.load()?;
    let resource = match &on {
        On::Gateway => Resource::Gateway,
        On::Key(key) => Resource::Key(key),
        On::Missing(id) => Resource::Missing(id),
    };
    let (first, second) = (policies.may_call(&caller, action), policies.decide(&caller, action, resource));
    let statements = policies.statements();
    let explanation = Explanation {
        caller: (&caller).into(),
        action: action.name(),
        key: match &on {
            On::Gateway => None,
            On::Key(key) => Some((&**key).into()),
            On::Missing(id) => Some(KeyView::missing(id.to_string())),
        },
        allowed: first.allowed && second.allowed,
        may_call: DecisionView::new(&first, &statements),
        decide: DecisionView::new(&second, &statements),
    };
    if context.is_json() {
        context.terminal.print_json(&explanation)?;
    } else {
        let roles: Vec<_> = caller.roles().iter().map(String::as_str).collect();
        let about = text::details([
            ("CALLER", format!("{}, by {}", caller.id(), caller.method().name())),
            ("ROLES", roles.join(", ")),
            ("TENANT", caller.tenant().unwrap_or_default().to_owned()),
            ("ACTION", action.name().to_owned()),
            ("KEY", explanation.key.as_ref().map(of_key).unwrap_or_default()),
        ]);
        let what = if action.target() == Target::Key { "to this key" } else { "to the gateway" };
        let rows = rows("1", "call it at all", &explanation.may_call)
            .chain(rows("2", what, &explanation.decide))
            .collect::<Vec<_>>();
        let decided = text::table(["STEP", "MAY IT", "ANSWER", "POLICY", "AT"], rows);
        context.terminal.print(format!("{about}\n{decided}"))?;
    }
    Ok(if explanation.allowed { Exit::Success } else { Exit::Refused })
}

/// What the action is done to.
enum On {
    Gateway,
    Key(Box<Key>),
    Missing(KeyId),
}

fn of_key(key: &KeyView) -> String {
    if !key.exists {
        return format!("{}, which does not exist", key.id);
    }
    let parts = [
        Some(key.id.clone()),
        key.key_type.map(str::to_owned),
        key.state.map(str::to_owned),
        key.backend.as_ref().map(|backend| format!("backend {backend}")),
        key.protection_level.map(|level| format!("protection {level}")),
        key.owner.as_ref().map(|owner| format!("owner {owner}")),
        key.tenant.as_ref().map(|tenant| format!("tenant {tenant}")),
        (!key.labels.is_empty()).then(|| format!("labels {}", pairs(&key.labels))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// A row for each policy that decided.
fn rows<'a>(
    step: &'a str,
    question: &'a str,
    decision: &'a DecisionView,
) -> impl Iterator<Item = [String; 5]> + 'a {
    let answer = if decision.allowed { "yes" } else { "no" };
    let row = move |policy: &str, at: String| {
        [step.to_owned(), question.to_owned(), answer.to_owned(), policy.to_owned(), at]
    };
    let none = decision.policies.is_empty().then(|| row("none permits it", String::new()));
    let decided = decision.policies.iter().map(move |policy| {
        let what = format!("{} ({})", policy.id, policy.effect);
        row(&what, format!("{}:{}", policy.file, policy.line))
    });
    none.into_iter().chain(decided)
}
