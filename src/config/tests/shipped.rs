//! The files in `config/`: they are what a newcomer reads first, so they are true.

use std::{collections::BTreeMap, path::Path};

use super::{
    super::node::{Node, Value},
    Config, Error, parse,
};

const EXAMPLE: &str = include_str!("../../../config/skms.toml");

/// The example with the options that it shows behind a `#`.
fn example_in_full() -> String {
    let shown = |line: &str| {
        let commented = line.strip_prefix('#').filter(|rest| rest.starts_with(|next: char| next != ' '));
        commented.unwrap_or(line).to_owned() + "\n"
    };
    EXAMPLE.lines().map(shown).collect()
}

#[test]
fn the_example_shows_the_defaults() {
    let shown = parse(&example_in_full(), &[]).unwrap();
    let least = parse(
        "[listeners.api]\naddress = '127.0.0.1:7443'\n\
         certificate = '/etc/skms/server.pem'\nkey = 'file:/etc/skms/server.key'\n\
         [listeners.local]\naddress = 'unix:/run/skms/skms.sock'\nmode = '0600'\n\
         [listeners.probes]\naddress = '0.0.0.0:7445'\nserves = 'health'\n\
         [auth]\ndeny_file = '/etc/skms/deny.toml'\n\
         [auth.issuers.corp]\nissuer = 'https://login.corp.example'\naudiences = ['skms']\n\
         algorithms = ['ES256']\njwks = 'https://login.corp.example/jwks.json'\ntenant_claim = 'tenant'\ntenant = 'corp'\n\
         [auth.certificates.mesh]\nca = '/etc/skms/mesh-ca.pem'\nidentity = 'uri'\ntenant = 'payments'\n\
         [auth.certificates.mesh.subjects.'spiffe://corp.example/payroll']\nroles = ['signer']\n\
         tenant = 'payroll'\n\
         [auth.unix.operator]\nuid = 1000\ntenant = 'payroll'\n\
         [audit]\nsigning_key = 'file:/etc/skms/audit.key'\n\
         anchor_file = '/var/lib/skms/audit.anchors.jsonl'\n\
         [backends.pkcs11.my-hsm]\nmodule = '/usr/lib/vendor/libpkcs11.so'\ntoken = 'label:production'\n\
         pin = 'file:/etc/skms/my-hsm.pin'\n\
         [backends.software.my-keys]\nmaster_key = 'file:/etc/skms/master.key'\n\
         [backends.tpm.my-tpm]\ntcti = 'device:/dev/tpmrm0'\nowner_auth = 'file:/etc/skms/tpm-owner.auth'\n",
        &[],
    );
    assert_eq!(shown, least.unwrap());
}

#[test]
fn the_example_needs_nothing_but_a_backend() {
    let error = parse(EXAMPLE, &[]).unwrap_err().to_string();
    assert_eq!(
        error,
        "x.toml: `backends`: at least one backend is needed; add a section `[backends.pkcs11.NAME]`, \
         `[backends.tpm.NAME]` or `[backends.software.NAME]`"
    );
}

#[test]
fn the_example_shows_every_option() {
    // What there is, is what the configuration answers to a field that there is not.
    let mut tree = Node::parse_file(&example_in_full()).unwrap_or_else(|_| panic!("it was parsed above"));
    let mut shown = BTreeMap::new();
    add_unknown_field(&mut tree, "", &mut shown);
    let mut problems = Vec::new();
    let read: Option<super::super::File> = super::super::reader::read(&mut tree, &mut problems);
    assert!(read.is_some());
    let text = Error::refused(Path::new(""), problems).to_string();
    // What one listener shows, the others need not.
    let alike = |a: &str, b: &str| a == b || [a, b].iter().all(|table| table.starts_with("listeners."));
    let shows = |table: &str, name: &str| {
        shown.iter().any(|(other, fields)| alike(other, table) && fields.iter().any(|field| field == name))
    };
    let mut told = 0;
    for line in text.lines() {
        let field = line.split('`').nth(1).unwrap();
        let table = field.strip_suffix(UNKNOWN).unwrap().trim_end_matches('.');
        if line.contains("known are") {
            let known =
                line.split("known are ").nth(1).unwrap().split(", ").map(|name| name.trim_matches('`'));
            let missing: Vec<_> = known.filter(|name| !shows(table, name)).collect();
            assert!(missing.is_empty(), "config/skms.toml does not show {missing:?} of `{table}`");
            told += 1;
        }
    }
    // All tables but those whose fields are names: three of backends, four of callers, the
    // listeners, the roles that have weights.
    assert_eq!(told, shown.len() - 9, "{text}");
}

fn add_unknown_field(node: &mut Node, path: &str, shown: &mut BTreeMap<String, Vec<String>>) {
    let Value::Table(fields) = &mut node.value else { return };
    shown.insert(path.to_owned(), fields.keys().cloned().collect());
    for (name, field) in fields.iter_mut() {
        add_unknown_field(field, format!("{path}.{name}").trim_start_matches('.'), shown);
    }
    fields.insert(UNKNOWN.to_owned(), Node::parse_variable("X", "true".to_owned()));
}

const UNKNOWN: &str = "UNKNOWN";

#[test]
fn the_file_for_development_is_taken_and_its_paths_are_beside_it() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let config = Config::load(&directory.join("dev.toml"), std::iter::empty()).unwrap();
    assert_eq!(config.catalog.path, directory.join("../var/dev/catalog.db"));
    assert_eq!(config.audit.path, directory.join("../var/dev/audit.jsonl"));
    let pin = format!("File({:?})", directory.join("../var/dev/pin"));
    assert!(format!("{:?}", config.backends.pkcs11["hsm"]).contains(&pin));
    assert!(config.server.reflection);
    let listeners: Vec<_> = config.listeners.iter().collect();
    let [(name, api)] = listeners.as_slice() else { panic!("{listeners:?}") };
    assert_eq!((name.as_str(), api.address.to_string().as_str()), ("api", "127.0.0.1:7443"));
    assert_eq!(api.certificate, Some(directory.join("../var/dev/tls/server.pem")));
    assert_eq!(
        api.key.as_ref().unwrap().to_string(),
        format!("file:{}", directory.join("../var/dev/tls/server.key").display())
    );
    let order: Vec<_> = config.backends.placement.order.iter().map(ToString::to_string).collect();
    assert_eq!(order, ["hsm", "soft"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::load(Path::new("/nowhere/skms.toml"), std::iter::empty()).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the configuration `/nowhere/skms.toml`");
}
