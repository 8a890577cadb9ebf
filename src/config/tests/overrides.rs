//! Environment variables over the file.

use std::time::Duration;

use super::{BACKEND, complaint, parse};

#[test]
fn a_variable_wins_over_the_file() {
    let text = format!("[server]\ndrain_grace = '1s'\nreflection = true\n{BACKEND}");
    let config =
        parse(&text, &[("SKMS__SERVER__DRAIN_GRACE", "7s"), ("HOME", "/root"), ("SKMS_CONFIG", "x")]);
    let server = config.unwrap().server;
    assert_eq!((server.drain_grace, server.reflection), (Duration::from_secs(7), true));
}

#[test]
fn a_value_is_toml_where_that_is_wanted_and_text_elsewhere() {
    let config = parse(
        BACKEND,
        &[
            ("SKMS__LISTENERS__LOCAL__ADDRESS", "unix:/x.sock"),
            ("SKMS__LISTENERS__LOCAL__MODE", "0660"),
            ("SKMS__LISTENERS__API__ADDRESS", "127.0.0.1:9000"),
            ("SKMS__LISTENERS__API__CERTIFICATE", "server.pem"),
            ("SKMS__LISTENERS__API__KEY", "env:TLS_KEY"),
            ("SKMS__LISTENERS__API__CLIENT_CERTIFICATES", "optional"),
            ("SKMS__LISTENERS__API__AUTHORITIES", "['mesh']"),
            ("SKMS__AUTH__CERTIFICATES__MESH__CA", "mesh.pem"),
            ("SKMS__AUTH__CERTIFICATES__MESH__IDENTITY", "uri"),
            ("SKMS__SERVER__REFLECTION", "true"),
            ("SKMS__LIMITS__MESSAGE_BYTES", "1_000"),
            ("SKMS__CATALOG__PATH", "42"),
            ("SKMS__AUDIT__PATH", "true"),
            ("SKMS__AUDIT__DURABILITY", "fsync"),
            ("SKMS__LOG__LEVEL", "'debug'"),
            ("SKMS__HEALTH", "{ probe_timeout = '1s' }"),
            ("SKMS__HEALTH__PROBE_INTERVAL", "3s"),
            ("SKMS__BACKENDS__SOFTWARE__SOFT__MASTER_KEY", "env:KEY"),
        ],
    )
    .unwrap();
    let listen: Vec<_> = config.listeners.iter().map(|(_, one)| one.address.to_string()).collect();
    assert_eq!(listen, ["127.0.0.1:9000", "unix:/x.sock"]);
    assert!(config.server.reflection);
    assert_eq!(config.limits.message_bytes, 1000);
    assert_eq!(config.catalog.path.to_str(), Some("42"));
    assert_eq!(config.audit.path.to_str(), Some("true"));
    assert_eq!(format!("{:?}", config.audit.durability), "Fsync");
    assert_eq!(config.log.level.to_string(), "debug");
    assert_eq!(config.health.probe_timeout, Duration::from_secs(1));
    assert_eq!(config.health.probe_interval, Duration::from_secs(3));
    assert!(format!("{:?}", config.backends.software["soft"]).contains("Env(\"KEY\")"));
}

#[test]
fn the_name_of_a_backend_is_matched_with_underscores() {
    let text = "[backends.software.soft-2]\nmaster_key = 'file:key'\n";
    let config = parse(text, &[("SKMS__BACKENDS__SOFTWARE__SOFT_2__THREADS", "9")]).unwrap();
    assert!(format!("{:?}", config.backends.software["soft-2"]).contains("threads: 9"));
}

#[test]
fn a_backend_can_stand_in_the_environment_alone() {
    let config = parse("", &[("SKMS__BACKENDS__SOFTWARE__MY_KEYS__MASTER_KEY", "file:key")]).unwrap();
    assert!(config.backends.software.contains_key("my-keys"));
}

/// A variable, its value, and what is said about it.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "SKMS__SERVER__REFLECTON",
        "x",
        "SKMS__SERVER__REFLECTON: `server.reflecton`: unknown field; did you mean `reflection`? \
         known are `reflection`, `drain_grace`",
    ),
    (
        "SKMS__LISTENERS__API__AUTHORITIES",
        "mesh",
        "SKMS__LISTENERS__API__AUTHORITIES: `listeners.api.address`: missing; add it to this table\n\
         SKMS__LISTENERS__API__AUTHORITIES: `listeners.api.authorities`: must be an array such as `[\"…\"]`, not \
         a string",
    ),
    (
        "SKMS__LISTENERS__API__ADDRESS",
        "10.0.0.1:1",
        "SKMS__LISTENERS__API__ADDRESS: `listeners.api.address`: `10.0.0.1:1` can be reached from other \
         machines, and is without TLS; add `certificate` and `key`, or listen on `127.0.0.1:PORT`, \
         `[::1]:PORT` or `unix:PATH`",
    ),
    (
        "SKMS__SERVER__REFLECTION",
        "on",
        "SKMS__SERVER__REFLECTION: `server.reflection`: must be `true` or `false`, not a string",
    ),
    (
        "SKMS__SERVER__DRAIN_GRACE",
        "10",
        "SKMS__SERVER__DRAIN_GRACE: `server.drain_grace`: must be a duration such as `\"30s\"` or `\"5m\"`, \
         not `10`",
    ),
    (
        "SKMS__LIMITS__MESSAGE_BYTES",
        "0",
        "SKMS__LIMITS__MESSAGE_BYTES: `limits.message_bytes`: must be 1 to 1048576 bytes, not `0`",
    ),
    (
        "SKMS__HEALTH__PROBE_INTERVAL",
        "1s",
        "SKMS__HEALTH__PROBE_INTERVAL: `health.probe_timeout`: `2s` is longer than `health.probe_interval`, \
         `1s`; make it shorter",
    ),
    (
        "SKMS__PLACEMENT__ORDER",
        "['hsm']",
        "SKMS__PLACEMENT__ORDER: `placement.order`: no backend is called `hsm`; known are `soft`",
    ),
    (
        "SKMS__BACKENDS__SOFTWARE__OTHER__THREADS",
        "2",
        "SKMS__BACKENDS__SOFTWARE__OTHER__THREADS: `backends.software.other.master_key`: missing; \
         add it to this table",
    ),
    (
        "SKMS__BACKENDS__SOFTWARE__SOFT__MASTER_KEY__PATH",
        "x",
        "SKMS__BACKENDS__SOFTWARE__SOFT__MASTER_KEY__PATH: `backends.software.soft.master_key`: \
         must be a string in quotes, not a table",
    ),
    ("SKMS__LOG", "debug", "SKMS__LOG: `log`: must be a table, not a string"),
    ("SKMS__SERVER__", "x", "SKMS__SERVER__: names no field; write `SKMS__SECTION__FIELD`"),
    ("SKMS__", "x", "SKMS__: names no field; write `SKMS__SECTION__FIELD`"),
];

#[test]
fn a_mistake_in_a_variable_is_named_with_the_variable() {
    for (name, value, expected) in MISTAKES {
        assert_eq!(complaint(BACKEND, &[(name, value)]), *expected, "{name}={value}");
    }
}

#[test]
fn two_variables_for_one_field_are_refused() {
    let env = [("SKMS__LOG__LEVEL", "info"), ("SKMS__LOG__level", "debug")];
    assert_eq!(
        complaint(BACKEND, &env),
        "SKMS__LOG__level: `log.level`: set by `SKMS__LOG__LEVEL` as well; keep one"
    );
}
