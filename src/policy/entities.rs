//! Callers, actions and keys, as Cedar sees them: the other side of `schema.cedarschema`.

use std::{
    collections::{BTreeMap, HashSet},
    str::FromStr as _,
};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request,
    RestrictedExpression as Expression, Schema, Validator,
};

use super::{Error, Resource};
use crate::{
    auth::Caller,
    model::{Action, Key, KeyId},
};

/// The words of the schema, parsed once.
pub(super) struct Nouns {
    pub(super) validator: Validator,
    caller: EntityTypeName,
    role: EntityTypeName,
    key: EntityTypeName,
    gateway: EntityUid,
    /// Those that policies can speak of, each with the groups it is in.
    actions: BTreeMap<Action, Entity>,
}

impl Nouns {
    pub(super) fn new() -> Result<Self, Error> {
        let (schema, _) =
            Schema::from_cedarschema_str(include_str!("schema.cedarschema")).map_err(Error::schema)?;
        let of_schema = schema.action_entities().map_err(Error::schema)?;
        let noun = |name| EntityTypeName::from_str(name).map_err(Error::schema);
        let action = noun("Action")?;
        let actions = Action::ALL
            .into_iter()
            .filter_map(|each| Some((each, of_schema.get(&uid(&action, each.name()))?.clone())))
            .collect();
        Ok(Self {
            validator: Validator::new(schema),
            caller: noun("Caller")?,
            role: noun("Role")?,
            key: noun("Key")?,
            gateway: uid(&noun("Gateway")?, "gateway"),
            actions,
        })
    }

    /// The question, and everything that a policy may want to know for it. Only what was
    /// proved and what the catalog says goes in; nothing that a caller merely claims.
    pub(super) fn request(
        &self,
        caller: &Caller,
        action: Action,
        resource: Resource<'_>,
    ) -> Result<(Request, Entities), Unaskable> {
        let action = self.actions.get(&action).ok_or(Unaskable::Action)?;
        let caller = self.caller(caller)?;
        let resource = match resource {
            Resource::Gateway => Entity::new_no_attrs(self.gateway.clone(), HashSet::new()),
            Resource::Key(key) => self.key(&key.id, Some(key))?,
            Resource::Missing(id) => self.key(id, None)?,
        };
        let uids = (caller.uid(), action.uid(), resource.uid());
        // The validator has seen the policies, and the tests hold that these entities are
        // of its schema; asking it again for each call would double the price.
        let request = Request::new(uids.0, uids.1, uids.2, Context::empty(), None)
            .map_err(|source| Unaskable::Cedar(source.into()))?;
        let entities = Entities::from_entities([caller, action.clone(), resource], None)
            .map_err(|source| Unaskable::Cedar(source.into()))?;
        Ok((request, entities))
    }

    fn caller(&self, caller: &Caller) -> Result<Entity, Unaskable> {
        let roles = Expression::new_set(caller.roles().iter().map(|role| text(role)));
        let mut attributes = vec![
            ("issuer".to_owned(), text(caller.issuer())),
            ("subject".to_owned(), text(caller.subject())),
            ("method".to_owned(), text(caller.method().name())),
            ("roles".to_owned(), roles),
        ];
        attributes.extend(caller.tenant().map(|tenant| ("tenant".to_owned(), text(tenant))));
        let roles = caller.roles().iter().map(|role| uid(&self.role, role));
        Entity::new_with_tags(uid(&self.caller, caller.id()), attributes, roles, [])
            .map_err(|source| Unaskable::Cedar(source.into()))
    }

    fn key(&self, id: &KeyId, key: Option<&Key>) -> Result<Entity, Unaskable> {
        let of_key = |of: fn(&Key) -> &str| text(key.map(of).unwrap_or_default());
        let mut attributes = vec![
            ("id".to_owned(), text(id.as_str())),
            ("type".to_owned(), of_key(|key| key.key_type.name())),
            ("backend".to_owned(), of_key(|key| key.backend.as_str())),
            ("protection".to_owned(), of_key(protection)),
            ("purpose".to_owned(), of_key(|key| key.purpose.name())),
            ("owner".to_owned(), of_key(|key| &key.owner)),
            ("state".to_owned(), of_key(|key| key.state().name())),
            ("exists".to_owned(), Expression::new_bool(key.is_some())),
        ];
        let tenant = key.and_then(|key| key.tenant.as_deref());
        attributes.extend(tenant.map(|tenant| ("tenant".to_owned(), text(tenant))));
        let labels = key.into_iter().flat_map(|key| &key.labels);
        let labels = labels.map(|(name, value)| (name.clone(), text(value)));
        Entity::new_with_tags(uid(&self.key, id.as_str()), attributes, [], labels)
            .map_err(|source| Unaskable::Cedar(source.into()))
    }
}

fn uid(noun: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(noun.clone(), EntityId::new(id))
}

fn text(text: &str) -> Expression {
    Expression::new_string(text.to_owned())
}

/// Where the version that is shown for the key lives; of a key without versions, where
/// it is to live at least.
pub(super) fn protection(key: &Key) -> &'static str {
    let version = key.version(0).or_else(|| key.versions.last());
    version
        .map(|version| version.protection_level)
        .or(key.protection_floor)
        .map_or("", skms_backend::ProtectionLevel::name)
}

/// Why a question cannot be put. It is denied, then.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unaskable {
    /// It is not in the schema.
    #[error("the schema has no such action")]
    Action,
    /// Cedar does not take it.
    #[error("cedar does not take it: {0}")]
    Cedar(Box<dyn std::error::Error + Send + Sync>),
}
