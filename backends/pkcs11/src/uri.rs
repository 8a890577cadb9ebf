//! PKCS#11 URIs (RFC 7512 §2.3) that name a token, or a key on one.
//!
//! What would name a slot, a module or a PIN, and what is not understood, is refused and
//! not ignored: each has its own place in the configuration, or none. No message repeats
//! a value, because one may be a PIN.

use cryptoki::object::{Attribute, ObjectClass};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::TokenSelector;

/// What names a private or secret key on a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyName {
    /// Its `CKA_LABEL`.
    pub(crate) label: Option<Vec<u8>>,
    /// Its `CKA_ID`.
    pub(crate) id: Option<Vec<u8>>,
    /// Its class.
    pub(crate) class: Option<ObjectClass>,
}

impl KeyName {
    /// What an object of this name must have.
    pub(crate) fn attributes(&self) -> Vec<Attribute> {
        let label = self.label.clone().map(Attribute::Label);
        let id = self.id.clone().map(Attribute::Id);
        [Some(Attribute::Token(true)), self.class.map(Attribute::Class), label, id]
            .into_iter()
            .flatten()
            .collect()
    }

    /// The same as a URI.
    pub(crate) fn uri(&self) -> String {
        let encoded = |value: &[u8]| percent_encode(value, NON_ALPHANUMERIC).to_string();
        let class = self.class.map(|class| format!("type={}", type_of(class)));
        let label = self.label.as_deref().map(|label| format!("object={}", encoded(label)));
        let id = self.id.as_deref().map(|id| format!("id={}", encoded(id)));
        let parts: Vec<_> = [id, label, class].into_iter().flatten().collect();
        format!("{SCHEME}{}", parts.join(";"))
    }
}

const SCHEME: &str = "pkcs11:";

fn type_of(class: ObjectClass) -> &'static str {
    if class == ObjectClass::SECRET_KEY { "secret-key" } else { "private" }
}

/// Reads a whole URI that names a key, and which token it says the key is on.
pub(crate) fn parse_key(text: &str) -> Result<(TokenSelector, KeyName), String> {
    let rest = text.strip_prefix(SCHEME).ok_or("write a PKCS#11 URI: `pkcs11:id=…` or `pkcs11:object=…`")?;
    let (path, query) = rest.split_once('?').map_or((rest, ""), |(path, query)| (path, query));
    let mut name = KeyName::default();
    let mut of_token = Vec::new();
    for attribute in path.split(';') {
        let (attribute_name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        let twice = match attribute_name {
            "object" => name.label.replace(bytes(attribute_name, value)?).is_some(),
            "id" => name.id.replace(bytes(attribute_name, value)?).is_some(),
            "type" => {
                let class = match value {
                    "private" => ObjectClass::PRIVATE_KEY,
                    "secret-key" => ObjectClass::SECRET_KEY,
                    _ => return Err("`type` must be `private` or `secret-key`".to_owned()),
                };
                name.class.replace(class).is_some()
            }
            _ => {
                of_token.push(attribute);
                false
            }
        };
        if twice {
            return Err(format!("`{attribute_name}` stands twice in the PKCS#11 URI"));
        }
    }
    let token = parse(&format!("{}?{query}", of_token.join(";")))?;
    let names = [&name.label, &name.id];
    if names.into_iter().flatten().any(Vec::is_empty) {
        return Err("an empty value names no key".to_owned());
    }
    if names.into_iter().flatten().next().is_none() {
        return Err("name the key by `id` or `object`".to_owned());
    }
    Ok((token, name))
}

/// Reads what follows `pkcs11:`.
pub(crate) fn parse(text: &str) -> Result<TokenSelector, String> {
    let (path, query) = text.split_once('?').map_or((text, ""), |(path, query)| (path, query));
    if let Some(attribute) = query.split('&').find(|attribute| !attribute.is_empty()) {
        return Err(refusal(attribute.split('=').next().unwrap_or_default()));
    }
    let mut selector = TokenSelector::default();
    for attribute in path.split(';').filter(|attribute| !attribute.is_empty()) {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        let field = match name {
            "token" => &mut selector.label,
            "serial" => &mut selector.serial,
            "manufacturer" => &mut selector.manufacturer,
            "model" => &mut selector.model,
            _ => return Err(refusal(name)),
        };
        if field.replace(decoded(name, value)?).is_some() {
            return Err(format!("`{name}` stands twice in the PKCS#11 URI"));
        }
    }
    Ok(selector)
}

fn refusal(name: &str) -> String {
    match name {
        "slot-id" | "slot-description" | "slot-manufacturer" => {
            format!("`{name}` is not taken, because slots change; name the token by `token` or `serial`")
        }
        "pin-value" | "pin-source" => {
            format!("`{name}` is not taken; say where the PIN is kept with `pin`")
        }
        "module-path"
        | "module-name"
        | "library-manufacturer"
        | "library-description"
        | "library-version" => format!("`{name}` is not taken; name the module with `module`"),
        "object" | "type" | "id" => format!("`{name}` names an object; this must name a token"),
        _ if name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter)) => {
            format!("unknown attribute `{name}` in the PKCS#11 URI")
        }
        _ => "malformed attribute in the PKCS#11 URI".to_owned(),
    }
}

