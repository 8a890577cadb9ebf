//! Every verb on every key of three versions in all states, and the rules held against
//! what comes of it.

use skms_backend::{KeyRef, KeyTag, KeyType};

use super::*;

const KEEPS: Duration = Duration::from_secs(100);
const SETS: [&[u32]; 8] = [&[], &[1], &[2], &[3], &[1, 2], &[1, 3], &[2, 3], &[1, 2, 3]];

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
}

fn version(number: u32, state: State) -> Arc<Version> {
    let gone = state == State::Destroyed;
    let tag = KeyTag::random().unwrap();
    let key = KeyRef { tag, key_type: KeyType::EcP256, blob: bytes::Bytes::new(), pin: None };
    Arc::new(Version {
        key: (!gone).then_some(key),
        compromised: (state == State::Compromised).then(now),
        destroys: (state == State::DestroyScheduled).then(|| now() + KEEPS),
        destroyed: gone.then(now),
        ..Version::sample(number, state)
    })
}

fn key(primary: u32, states: &[State]) -> Key {
    Key {
        aliases: vec!["alias".parse().unwrap()],
        destroy_after: KEEPS,
        rotation_period: Some(KEEPS),
        next_rotation: Some(now() + KEEPS),
        primary,
        versions: (1..).zip(states).map(|(number, state)| version(number, *state)).collect(),
        ..Key::sample("key")
    }
}

fn states(key: &Key) -> Vec<State> {
    key.versions.iter().map(|version| version.state).collect()
}

/// Every key of three versions.
fn every_key() -> impl Iterator<Item = Key> {
    let pair = |a| State::ALL.into_iter().map(move |b| (a, b));
    let triples = State::ALL.into_iter().flat_map(pair);
    let triples = triples.flat_map(|(a, b)| State::ALL.into_iter().map(move |c| [a, b, c]));
    triples.flat_map(|states| (1..=3).map(move |primary| key(primary, &states)))
}

#[test]
fn no_verb_on_any_key_breaks_a_rule() {
    let mut done = 0;
    for key in every_key() {
        for verb in Verb::ALL {
            for versions in SETS {
                let means = |number: u32| versions.is_empty() || versions.contains(&number);
                match key.after(verb, versions, now()) {
                    Ok(after) => {
                        holds(&key, verb, versions, &after);
                        done += 1;
                    }
                    Err(refused) => match refused.why {
                        Why::State(state) => {
                            assert_eq!(key.version(refused.version).unwrap().state, state);
                            assert_eq!(verb.on(state), Effect::Refused);
                            assert!(means(refused.version));
                        }
                        Why::Primary => assert!(!versions.is_empty() && versions.len() < 3),
                        why => panic!("{why:?}"),
                    },
                }
            }
        }
    }
    assert!(done > 10_000, "{done}");
}

fn holds(key: &Key, verb: Verb, versions: &[u32], after: &Key) {
    let told = format!("{verb:?} {versions:?} of {:?}, primary {}", states(key), key.primary);
    let mut changed = 0;
    for (old, new) in key.versions.iter().zip(&after.versions) {
        let meant = versions.is_empty() || versions.contains(&old.number);
        match verb.on(old.state) {
            Effect::Becomes(state) if meant => assert_eq!(new.state, state, "{told}"),
            Effect::Returns if meant => assert_eq!(new.state, State::Disabled, "{told}"),
            Effect::Taints if meant => assert!(new.state == old.state && new.compromised.is_some(), "{told}"),
            _ => assert_eq!(new.state, old.state, "{told}"),
        }
        changed += usize::from(old.state != new.state);
        assert_eq!(new.key.is_none(), new.state == State::Destroyed, "{told}");
    }
    // Nobody else is left without a primary.
    let out = |state| !matches!(state, State::Enabled | State::Compromised);
    let (before_primary, primary) = (key.version(0).unwrap().state, after.version(0).unwrap().state);
    if before_primary != primary && out(primary) && matches!(verb, Verb::Disable | Verb::ScheduleDestruction)
    {
        assert!(after.versions.iter().all(|version| version.state != State::Enabled), "{told}");
    }
    if changed == 0 {
        assert_eq!(states(key), states(after), "{told}");
        let rests = |effect| matches!(effect, Effect::Stays | Effect::Taints);
        assert!(versions.iter().all(|number| rests(verb.on(key.version(*number).unwrap().state))));
    }
    assert_eq!(after.aliases.is_empty(), after.is_gone(), "{told}");
}

