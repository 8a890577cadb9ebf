//! `skms backup` and `skms restore`: what is told of files that are of no use, and that
//! nothing is written then.

use std::{fs, path::Path, sync::Arc};

use super::Shell;
use crate::{
    catalog::{Begun, Catalog, Expected},
    config::Config,
    model::Key,
};

const CONFIG: &str = "[catalog]\npath = 'catalog.db'\n[backends.software.soft]\nmaster_key = 'file:key'\n";

/// A place for a gateway, with a backup key.
fn place() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("skms.toml"), CONFIG).unwrap();
    for (name, digit) in [("backup.key", "01"), ("other.key", "02")] {
        let key = directory.path().join(name);
        fs::write(&key, format!("ff{}", digit.repeat(31))).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }
    directory
}

fn catalog(at: &Path) -> Catalog {
    let config = Config::load(&at.join("skms.toml"), std::iter::empty()).unwrap();
    Catalog::open(&config.catalog).unwrap()
}

/// A key that a device keeps.
fn create(catalog: &Catalog, id: &str) -> Arc<Key> {
    use skms_backend::{GeneratedKey, KeyRef, KeyTag, KeyType, Pin, PublicKey};
    let key_type = KeyType::EcP256;
    let tag = KeyTag::random().unwrap();
    let version = crate::model::Version {
        key: Some(KeyRef { tag, key_type, blob: Default::default(), pin: None }),
        ..crate::model::Version::sample(1, crate::model::State::PendingGeneration)
    };
    let key = Key { versions: vec![Arc::new(version)], primary: 0, ..Key::sample(id) };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let begun = catalog.begin_create(key, None).await.unwrap();
        assert!(matches!(begun, Begun::New(_)));
        let pin = Pin::Public(PublicKey::from_stored(key_type, vec![7; 91].into()));
        let made = GeneratedKey { pin, blob: Default::default() };
        catalog.activate(id.parse().unwrap(), tag, made, true, Expected::default()).await.unwrap()
    })
}

#[test]
fn a_backup_lists_what_devices_keep_and_comes_back() {
    let (from, to, shell) = (place(), place(), Shell::new());
    let (at, there) = (from.path().display(), to.path().display());
    let open = catalog(from.path());
    create(&open, "payroll");
    let made =
        shell.skms(&format!("backup --config {at}/skms.toml --out {at}/backup --key file:{at}/backup.key"));
    assert_eq!((made.exit, made.stderr.as_str()), (0, ""));
    let again =
        shell.skms(&format!("backup --config {at}/skms.toml --out {at}/backup --key file:{at}/backup.key"));
    assert_eq!(again.exit, 6, "{}", again.stderr);

    let inspect = format!("backup inspect {at}/backup --key file:{at}/backup.key");
    assert_eq!(shell.skms(&inspect).text(), made.text());
    let document = shell.skms(&format!("{inspect} --output json")).json();
    let version = &document["device_versions"][0];
    let public = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &[7; 91]);
    assert_eq!((&document["keys"], &document["sealed_versions"]), (&1.into(), &0.into()));
    assert_eq!((&version["key_id"], &version["version"]), (&"payroll".into(), &1.into()), "{document}");
    assert_eq!(version["public_key_sha256"], hex::encode(public.as_ref()));
    assert_eq!(document["instance_id"], open.instance().to_string());

    let restore = format!("restore --config {there}/skms.toml --in {at}/backup --key file:{at}/backup.key");
    let refused = shell.skms(&restore);
    assert_eq!(refused.exit, 1);
    for part in ["there is no audit log at", "--danger-without-audit-log"] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    let done = shell.skms(&format!("{restore} --danger-without-audit-log"));
    assert_eq!((done.exit, done.stderr.as_str()), (0, ""));
    assert_eq!(catalog(to.path()).instance(), open.instance());
    assert_eq!(shell.skms(&restore).exit, 6);
    let done = shell.skms(&format!("{restore} --replace --output json"));
    assert_eq!((done.exit, done.stderr.as_str(), &done.json()["keys"]), (0, "", &1.into()));
    let here =
        format!("restore --config {at}/skms.toml --in {at}/backup --key file:{at}/backup.key --replace");
    let refused = shell.skms(&here);
    assert!(refused.exit == 6 && refused.stderr.contains("in use by another gateway"), "{}", refused.stderr);
}

#[test]
fn whatever_is_wrong_with_a_backup_is_told_and_nothing_is_written() {
    let (from, to, shell) = (place(), place(), Shell::new());
    let (at, there) = (from.path().display(), to.path().display());
    create(&catalog(from.path()), "payroll");
    let made =
        shell.skms(&format!("backup --config {at}/skms.toml --out {at}/backup --key file:{at}/backup.key"));
    assert_eq!(made.exit, 0, "{}", made.stderr);
    let whole = fs::read(from.path().join("backup")).unwrap();
    let path = from.path().join("damaged");
    let damaged = |name: &str| {
        let mut bytes = whole.clone();
        match name {
            "cut" => bytes.truncate(whole.len() - 1),
            "flipped" => bytes[whole.len() / 2] ^= 1,
            "format" => bytes[8] = 9,
            "other" => bytes = b"PK\x03\x04 something else".to_vec(),
            _ => bytes.clear(),
        }
        fs::write(&path, bytes).unwrap();
    };
    for (name, key, why) in [
        ("cut", "backup", "its end is missing"),
        ("flipped", "backup", "it was changed"),
        ("format", "backup", "a backup in format 9"),
        ("other", "backup", "no backup of skms"),
        ("empty", "backup", "no backup of skms"),
        ("good", "other", "made with another backup key"),
    ] {
        match name {
            "good" => fs::write(&path, &whole).unwrap(),
            name => damaged(name),
        }
        for command in [
            format!("restore --config {there}/skms.toml --in {at}/damaged --key file:{at}/{key}.key"),
            format!("backup inspect {at}/damaged --key file:{at}/{key}.key"),
        ] {
            let refused = shell.skms(&command);
            assert_eq!((refused.exit, refused.text()), (1, ""), "{name}");
            assert!(refused.stderr.contains(why), "{name}: {}", refused.stderr);
        }
        assert!(!to.path().join("catalog.db").exists(), "{name}");
    }
    // Of a newer version.
    let database = rusqlite::Connection::open(from.path().join("catalog.db")).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    let refused =
        shell.skms(&format!("backup --config {at}/skms.toml --out {at}/new --key file:{at}/backup.key"));
    assert!(refused.exit == 1 && refused.stderr.contains("newer version"), "{}", refused.stderr);
    assert!(!from.path().join("new").exists());
    // A key in place of where it is, and none at all.
    let secret = "ab".repeat(32);
    for key in [secret.as_str(), "file:/nowhere"] {
        let refused = shell.skms(&format!("backup inspect {at}/backup --key {key}"));
        assert!(matches!(refused.exit, 2 | 78) && !refused.stderr.contains(&secret), "{}", refused.stderr);
    }
    assert_eq!(shell.skms("backup").exit, 2);
}
