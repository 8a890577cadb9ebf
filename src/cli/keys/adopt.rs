//! `skms keys adopt`.

use serde::Serialize;
use uuid::Uuid;

use super::show;
use crate::{
    cli::{
        Context, Error, Exit,
        json::KeyView,
        labels::{Label, by_name},
        names::{PURPOSES, algorithm_parser, encryption_parser, parser},
        text,
        time::Span,
    },
    proto::{
        AdoptKeyRequest, AdoptKeyResponse, Custody, EncryptionAlgorithm, KeyParams, KeyPurpose,
        SignatureAlgorithm,
    },
};

/// Take over a key that is in a token already; it stays there
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Which key, as a PKCS#11 URI with `id` or `object` or both, such as
    /// 'pkcs11:object=payroll;type=private'; never with a PIN
    #[arg(value_name = "URI")]
    uri: String,
    /// The backend that holds it [default: the only one that could]
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// The id of the key [default: the gateway makes one]
    #[arg(long)]
    id: Option<String>,
    /// A label, as NAME=VALUE; may be given again
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<Label>,
    /// What the key is for [default: what its type is usually for, or all that it may do]
    #[arg(long, value_parser = parser::<KeyPurpose, 4>(PURPOSES))]
    purpose: Option<KeyPurpose>,
    /// An algorithm that the key may be used with, the default first; may be given
    /// again [default: all that it may be used with]
    #[arg(long = "algorithm", value_name = "NAME", ignore_case = true, value_parser = algorithm_parser())]
    algorithms: Vec<SignatureAlgorithm>,
    /// An algorithm that the key may encrypt with, the default first; may be given
    /// again [default: all that it may be used with]
    #[arg(long = "encryption-algorithm", value_name = "NAME", ignore_case = true,
          value_parser = encryption_parser())]
    encryption_algorithms: Vec<EncryptionAlgorithm>,
    /// Another name of the key; may be given again
    #[arg(long = "alias", value_name = "NAME")]
    aliases: Vec<String>,
    /// A sentence for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// How long a destruction can be called off, such as 7days [default: 30days]
    #[arg(long, value_name = "DURATION")]
    destroy_after: Option<Span>,
    /// A UUID under which the command can be repeated
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
    /// Only find out whether the key could be taken over, and how it is kept
    #[arg(long)]
    validate_only: bool,
}

/// A key that was taken over.
#[derive(Serialize)]
struct AdoptedView {
    key: KeyView,
    custody: Option<CustodyView>,
}

/// How a device keeps a key; `null` is what it does not say.
#[derive(Serialize)]
struct CustodyView {
    sensitive: Option<bool>,
    extractable: Option<bool>,
    always_sensitive: Option<bool>,
    never_extractable: Option<bool>,
    local: Option<bool>,
    modifiable: Option<bool>,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let request = request(&args)?;
    let AdoptKeyResponse { key, custody } = context.connect().await?.adopt_key(request).await?;
    let key = key.unwrap_or_default();
    if args.validate_only {
        context.terminal.remark("the key could be taken over; nothing was done\n");
    }
    for warning in custody.iter().flat_map(warnings) {
        context.terminal.remark(&format!("warning: {warning}\n"));
    }
    if context.is_json() {
        let view = AdoptedView { key: key.into(), custody: custody.map(Into::into) };
        context.terminal.print_json(&view)?;
    } else {
        show::print(key, context)?;
        if let Some(custody) = custody {
            context.terminal.print(format!("\n{}", report(custody)))?;
        }
    }
    Ok(Exit::Success)
}

fn request(args: &Args) -> Result<AdoptKeyRequest, Error> {
    // Nor is it sent anywhere.
    if args.uri.contains("pin-value") || args.uri.contains("pin-source") {
        let why = "the URI names a PIN; leave it out, and change it if it was one: the shell may keep what is typed";
        return Err(Error::Usage(why.into()));
    }
    Ok(AdoptKeyRequest {
        pkcs11_uri: args.uri.clone(),
        backend: args.backend.clone().unwrap_or_default(),
        key_id: args.id.clone().unwrap_or_default(),
        metadata: by_name(&args.labels)?,
        params: Some(KeyParams {
            purpose: args.purpose.unwrap_or_default().into(),
            signature_algorithms: args.algorithms.iter().map(|name| (*name).into()).collect(),
            encryption_algorithms: args.encryption_algorithms.iter().map(|name| (*name).into()).collect(),
            destroy_scheduled_duration: args.destroy_after.map(|span| span.0),
            aliases: args.aliases.clone(),
            description: args.description.clone().unwrap_or_default(),
            ..Default::default()
        }),
        request_id: args.request_id.map(|id| id.to_string()).unwrap_or_default(),
        validate_only: args.validate_only,
    })
}

