//! What was written comes back, and nothing else does.

use proptest::prelude::*;

use super::*;

const KEY: [u8; DATA_KEY_BYTES] = [9; DATA_KEY_BYTES];

fn head() -> Head {
    Head {
        context: true,
        uid: Uuid::from_u128(0x0123_4567),
        version: 0x0a0b_0c0d,
        algorithm: EncryptionAlgorithm::RsaOaepSha256,
        wrapped: Bytes::from_static(&[5; 20]),
    }
}

fn aad() -> Aad {
    Aad::Bytes(Bytes::from_static(b"beside"))
}

fn content(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

/// Sealed from parts of this length, in segments.
fn sealed(content: &[u8], part: usize) -> Vec<Bytes> {
    let (segments, _) = segments(&KEY, &head().encode().unwrap(), &aad()).unwrap();
    let mut sealing = Sealing::new(segments);
    let mut all: Vec<_> = content.chunks(part).flat_map(|part| sealing.push(part).unwrap()).collect();
    all.push(sealing.finish().unwrap());
    all
}

/// Opened from parts of this length; how much was given before it failed.
fn opened(sealed: &[u8], part: usize) -> Result<Vec<u8>, Vec<u8>> {
    let (segments, _) = segments(&KEY, &head().encode().unwrap(), &aad()).unwrap();
    let mut opening = Opening::new(segments);
    let mut all = Vec::new();
    for part in sealed.chunks(part) {
        match opening.push(part) {
            Ok(opened) => opened.iter().for_each(|opened| all.extend_from_slice(opened.expose())),
            Err(_) => return Err(all),
        }
    }
    match opening.finish() {
        Ok(last) => Ok([&all[..], last.expose()].concat()),
        Err(_) => Err(all),
    }
}

/// In every release. The values were found with another library.
#[test]
fn the_form_is_the_one_that_is_written_down() {
    let expected =
        format!("534b530101{}0a0b0c0d030014{}", "00000000000000000000000001234567", "05".repeat(20));
    let encoded = head().encode().unwrap();
    assert_eq!(hex::encode(&encoded), expected);
    let (mut segments, commitment) = segments(&KEY, &encoded, &aad()).unwrap();
    assert_eq!(hex::encode(commitment.0), "92360f28a28e03bf1e8e32f8eabb7be8c7f938f896c29d9d1c5b016069d8fbf5");
    let mut segment = b"text".to_vec();
    segments.seal(&mut segment, Last::Yes).unwrap();
    assert_eq!(hex::encode(segment), "a0440a32cda740a26ad9851a68751b2a33a70daf");
}

#[test]
fn every_length_comes_back_however_it_is_cut() {
    for length in [0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 3 * SEGMENT_BYTES + 5] {
        for part in [1000, SEGMENT_BYTES, 5 * SEGMENT_BYTES] {
            let all = sealed(&content(length), part);
            assert_eq!(all.len(), length.div_ceil(SEGMENT_BYTES).max(1), "{length}");
            assert_eq!(opened(&all.concat(), part).unwrap(), content(length), "{length} in {part}");
        }
    }
}

#[test]
fn what_is_cut_off_changed_moved_or_added_gives_a_beginning_and_then_fails() {
    let length = 3 * SEGMENT_BYTES + 5;
    let all = sealed(&content(length), length);
    let whole = all.concat();
    for end in [0, 1, SEALED_BYTES - 1, SEALED_BYTES, SEALED_BYTES + 1, 2 * SEALED_BYTES, whole.len() - 1] {
        let given = opened(&whole[..end], 777).unwrap_err();
        assert!(content(length).starts_with(&given) && given.len() <= end, "{end}");
    }
    for at in [0, SEALED_BYTES, 2 * SEALED_BYTES + 7, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        let given = opened(&changed, 1000).unwrap_err();
        assert_eq!(given, content(at / SEALED_BYTES * SEGMENT_BYTES), "{at}");
    }
    let others = [
        [&all[1][..], &all[0], &all[2], &all[3]].concat(),
        [&all[0][..], &all[2], &all[3]].concat(),
        [&all[0][..], &all[0], &all[1], &all[2], &all[3]].concat(),
        [&whole[..], b"x"].concat(),
        [&whole[..], &all[3]].concat(),
    ];
    for (number, other) in others.iter().enumerate() {
        let given = opened(other, 50_000).unwrap_err();
        assert!(content(length).starts_with(&given), "{number}");
    }
}

#[test]
fn another_head_key_or_associated_data_is_another_stream() {
    let encoded = head().encode().unwrap();
    let (_, commitment) = segments(&KEY, &encoded, &aad()).unwrap();
    let mut other_head = encoded.to_vec();
    other_head[8] ^= 1;
    for (key, encoded, aad) in [
        ([8; DATA_KEY_BYTES], encoded.clone(), aad()),
        (KEY, other_head.into(), aad()),
        (KEY, encoded.clone(), Aad::None),
    ] {
        let (_, other) = segments(&key, &encoded, &aad).unwrap();
        assert!(!agree(&commitment, &other));
    }
    assert!(agree(&commitment, &segments(&KEY, &encoded, &aad()).unwrap().1));
}

#[test]
fn a_head_is_read_once_enough_of_it_is_there() {
    let whole = [&head().encode().unwrap()[..], &[7; 32], b"rest"].concat();
    for length in 0..whole.len() - 4 {
        assert!(matches!(read(&Bytes::copy_from_slice(&whole[..length])), Read::Short), "{length}");
    }
    let Read::Begun(begun) = read(&Bytes::from(whole.clone())) else { panic!("it is all there") };
    assert_eq!((begun.head, begun.commitment.0, &begun.rest[..]), (head(), [7; 32], &b"rest"[..]));
    for (at, value) in [(0, b'T'), (3, 2), (4, 2), (25, 0), (25, 7), (26, 0xff)] {
        let mut changed = whole.clone();
        changed[at] = value;
        assert!(matches!(read(&changed.into()), Read::Other), "byte {at} = {value}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, length in 0usize..64) {
        let _ = read(&Bytes::from(bytes.clone()));
        let start = head().encode().unwrap();
        let _ = read(&Bytes::from([&start[..length.min(start.len())], &bytes].concat()));
        let _ = opened(&bytes, 7);
    }
}
