//! Keys that look alike to the policies. Whoever lists many keys is asked about each of
//! them; where no policy names a key, those of one look are one question.
//!
//! **Invariant:** two keys of the same digest are the same to every policy, but for
//! their ids.

use aws_lc_rs::digest::{Context, SHA256};
use cedar_policy::Policy;
use serde_json::Value;

use super::entities::protection;
use crate::model::Key;

/// The digest of all that policies see of a key, but for its id.
pub(super) fn digest(key: &Key) -> [u8; 32] {
    let Key {
        // Seen, and not part of the look.
        id: _,
        key_type,
        purpose,
        backend,
        labels,
        owner,
        tenant,
        // Seen through the state and the protection of the key.
        versions: _,
        protection_floor: _,
        primary: _,
        // Not seen at all.
        uid: _,
        signature_algorithms: _,
        encryption_algorithms: _,
        aliases: _,
        description: _,
        import_only: _,
        not_before: _,
        expires: _,
        max_operations: _,
        expiry_warned: _,
        destroy_after: _,
        rotation_period: _,
        next_rotation: _,
        min_protect: _,
        min_process: _,
        revision: _,
        created: _,
        updated: _,
    } = key;
    let mut context = Context::new(&SHA256);
    // Every part with its length, so that no two looks read alike.
    let mut part = |part: &str| {
        context.update(&part.len().to_be_bytes());
        context.update(part.as_bytes());
    };
    for text in
        [key_type.name(), backend.as_str(), protection(key), purpose.name(), owner, key.state().name()]
    {
        part(text);
    }
    part(if tenant.is_some() { "tenant" } else { "" });
    part(tenant.as_deref().unwrap_or_default());
    for (name, value) in labels {
        part(name);
        part(value);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// Whether a policy can tell two keys of one look apart. What cannot be read might.
pub(super) fn names_keys(policy: &Policy) -> bool {
    policy.to_json().map_or(true, |json| names(&json))
}

/// An entity of the type `Key`, or the attribute `id`, anywhere in it.
fn names(json: &Value) -> bool {
    match json {
        Value::Object(fields) => fields.iter().any(|(name, value)| match (name.as_str(), value) {
            ("type", Value::String(noun)) => noun == "Key",
            ("attr", Value::String(attribute)) => attribute == "id",
            (_, value) => names(value),
        }),
        Value::Array(values) => values.iter().any(names),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_names_a_key_is_known() {
        let named = |text: &str| names_keys(&Policy::parse(None, text).unwrap());
        for text in [
            "permit (principal, action, resource == Key::\"a\");",
            "permit (principal, action, resource in Key::\"a\");",
            "permit (principal, action, resource) when { resource.id == \"a\" };",
            "permit (principal, action, resource) when { resource.id like \"a*\" };",
            "permit (principal, action, resource) when { resource[\"id\"] == \"a\" };",
            "permit (principal, action, resource) when { resource has id };",
            "permit (principal, action, resource) when { [Key::\"a\", Key::\"b\"].contains(resource) };",
            "permit (principal, action, resource) when { if true then resource == Key::\"a\" else false };",
        ] {
            assert!(named(text), "{text}");
        }
        for text in [
            "@id(\"id\") permit (principal, action, resource is Key);",
            "permit (principal == Caller::\"id\", action, resource) when { resource.type == \"id\" };",
            "permit (principal, action, resource) when { resource.hasTag(\"id\") };",
        ] {
            assert!(!named(text), "{text}");
        }
    }
}
