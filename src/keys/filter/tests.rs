//! Filters over sample keys, what is wrong with those that are refused, and noise.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use skms_backend::KeyType;

use super::*;

/// The start of 2026.
const YEAR: Duration = Duration::from_secs(1_767_225_600);

fn key(id: &str, key_type: KeyType, state: State, labels: &[(&str, &str)], expires: bool) -> Key {
    Key {
        key_type,
        labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        owner: format!("corp/{id}"),
        expires: expires.then(|| UNIX_EPOCH + 2 * YEAR),
        created: UNIX_EPOCH + YEAR,
        updated: UNIX_EPOCH + YEAR + Duration::from_millis(1),
        versions: vec![Arc::new(Version::sample(1, state))],
        ..Key::sample(id)
    }
}

fn keys() -> [Key; 4] {
    [
        key("a", KeyType::EcP256, State::Enabled, &[("env", "prod"), ("who/what", "x y")], true),
        key("b", KeyType::EcP256, State::Disabled, &[("env", "test")], false),
        key("c-1", KeyType::Ed25519, State::Enabled, &[("env", "prod"), ("note", "a \"b\" (c) '\\")], false),
        key("c-2", KeyType::Rsa2048, State::Compromised, &[], true),
    ]
}

/// The beginnings of the ids that are accepted, in one word.
fn accepted(filter: &str) -> String {
    let filter: Filter = filter.parse().unwrap_or_else(|error| panic!("{filter}: {error}"));
    let keys = keys();
    let ids = keys.iter().filter(|key| filter.accepts(key)).map(|key| key.id.as_str());
    ids.collect::<Vec<_>>().join(" ")
}

const EVERY: &str = "a b c-1 c-2";