#[test]
fn a_whole_key_changes_where_it_may_and_the_primary_says_why_not() {
    use State::{Compromised, DestroyScheduled, Destroyed, Disabled, Enabled};
    let disabled = key(3, &[Compromised, Enabled, Enabled]).after(Verb::Disable, &[], now()).unwrap();
    assert_eq!(states(&disabled), [Compromised, Disabled, Disabled]);
    // Done again it is done, and no error.
    assert_eq!(states(&disabled.after(Verb::Disable, &[], now()).unwrap()), states(&disabled));
    let refused = key(2, &[Enabled, Compromised]).after(Verb::Enable, &[], now()).unwrap_err();
    assert_eq!((refused.version, refused.why), (2, Why::State(Compromised)));
    let refused = key(1, &[Destroyed]).after(Verb::ScheduleDestruction, &[], now()).unwrap_err();
    assert_eq!(refused.why, Why::State(Destroyed));
    let missing = key(1, &[Enabled]).after(Verb::Disable, &[2], now()).unwrap_err();
    assert_eq!(missing.why, Why::Missing);
    // The last that is left is the whole key.
    let last = key(2, &[Destroyed, Enabled]).after(Verb::Disable, &[2], now()).unwrap();
    assert_eq!(states(&last), [Destroyed, Disabled]);
    let alone = key(2, &[Disabled, Enabled]).after(Verb::ScheduleDestruction, &[2], now()).unwrap_err();
    assert_eq!(alone.why, Why::Primary);
    let alone = key(2, &[DestroyScheduled; 2]).after(Verb::Restore, &[1], now()).unwrap_err();
    assert_eq!(alone.why, Why::Primary);
}

#[test]
fn what_is_marked_while_it_waits_for_its_end_is_compromised_when_it_is_restored() {
    let key = key(2, &[State::DestroyScheduled, State::Enabled]);
    let marked = key.after(Verb::MarkCompromised, &[1], now()).unwrap();
    assert_eq!(states(&marked), [State::DestroyScheduled, State::Enabled]);
    let restored = marked.after(Verb::Restore, &[1], now()).unwrap();
    assert_eq!(states(&restored), [State::Compromised, State::Enabled]);
}

#[test]
fn what_was_compromised_is_so_again_when_it_is_restored() {
    let key = key(2, &[State::Compromised, State::Enabled]);
    let scheduled = key.after(Verb::ScheduleDestruction, &[], now()).unwrap();
    assert_eq!(states(&scheduled), [State::DestroyScheduled; 2]);
    assert_eq!(scheduled.destroys(), Some(now() + KEEPS));
    let soon = now() + KEEPS - Duration::from_millis(1);
    let restored = scheduled.after(Verb::Restore, &[], soon).unwrap();
    assert_eq!(states(&restored), [State::Compromised, State::Disabled]);
    assert_eq!(restored.destroys(), None);
    // A second call does not put it off, and too late is too late.
    let again = scheduled.after(Verb::ScheduleDestruction, &[], soon).unwrap();
    assert_eq!(again.destroys(), scheduled.destroys());
    let late = scheduled.after(Verb::Restore, &[], now() + KEEPS).unwrap_err();
    assert_eq!(late.why, Why::TooLate);
}

#[test]
fn a_primary_is_enabled_and_not_below_a_minimum() {
    let mut key = key(3, &[State::Enabled, State::Disabled, State::Enabled]);
    assert_eq!(key.led_by(1).unwrap().primary, 1);
    assert_eq!(key.led_by(3).unwrap().primary, 3);
    assert_eq!(key.led_by(2).unwrap_err().why, Why::State(State::Disabled));
    assert_eq!(key.led_by(0).unwrap_err().why, Why::Missing);
    assert_eq!(key.led_by(4).unwrap_err().why, Why::Missing);
    key.min_process = 2;
    assert_eq!(key.led_by(1).unwrap_err().why, Why::BelowMinimum(2));
}

#[test]
fn rotations_that_were_missed_are_not_made_up_for() {
    let mut key = key(1, &[State::Enabled]);
    let due = now() + KEEPS;
    for (late, periods) in [(0, 1), (1, 1), (99, 1), (100, 2), (250, 3)] {
        let next = key.rotation_after(due + Duration::from_secs(late)).unwrap();
        assert_eq!(next, due + KEEPS * periods, "{late} s late");
    }
    assert_eq!(key.rotates(), Some(due));
    key = key.after(Verb::Disable, &[], now()).unwrap();
    assert_eq!((key.rotates(), key.next_rotation), (None, Some(due)), "it waits, and is not forgotten");
}
