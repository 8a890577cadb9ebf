//! The caller and the key that an explanation is about, as arguments.

use std::{
    collections::BTreeSet,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use skms_backend::{KeyType, ProtectionLevel, SignatureAlgorithm};

use super::On;
use crate::{
    auth::{Caller, Method},
    cli::{
        Error,
        labels::{Label, by_name},
    },
    model::{Action, BackendName, Key, KeyId, Origin, Purpose, State, Target, Version},
};

/// Who asks, for what.
#[derive(Debug, clap::Args)]
pub(super) struct Supposed {
    /// Who calls
    #[arg(long, value_name = "ISSUER/SUBJECT")]
    caller: Name,
    /// What it is said to be; may be given again
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// The tenant it belongs to [default: none]
    #[arg(long)]
    tenant: Option<String>,
    /// How it proved who it is
    #[arg(long, default_value = "token", value_parser = methods())]
    method: Method,
    /// What it asks for
    #[arg(long, value_parser = actions())]
    action: Action,
    /// The key, by its id and not by an alias
    #[arg(long, value_name = "ID")]
    key_id: Option<KeyId>,
    /// There is no such key
    #[arg(long, requires = "key_id", conflicts_with_all = ["key_type", "labels", "owner", "key_tenant", "backend", "protection", "state"])]
    missing: bool,
    /// The type of the key
    #[arg(long, requires = "key_id", default_value = "ec-p256", value_name = "TYPE")]
    key_type: KeyType,
    /// A label of the key, as NAME=VALUE; may be given again
    #[arg(long = "label", requires = "key_id", value_name = "NAME=VALUE")]
    labels: Vec<Label>,
    /// Who created the key
    #[arg(long, requires = "key_id", default_value = "example/owner", value_name = "ISSUER/SUBJECT")]
    owner: String,
    /// The tenant that the key belongs to [default: none]
    #[arg(long, requires = "key_id", value_name = "TENANT")]
    key_tenant: Option<String>,
    /// The backend that holds the key
    #[arg(long, requires = "key_id", default_value = "example", value_name = "NAME")]
    backend: BackendName,
    /// Where the key lives; of a key that is to be made, where it would live
    #[arg(long, requires = "key_id", value_parser = levels())]
    protection: Option<ProtectionLevel>,
    /// The state of the key [default: enabled]
    #[arg(long, requires = "key_id", value_parser = states())]
    state: Option<State>,
}

impl Supposed {
    /// The caller. Nobody has proved to be it.
    pub(super) fn caller(&self) -> Caller {
        let Name { issuer, subject } = &self.caller;
        let roles: BTreeSet<_> = self.roles.iter().cloned().collect();
        Caller::hypothetical(self.method, issuer, subject, roles, self.tenant.clone())
    }

    pub(super) fn action(&self) -> Action {
        self.action
    }

    pub(super) fn on(&self) -> Result<On, Error> {
        let name = self.action.name();
        match (self.action.target(), &self.key_id) {
            (Target::Key, None) => {
                Err(Error::Usage(format!("`{name}` is done to a key; name it with --key-id")))
            }
            (Target::Key, Some(id)) if self.missing => Ok(On::Missing(id.clone())),
            (Target::Key, Some(id)) => Ok(On::Key(Box::new(self.key(id)?))),
            (Target::Gateway | Target::Nothing, Some(_)) => {
                Err(Error::Usage(format!("`{name}` is done to the gateway; leave the key out")))
            }
            (Target::Gateway | Target::Nothing, None) => Ok(On::Gateway),
        }
    }

    fn key(&self, id: &KeyId) -> Result<Key, Error> {
        let now = SystemTime::now();
        let making = self.action == Action::CreateKey;
        // One that is to be made lives nowhere yet.
        let protection = self.protection.or((!making).then_some(ProtectionLevel::Hsm));
        let version = protection.filter(|_| !making).map(|protection_level| Version {
            number: 1,
            state: self.state.unwrap_or(State::Enabled),
            backend: self.backend.clone(),
            protection_level,
            origin: Origin::Generated,
            key: None,
            public_key: None,
            check_value: None,
            operations: 0,
            created: now,
            generated: Some(now),
            compromised: None,
            destroys: None,
            destroyed: None,
        });
        Ok(Key {
            id: id.clone(),
            key_type: self.key_type,
            uid: uuid::Uuid::nil(),
            purpose: Purpose::of(self.key_type),
            signature_algorithms: SignatureAlgorithm::of(self.key_type).collect(),
            encryption_algorithms: Vec::new(),
            protection_floor: protection,
            backend: self.backend.clone(),
            labels: by_name(&self.labels)?,
            aliases: Vec::new(),
            description: String::new(),
            import_only: false,
            owner: self.owner.clone(),
            tenant: self.key_tenant.clone(),
            not_before: None,
            expires: None,
            max_operations: None,
            expiry_warned: None,
            destroy_after: Duration::ZERO,
            rotation_period: None,
            next_rotation: None,
            primary: u32::from(version.is_some()),
            min_protect: 0,
            min_process: 0,
            revision: 0,
            created: now,
            updated: now,
            versions: version.into_iter().map(Arc::new).collect(),
        })
    }
}

/// The name of a caller.
#[derive(Clone, Debug)]
struct Name {
    issuer: String,
    subject: String,
}

impl FromStr for Name {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((issuer, subject)) if !issuer.is_empty() && !subject.is_empty() => {
                Ok(Self { issuer: issuer.into(), subject: subject.into() })
            }
            _ => Err("a caller is ISSUER/SUBJECT, such as corp/alice"),
        }
    }
}

/// Reads one of `values` by its name.
fn named<T: Copy + Send + Sync + 'static>(
    values: Vec<T>,
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(values.iter().map(|value| name(*value)).collect::<Vec<_>>())
        .try_map(move |text| values.iter().copied().find(|value| name(*value) == text).ok_or("not known"))
}

fn methods() -> impl TypedValueParser<Value = Method> {
    named(vec![Method::Token, Method::Certificate, Method::Unix], Method::name)
}

fn actions() -> impl TypedValueParser<Value = Action> {
    let of_callers = Action::ALL.into_iter().filter(|action| action.target() != Target::Nothing);
    named(of_callers.collect(), Action::name)
}

fn levels() -> impl TypedValueParser<Value = ProtectionLevel> {
    named(vec![ProtectionLevel::Software, ProtectionLevel::Tpm, ProtectionLevel::Hsm], ProtectionLevel::name)
}

fn states() -> impl TypedValueParser<Value = State> {
    named(State::ALL.to_vec(), State::name)
}
