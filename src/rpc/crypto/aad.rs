//! What is authenticated beside a plaintext, as requests have it.

use bytes::Bytes;

use crate::{
    keys::{Aad, Limits},
    model::Reason,
    proto,
    rpc::parse::Fields,
};

/// The two forms of it.
pub(super) enum Given {
    Nothing,
    Bytes(Bytes),
    Context(proto::EncryptionContext),
}

/// The names of the fields that hold it.
#[derive(Clone, Copy)]
pub(super) struct Names {
    pub(super) bytes: &'static str,
    pub(super) context: &'static str,
}

pub(super) const NAMES: Names = Names { bytes: "additional_authenticated_data", context: "context" };

macro_rules! given {
    ($($module:ident::$field:ident: $bytes:ident, $context:ident;)+) => {$(
        impl From<Option<proto::$module::$field>> for Given {
            fn from(field: Option<proto::$module::$field>) -> Self {
                match field {
                    None => Self::Nothing,
                    Some(proto::$module::$field::$bytes(bytes)) => Self::Bytes(bytes),
                    Some(proto::$module::$field::$context(context)) => Self::Context(context),
                }
            }
        }
    )+};
}

given! {
    encrypt_request::Aad: AdditionalAuthenticatedData, Context;
    decrypt_request::Aad: AdditionalAuthenticatedData, Context;
    generate_data_key_request::Aad: AdditionalAuthenticatedData, Context;
    re_encrypt_request::SourceAad: SourceAdditionalAuthenticatedData, SourceContext;
    re_encrypt_request::DestinationAad: DestinationAdditionalAuthenticatedData, DestinationContext;
}

impl Given {
    /// Checked. No bytes and no names are the same as nothing.
    pub(super) fn parse(self, fields: &mut Fields, names: Names) -> Aad {
        match self {
            Self::Nothing => Aad::None,
            Self::Bytes(bytes) if bytes.is_empty() => Aad::None,
            Self::Bytes(bytes) => {
                fields.at_most(names.bytes, bytes.len(), Limits::AAD_BYTES);
                Aad::Bytes(bytes)
            }
            Self::Context(context) if context.entries.is_empty() => Aad::None,
            Self::Context(context) => {
                check(fields, names.context, &context);
                Aad::Context(context.entries)
            }
        }
    }

    /// The same, with the checksum of the bytes.
    pub(super) fn with_checksum(self, fields: &mut Fields, sent: Option<u32>) -> Aad {
        match &self {
            Self::Context(_) if sent.is_some() => {
                let why = "it is the checksum of `additional_authenticated_data`";
                fields.fail("aad_crc32c", Reason::ParameterNotApplicable, why);
            }
            Self::Bytes(bytes) => fields.checksum("aad_crc32c", sent, bytes),
            Self::Nothing | Self::Context(_) => fields.checksum("aad_crc32c", sent, b""),
        }
        self.parse(fields, NAMES)
    }
}

fn check(fields: &mut Fields, field: &str, context: &proto::EncryptionContext) {
    let entries = &context.entries;
    if entries.len() > Limits::CONTEXT_ENTRIES {
        let why = format!("{} names are more than the limit of {}", entries.len(), Limits::CONTEXT_ENTRIES);
        fields.fail(field, Reason::FieldInvalid, why);
        return;
    }
    let mut bytes = 0;
    for (name, value) in entries {
        bytes += name.len() + value.len();
        // The names stand in the audit log, so they are short and in plain letters.
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte));
        if !plain || !(1..=Limits::CONTEXT_NAME_BYTES).contains(&name.len()) {
            let why = format!("a name is 1 to {} of `[A-Za-z0-9._:/-]`", Limits::CONTEXT_NAME_BYTES);
            fields.fail(field, Reason::FieldInvalid, why);
        }
        if value.len() > Limits::CONTEXT_VALUE_BYTES {
            let why = format!("a value has at most {} bytes", Limits::CONTEXT_VALUE_BYTES);
            fields.fail(field, Reason::FieldInvalid, why);
        }
    }
    fields.at_most(field, bytes, Limits::AAD_BYTES);
}
