//! The promises of the format: what was written comes back, and nothing else does.

use skms_backend::Secret;

use super::*;

fn key(number: u8) -> RootKey {
    let mut bytes = [number; 32];
    bytes[0] = !number;
    RootKey::parse(&Secret::new(bytes.to_vec())).unwrap()
}

fn about() -> About {
    let time = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    About { instance: Uuid::from_bytes([7; 16]), schema: 5, revision: 1 << 40, time }
}

fn content(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

fn sealed(content: &[u8]) -> Vec<u8> {
    let mut sealing = Sealing::new(Vec::new(), &key(1), &about()).unwrap();
    sealing.write_all(content).unwrap();
    sealing.finish().unwrap()
}

fn opened(sealed: &[u8], key: &RootKey) -> Result<Vec<u8>, Broken> {
    let broken = |error: io::Error| *error.get_ref().unwrap().downcast_ref::<Broken>().unwrap();
    let (mut opening, read) = Opening::new(sealed, key).map_err(broken)?;
    let mut content = Vec::new();
    opening.read_to_end(&mut content).map_err(broken)?;
    assert_eq!(read, about());
    Ok(content)
}

#[test]
fn content_of_every_length_around_a_chunk_comes_back() {
    for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5] {
        let file = sealed(&content(length));
        assert_eq!(opened(&file, &key(1)).unwrap(), content(length), "{length}");
        assert_eq!(file.len(), HEAD + length + TAG * length.div_ceil(CHUNK).max(1), "{length}");
        assert_eq!(opened(&file, &key(2)), Err(Broken::OtherKey));
    }
    // No two files share a key.
    assert_ne!(sealed(b"same"), sealed(b"same"));
}

#[test]
fn a_file_that_was_cut_off_anywhere_is_refused() {
    let file = sealed(&content(2 * CHUNK + 9));
    let ends = (0..=2).map(|chunk| HEAD + chunk * (CHUNK + TAG));
    for end in ends.flat_map(|at| [at - 1, at, at + 1, at + TAG]).chain(0..HEAD).chain([file.len() - 1]) {
        let refused = opened(&file[..end], &key(1)).unwrap_err();
        let expected = match end {
            0..8 => Broken::NotABackup,
            _ if end <= HEAD || (end - HEAD).is_multiple_of(CHUNK + TAG) => Broken::CutOff,
            _ => Broken::Changed,
        };
        assert_eq!(refused, expected, "{end}");
    }
    for length in [CHUNK, 3] {
        let file = [sealed(&content(length)), b"x".to_vec()].concat();
        assert!(matches!(opened(&file, &key(1)), Err(Broken::Longer | Broken::Changed)));
    }
    assert_eq!(opened(&[sealed(&content(CHUNK)), b"x".to_vec()].concat(), &key(1)), Err(Broken::Longer));
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let file = sealed(b"a few bytes");
    for bit in 0..file.len() * 8 {
        let mut changed = file.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let refused = opened(&changed, &key(1)).unwrap_err();
        match bit / 8 {
            0..8 => assert_eq!(refused, Broken::NotABackup),
            8 => assert!(matches!(refused, Broken::Version(_))),
            9..17 => assert_eq!(refused, Broken::OtherKey),
            _ => assert!(matches!(refused, Broken::Changed | Broken::CutOff), "{bit}: {refused:?}"),
        }
    }
}

#[test]
fn chunks_keep_their_order_and_their_file() {
    let file = sealed(&content(3 * CHUNK));
    let (head, chunks) = file.split_at(HEAD);
    let chunks: Vec<_> = chunks.chunks(CHUNK + TAG).collect();
    let other = sealed(&content(3 * CHUNK));
    let others: Vec<_> = other[HEAD..].chunks(CHUNK + TAG).collect();
    for order in [
        [chunks[1], chunks[0], chunks[2]],
        [chunks[0], chunks[0], chunks[2]],
        [chunks[0], others[1], chunks[2]],
        [chunks[0], chunks[2], chunks[1]],
    ] {
        assert!(opened(&[head, &order.concat()].concat(), &key(1)).is_err());
    }
    assert!(opened(&[head, chunks[0], chunks[2]].concat(), &key(1)).is_err());
}
