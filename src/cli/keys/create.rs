//! `skms keys create`.

use uuid::Uuid;

use super::show;
use crate::{
    cli::{
        Context, Error, Exit,
        files::Place,
        labels::{Label, by_name},
        names::{PROTECTION_LEVELS, PURPOSES, algorithm_parser, encryption_parser, parser},
        text::plain,
        time::{Span, Time},
    },
    proto::{
        CreateKeyRequest, EncryptionAlgorithm, KeyParams, KeyPurpose, KeyResponse, ProtectionLevel,
        SignatureAlgorithm,
    },
};

/// Make a key
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// What kind of key: rsa-2048, rsa-3072, rsa-4096, ec-p256, ec-p384, ec-p521,
    /// ec-secp256k1, ed25519, x25519, aes-128, aes-256, hmac-sha256, hmac-sha384,
    /// hmac-sha512, ml-dsa-44, ml-dsa-65, ml-dsa-87
    // Not checked here: the gateway knows more names, and may be newer.
    #[arg(value_name = "TYPE")]
    key_type: String,
    /// The id of the key [default: the gateway makes one]
    #[arg(long)]
    id: Option<String>,
    /// A label, as NAME=VALUE; may be given again
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<Label>,
    /// An algorithm that the key may be used with, the default first; may be given
    /// again [default: all that fit]
    #[arg(long = "algorithm", value_name = "NAME", ignore_case = true, value_parser = algorithm_parser())]
    algorithms: Vec<SignatureAlgorithm>,
    /// What the key is for [default: what its type is usually for]
    #[arg(long, value_parser = parser::<KeyPurpose, 4>(PURPOSES))]
    purpose: Option<KeyPurpose>,
    /// An algorithm that the key may encrypt with, the default first; may be given
    /// again [default: all that fit]
    #[arg(long = "encryption-algorithm", value_name = "NAME", ignore_case = true,
          value_parser = encryption_parser())]
    encryption_algorithms: Vec<EncryptionAlgorithm>,
    /// The backend that is to hold the key [default: the gateway decides]
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// The least protection that will do
    #[arg(long, value_parser = parser::<ProtectionLevel, 3>(PROTECTION_LEVELS))]
    protection: Option<ProtectionLevel>,
    /// Another name of the key; may be given again
    #[arg(long = "alias", value_name = "NAME")]
    aliases: Vec<String>,
    /// A sentence for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The key does not sign before this time: RFC 3339, or +DURATION from now
    #[arg(long, value_name = "TIME")]
    not_before: Option<Time>,
    /// The key does not sign from this time on: RFC 3339, or +DURATION from now
    #[arg(long, value_name = "TIME")]
    expires: Option<Time>,
    /// How often each version may sign, encrypt or otherwise protect something
    /// [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 53))]
    max_operations: Option<u64>,
    /// How often the gateway rotates the key by itself, such as 90days [default: never]
    #[arg(long, value_name = "DURATION")]
    rotation_period: Option<Span>,
    /// When it does so first: RFC 3339, or +DURATION from now [default: after a period]
    #[arg(long, value_name = "TIME", requires = "rotation_period")]
    next_rotation: Option<Time>,
    /// How long a destruction can be called off, such as 7days [default: 30days]
    #[arg(long, value_name = "DURATION")]
    destroy_after: Option<Span>,
    /// A UUID under which the command can be repeated without making a second key
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
    /// Only find out whether the key could be made
    #[arg(long)]
    validate_only: bool,
    /// Write the public key (PEM) to a file; `-` is stdout, in place of the summary
    #[arg(long, value_name = "FILE", conflicts_with = "validate_only")]
    public_key_out: Option<Place>,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let request = request(&args)?;
    args.check(context)?;
    let key = context.connect().await?.create_key(request).await?;
    tell(&args, key, context)
}

impl Args {
    /// An argument that was given and makes no sense for more than one key.
    pub(super) const fn for_one_key(&self) -> Option<&'static str> {
        match self {
            Self { id: Some(_), .. } => Some("--id"),
            Self { aliases, .. } if !aliases.is_empty() => Some("--alias"),
            Self { request_id: Some(_), .. } => Some("--request-id"),
            Self { public_key_out: Some(_), .. } => Some("--public-key-out"),
            _ => None,
        }
    }

    /// Refuses what cannot be told.
    pub(super) fn check(&self, context: &Context<'_>) -> Result<(), Error> {
        if self.public_key_out == Some(Place::Standard) && context.is_json() {
            let why = "the JSON and the public key cannot both go to stdout; name a file for one of them";
            return Err(Error::Usage(why.into()));
        }
        Ok(())
    }
}

/// Shows the key that was made.
pub(super) fn tell(args: &Args, key: KeyResponse, context: &mut Context<'_>) -> Result<Exit, Error> {
    let only_public_key = args.public_key_out == Some(Place::Standard);
    if args.validate_only {
        context.terminal.remark("the key could be made; nothing was made\n");
    }
    let id = plain(&key.id);
    if let Some(place) = &args.public_key_out {
        place.write(show::pem(&key.public_key).as_bytes(), context.terminal).inspect_err(|_| {
            // Else the user would make another one.
            context.terminal.remark(&format!("the key `{id}` was made: skms keys get {id} --public-key\n"));
        })?;
    }
    if only_public_key {
        context.terminal.remark(&format!("made `{id}`\n"));
    } else {
        show::print(key, context)?;
    }
    Ok(Exit::Success)
}

