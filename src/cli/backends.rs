//! `skms backends`: what the gateway can put keys into, and whether it answers.

use super::{
    Context, Error, Exit,
    json::BackendView,
    names::{name, name_if_set},
    text,
};
use crate::proto::{
    Backend, BackendAvailability, EncryptionAlgorithm, KeyTypeSupport, ProtectionLevel, SignatureAlgorithm,
};

/// List the backends, or show one
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The backend to show
    name: Option<String>,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let client = context.connect().await?;
    match args.name {
        Some(name) => {
            let backend = client.get_backend(&name).await?;
            if context.is_json() {
                context.terminal.print_json(&BackendView::from(backend))?;
            } else {
                context.terminal.print(details(&backend))?;
            }
        }
        None => {
            let backends = client.list_backends().await?;
            if context.is_json() {
                let views: Vec<_> = backends.into_iter().map(BackendView::from).collect();
                context.terminal.print_json(&views)?;
            } else {
                context.terminal.print(table(backends))?;
            }
        }
    }
    Ok(Exit::Success)
}

fn table(backends: Vec<Backend>) -> String {
    let header = ["NAME", "KIND", "PROTECTION", "AVAILABILITY", "TOKEN", "SESSIONS", "KEY TYPES"];
    text::table(
        header,
        backends.into_iter().map(|backend| {
            let identity = backend.identity.clone().unwrap_or_default();
            let key_types: Vec<_> =
                backend.key_types.iter().map(|offered| offered.key_type.as_str()).collect();
            [
                backend.name.clone(),
                identity.kind,
                name_if_set::<ProtectionLevel>(backend.protection_level),
                name::<BackendAvailability>(backend.availability),
                identity.label,
                sessions(&backend),
                key_types.join(" "),
            ]
        }),
    )
}

/// How many contexts work, of how many.
fn sessions(backend: &Backend) -> String {
    let Some(pool) = &backend.pool else { return String::new() };
    let more = |count: u32, what| if count == 0 { String::new() } else { format!(", {count} {what}") };
    let (failed, hung) = (more(pool.failed, "failed"), more(pool.quarantined, "hung"));
    format!("{}/{} busy{failed}{hung}", pool.busy, pool.contexts)
}

fn details(backend: &Backend) -> String {
    let identity = backend.identity.clone().unwrap_or_default();
    let probe = backend.probe_duration.and_then(|duration| std::time::Duration::try_from(duration).ok());
    let queue = backend.pool.as_ref().map(|pool| format!("{} of {}", pool.queued, pool.queue_capacity));
    let about = text::details([
        ("NAME", backend.name.clone()),
        ("KIND", identity.kind),
        ("PROTECTION", name_if_set::<ProtectionLevel>(backend.protection_level)),
        ("AVAILABILITY", name::<BackendAvailability>(backend.availability)),
        ("PROBED", text::time(backend.probe_time.as_ref())),
        ("PROBE TOOK", probe.map(|took| humantime::format_duration(took).to_string()).unwrap_or_default()),
        ("MANUFACTURER", identity.manufacturer),
        ("MODEL", identity.model),
        ("SERIAL", identity.serial),
        ("TOKEN", identity.label),
        ("FIRMWARE", identity.firmware),
        ("LIBRARY", identity.library),
        ("SESSIONS", sessions(backend)),
        ("QUEUED", queue.unwrap_or_default()),
    ]);
    let offered = text::table(["KEY TYPE", "ALGORITHMS"], backend.key_types.iter().map(offer));
    format!("{about}\n{offered}")
}

fn offer(offered: &KeyTypeSupport) -> [String; 2] {
    let algorithms: Vec<_> = offered
        .signature_algorithms
        .iter()
        .map(|support| {
            let name = name::<SignatureAlgorithm>(support.algorithm);
            if support.digest { name } else { format!("{name} (messages only)") }
        })
        .chain(offered.encryption_algorithms.iter().map(|number| name::<EncryptionAlgorithm>(*number)))
        .chain(offered.mac.then(|| "mac".to_owned()))
        .chain(offered.key_agreement.then(|| "key-agreement".to_owned()))
        .collect();
    [offered.key_type.clone(), algorithms.join(" ")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::fake;

    #[test]
    fn backends_in_one_line_each() {
        assert_eq!(
            table(vec![fake::backend()]),
            "NAME     KIND    PROTECTION  AVAILABILITY  TOKEN  SESSIONS                    KEY TYPES\n\
             softhsm  pkcs11  hsm         degraded      token  3/8 busy, 1 failed, 2 hung  ec-p256\n"
        );
    }

    #[test]
    fn one_backend_in_detail() {
        let text = details(&fake::backend());
        assert!(text.contains("QUEUED        0 of 64\n"), "{text}");
        assert!(text.ends_with("KEY TYPE  ALGORITHMS\nec-p256   ecdsa-p256-sha256\n"), "{text}");
    }
}
