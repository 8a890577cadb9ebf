//! The names in a certificate request.

use std::{net::IpAddr, str::FromStr};

use x509_cert::{
    der::{
        Tag, Tagged as _,
        asn1::{Ia5String, Ia5StringRef, ObjectIdentifier, PrintableStringRef, Utf8StringRef},
    },
    ext::pkix::name::GeneralName,
    name::Name,
};

use crate::keys::Limits;

/// The distinguished name of whom a certificate is for.
#[derive(Clone, Debug, Default)]
pub struct DistinguishedName(pub(super) Name);

/// Another name of it.
#[derive(Clone, Debug)]
pub struct AlternativeName(pub(super) GeneralName);

/// A name that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadName(&'static str);

impl DistinguishedName {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for DistinguishedName {
    type Err = BadName;

    /// From the string form of RFC 4514; the empty string is the empty name.
    fn from_str(text: &str) -> Result<Self, BadName> {
        const FORM: BadName =
            BadName("must be a name of RFC 4514, such as `CN=www.example.com,O=Example,C=DE`");
        if text.is_empty() {
            return Ok(Self::default());
        }
        // A line end or a zero byte has deceived readers of certificates before.
        if text.chars().any(char::is_control) {
            return Err(BadName("must not hold control characters"));
        }
        let name = Name::from_str(text).map_err(|_| FORM)?;
        for attribute in name.iter() {
            let value = &attribute.value;
            let text = match value.tag() {
                Tag::Utf8String => Utf8StringRef::try_from(value).map(|text| text.as_str()),
                Tag::PrintableString => PrintableStringRef::try_from(value).map(|text| text.as_str()),
                Tag::Ia5String => Ia5StringRef::try_from(value).map(|text| text.as_str()),
                _ => return Err(BadName("every value must be a string")),
            };
            let text = text.map_err(|_| BadName("a value has characters that its attribute cannot have"))?;
            if text.is_empty() || text.chars().any(char::is_control) {
                return Err(BadName("no value may be empty or hold control characters"));
            }
            let is_country = attribute.oid == COUNTRY;
            if is_country && !(text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic())) {
                return Err(BadName("a country is two letters (ISO 3166)"));
            }
        }
        Ok(Self(name))
    }
}

/// countryName, RFC 5280 §A.1.
const COUNTRY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.6");

impl AlternativeName {
    /// A host name of RFC 1034 §3.5, its first label perhaps `*`.
    ///
    /// # Errors
    /// When it is none.
    pub fn dns(text: &str) -> Result<Self, BadName> {
        const FORM: BadName = BadName("must be a host name, such as `www.example.com` or `*.example.com`");
        const LABEL_BYTES: usize = 63;
        const NAME_BYTES: usize = 253;
        let host = text.strip_prefix("*.").unwrap_or(text);
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let label = |label: &str| {
            (1..=LABEL_BYTES).contains(&label.len())
                && label.bytes().all(inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // An address is no host name, however much it looks like one.
        if text.len() > NAME_BYTES || !host.split('.').all(label) || host.parse::<IpAddr>().is_ok() {
            return Err(FORM);
        }
        ia5(text).map(GeneralName::DnsName).map(Self).ok_or(FORM)
    }

    /// An address of IPv4 or IPv6.
    ///
    /// # Errors
    /// When it is none.
    pub fn ip(text: &str) -> Result<Self, BadName> {
        let address: IpAddr = text.parse().map_err(|_| BadName("must be an address of IPv4 or IPv6"))?;
        Ok(Self(GeneralName::from(address)))
    }

    /// A mailbox, RFC 5280 §4.2.1.6.
    ///
    /// # Errors
    /// When it is none.
    pub fn email(text: &str) -> Result<Self, BadName> {
        const FORM: BadName = BadName("must be an address of electronic mail in ASCII");
        let (local, host) = text.rsplit_once('@').ok_or(FORM)?;
        if local.is_empty() || local.contains('@') || !is_visible(text) || host.contains('*') {
            return Err(FORM);
        }
        Self::dns(host).map_err(|_| FORM)?;
        ia5(text).map(GeneralName::Rfc822Name).map(Self).ok_or(FORM)
    }

    /// An absolute identifier, RFC 3986.
    ///
    /// # Errors
    /// When it is none.
    pub fn uri(text: &str) -> Result<Self, BadName> {
        const FORM: BadName = BadName("must be an absolute URI, such as `spiffe://example.com/payroll`");
        let (scheme, rest) = text.split_once(':').ok_or(FORM)?;
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let named =
            scheme.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic()) && scheme.bytes().all(inner);
        if !named || rest.is_empty() || !is_visible(text) {
            return Err(FORM);
        }
        ia5(text).map(GeneralName::UniformResourceIdentifier).map(Self).ok_or(FORM)
    }
}

/// Whether it is ASCII that can be seen, without blanks and quotes.
fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte))
}

fn ia5(text: &str) -> Option<Ia5String> {
    (!text.is_empty() && text.len() <= Limits::SUBJECT_NAME_BYTES).then(|| Ia5String::new(text).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_they_are_called() {
        type Parse = fn(&str) -> Result<AlternativeName, BadName>;
        let all: [(Parse, &[&str], &[&str]); 4] = [
            (
                AlternativeName::dns,
                &["a", "www.example.com", "*.example.com", "_acme.example", "1a.example"],
                &["", ".", "a..b", "-a", "a-", "a.*.b", "*", "192.0.2.1", "a b", "ä.example", "a\n"],
            ),
            (AlternativeName::ip, &["192.0.2.1", "2001:db8::1"], &["", "192.0.2", "192.0.2.1/24", "a"]),
            (
                AlternativeName::email,
                &["a@example.com", "a.b+c@x"],
                &["", "@x", "a@", "a@b@c", "a b@x", "a@*.x"],
            ),
            (
                AlternativeName::uri,
                &["spiffe://example.com/payroll", "urn:uuid:1"],
                &["", "x", ":x", "1a:x", "a:", "a: b", "a:\u{7f}", "ä:x"],
            ),
        ];
        for (parse, good, bad) in all {
            for text in good {
                assert!(parse(text).is_ok(), "{text}");
            }
            for text in bad {
                assert!(parse(text).is_err(), "{text}");
            }
        }
    }

    #[test]
    fn a_distinguished_name_reads_as_rfc_4514_has_it() {
        for good in
            ["CN=a", "CN=www.example.com,O=Example\\, Inc.,C=DE", "UID=1+CN=x,DC=example,DC=net", "CN=Zoë"]
        {
            let name: DistinguishedName = good.parse().unwrap_or_else(|_| panic!("{good}"));
            assert_eq!(name.0.len(), good.replace("\\,", "").split(',').count(), "{good}");
        }
        assert!("".parse::<DistinguishedName>().unwrap().is_empty());
        for bad in [
            "a",
            "CN",
            "CN=",
            "=a",
            "XX=a",
            "CN=a,",
            ",CN=a",
            "C=DEU",
            "C=ü1",
            "CN=a\nb",
            "CN=a\\0ab",
            "CN=\\ff",
            "DC=ü",
            "CN=#0500",
        ] {
            assert!(bad.parse::<DistinguishedName>().is_err(), "{bad:?}");
        }
    }
}
