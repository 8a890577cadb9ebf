//! A test body in a process of its own.

use std::{any, env, fs, path::Path, process::Command};

use super::{Mechanisms, SoftHsm, left_out};

/// Runs `body` with a new token, in a process that may open the library.
///
/// Call it from the `#[test]` function itself and give it a closure: the test
/// binary is started again for the test in which the closure stands.
///
/// # Panics
/// When the body does, or did not run.
pub fn alone<F: FnOnce(&SoftHsm)>(body: F) {
    alone_with(Mechanisms::All, body);
}

/// Like [`alone`], with a token that offers some mechanisms only.
///
/// # Panics
/// When the body does, or did not run.
pub fn alone_with<F: FnOnce(&SoftHsm)>(mechanisms: Mechanisms, body: F) {
    if let Some(directory) = env::var_os(DIRECTORY) {
        let directory = Path::new(&directory);
        body(&SoftHsm::attach(directory));
        fs::write(directory.join(DONE), "").unwrap();
    } else if !left_out() {
        start_again(&SoftHsm::with(mechanisms), test_of::<F>());
    }
}

fn start_again(token: &SoftHsm, test: &str) {
    let output = Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .envs([token.env(), (DIRECTORY, token.directory.clone().into_os_string())])
        .output()
        .unwrap();
    // A name that matches no test is a success to the test harness.
    let done = token.directory.join(DONE).exists();
    assert!(
        output.status.success() && done,
        "`{test}` {} in its own process ({}):\n{}{}",
        if done { "failed" } else { "did not finish" },
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

/// The path of the test in which a closure of this type stands, without the
/// crate. The language does not promise this form of the name; where it is
/// another the test says that it did not finish.
fn test_of<F>() -> &'static str {
    let closure = any::type_name::<F>();
    let function = closure.strip_suffix("::{{closure}}").unwrap_or(closure);
    function.split_once("::").map_or(function, |(_, path)| path)
}

const DIRECTORY: &str = "SKMS_TEST_SOFTHSM_DIRECTORY";
const DONE: &str = "done";