pub(super) fn request(args: &Args) -> Result<CreateKeyRequest, Error> {
    Ok(CreateKeyRequest {
        key_type: args.key_type.clone(),
        metadata: by_name(&args.labels)?,
        params: Some(KeyParams {
            purpose: args.purpose.unwrap_or_default().into(),
            encryption_algorithms: args.encryption_algorithms.iter().map(|name| (*name).into()).collect(),
            signature_algorithms: args.algorithms.iter().map(|algorithm| (*algorithm).into()).collect(),
            protection_level: args.protection.unwrap_or_default().into(),
            backend: args.backend.clone().unwrap_or_default(),
            not_before_time: args.not_before.map(|time| time.0),
            expire_time: args.expires.map(|time| time.0),
            max_operations_per_version: args.max_operations.unwrap_or_default(),
            rotation_period: args.rotation_period.map(|span| span.0),
            next_rotation_time: args.next_rotation.map(|time| time.0),
            destroy_scheduled_duration: args.destroy_after.map(|span| span.0),
            aliases: args.aliases.clone(),
            description: args.description.clone().unwrap_or_default(),
            ..Default::default()
        }),
        key_id: args.id.clone().unwrap_or_default(),
        request_id: args.request_id.map(|id| id.to_string()).unwrap_or_default(),
        validate_only: args.validate_only,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use prost_types::Timestamp;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &[&str]) -> Result<CreateKeyRequest, String> {
        let line = Line::try_parse_from([&["create"], line].concat()).map_err(|error| error.to_string())?;
        request(&line.args).map_err(|error| error.to_string())
    }

    #[test]
    fn every_argument_arrives_in_the_request() {
        let made = parse(&[
            "ec-p256",
            "--id=payroll",
            "--label=env=prod",
            "--label=formula=a=b",
            "--algorithm=ES256",
            "--purpose=key-agreement",
            "--encryption-algorithm=rsa-oaep-sha512",
            "--encryption-algorithm=RSA-OAEP-SHA256",
            "--backend=softhsm",
            "--protection=hsm",
            "--alias=a",
            "--alias=b",
            "--description=for wages",
            "--not-before=2026-01-01T00:00:00Z",
            "--expires=2027-01-01T01:00:00+01:00",
            "--max-operations=1000",
            "--rotation-period=90days",
            "--next-rotation=2026-02-01T00:00:00Z",
            "--destroy-after=7days",
            "--request-id=7b0b0f6e-58f5-4d53-9d0b-6d1f6f1f0a0a",
            "--validate-only",
        ]);
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = CreateKeyRequest {
            key_type: "ec-p256".into(),
            metadata: [label("env", "prod"), label("formula", "a=b")].into(),
            params: Some(KeyParams {
                purpose: KeyPurpose::KeyAgreement.into(),
                signature_algorithms: vec![SignatureAlgorithm::EcdsaP256Sha256.into()],
                encryption_algorithms: vec![
                    EncryptionAlgorithm::RsaOaepSha512.into(),
                    EncryptionAlgorithm::RsaOaepSha256.into(),
                ],
                protection_level: ProtectionLevel::Hsm.into(),
                backend: "softhsm".into(),
                aliases: vec!["a".into(), "b".into()],
                description: "for wages".into(),
                not_before_time: Some(Timestamp { seconds: 1_767_225_600, nanos: 0 }),
                expire_time: Some(Timestamp { seconds: 1_798_761_600, nanos: 0 }),
                max_operations_per_version: 1000,
                rotation_period: Some(prost_types::Duration { seconds: 90 * 86_400, nanos: 0 }),
                next_rotation_time: Some(Timestamp { seconds: 1_769_904_000, nanos: 0 }),
                destroy_scheduled_duration: Some(prost_types::Duration { seconds: 7 * 86_400, nanos: 0 }),
                ..Default::default()
            }),
            key_id: "payroll".into(),
            request_id: "7b0b0f6e-58f5-4d53-9d0b-6d1f6f1f0a0a".into(),
            validate_only: true,
        };
        assert_eq!(made, Ok(expected));
    }

    #[test]
    fn wrong_arguments_are_refused_before_the_call() {
        for (argument, part) in [
            ("--label=env", "a label is NAME=VALUE"),
            ("--label==x", "a label needs a name"),
            ("--algorithm=md5", "ecdsa-p256-sha256"),
            ("--encryption-algorithm=rot13", "aes-256-gcm"),
            ("--purpose=wrap", "encrypt-decrypt"),
            ("--protection=vault", "software, tpm, hsm"),
            ("--expires=tomorrow", "a time is"),
            ("--expires=+tomorrow", "+tomorrow"),
            ("--request-id=1", "UUID"),
            ("--max-operations=0", "1..="),
        ] {
            let error = parse(&["ec-p256", argument]).unwrap_err();
            assert!(error.contains(part), "{argument}: {error}");
        }
        assert_eq!(
            parse(&["ec-p256", "--label=a=1", "--label=a=2"]),
            Err("the label `a` is given twice".into())
        );
    }
}
