//! CreateCertificateSigningRequest.

use super::Service;
use crate::{
    keys::{AlternativeName, BadName, Call, Csr, DistinguishedName, Error, Limits},
    model::Reason,
    proto,
    rpc::{convert, parse::Fields},
};

impl Service {
    pub(super) async fn csr(
        &self,
        call: &Call,
        request: &proto::CreateCertificateSigningRequestRequest,
    ) -> Result<proto::CreateCertificateSigningRequestResponse, Error> {
        let mut fields = Fields::default();
        let key = fields.required_key_id("key_id", &request.key_id);
        let subject = subject(&mut fields, &request.subject);
        let names = names(&mut fields, request);
        if request.subject.is_empty() && names.as_ref().is_some_and(Vec::is_empty) {
            fields.fail("subject", Reason::FieldRequired, "a name, or a subject alternative name");
        }
        let algorithm = fields.algorithm("algorithm", request.algorithm);
        let parsed = (|| {
            Some(Csr {
                key: key?,
                version: request.version,
                subject: subject?,
                names: names?,
                algorithm: algorithm?,
            })
        })();
        let made = self.keyring.certificate_request(call, fields.finish(parsed)?).await?;
        Ok(proto::CreateCertificateSigningRequestResponse {
            pem: made.pem,
            der: made.der,
            key_id: made.key.id.to_string(),
            version: made.version,
            algorithm: convert::algorithm(made.algorithm).into(),
        })
    }
}

fn subject(fields: &mut Fields, text: &str) -> Option<DistinguishedName> {
    if text.len() > Limits::SUBJECT_BYTES {
        fields.at_most("subject", text.len(), Limits::SUBJECT_BYTES);
        return None;
    }
    text.parse()
        .map_err(|error: BadName| fields.fail("subject", Reason::FieldInvalid, error.to_string()))
        .ok()
}

fn names(
    fields: &mut Fields,
    request: &proto::CreateCertificateSigningRequestRequest,
) -> Option<Vec<AlternativeName>> {
    type Kind<'a> = (&'a str, &'a [String], fn(&str) -> Result<AlternativeName, BadName>);
    let kinds: [Kind<'_>; 4] = [
        ("dns_names", &request.dns_names, AlternativeName::dns),
        ("ip_addresses", &request.ip_addresses, AlternativeName::ip),
        ("email_addresses", &request.email_addresses, AlternativeName::email),
        ("uris", &request.uris, AlternativeName::uri),
    ];
    let count: usize = kinds.iter().map(|(_, texts, _)| texts.len()).sum();
    if count > Limits::SUBJECT_NAMES {
        let why = format!("{count} names of all kinds are more than the limit of {}", Limits::SUBJECT_NAMES);
        fields.fail("dns_names", Reason::FieldInvalid, why);
        return None;
    }
    let mut names = Vec::new();
    for (field, texts, parse) in kinds {
        for (at, text) in texts.iter().enumerate() {
            match parse(text) {
                Ok(name) => names.push(name),
                Err(error) => {
                    fields.fail(&format!("{field}[{at}]"), Reason::FieldInvalid, error.to_string());
                }
            }
        }
    }
    Some(names)
}
