//! Checkpoints of the audit log: kept, found again, and read beside a gateway.

use super::*;
use crate::{catalog::anchors, model::Anchor};

fn anchor(sequence: u64) -> Anchor {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(sequence);
    Anchor { sequence, hash: [7; 32], key: "key".to_owned(), signature: vec![8; 64], time }
}

#[test]
fn the_last_anchor_is_found_again_and_none_is_replaced() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    assert_eq!(catalog.last_anchor().unwrap(), None);
    for sequence in [1, 1000, 20] {
        catalog.keep_anchor(&anchor(sequence)).unwrap();
    }
    assert!(catalog.keep_anchor(&Anchor { hash: [9; 32], ..anchor(1000) }).is_err());
    drop(catalog);
    assert_eq!(shelf.open().last_anchor().unwrap(), Some(anchor(1000)));
}

#[test]
fn anchors_are_read_while_a_gateway_has_the_catalog() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    for sequence in 1..=3 {
        // In the write-ahead log alone.
        catalog.keep_anchor(&anchor(sequence)).unwrap();
        let read = anchors(&shelf.config().path).unwrap();
        assert_eq!(read, (1..=sequence).map(anchor).collect::<Vec<_>>());
    }
    drop(catalog);
    assert_eq!(anchors(&shelf.config().path).unwrap().len(), 3);
    let missing = shelf.config().path.with_file_name("missing.db");
    assert!(matches!(anchors(&missing), Err(Error::Open { .. })));
}
