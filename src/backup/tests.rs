//! A backup that a newer version made.

use skms_backend::Secret;

use super::*;
use crate::catalog::{Catalog, Config};

#[test]
fn a_backup_with_newer_tables_is_refused_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let key = RootKey::parse(&Secret::new((0..32).collect())).unwrap();
    drop(Catalog::open(&Config { path: at("catalog.db"), ..Config::default() }).unwrap());
    let snapshot = Snapshot::of(&at("catalog.db")).unwrap();
    let database = rusqlite::Connection::open(snapshot.file()).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    let about = About {
        instance: snapshot.instance,
        schema: 99,
        revision: snapshot.revision,
        time: SystemTime::now(),
    };
    write(&at("backup"), &snapshot, (&about, &Manifest::of(&snapshot)), &key).unwrap();
    let refused = restore(&at("backup"), &at("new/catalog.db"), RestorePlace::Empty, &[], &key);
    assert!(matches!(refused, Err(Error::Newer { schema: 99, .. })), "{refused:?}");
    assert!(!at("new").exists());
}
