//! One key, or many, as a table.

use crate::{
    cli::{
        Context, Error,
        json::KeyView,
        names::{name, name_if_set},
        text,
    },
    proto::{
        BackendAvailability, KeyMetadata, KeyOrigin, KeyResponse, KeyState, KeyVersion, ProtectionLevel,
        SignatureAlgorithm,
    },
};

/// Prints one key.
pub(super) fn print(key: KeyResponse, context: &mut Context<'_>) -> Result<(), Error> {
    if context.is_json() {
        context.terminal.print_json(&KeyView::from(key))
    } else {
        context.terminal.print(details(key))
    }
}

/// One key a line.
pub(super) fn table(keys: Vec<KeyResponse>) -> String {
    let header = ["ID", "TYPE", "STATE", "VERSION", "BACKEND", "PROTECTION", "CREATED", "LABELS"];
    text::table(
        header,
        keys.into_iter().map(|key| {
            let metadata = key.metadata.unwrap_or_default();
            let params = metadata.params.clone().unwrap_or_default();
            [
                key.id,
                metadata.key_type.clone(),
                name::<KeyState>(metadata.state),
                version(&metadata),
                params.backend,
                name_if_set::<ProtectionLevel>(params.protection_level),
                text::time(metadata.create_time.as_ref()),
                text::pairs(&metadata.labels),
            ]
        }),
    )
}

fn version(metadata: &KeyMetadata) -> String {
    let (primary, latest) = (metadata.primary_version, metadata.latest_version);
    if primary == latest { primary.to_string() } else { format!("{primary} (newest {latest})") }
}

fn details(key: KeyResponse) -> String {
    let metadata = key.metadata.unwrap_or_default();
    let params = metadata.params.clone().unwrap_or_default();
    let algorithms: Vec<_> =
        params.signature_algorithms.iter().map(|algorithm| name::<SignatureAlgorithm>(*algorithm)).collect();
    let most = match params.max_operations_per_version {
        0 => String::new(),
        most => format!("{most} of each version"),
    };
    let mut text = text::details([
        ("ID", key.id),
        ("TYPE", metadata.key_type.clone()),
        ("STATE", name::<KeyState>(metadata.state)),
        ("VERSION", version(&metadata)),
        ("BACKEND", params.backend),
        ("PROTECTION", name_if_set::<ProtectionLevel>(params.protection_level)),
        ("AVAILABILITY", name_if_set::<BackendAvailability>(metadata.availability)),
        ("ALGORITHMS", algorithms.join(", ")),
        ("OPERATIONS", metadata.allowed_operations.join(", ")),
        ("DESCRIPTION", params.description),
        ("LABELS", text::pairs(&metadata.labels)),
        ("ALIASES", params.aliases.join(", ")),
        ("OWNER", metadata.owner),
        ("TENANT", metadata.tenant),
        ("CREATED", text::time(metadata.create_time.as_ref())),
        ("UPDATED", text::time(metadata.update_time.as_ref())),
        ("NOT BEFORE", text::time(params.not_before_time.as_ref())),
        ("EXPIRES", text::time(params.expire_time.as_ref())),
        ("AT MOST", most),
        ("ROTATED NEXT", text::time(params.next_rotation_time.as_ref())),
        ("DESTROYED AT", text::time(metadata.destroy_time.as_ref())),
        ("ETAG", metadata.etag),
        ("KEY SHA-256", hex::encode(&metadata.public_key_sha256)),
    ]);
    if !metadata.versions.is_empty() {
        text += "\n";
        text += &versions(metadata.versions);
    }
    if !key.public_key.is_empty() {
        text += "\n";
        text += &pem(&key.public_key);
    }
    text
}

/// One version a line.
pub(super) fn versions(versions: Vec<KeyVersion>) -> String {
    let header = ["VERSION", "STATE", "BACKEND", "PROTECTION", "ORIGIN", "CREATED", "REMARK"];
    text::table(
        header,
        versions.into_iter().map(|version| {
            [
                version.version.to_string(),
                name::<KeyState>(version.state),
                version.backend,
                name_if_set::<ProtectionLevel>(version.protection_level),
                name_if_set::<KeyOrigin>(version.origin),
                text::time(version.create_time.as_ref()),
                remark(version.failure_reason, version.operation_count, version.operation_limit),
            ]
        }),
    )
}

fn remark(failure: String, count: u64, limit: u64) -> String {
    match limit {
        0 => failure,
        _ if !failure.is_empty() => failure,
        _ => format!("{count} of {limit} operations"),
    }
}

/// A PEM document, line by line as it came, and one line end behind it.
pub(super) fn pem(document: &str) -> String {
    let lines: Vec<_> = document.trim_end().lines().map(text::plain).collect();
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::fake;

    #[test]
    fn keys_in_one_line_each() {
        assert_eq!(
            table(vec![fake::key("payroll")]),
            "ID       TYPE     STATE    VERSION       BACKEND  PROTECTION  CREATED               LABELS\n\
             payroll  ec-p256  enabled  1 (newest 2)  softhsm  hsm         2026-01-01T00:00:00Z  env=test\n"
        );
    }

    #[test]
    fn one_key_in_detail() {
        let mut key = fake::key("payroll");
        key.metadata.as_mut().unwrap().versions = vec![KeyVersion {
            version: 1,
            state: 9,
            operation_count: 7,
            operation_limit: 10,
            ..Default::default()
        }];
        let text = details(key);
        assert!(text.contains("  7 of 10 operations\n"), "{text}");
        assert!(text.starts_with("ID           payroll\nTYPE         ec-p256\n"), "{text}");
        assert!(text.contains("\n1        compromised  -"), "{text}");
        assert!(text.ends_with("\n\n-----BEGIN PUBLIC KEY-----\n"), "{text}");
        assert!(!text.contains("ALIASES"), "{text}");
    }
}
