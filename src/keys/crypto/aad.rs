//! What a caller wants authenticated beside a plaintext.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

/// What is authenticated and not encrypted. It must be given again for decryption.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Aad {
    /// Nothing.
    #[default]
    None,
    /// Bytes.
    Bytes(Bytes),
    /// Names and values, in no order.
    Context(BTreeMap<String, String>),
}

impl Aad {
    /// Whether it is an encryption context.
    #[must_use]
    pub const fn is_context(&self) -> bool {
        matches!(self, Self::Context(_))
    }

    /// Whether there is nothing to authenticate.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The names of an encryption context; they are no secrets.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let entries = match self {
            Self::Context(entries) => Some(entries),
            Self::None | Self::Bytes(_) => None,
        };
        entries.into_iter().flat_map(BTreeMap::keys).map(String::as_str)
    }

    /// The bytes: as they were given; or of a context its names in the order of their
    /// bytes, each with its value, and before each the length of it in four bytes.
    pub(super) fn canonical(&self) -> Bytes {
        match self {
            Self::None => Bytes::new(),
            Self::Bytes(bytes) => bytes.clone(),
            Self::Context(entries) => {
                let mut bytes = BytesMut::new();
                for text in entries.iter().flat_map(|(name, value)| [name, value]) {
                    // Far below four gigabytes: a message is bounded.
                    bytes.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
                    bytes.put_slice(text.as_bytes());
                }
                bytes.freeze()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(entries: &[(&str, &str)]) -> Bytes {
        let entries = entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Aad::Context(entries.collect()).canonical()
    }

    #[test]
    fn a_context_has_one_form_whatever_its_order() {
        let sorted = context(&[("a", "1"), ("b", "22")]);
        assert_eq!(context(&[("b", "22"), ("a", "1")]), sorted);
        assert_eq!(sorted, &b"\0\0\0\x01a\0\0\0\x011\0\0\0\x01b\0\0\0\x0222"[..]);
    }

    #[test]
    fn two_contexts_never_have_the_same_form() {
        let contexts =
            [&[("ab", "c")][..], &[("a", "bc")], &[("a", "b"), ("c", "")], &[("a", "b")], &[("abc", "")]];
        let forms: std::collections::BTreeSet<_> = contexts.iter().map(|entries| context(entries)).collect();
        assert_eq!(forms.len(), contexts.len());
    }
}