fn decoded(name: &str, value: &str) -> Result<String, String> {
    String::from_utf8(bytes(name, value)?).map_err(|_| format!("`{name}` is not UTF-8"))
}

fn bytes(name: &str, value: &str) -> Result<Vec<u8>, String> {
    let malformed = value.split('%').skip(1).any(|escape| {
        !matches!(escape.as_bytes(), [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
    });
    if malformed {
        return Err(format!("`{name}` holds a `%` without two hexadecimal digits"));
    }
    Ok(percent_decode_str(value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_decoded() {
        let selector = parse("token=My%20token%3b%C3%A9;serial=0001;manufacturer=a;model=b").unwrap();
        assert_eq!(selector.label.as_deref(), Some("My token;é"));
        assert_eq!(selector.serial.as_deref(), Some("0001"));
        assert_eq!(selector.manufacturer.as_deref(), Some("a"));
        assert_eq!(selector.model.as_deref(), Some("b"));
    }

    #[test]
    fn a_key_is_named_by_id_object_and_type_and_reads_the_same_written_again() {
        let text = "pkcs11:token=My%20token;id=%01%ff;object=a%3bb;type=private";
        let (token, name) = parse_key(text).unwrap();
        assert_eq!(token.label.as_deref(), Some("My token"));
        let expected = KeyName {
            label: Some(b"a;b".to_vec()),
            id: Some(vec![1, 0xff]),
            class: Some(ObjectClass::PRIVATE_KEY),
        };
        assert_eq!(name, expected);
        assert_eq!(name.uri(), "pkcs11:id=%01%FF;object=a%3Bb;type=private");
        assert_eq!(parse_key(&name.uri()), Ok((TokenSelector::default(), name)));
    }

    #[test]
    fn what_does_not_name_a_key_is_refused_and_no_pin_is_repeated() {
        for (text, said) in [
            ("", "write a PKCS#11 URI"),
            ("label:a", "write a PKCS#11 URI"),
            ("pkcs11:", "name the key"),
            ("pkcs11:token=a;type=private", "name the key"),
            ("pkcs11:object=", "empty value"),
            ("pkcs11:object=a;object=b", "twice"),
            ("pkcs11:id=%01;type=cert", "`type` must be"),
            ("pkcs11:id=%01;type=", "`type` must be"),
            ("pkcs11:id=%0", "two hexadecimal digits"),
            ("pkcs11:object=a?pin-value=1234", "`pin-value` is not taken"),
            ("pkcs11:object=a;pin-value=1234", "`pin-value` is not taken"),
            ("pkcs11:object=a?pin-source=1234", "`pin-source` is not taken"),
            ("pkcs11:object=a?module-path=/1234.so", "`module-path` is not taken"),
            ("pkcs11:object=a;slot-id=1234", "slots change"),
            ("pkcs11:object=a;x-vendor=1234", "unknown attribute `x-vendor`"),
        ] {
            let error = parse_key(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
            assert!(!error.contains("1234"), "{error}");
        }
    }

    #[test]
    fn what_does_not_name_a_token_is_refused_with_its_own_place() {
        for (text, said) in [
            ("slot-id=0", "slots change"),
            ("token=a;slot-id=0", "slots change"),
            ("token=a?pin-value=1234", "`pin`"),
            ("token=a;pin-value=1234", "`pin`"),
            ("token=a?pin-source=file:/x", "`pin`"),
            ("token=a?module-path=/x.so", "`module`"),
            ("token=a?module-name=x", "`module`"),
            ("token=a;object=k", "names an object"),
            ("token=a;x-vendor=1", "unknown attribute `x-vendor`"),
            ("Token=a", "unknown attribute `Token`"),
            ("token=a;token=b", "twice"),
            ("token=%zz", "two hexadecimal digits"),
            ("token=%4", "two hexadecimal digits"),
            ("token=%ff", "UTF-8"),
            ("12 34", "malformed"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
            assert!(!error.contains("1234"), "{error}");
        }
    }
}
