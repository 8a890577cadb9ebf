//! A set of policies, from its files to what Cedar is asked with.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use cedar_policy::{AuthorizationError, Policy, PolicyId, PolicySet, Response, ValidationMode};
use miette::Diagnostic;
use tracing::warn;

use super::{
    Decision, Effect, Error, Problem, Statement,
    entities::Nouns,
    look::names_keys,
    reduced::reduced,
    room::{unreadable, with_room},
    sources::{POLICIES, Source},
    statement::{ID_BYTES, is_id},
};

/// A set of policies that was found good.
pub(super) struct Loaded {
    pub(super) generation: u64,
    pub(super) sources: Vec<Source>,
    /// For the second step: the policies as they are written.
    pub(super) whole: PolicySet,
    /// For the first step: what is left of them while no key is known.
    pub(super) methods: PolicySet,
    /// Whether a policy tells keys apart by what they are called.
    pub(super) names_keys: bool,
    known: HashMap<PolicyId, Known>,
    /// In the order of the files.
    order: Vec<PolicyId>,
}

struct Known {
    statement: Statement,
    /// Its source, by number.
    source: usize,
    /// Whether it was said already that it cannot be evaluated.
    warned: AtomicBool,
}

impl Loaded {
    pub(super) fn new(
        directory: &Path,
        sources: Vec<Source>,
        generation: u64,
        nouns: &Nouns,
    ) -> Result<Self, Error> {
        let problems: Vec<_> = sources.iter().filter_map(unreadable).collect();
        if !problems.is_empty() {
            return Err(Error::refused(problems));
        }
        with_room(|| Self::read(directory, sources, generation, nouns))
            .unwrap_or_else(|source| Err(Error::Room { source }))
    }

    fn read(directory: &Path, sources: Vec<Source>, generation: u64, nouns: &Nouns) -> Result<Self, Error> {
        let mut set = Self {
            generation,
            sources: Vec::new(),
            whole: PolicySet::new(),
            methods: PolicySet::new(),
            names_keys: false,
            known: HashMap::new(),
            order: Vec::new(),
        };
        let mut problems = Vec::new();
        for (number, source) in sources.iter().enumerate() {
            match source.text.parse::<PolicySet>() {
                Ok(written) => set.add(number, source, &written, &mut problems),
                Err(errors) => problems.extend(errors.iter().map(|error| diagnosed(source, error, None))),
            }
        }
        if set.known.len() > POLICIES {
            problems.push(Problem::new(directory, None, format!("more than {POLICIES} policies")));
        } else {
            set.validate(&sources, nouns, &mut problems);
        }
        let permits = |known: &Known| known.statement.effect == Effect::Permit;
        if problems.is_empty() && !set.known.values().any(permits) {
            let message = "no policy allows anything; put a file `NAME.cedar` there that permits something";
            problems.push(Problem::new(directory, None, message));
        }
        if problems.is_empty() { Ok(Self { sources, ..set }) } else { Err(Error::refused(problems)) }
    }

    pub(super) fn statements(&self) -> impl Iterator<Item = &Statement> {
        self.order.iter().filter_map(|id| self.known.get(id)).map(|known| &known.statement)
    }

    /// What the answer of Cedar means here. Cedar passes over what it cannot evaluate;
    /// that would turn a forbid into nothing, so it denies instead.
    pub(super) fn decision(&self, response: &Response) -> Decision {
        let permitted = response.decision() == cedar_policy::Decision::Allow;
        let mut failed = Vec::new();
        for error in response.diagnostics().errors() {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            let id = error.policy_id();
            let known = self.known.get(id);
            if known.is_none_or(|known| known.statement.effect == Effect::Forbid) {
                failed.push(id);
            }
            if let Some(Known { statement, warned, .. }) = known
                && !warned.swap(true, Ordering::Relaxed)
            {
                let (file, line) = (statement.file.display(), statement.line);
                warn!(policy = %id, at = %format_args!("{file}:{line}"), error = %error.inner(),
                    "a policy cannot be evaluated");
            }
        }
        let allowed = permitted && failed.is_empty();
        // Those that permit did not decide if one that failed forbids.
        let reason = response.diagnostics().reason().filter(|_| allowed || !permitted);
        let ids = reason.chain(failed);
        let mut policies: Vec<_> =
            ids.filter_map(|id| self.known.get(id)).map(|known| Arc::clone(&known.statement.id)).collect();
        policies.sort();
        Decision { allowed, policies: policies.into() }
    }

    /// Adds the policies of one file under their own ids.
    fn add(&mut self, number: usize, source: &Source, written: &PolicySet, problems: &mut Vec<Problem>) {
        for Found { policy, offset, place } in in_order(source, written) {
            let Some(policy) = policy else {
                let message = "is a template; only policies without `?principal` and `?resource` are taken";
                problems.push(source.problem(Some(offset), message));
                continue;
            };
            let id = id(policy, source, place);
            if !is_id(&id) {
                let message =
                    format!("the id `{}` is not of 1 to {ID_BYTES} printable bytes", id.escape_debug());
                problems.push(source.problem(Some(offset), message));
                continue;
            }
            let policy = policy.new_id(PolicyId::new(&id));
            let statement = Statement {
                id: id.into(),
                effect: policy.effect().into(),
                file: Arc::clone(&source.file),
                line: source.line(offset),
            };
            if let Err(problem) = self.put(number, policy, statement) {
                problems.push(source.problem(Some(offset), problem));
            }
        }
    }