/// What is worse about the key than about one that was made here.
fn warnings(custody: &Custody) -> impl Iterator<Item = &'static str> {
    [
        (custody.sensitive != Some(true), "the key is not sensitive: who has the PIN can read it"),
        (custody.extractable != Some(false), "the key is extractable: it can leave the token"),
        (
            custody.always_sensitive == Some(false),
            "the key was not always sensitive: others may have read it",
        ),
        (custody.never_extractable == Some(false), "the key was once extractable: others may have it"),
    ]
    .into_iter()
    .filter_map(|(is_so, warning)| is_so.then_some(warning))
}

fn report(custody: Custody) -> String {
    let said = |said: Option<bool>| match said {
        Some(true) => "yes".to_owned(),
        Some(false) => "no".to_owned(),
        None => "not said".to_owned(),
    };
    text::details([
        ("SENSITIVE", said(custody.sensitive)),
        ("EXTRACTABLE", said(custody.extractable)),
        ("ALWAYS SENSITIVE", said(custody.always_sensitive)),
        ("NEVER EXTRACTABLE", said(custody.never_extractable)),
        ("MADE BY THE TOKEN", said(custody.local)),
        ("MODIFIABLE", said(custody.modifiable)),
    ])
}

impl From<Custody> for CustodyView {
    fn from(custody: Custody) -> Self {
        let Custody { sensitive, extractable, always_sensitive, never_extractable, local, modifiable } =
            custody;
        Self { sensitive, extractable, always_sensitive, never_extractable, local, modifiable }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &[&str]) -> Result<AdoptKeyRequest, String> {
        let line = Line::try_parse_from([&["adopt"], line].concat()).map_err(|error| error.to_string())?;
        request(&line.args).map_err(|error| error.to_string())
    }

    #[test]
    fn every_argument_arrives_in_the_request() {
        let made = parse(&[
            "pkcs11:id=%01",
            "--backend=hsm",
            "--id=payroll",
            "--label=env=prod",
            "--purpose=encrypt-decrypt",
            "--algorithm=ES256",
            "--encryption-algorithm=rsa-oaep-sha1",
            "--alias=a",
            "--description=for wages",
            "--destroy-after=7days",
            "--request-id=7b0b0f6e-58f5-4d53-9d0b-6d1f6f1f0a0a",
            "--validate-only",
        ]);
        let expected = AdoptKeyRequest {
            pkcs11_uri: "pkcs11:id=%01".into(),
            backend: "hsm".into(),
            key_id: "payroll".into(),
            metadata: [("env".to_owned(), "prod".to_owned())].into(),
            params: Some(KeyParams {
                purpose: KeyPurpose::EncryptDecrypt.into(),
                signature_algorithms: vec![SignatureAlgorithm::EcdsaP256Sha256.into()],
                encryption_algorithms: vec![EncryptionAlgorithm::RsaOaepSha1.into()],
                destroy_scheduled_duration: Some(prost_types::Duration { seconds: 7 * 86_400, nanos: 0 }),
                aliases: vec!["a".into()],
                description: "for wages".into(),
                ..Default::default()
            }),
            request_id: "7b0b0f6e-58f5-4d53-9d0b-6d1f6f1f0a0a".into(),
            validate_only: true,
        };
        assert_eq!(made, Ok(expected));
    }

    #[test]
    fn a_pin_is_neither_sent_nor_repeated() {
        for uri in ["pkcs11:id=%01?pin-value=4711", "pkcs11:id=%01;pin-source=4711"] {
            let error = parse(&[uri]).unwrap_err();
            assert!(error.contains("names a PIN") && !error.contains("4711"), "{error}");
        }
    }

    #[test]
    fn only_a_key_that_never_was_in_reach_has_no_warning() {
        let mut custody = Custody {
            sensitive: Some(true),
            extractable: Some(false),
            always_sensitive: Some(true),
            never_extractable: Some(true),
            local: Some(true),
            modifiable: None,
        };
        assert_eq!(warnings(&custody).count(), 0);
        assert!(report(custody).ends_with("MODIFIABLE         not said\n"), "{}", report(custody));
        custody.extractable = None;
        custody.always_sensitive = Some(false);
        assert_eq!(warnings(&custody).count(), 2);
        assert_eq!(warnings(&Custody::default()).count(), 2);
    }
}
