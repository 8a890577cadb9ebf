//! A secret in place of a reference is refused and never repeated.

use super::{Error, parse};

/// A secret that is text, and one that is a number, as PINs are.
const CANARIES: [&str; 2] = ["hunter2canary", "86753091"];

/// Lines that hold a secret where none may stand.
const LINES: &[&str] = &[
    "pin = '@'",
    "pin = '@:x'",
    "pin = 'pin:@'",
    "pin = 'file'\npin = '@'",
    "pin = @",
    "pin = @.5",
    "pin = '@",
    "pin = \"\"\"\n@",
    "pin = '@' x",
    "pin = \"\\q@\"",
    "pin = ['@']",
    "pin = [@]",
    "pin = { value = '@' }",
    "pin.'@' = 1",
    "pin = 1979-05-27 # @",
    "pin = '@'; sesions = 1",
    "pin = '@'\nsesions = 1",
    "pin = 'file:p' # @\nsesions = '@'",
];

#[test]
fn no_error_repeats_a_secret_of_the_file() {
    for canary in CANARIES {
        for line in LINES {
            let line = line.replace('@', canary);
            let apart = format!("[backends.pkcs11.hsm]\nmodule = 'm'\ntoken = 'label:t'\n{line}\n");
            assert_silent(&parse(&apart, &[]).unwrap_err(), canary);
            // With another mistake on the same line.
            let inline = format!("backends.pkcs11.hsm = {{ modul = 'm', token = 3, {line}, queue = 0 }}\n");
            assert_silent(&parse(&inline, &[]).unwrap_err(), canary);
        }
        let master_key = format!("[backends.software.soft]\nmaster_key = '{canary}'\n");
        assert_silent(&parse(&master_key, &[]).unwrap_err(), canary);
    }
}

#[test]
fn no_error_repeats_a_secret_of_the_environment() {
    let file = "[backends.pkcs11.hsm]\nmodule = 'm'\ntoken = 'label:t'\npin = 'file:p'\n";
    for canary in CANARIES {
        for value in ["@", "'@'", "\"@", "[@]", "{ a = '@' }", "pin:@", " @ "] {
            let value = value.replace('@', canary);
            let error = parse(file, &[("SKMS__BACKENDS__PKCS11__HSM__PIN", &value)]).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with("SKMS__BACKENDS__PKCS11__HSM__PIN: `backends.pkcs11.hsm.pin`: ")
            );
            assert_silent(&error, canary);
            let error = parse(file, &[("SKMS__BACKENDS__PKCS11__HSM__PINN", &value)]).unwrap_err();
            assert_silent(&error, canary);
        }
    }
}

#[test]
fn a_secret_is_refused_with_where_it_may_stand() {
    let file = "[backends.pkcs11.hsm]\nmodule = 'm'\ntoken = 'label:t'\npin = 1234\n[backends.software.soft]\nmaster_key = '1234'\n";
    assert_eq!(
        parse(file, &[]).unwrap_err().to_string(),
        "x.toml:4: `backends.pkcs11.hsm.pin`: must be a string in quotes, not an integer\n\
         x.toml:6: `backends.software.soft.master_key`: a secret may not stand here; put it elsewhere and write \
         `file:PATH`, `env:NAME` or `credential:NAME`"
    );
}

fn assert_silent(error: &Error, canary: &str) {
    let said = format!("{error} {error:?} {error:#?}");
    assert!(!said.contains(canary), "{said}");
}