    fn put(&mut self, source: usize, policy: Policy, statement: Statement) -> Result<(), String> {
        let id = policy.id().clone();
        if &*statement.id == super::GATEWAY_ITSELF {
            return Err(format!("the id `{id}` stands for the gateway itself; use another"));
        }
        if let Some(Known { statement: Statement { file, line, .. }, .. }) = self.known.get(&id) {
            return Err(format!("the id `{id}` is used at {}:{line} already", file.display()));
        }
        if let Some(reduced) = reduced(&policy)? {
            self.methods.add(reduced).map_err(|error| error.to_string())?;
        }
        self.names_keys |= names_keys(&policy);
        self.whole.add(policy).map_err(|error| error.to_string())?;
        self.known.insert(id.clone(), Known { statement, source, warned: AtomicBool::new(false) });
        self.order.push(id);
        Ok(())
    }

    /// Holds the policies against the schema. A warning is no smaller than an error: it
    /// tells of a policy that can never apply, or of letters that look like others.
    fn validate(&self, sources: &[Source], nouns: &Nouns, problems: &mut Vec<Problem>) {
        let result = nouns.validator.validate(&self.whole, ValidationMode::Strict);
        let mut found = Vec::new();
        let mut tell = |id: &PolicyId, diagnostic: &dyn Diagnostic| {
            let known = self.known.get(id).and_then(|known| Some((known, sources.get(known.source)?)));
            let problem = match known {
                Some((known, source)) => diagnosed(source, diagnostic, Some(known.statement.line)),
                // It is told all the same: nothing bad may be passed over.
                None => Problem::new(Path::new(""), None, diagnostic),
            };
            found.push((problem.file.clone(), place(diagnostic), problem));
        };
        let mut wrong = HashSet::new();
        for error in result.validation_errors() {
            wrong.insert(error.policy_id());
            tell(error.policy_id(), error);
        }
        // Of a policy that is wrong they only repeat it.
        for warning in result.validation_warnings().filter(|warning| !wrong.contains(warning.policy_id())) {
            tell(warning.policy_id(), warning);
        }
        // One place is judged again for every action.
        found.sort();
        found.dedup_by(|next, first| next.0 == first.0 && next.1 == first.1);
        problems.extend(found.into_iter().map(|(_, _, problem)| problem));
    }
}

struct Found<'a> {
    /// None for a template.
    policy: Option<&'a Policy>,
    /// Where it begins in the file.
    offset: usize,
    /// 1, 2, 3 … within the file.
    place: usize,
}

/// The policies of a file as they stand in it. Cedar numbers them `policy0`, `policy1` …
fn in_order<'a>(source: &Source, written: &'a PolicySet) -> Vec<Found<'a>> {
    let number = |id: &PolicyId| -> usize {
        let id: &str = id.as_ref();
        id.strip_prefix("policy").and_then(|number| number.parse().ok()).unwrap_or(usize::MAX)
    };
    let policies = written.policies().map(|policy| (number(policy.id()), policy.to_string(), Some(policy)));
    let templates = written.templates().map(|template| (number(template.id()), template.to_string(), None));
    let mut all: Vec<_> = policies.chain(templates).collect();
    all.sort_by_key(|(number, ..)| *number);
    let mut end = 0;
    let mut found = Vec::new();
    for (index, (_, text, policy)) in all.into_iter().enumerate() {
        let offset = end + blank(source.text.get(end..).unwrap_or_default());
        let here = source.text.get(offset..).is_some_and(|rest| rest.starts_with(&text));
        end = if here { offset + text.len() } else { end };
        found.push(Found { policy, offset, place: index + 1 });
    }
    found
}

/// How much of the beginning is space and comments, which are all that may stand between
/// two policies.
fn blank(text: &str) -> usize {
    let mut rest = text.trim_start();
    while let Some(comment) = rest.strip_prefix("//") {
        rest = comment.split_once('\n').map_or("", |(_, rest)| rest).trim_start();
    }
    text.len() - rest.len()
}

fn id(policy: &Policy, source: &Source, place: usize) -> String {
    match policy.annotation("id") {
        Some(id) => id.to_owned(),
        None => {
            let stem = source.file.file_stem().unwrap_or_default().to_string_lossy();
            format!("{stem}#{place}")
        }
    }
}

/// What Cedar says is wrong, with the line it names, or else the given one.
fn diagnosed(source: &Source, error: &dyn Diagnostic, line: Option<usize>) -> Problem {
    let label = error.labels().and_then(|mut labels| labels.next());
    let mut message = error.to_string();
    if let Some(label) = label.as_ref().and_then(|label| label.label()) {
        message = format!("{message}: {label}");
    }
    if let Some(help) = error.help() {
        message = format!("{message}; {help}");
    }
    let line = place(error).map(|offset| source.line(offset)).or(line);
    Problem::new(Arc::clone(&source.file), line, message)
}

/// The offset that Cedar names.
fn place(error: &dyn Diagnostic) -> Option<usize> {
    Some(error.labels()?.next()?.offset())
}