#[test]
fn fields_are_compared() {
    for (filter, expected) in [
        ("", EVERY),
        ("   ", EVERY),
        ("key_id = a", "a"),
        ("key_id = c-*", "c-1 c-2"),
        ("key_id = *", EVERY),
        ("key_id != \"c-*\"", "a b"),
        ("key_type=P-256", "a b"),
        ("key_type != ec-p256", "c-1 c-2"),
        ("purpose = sign-verify", EVERY),
        ("purpose != SIGN_VERIFY", ""),
        ("state = enabled", "a c-1"),
        ("state = ENABLED", "a c-1"),
        ("state = KEY_STATE_ENABLED", "a c-1"),
        ("state != \"enabled\"", "b c-2"),
        ("backend = hsm", EVERY),
        ("backend = soft", ""),
        ("protection_level = HSM", EVERY),
        ("protection_level != hsm", ""),
        ("owner = corp/b", "b"),
        ("owner = 'corp/b'", "b"),
        ("labels.env = prod", "a c-1"),
        ("labels.env != prod", "b c-2"),
        ("labels.env:prod", "a c-1"),
        ("labels.env:*", "a b c-1"),
        ("labels:env", "a b c-1"),
        ("labels:nobody", ""),
        ("labels.who/what = \"x y\"", "a"),
        (r#"labels.note = "a \"b\" (c) '\\""#, "c-1"),
        ("labels.env = \"\"", ""),
        ("expire_time:*", "a c-2"),
        ("NOT expire_time:*", "b c-1"),
    ] {
        assert_eq!(accepted(filter), expected, "{filter}");
    }
}

#[test]
fn times_are_compared_in_every_time_zone() {
    for (filter, expected) in [
        ("create_time = 2026-01-01T00:00:00Z", EVERY),
        ("create_time = \"2026-01-01T01:00:00+01:00\"", EVERY),
        ("create_time != 2026-01-01T00:00:00Z", ""),
        ("create_time < 2026-01-01T00:00:00.001Z", EVERY),
        ("create_time < 2026-01-01T00:00:00Z", ""),
        ("create_time <= 2026-01-01T00:00:00Z", EVERY),
        ("create_time > 2026-01-01T00:00:00Z", ""),
        ("create_time >= 2026-01-01T00:00:00Z", EVERY),
        ("update_time > 2026-01-01T00:00:00Z AND update_time < 2026-01-01T00:00:01Z", EVERY),
        // Who does not expire does so neither before nor after any time.
        ("expire_time < 9999-12-31T23:59:59Z", "a c-2"),
        ("expire_time > 1970-01-01T00:00:00Z", "a c-2"),
        ("NOT expire_time < 9999-12-31T23:59:59Z", "b c-1"),
    ] {
        assert_eq!(accepted(filter), expected, "{filter}");
    }
}

#[test]
fn or_binds_tighter_than_and() {
    for (filter, expected) in [
        ("key_id = a OR key_id = b", "a b"),
        ("key_id = a AND key_id = b", ""),
        ("state = enabled AND key_id = a OR key_id = b", "a"),
        ("key_id = b OR key_id = a AND state = enabled", "a"),
        ("key_id = b OR (key_id = a AND state = enabled)", "a b"),
        ("NOT key_id = a", "b c-1 c-2"),
        ("-key_id = a", "b c-1 c-2"),
        ("NOT (key_id = a OR key_id = b)", "c-1 c-2"),
        ("NOT(key_id=a)AND(-key_id=b)", "c-1 c-2"),
        ("NOT key_id = a OR key_id = a", EVERY),
        ("((state = enabled))AND(labels.env=prod)", "a c-1"),
        ("labels.env = test OR labels.env = prod AND NOT state = disabled OR key_id = a", "a c-1"),
    ] {
        assert_eq!(accepted(filter), expected, "{filter}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (filter, at, part) in [
        ("state", 6, "one of `=`, `!=`"),
        ("state = ", 9, "a value"),
        ("state = up", 9, "`enabled`, `disabled`"),
        ("state > enabled", 7, "`=` and `!=`"),
        ("state = enabled AND", 20, "a comparison"),
        ("state = enabled state = enabled", 17, "`AND`, `OR` or the end"),
        ("state = enabled and state = enabled", 17, "`AND`, `OR` or the end"),
        ("(state = enabled", 17, "`)`"),
        ("state = enabled)", 16, "`AND`, `OR` or the end"),
        ("NOT NOT state = enabled", 9, "one of `=`"),
        ("colour = red", 1, "`create_time`"),
        ("x AND = y", 3, "one of `=`"),
        ("= x", 1, "a comparison"),
        ("key_type = rot13", 12, "`ec-p256`"),
        ("purpose = paint", 11, "`sign-verify`"),
        ("protection_level = strong", 20, "`tpm`"),
        ("labels = x", 8, "`labels:NAME`"),
        ("labels:*", 8, "the name of a label"),
        ("labels. = x", 1, "the name of a label"),
        ("labels.a < x", 10, "`:`"),
        ("labels.ä = x", 8, "one of `=`"),
        ("labels.a = \"ä", 12, "a quoted value that ends"),
        (r#"labels.a = "ä\n""#, 14, "before a quote"),
        ("key_id = a*b", 10, "at the end"),
        ("key_id = **", 10, "at the end"),
        ("create_time : *", 13, "`<=`"),
        ("create_time > yesterday", 15, "RFC 3339"),
        ("create_time > 2026-01-01", 15, "RFC 3339"),
        ("create_time > 1969-12-31T23:59:59Z", 15, "from 1970"),
        ("create_time > 2026-13-01T00:00:00Z", 15, "RFC 3339"),
    ] {
        let error = filter.parse::<Filter>().expect_err(filter);
        assert_eq!(error.at, at, "{filter}: {error}");
        assert!(error.to_string().contains(part), "{filter}: {error}");
    }
}

#[test]
fn depth_and_number_of_comparisons_are_bounded() {
    let nested = |depth| format!("{}state = enabled{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(accepted(&nested(DEPTH)), "a c-1");
    let error = nested(DEPTH + 1).parse::<Filter>().unwrap_err();
    assert_eq!((error.at, error.to_string().contains("16 parentheses")), (DEPTH + 1, true), "{error}");
    assert!("(".repeat(100_000).parse::<Filter>().is_err());
    let joined = |count| vec!["key_id = a"; count].join(" OR ");
    assert_eq!(accepted(&joined(COMPARISONS)), "a");
    let error = joined(COMPARISONS + 1).parse::<Filter>().unwrap_err();
    assert!(error.to_string().contains("32 comparisons"), "{error}");
}

#[test]
fn versions_have_a_state_and_nothing_else() {
    let filter: VersionFilter = "state = enabled OR state = compromised".parse().unwrap();
    let accepted = State::ALL.into_iter().filter(|state| filter.accepts(&Version::sample(1, *state)));
    assert_eq!(accepted.collect::<Vec<_>>(), [State::Enabled, State::Compromised]);
    assert!("".parse::<VersionFilter>().unwrap().accepts(&Version::sample(1, State::Destroyed)));
    let error = "key_id = a".parse::<VersionFilter>().unwrap_err();
    assert_eq!(error.to_string(), "at character 1: the only field of a version is `state`");
}

/// Numbers that look random and are the same in every run (splitmix64).
fn numbers() -> impl FnMut(usize) -> usize {
    let mut seed = 0_u64;
    move |below| {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % below as u64).unwrap()
    }
}

/// Whatever is typed, there is an answer; a refusal names a place in the text.
#[test]
fn no_text_is_too_strange() {
    const PIECES: [&str; 42] = [
        "state",
        "key_id",
        "key_type",
        "labels",
        "labels.",
        ".env",
        "create_time",
        "expire_time",
        "owner",
        "=",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        ":",
        "AND",
        "OR",
        "NOT",
        "-",
        "(",
        ")",
        " ",
        "  ",
        "\t",
        "\n",
        "\"",
        "'",
        "\\",
        "*",
        "enabled",
        "a",
        "ä",
        "\u{1f511}",
        "\0",
        "2026-01-01T00:00:00Z",
        "-999999999-01-01T00:00:00Z",
        "T99:99:99.999999999999Z",
        "9999-12-31T23:59:59+99:99",
        "0",
        "\u{2028}",
        "\u{feff}",
    ];
    let mut below = numbers();
    let mut understood = BTreeMap::new();
    for _ in 0..60_000 {
        let length = below(14);
        let text: String = (0..length).map(|_| PIECES[below(PIECES.len())]).collect();
        match text.parse::<Filter>() {
            Ok(filter) => {
                let accepted = keys().iter().filter(|key| filter.accepts(key)).count();
                *understood.entry(accepted).or_insert(0_usize) += 1;
            }
            Err(error) => assert!((1..=text.chars().count() + 1).contains(&error.at), "{text:?}: {error}"),
        }
    }
    // Comparisons that hold for some keys are among the noise.
    assert!(understood.len() > 2, "{understood:?}");
}

/// What is written as the grammar has it is always understood, and `NOT` of it
/// accepts exactly the other keys.
#[test]
fn what_follows_the_grammar_is_understood() {
    const COMPARED: [&str; 6] =
        ["key_id = a", "state != enabled", "labels:env", "labels.env:prod", "expire_time:*", "key_id = c-*"];
    fn written(below: &mut impl FnMut(usize) -> usize, depth: usize) -> String {
        let one = match below(if depth < 4 { 3 } else { 1 }) {
            0 | 1 => COMPARED[below(COMPARED.len())].to_owned(),
            _ => format!("({})", written(below, depth + 1)),
        };
        let one = match below(4) {
            0 => format!("NOT {one}"),
            1 => format!("-{one}"),
            _ => one,
        };
        match below(6) {
            0 if depth < 4 => format!("{one} AND {}", written(below, depth + 1)),
            1 if depth < 4 => format!("{one} OR {}", written(below, depth + 1)),
            _ => one,
        }
    }
    let mut below = numbers();
    for _ in 0..3000 {
        let text = written(&mut below, 0);
        let filter: Filter = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        let not: Filter = format!("NOT ({text})").parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        for key in keys() {
            assert_ne!(filter.accepts(&key), not.accepts(&key), "{text} of {}", key.id);
        }
    }
}
