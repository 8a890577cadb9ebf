//! The part of a PKCS#11 URI (RFC 7512 §2.3) that names a token.
//!
//! What would name a slot, a module, an object or a PIN is refused and not
//! ignored: each has its own place in the configuration, or none. No message
//! repeats a value, because one may be a PIN.

use percent_encoding::percent_decode_str;

use crate::TokenSelector;

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
    let malformed = value.split('%').skip(1).any(|escape| {
        !matches!(escape.as_bytes(), [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
    });
    if malformed {
        return Err(format!("`{name}` holds a `%` without two hexadecimal digits"));
    }
    percent_decode_str(value)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| format!("`{name}` is not UTF-8"))
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
