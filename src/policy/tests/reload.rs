//! Replacing the policies while they are in use.

use super::{Caller, Directory, Error, key, sign};

const NOBODY: &str = "permit (principal == Caller::\"corp/nobody\", action, resource);\n";
const ALICE: &str = "permit (principal == Caller::\"corp/alice\", action, resource);\n";

fn alice() -> Caller {
    Caller::sample("corp", "alice", &[], None)
}

#[test]
fn a_change_is_in_force_at_once_whatever_was_remembered() {
    let directory = Directory::new(&[("a.cedar", NOBODY)]);
    let policies = directory.load().unwrap();
    let clone = policies.clone();
    assert!(!sign(&policies, &alice(), &key("a")).allowed);
    assert!(!policies.reload().unwrap());
    assert_eq!(policies.generation(), 1);

    directory.write("b.cedar", ALICE);
    assert!(policies.reload().unwrap());
    assert_eq!((policies.generation(), policies.files().len()), (2, 2));
    assert!(sign(&clone, &alice(), &key("a")).allowed);

    directory.remove("b.cedar");
    assert!(policies.reload().unwrap());
    assert!(!sign(&clone, &alice(), &key("a")).allowed);
    assert_eq!((clone.generation(), clone.files().len()), (3, 1));
}

#[test]
fn a_bad_replacement_is_refused_and_the_old_set_stays() {
    let directory = Directory::new(&[("a.cedar", ALICE)]);
    let policies = directory.load().unwrap();
    for bad in [
        "permit (principal, action, resource)",
        "permit (principal, action == Action::\"fly\", resource);",
        "permit (principal, action, resource) when { resource.colour == \"red\" };",
        "forbid (principal, action, resource);\n???",
        "",
    ] {
        // One good file and one bad one: neither is taken.
        directory.write("a.cedar", bad);
        directory.write("b.cedar", if bad.is_empty() { "" } else { NOBODY });
        assert!(matches!(policies.reload(), Err(Error::Refused { .. })), "{bad}");
        assert_eq!((policies.generation(), policies.files().len()), (1, 1));
        assert!(sign(&policies, &alice(), &key("a")).allowed);
    }
    directory.remove("a.cedar");
    directory.remove("b.cedar");
    std::fs::remove_dir(directory.path()).unwrap();
    assert!(matches!(policies.reload(), Err(Error::Directory { .. })));
    assert!(sign(&policies, &alice(), &key("a")).allowed);
}

#[test]
fn decisions_are_of_one_set_or_the_other_while_it_changes() {
    let directory = Directory::new(&[("a.cedar", ALICE)]);
    let policies = directory.load().unwrap();
    std::thread::scope(|threads| {
        let asking = threads.spawn(|| {
            let mut seen = [0_u32; 2];
            while policies.generation() < 9 || seen.contains(&0) {
                seen[usize::from(sign(&policies, &alice(), &key("a")).allowed)] += 1;
            }
        });
        let mut round = 0;
        while !asking.is_finished() {
            directory.write("a.cedar", if round % 2 == 0 { NOBODY } else { ALICE });
            assert!(policies.reload().unwrap());
            round += 1;
        }
        asking.join().unwrap();
    });
}
