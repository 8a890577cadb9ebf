//! From the tree to values of their types, past the first thing that is wrong.
//!
//! Written by hand instead of TOML's own deserializer for two reasons: the error
//! keeps its parts ([`Refusal`]), and only the field that is being read knows
//! whether the text of a variable means TOML or itself.

use serde::{
    Deserializer,
    de::{
        Deserialize, DeserializeOwned, Error as _, IntoDeserializer, Unexpected, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_path_to_error::Segment;

use super::{
    Problem,
    node::{Node, Value},
    refusal::Refusal,
};

/// Reads the tree as a `T` and adds what is wrong to `problems`. What is wrong is
/// refused in the tree, and the rest read again without it, until nothing is wrong.
/// A `T` that is still made then has a default in its place; it is none if it cannot.
pub(super) fn read<T: DeserializeOwned>(tree: &mut Node, problems: &mut Vec<Problem>) -> Option<T> {
    loop {
        let error = match serde_path_to_error::deserialize(&tree.value) {
            Ok(read) => return Some(read),
            Err(error) => error,
        };
        let mut path = steps(error.path());
        let refusal = error.into_inner();
        let refused = path.clone();
        let (origin, _) = tree.trace(path.iter().map(String::as_str));
        let mut said = false;
        if let Refusal::Missing(field) = refusal {
            path.push(field.to_owned());
            // It is there, and what is wrong with it was said.
            said = find(tree, &path).is_some();
        }
        if !said {
            let (_, field) = tree.trace(path.iter().map(String::as_str));
            problems.push(Problem::new(origin, field, refusal.to_string()));
        }
        // **Invariant:** each round refuses one more part of the tree, so they end.
        if !refuse(tree, &refused) {
            return None;
        }
    }
}

fn steps(path: &serde_path_to_error::Path) -> Vec<String> {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().filter_map(step).collect()
}

fn find<'t>(tree: &'t Node, path: &[String]) -> Option<&'t Node> {
    path.iter().try_fold(tree, |node, step| node.value.child(step))
}

fn refuse(tree: &mut Node, path: &[String]) -> bool {
    match path.iter().try_fold(tree, |node, step| node.value.child_mut(step)) {
        Some(node) if !path.is_empty() => !std::mem::replace(&mut node.refused, true),
        _ => false,
    }
}

impl<'de> Deserializer<'de> for &Value {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self {
            Value::Text(text) | Value::Variable { text, toml: None } => visitor.visit_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::Other(kind) => Err(Refusal::invalid_type(Unexpected::Other(kind), &visitor)),
            Value::Array(items) => {
                visitor.visit_seq(SeqDeserializer::new(items.iter().filter(|item| !item.refused)))
            }
            Value::Table(fields) => {
                let fields = fields.iter().filter(|(_, field)| !field.refused);
                visitor.visit_map(MapDeserializer::new(fields.map(|(name, field)| (name.as_str(), field))))
            }
            Value::Variable { toml: Some(value), .. } => value.deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self {
            // Quoted or not: `info` and `"info"` mean the same, and `1234` means "1234".
            Value::Variable { toml: Some(value), .. } if matches!(**value, Value::Text(_)) => {
                value.deserialize_any(visitor)
            }
            Value::Variable { text, .. } => visitor.visit_str(text),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_str(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let text = String::deserialize(self)?;
        text.into_deserializer().deserialize_enum(name, variants, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        // Serde would take an array for the fields in their order.
        match self.items() {
            Some(_) => Err(Refusal::invalid_type(Unexpected::Seq, &visitor)),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        seq tuple tuple_struct map identifier ignored_any
    }
}

impl<'de, 'n> IntoDeserializer<'de, Refusal> for &'n Node {
    type Deserializer = &'n Value;

    fn into_deserializer(self) -> &'n Value {
        &self.value
    }
}
