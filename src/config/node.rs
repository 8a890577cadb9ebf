//! A configuration as a tree of which every part knows where it comes from.
//!
//! It may hold a secret that somebody wrote where a reference belongs. That is why
//! nothing here has `Debug`.

use std::{collections::BTreeMap, mem, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Origin, Problem};

pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
    /// A problem was found here; the rest is read as if this were not there.
    pub(super) refused: bool,
}

pub(super) type Fields = BTreeMap<String, Node>;

pub(super) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    /// What no field takes, named for the error: a date, a fraction.
    Other(&'static str),
    Array(Vec<Node>),
    Table(Fields),
    /// The text of an environment variable, and what it is when read as TOML. Which
    /// of the two is meant depends on the field.
    Variable {
        text: String,
        toml: Option<Box<Value>>,
    },
}

impl Node {
    pub(super) fn parse_file(text: &str) -> Result<Self, Vec<Problem>> {
        let line = |at: usize| Origin::Line(text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1);
        // The first error only: those after it are often its consequences. And its
        // message only: its Display quotes the line, which may hold a secret.
        let table = DeTable::parse(text).map_err(|error| {
            let origin = line(error.span().unwrap_or_default().start);
            // `level = info` is an "invalid float" to TOML, because of its first letters.
            let hint =
                if error.message().starts_with("invalid") { "; text is written in quotes" } else { "" };
            vec![Problem::new(origin, "", format!("not TOML: {}{hint}", error.message()))]
        })?;
        let origin = |span: Range<usize>| line(span.start);
        Ok(Self::new(Value::from_table(table.get_ref(), &origin), Origin::File))
    }

    pub(super) fn parse_variable(name: &str, text: String) -> Self {
        let origin = Origin::Variable(name.into());
        let toml = DeValue::parse(&text).ok();
        let toml = toml.map(|value| Box::new(Value::from_toml(value.get_ref(), &|_| origin.clone())));
        Self::new(Value::Variable { text, toml }, origin)
    }

    /// Sets what is at `path`, in place of anything that is in the way.
    pub(super) fn insert(&mut self, path: &[String], node: Self) {
        let Some((step, rest)) = path.split_first() else {
            *self = node;
            return;
        };
        let mut fields = mem::replace(&mut self.value, Value::Other("")).into_fields().unwrap_or_else(|| {
            self.origin = node.origin.clone();
            Fields::new()
        });
        let table = || Self::new(Value::Table(Fields::new()), node.origin.clone());
        fields.entry(step.clone()).or_insert_with(table).insert(rest, node);
        self.value = Value::Table(fields);
    }

    /// Where the value at `path` comes from, or else the nearest around it; and the
    /// path as it is shown, without the positions in arrays.
    pub(super) fn trace<'p>(&self, path: impl Iterator<Item = &'p str>) -> (Origin, String) {
        let mut here = Some(self);
        let mut origin = &self.origin;
        let mut shown: Vec<String> = Vec::new();
        for step in path {
            if here.is_none_or(|node| node.value.items().is_none()) {
                shown.push(step.escape_debug().to_string());
            }
            here = here.and_then(|node| node.value.child(step));
            origin = here.map_or(origin, |node| &node.origin);
        }
        (origin.clone(), shown.join("."))
    }

    const fn new(value: Value, origin: Origin) -> Self {
        Self { value, origin, refused: false }
    }
}

impl Value {
    /// The items, if it is an array.
    pub(super) fn items(&self) -> Option<&[Node]> {
        match self {
            Self::Array(items) => Some(items),
            Self::Variable { toml: Some(value), .. } => value.items(),
            _ => None,
        }
    }

    /// The field of this name, or the item at this position.
    pub(super) fn child(&self, step: &str) -> Option<&Node> {
        match self {
            Self::Table(fields) => fields.get(step),
            // Refused items are not counted, as nobody but the reader sees them.
            Self::Array(items) => items.iter().filter(|item| !item.refused).nth(step.parse().ok()?),
            Self::Variable { toml: Some(value), .. } => value.child(step),
            _ => None,
        }
    }

    /// The same, to change it.
    pub(super) fn child_mut(&mut self, step: &str) -> Option<&mut Node> {
        match self {
            Self::Table(fields) => fields.get_mut(step),
            Self::Array(items) => items.iter_mut().filter(|item| !item.refused).nth(step.parse().ok()?),
            Self::Variable { toml: Some(value), .. } => value.child_mut(step),
            _ => None,
        }
    }

    fn into_fields(self) -> Option<Fields> {
        match self {
            Self::Table(fields) => Some(fields),
            Self::Variable { toml: Some(value), .. } => value.into_fields(),
            _ => None,
        }
    }

    fn from_table(table: &DeTable<'_>, origin: &dyn Fn(Range<usize>) -> Origin) -> Self {
        // The line of the key, for that is where a table has its header.
        let field = |key: &Spanned<_>, value: &Spanned<_>| {
            Node::new(Self::from_toml(value.get_ref(), origin), origin(key.span()))
        };
        Self::Table(table.iter().map(|(key, value)| (key.get_ref().to_string(), field(key, value))).collect())
    }

    fn from_toml(value: &DeValue<'_>, origin: &dyn Fn(Range<usize>) -> Origin) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Self::Other("a number as large as that"), Self::Integer),
            DeValue::Float(_) => Self::Other("a fraction"),
            DeValue::Boolean(value) => Self::Boolean(*value),
            DeValue::Datetime(_) => Self::Other("a date"),
            DeValue::Array(items) => {
                let item = |item: &Spanned<_>| {
                    Node::new(Self::from_toml(item.get_ref(), origin), origin(item.span()))
                };
                Self::Array(items.iter().map(item).collect())
            }
            DeValue::Table(table) => Self::from_table(table, origin),
        }
    }
}
