//! What keeps a gateway from starting: each is said with what and where, and with
//! an exit code that is not zero.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

use skms_tests::{gateway::Home, pki::Ca, softhsm::SoftHsm};

use crate::{
    ask::PROGRAM,
    program::{self, Ended},
};

/// The configuration of a home, changed.
fn changed(home: &Home, change: impl Fn(&str) -> String) -> PathBuf {
    let text = fs::read_to_string(home.config()).unwrap();
    let changed = change(&text);
    assert_ne!(changed, text);
    let path = home.path().join("changed.toml");
    fs::write(&path, changed).unwrap();
    path
}

fn run(home: &Home, subcommand: &str, config: &std::path::Path) -> Ended {
    let mut command = home.command();
    command.arg(subcommand).arg("--config").arg(config);
    program::run(command, b"")
}

/// Demands the exit code, and that one message says all of `parts`.
fn refused(ended: &Ended, code: i32, parts: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    for part in parts {
        assert!(ended.stderr.contains(part), "`{part}` is not said: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

/// Both `check` and `serve` say the same, and exit with 78.
#[test]
fn a_configuration_that_cannot_be_used_is_refused_by_its_file_line_and_field() {
    let home = Home::software(PROGRAM);
    let listen = "\"127.0.0.1:0\"";
    let table: [(&str, &str, &[&str]); 15] = [
        (
            listen,
            "\"0.0.0.0:7443\"",
            &["changed.toml:4: ", "`listeners.tcp.address`", "without TLS", "127.0.0.1:PORT"],
        ),
        (listen, "\"[::]:7443\"", &["changed.toml:4: ", "other machines"]),
        (listen, "\"localhost:7443\"", &["changed.toml:4: ", "`listeners.tcp.address`", "IP:PORT"]),
        (listen, "\"unix:skms.sock\"", &["changed.toml:6: ", "`listeners.unix.address`", "another listener"]),
        (
            "\"unix:skms.sock\"",
            "\"127.0.0.1:1\"\ncertificate = \"c.pem\"",
            &["changed.toml:7: ", "`listeners.unix.certificate`", "a `key` as well"],
        ),
        (
            "reflection = true",
            "reflection = \"yes\"",
            &["changed.toml:2: ", "`server.reflection`", "`true` or `false`"],
        ),
        ("reflection", "reflektion", &["changed.toml:2: ", "reflektion", "did you mean `reflection`?"]),
        ("[catalog]", "[katalog]", &["changed.toml:7: ", "katalog", "did you mean `catalog`?"]),
        ("path = \"catalog.db\"", "path = \"\"", &["changed.toml:8: ", "`catalog.path`", "must name a file"]),
        (
            "path = \"audit.jsonl\"",
            "durability = \"maybe\"",
            &["changed.toml:10: ", "`audit.durability`", "`fsync`"],
        ),
        ("format = \"json\"", "level = \"loud\"", &["changed.toml:12: ", "`log.level`"]),
        ("[backends.software.soft]", "[backends.software.Soft]", &["changed.toml:24: ", "backends.software"]),
        (
            "\"file:master.key\"",
            "\"secret-canary\"",
            &["changed.toml:25: ", "`backends.software.soft.master_key`", "file:"],
        ),
        ("\"file:master.key\"", "7", &["changed.toml:25: ", "`backends.software.soft.master_key`"]),
        ("[server]", "[server", &["changed.toml:1: "]),
    ];
    for (found, put, parts) in table {
        let config = changed(&home, |text| text.replacen(found, put, 1));
        let (checked, served) = (run(&home, "check", &config), run(&home, "serve", &config));
        refused(&checked, 78, parts);
        assert_eq!((checked.code, &checked.stderr), (served.code, &served.stderr));
        assert!(!checked.stderr.contains("secret-canary"), "{}", checked.stderr);
    }
    let missing = home.path().join("missing.toml");
    refused(&run(&home, "check", &missing), 78, &["missing.toml"]);
    refused(&run(&home, "serve", &missing), 78, &["missing.toml"]);
    let good = run(&home, "check", &home.config());
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(good.text().contains("soft (software)"), "{}", good.text());
}

/// Files that the configuration names: `check` and `serve` say the same of them, and a
/// supervisor is told not to try again.
#[test]
fn a_file_that_cannot_be_used_is_named_by_check_and_by_serve() {
    let table: [(&str, &str, &[&str]); 7] = [
        ("jwks.json", "{\"keys\":[]}", &["jwks.json", "no set of keys"]),
        ("jwks.json", "half a", &["jwks.json"]),
        ("deny.toml", "subject = []\n", &["deny.toml", "line 1", "subjects"]),
        ("policies/extra.cedar", "permit everybody;\n", &["extra.cedar:1: "]),
        (
            "policies/extra.cedar",
            "permit (principal, action == Action::\"fly\", resource);",
            &["extra.cedar:1: "],
        ),
        ("server.pem", "half a certifi", &["server.pem"]),
        ("server.key", &Ca::new("other").server().key, &["server.pem", "key"]),
    ];
    for (name, text, parts) in table {
        let home = Home::software(PROGRAM)
            .configured("[auth]\ndeny_file = \"deny.toml\"\n")
            .secured(&Ca::new("servers"), &Ca::new("clients"));
        home.private("deny.toml", "");
        let config = home.config();
        assert_eq!(run(&home, "check", &config).code, Some(0), "{name}");
        home.private(name, text);
        for command in ["check", "serve"] {
            refused(&run(&home, command, &config), 78, parts);
        }
    }
}

#[test]
fn a_wrong_variable_is_named_in_place_of_a_line() {
    let home = Home::software(PROGRAM);
    let config = home.config();
    for (name, value, part) in [
        ("SKMS__LISTENERS__TCP__ADDRESS", "10.0.0.1:1", "without TLS"),
        ("SKMS__LIMITS__MESSAGE_BYTES", "0", "1 to 1048576"),
        ("SKMS__LIMITS__MESSAGE_BYTE", "7", "did you mean `message_bytes`?"),
        ("SKMS__HEALTH__PROBE_TIMEOUT", "1h", "`health.probe_timeout`"),
    ] {
        let mut command = home.command();
        command.args(["check", "--config"]).arg(&config).env(name, value);
        refused(&program::run(command, b""), 78, &[name, part]);
    }
}

/// Everything that is wrong is said at once.
#[test]
fn every_mistake_is_named_in_one_go() {
    let home = Home::software(PROGRAM);
    let config = changed(&home, |text| {
        text.replace("127.0.0.1:0", "0.0.0.0:0")
            .replace("reflection", "reflektion")
            .replace("\"json\"", "\"xml\"")
    });
    refused(
        &run(&home, "check", &config),
        78,
        &["changed.toml:2: ", "changed.toml:4: ", "changed.toml:12: "],
    );
}

/// What another gateway holds is left to it.
#[tokio::test]
async fn what_is_in_use_is_named() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let same = changed(&home, |text| text.replace("[listeners.unix]\naddress = \"unix:skms.sock\"\n", ""));
    refused(&run(&home, "serve", &same), 1, &["catalog.db", "in use by another gateway"]);
    let socket = changed(&home, |text| text.replace("[listeners.tcp]\naddress = \"127.0.0.1:0\"\n", ""));
    refused(&run(&home, "serve", &socket), 1, &["cannot listen on", "skms.sock", "in use"]);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let other = Home::software(PROGRAM);
    let port = changed(&other, |text| text.replace("127.0.0.1:0", &address));
    refused(&run(&other, "serve", &port), 1, &["cannot listen on", &address, "in use"]);
    // The one that was there was not disturbed.
    assert!(gateway.socket().exists());
    gateway.client().await.server_info().await.unwrap();
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let home = Home::software(PROGRAM);
    let file = home.path().join("file");
    fs::write(&file, "no database, and no directory either: a text of some length").unwrap();
    let table: [(&str, &str, i32, &[&str]); 5] = [
        ("catalog.db", "file", 1, &["catalog"]),
        ("catalog.db", "file/catalog.db", 1, &["cannot open the catalog", "file/catalog.db"]),
        ("audit.jsonl", "file/audit.jsonl", 1, &["cannot open the audit log", "file/audit.jsonl"]),
        ("skms.sock", "file", 1, &["cannot listen on", "no socket"]),
        ("file:master.key", "file:missing.key", 78, &["`soft`", "missing.key"]),
    ];
    for (found, put, code, parts) in table {
        let config = changed(&home, |text| text.replacen(found, put, 1));
        refused(&run(&home, "serve", &config), code, parts);
    }
    // What nobody could read again is no log.
    let device = changed(&home, |text| text.replacen("audit.jsonl", "/dev/null", 1));
    refused(&run(&home, "serve", &device), 1, &["cannot open the audit log", "not a file"]);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("no database"), "what was there was overwritten: {text}");
}

#[test]
fn a_master_key_that_others_can_read_is_refused() {
    let home = Home::software(PROGRAM);
    let key = home.path().join("master.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    refused(&run(&home, "serve", &home.config()), 78, &["master.key", "read"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, "too short").unwrap();
    let ended = run(&home, "serve", &home.config());
    refused(&ended, 78, &["master.key", "must have 32"]);
    assert!(!ended.stderr.contains("too short"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_catalog_of_a_newer_version_is_left_alone() {
    let home = Home::software(PROGRAM);
    assert!(home.start().stop().await.success());
    let path = home.path().join("catalog.db");
    let version = |set: Option<u32>| -> u32 {
        let connection = rusqlite::Connection::open(&path).unwrap();
        if let Some(version) = set {
            connection.pragma_update(None, "user_version", version).unwrap();
        }
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    };
    let current = version(None);
    version(Some(99));
    refused(&run(&home, "serve", &home.config()), 1, &["catalog.db", "newer version of skms"]);
    assert_eq!(version(None), 99);
    version(Some(current));
    assert!(home.start().stop().await.success());
}

/// A backend that cannot be opened is named, with what the device says.
#[test]
fn a_token_that_cannot_be_used_is_named() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home = Home::new(PROGRAM);
    let token = home.softhsm().unwrap();
    let module = token.module().display().to_string();
    let pin = home.path().join("wrong.pin");
    fs::write(&pin, "00000000x").unwrap();
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o600)).unwrap();
    let (right, wrong) = (token.pin_file().display().to_string(), pin.display().to_string());
    let label = format!("label:{}", token.label());
    // What a supervisor must not try again and again has the code of a configuration.
    let table: [(&str, &str, i32, &[&str]); 5] = [
        (&module, "/nowhere/module.so", 1, &["`hsm`", "/nowhere/module.so"]),
        (&module, PROGRAM, 1, &["`hsm`", PROGRAM]),
        (&right, &wrong, 78, &["`hsm`", "PIN", "CKR_PIN_INCORRECT"]),
        (&right, "/nowhere/pin", 78, &["`hsm`", "/nowhere/pin"]),
        (&label, "label:nobody", 1, &["`hsm`", "nobody"]),
    ];
    for (found, put, code, parts) in table {
        let config = changed(&home, |text| text.replacen(found, put, 1));
        let ended = run(&home, "serve", &config);
        refused(&ended, code, parts);
        assert!(!ended.stderr.contains("00000000x"), "{}", ended.stderr);
    }
}

/// Two tokens of one label: neither is guessed, both are listed.
#[test]
fn an_ambiguous_label_is_refused_with_the_tokens_that_bear_it() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home = Home::new(PROGRAM);
    let token = home.softhsm().unwrap();
    let second = second_token(token);
    refused(&run(&home, "serve", &home.config()), 1, &["`hsm`", token.label(), token.serial(), &second]);
    // By its serial number it is found.
    let serial = format!("serial:{}", token.serial());
    let config = changed(&home, |text| text.replace(&format!("label:{}", token.label()), &serial));
    assert_eq!(run(&home, "check", &config).code, Some(0));
    fs::copy(&config, home.path().join("skms.toml")).unwrap();
}

/// Makes another token of the same label, and gives its serial number.
fn second_token(token: &SoftHsm) -> String {
    let util = |arguments: &[&str]| {
        let mut command = Command::new("softhsm2-util");
        command.args(arguments).arg("--module").arg(token.module()).envs([token.env()]);
        let ended = program::run(command, b"");
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.text().to_owned()
    };
    util(&[
        "--init-token",
        "--free",
        "--label",
        token.label(),
        "--so-pin",
        &token.so_pin(),
        "--pin",
        &token.pin(),
    ]);
    let slots = util(&["--show-slots"]);
    let serials = slots.lines().filter_map(|line| line.trim().strip_prefix("Serial number:"));
    let mut others = serials.map(str::trim).filter(|serial| !serial.is_empty() && *serial != token.serial());
    others.next().unwrap().to_owned()
}
