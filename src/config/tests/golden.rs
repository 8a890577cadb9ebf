//! The exact words, one mistake at a time and several at once.

use super::{BACKEND, complaint, parse};

/// What is written above a valid backend, and what is said about it.
const MISTAKES: &[(&str, &str)] = &[
    (
        "[sever]\n",
        "x.toml:1: `sever`: unknown field; did you mean `server`? known are `server`, `listeners`, \
         `connections`, `auth`, `limits`, `catalog`, `audit`, `policy`, `rates`, `log`, `traces`, `admin`, `health`, \
         `placement`, `backends`",
    ),
    (
        "[server]\nlisten = ['127.0.0.1:7443']\n",
        "x.toml:2: `server.listen`: unknown field; known are `reflection`, `drain_grace`",
    ),
    (
        "[catalog]\npath = 'd/a.db'\n[audit]\npath = 'd/../d/a.db-wal'\nanchor_file = './d/a.db-journal'\n",
        "x.toml:4: `audit.path`: is a file of `catalog.path`; give the log a file of its own\n\
         x.toml:5: `audit.anchor_file`: is a file of `catalog.path`; give the anchors a file of their own",
    ),
    (
        "[audit]\npath = 'd/a.jsonl'\nanchor_file = 'd/./e/../a.jsonl'\n",
        "x.toml:3: `audit.anchor_file`: is `audit.path`; give the anchors a file of their own",
    ),
    ("[listeners]\n", "x.toml:1: `listeners`: must name at least one; add a section `[listeners.NAME]`"),
    (
        "[listeners.Api]\naddress = '127.0.0.1:1'\n",
        "x.toml:1: `listeners.Api`: not a name that can be used here; use 1 to 32 of `a-z`, `0-9` and `-`",
    ),
    (
        "[listeners.a]\naddress = '0.0.0.0:7443'\n[listeners.b]\naddress = 'localhost:7443'\n",
        "x.toml:4: `listeners.b.address`: `localhost:7443` is no address; write `IP:PORT`, such as \
         `127.0.0.1:7443`, or `unix:PATH`",
    ),
    (
        "[listeners.a]\naddress = '0.0.0.0:7443'\n[listeners.h]\naddress = '0.0.0.0:1'\nserves = 'health'\n",
        "x.toml:2: `listeners.a.address`: `0.0.0.0:7443` can be reached from other machines, and is without \
         TLS; add `certificate` and `key`, or listen on `127.0.0.1:PORT`, `[::1]:PORT` or `unix:PATH`",
    ),
    (
        "[listeners.a]\naddress = '127.0.0.1:1'\n[listeners.b]\naddress = '127.0.0.1:1'\nmode = '0660'\n",
        "x.toml:4: `listeners.b.address`: `127.0.0.1:1` is the address of another listener, too\n\
         x.toml:5: `listeners.b.mode`: is for Unix sockets; remove it",
    ),
    (
        "[listeners.a]\naddress = 'unix:s'\nmode = '0999'\n",
        "x.toml:3: `listeners.a.mode`: write permissions in octal digits, such as `0660` for a group",
    ),
    (
        "[listeners.a]\naddress = '0.0.0.0:1'\ncertificate = 'c'\n[listeners.b]\naddress = 'unix:s'\n\
         certificate = 'c'\nkey = 'file:k'\n",
        "x.toml:3: `listeners.a.certificate`: TLS takes a `key` as well; add it\n\
         x.toml:6: `listeners.b.certificate`: a Unix socket does without TLS; remove it and the `key`",
    ),
    (
        "[listeners.a]\naddress = '0.0.0.0:1'\ncertificate = 'c'\nkey = '-----BEGIN'\n",
        "x.toml:4: `listeners.a.key`: a secret may not stand here; put it elsewhere and write `file:PATH`, \
         `env:NAME` or `credential:NAME`",
    ),
    (
        "[listeners.a]\naddress = '127.0.0.1:1'\nclient_certificates = 'required'\n",
        "x.toml:3: `listeners.a.client_certificates`: are shown in TLS only; add `certificate` and `key`\n\
         x.toml:3: `listeners.a.client_certificates`: nobody can vouch for them; add a section \
         `[auth.certificates.NAME]`",
    ),
    (
        "[listeners.a]\naddress = '0.0.0.0:1'\ncertificate = 'c'\nkey = 'file:k'\nclient_certificates = 'optional'\n\
         authorities = ['mesh', 'mash']\n[auth.certificates.mesh]\nca = 'ca.pem'\nidentity = 'uri'\n",
        "x.toml:6: `listeners.a.authorities`: no authority is called `mash`; known are `mesh`",
    ),
    (
        "[listeners.a]\naddress = '127.0.0.1:1'\nauthorities = ['mesh']\n",
        "x.toml:3: `listeners.a.authorities`: clients are not asked for certificates; set \
         `client_certificates`, or remove this",
    ),
    (
        "[connections]\ntotal = 0\nidle_timeout = '0s'\nmax_age = '2d'\n",
        "x.toml:2: `connections.total`: must be 1 to 100000, not `0`\n\
         x.toml:3: `connections.idle_timeout`: must be longer than zero and at most `1day`\n\
         x.toml:4: `connections.max_age`: must be longer than zero and at most `1day`",
    ),
    (
        "[server]\nreflection = 'yes'\n",
        "x.toml:2: `server.reflection`: must be `true` or `false`, not a string",
    ),
    (
        "[server]\ndrain_grace = 10\n",
        "x.toml:2: `server.drain_grace`: must be a duration such as `\"30s\"` or `\"5m\"`, not \
         an integer",
    ),
    (
        "[server]\ndrain_grace = '10 parsecs'\n",
        "x.toml:2: `server.drain_grace`: must be a duration such as `\"30s\"` or `\"5m\"`, not \
         `10 parsecs`",
    ),
    ("server = ['127.0.0.1:7443']\n", "x.toml:1: `server`: must be a table, not an array"),
    (
        "[auth.issuers.corp]\nissuer = 'i'\naudiences = []\nalgorithms = ['HS256']\njwks = 'http://h/k'\n",
        "x.toml:4: `auth.issuers.corp.algorithms`: unknown value; did you mean `ES256`? known are `RS256`, \
         `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `EdDSA`\n\
         x.toml:5: `auth.issuers.corp.jwks`: `http://` is for this machine only (127.0.0.1, [::1], \
         localhost); use `https://`",
    ),
    (
        "[auth.issuers.corp]\nissuer = 'i'\naudiences = ['a']\nalgorithms = ['ES256']\njwks = 'file:k'\n\
         single_use = 'for-change'\n",
        "x.toml:6: `auth.issuers.corp.single_use`: unknown value; did you mean `for-changes`? known are \
         `never`, `for-changes`",
    ),
    (
        "[auth.issuers.Corp]\n",
        "x.toml:1: `auth.issuers.Corp`: not a name that can be used here; use 1 to 32 of `a-z`, `0-9` and \
         `-`",
    ),
    (
        "[auth.issuers.corp]\nissuer = 'i'\naudiences = []\nalgorithms = []\njwks = 'file:k'\n\
         leeway = '31s'\nrefresh = '1s'\n",
        "x.toml:3: `auth.issuers.corp.audiences`: must name at least one audience, and no empty one\n\
         x.toml:4: `auth.issuers.corp.algorithms`: must name at least one algorithm, such as `ES256`\n\
         x.toml:6: `auth.issuers.corp.leeway`: must be at most `30s`\n\
         x.toml:7: `auth.issuers.corp.refresh`: must not be shorter than `cool_down`",
    ),
    (
        "[auth.certificates.mesh]\nca = 'c'\nidentity = 'cn'\n",
        "x.toml:3: `auth.certificates.mesh.identity`: unknown value; known are `uri`, `dns`, `email`",
    ),
    (
        "[auth]\nproxies = ['mesh/a', 'other/a']\n[auth.certificates.mesh]\nca = 'c'\nidentity = 'dns'\n\
         only_listed = true\n[auth.unix.mesh]\nuid = 0\n[auth.unix.root]\nuid = 0\n[auth.unix.local]\n\
         uid = -1\n",
        "x.toml:12: `auth.unix.local.uid`: must be a whole number, not `-1`",
    ),
    (
        "[auth]\nproxies = ['mesh/a', 'other/a']\n[auth.certificates.mesh]\nca = 'c'\nidentity = 'dns'\n\
         only_listed = true\n[auth.unix.mesh]\nuid = 0\n[auth.unix.root]\nuid = 0\n[auth.unix.local]\n\
         uid = 1\n",
        "x.toml:2: `auth.proxies`: `other/a` is not of the form AUTHORITY/NAME with a configured authority\n\
         x.toml:6: `auth.certificates.mesh.only_listed`: nobody is listed; add `subjects`, or remove this\n\
         x.toml:7: `auth.unix.mesh`: the name is taken by `auth.certificates.mesh`; a name is used once over \
         all kinds\n\
         x.toml:10: `auth.unix.root.uid`: `0` is the uid of another section, too\n\
         x.toml:11: `auth.unix.local`: `local` is what the gateway calls others by; choose another name",
    ),
    (
        "[limits]\nmessage_bytes = 0\n",
        "x.toml:2: `limits.message_bytes`: must be 1 to 1048576 bytes, not `0`",
    ),
    (
        "[limits]\nmessage_bytes = 1048577\n",
        "x.toml:2: `limits.message_bytes`: must be 1 to 1048576 bytes, not `1048577`",
    ),
    (
        "[limits]\nbatch_items = 0\nrandom_bytes = 16385\nlabels = 129\nlabel_key_bytes = 64\nlabel_value_bytes = 0\n",
        "x.toml:2: `limits.batch_items`: must be 1 to 10000, not `0`\n\
         x.toml:3: `limits.random_bytes`: must be 1 to 16384 bytes, not `16385`\n\
         x.toml:4: `limits.labels`: must be 0 to 128, not `129`\n\
         x.toml:5: `limits.label_key_bytes`: must be 1 to 63 bytes, not `64`\n\
         x.toml:6: `limits.label_value_bytes`: must be 1 to 256 bytes, not `0`",
    ),
    (
        "[limits]\nstream_in_flight = 0\nstream_timeout = '0s'\nstream_idle_timeout = '2days'\n",
        "x.toml:2: `limits.stream_in_flight`: must be 1 to 4096, not `0`\n\
         x.toml:3: `limits.stream_timeout`: must be longer than zero and at most `1day`\n\
         x.toml:4: `limits.stream_idle_timeout`: must be longer than zero and at most `1day`",
    ),
    ("[limits]\nmessage_bytes = -1\n", "x.toml:2: `limits.message_bytes`: must be a whole number, not `-1`"),
    (
        "[limits]\nmessage_bytes = 1e6\n",
        "x.toml:2: `limits.message_bytes`: must be a whole number, not a fraction",
    ),
    (
        "[limits]\nmessage_bytes = 99999999999999999999\n",
        "x.toml:2: `limits.message_bytes`: must be a whole number, not a number as large as that",
    ),
    (
        "[limits]\noperation_timeout = '0s'\ngenerate_timeout = '1000years'\n",
        "x.toml:2: `limits.operation_timeout`: must be longer than zero and at most `1day`\n\
         x.toml:3: `limits.generate_timeout`: must be longer than zero and at most `1day`",
    ),
    (
        "[catalog]\npath = ''\nsweep_interval = '0s'\n",
        "x.toml:2: `catalog.path`: must name a file\n\
         x.toml:3: `catalog.sweep_interval`: must be at least `100ms` and at most `1day`",
    ),
    ("[catalog]\npath = 7\n", "x.toml:2: `catalog.path`: must be a path in quotes, not an integer"),
    (
        "[audit]\ndurability = 'sync'\n",
        "x.toml:2: `audit.durability`: unknown value; did you mean `fsync`? known are `write`, `fsync`",
    ),
    (
        "[audit]\ndurability = true\n",
        "x.toml:2: `audit.durability`: must be a string in quotes, not a boolean",
    ),
    (
        "[log]\nlevel = 'verbose'\nformat = 2020-01-01\n",
        "x.toml:2: `log.level`: `verbose` is no filter; write `off`, `error`, `warn`, `info`, \
         `debug` or `trace`, or such as `info,skms::gate=debug`\n\
         x.toml:3: `log.format`: must be a string in quotes, not a date",
    ),
    (
        "[traces]\nendpoint = 'https://127.0.0.1:4317'\nsample_percent = 101\n",
        "x.toml:2: `traces.endpoint`: `https://127.0.0.1:4317`: TLS to the collector is not supported; run a \
         collector beside the gateway, on `http://127.0.0.1:4317`",
    ),
    (
        "[traces]\nservice_name = ''\nsample_percent = 101\n",
        "x.toml:2: `traces.service_name`: must be a name, such as `skms`\n\
         x.toml:3: `traces.sample_percent`: must be 0 to 100, not `101`",
    ),
    (
        "[admin]\nlisten = 'localhost:7444'\n",
        "x.toml:2: `admin.listen`: `localhost:7444` is no address; write `IP:PORT`, such as `127.0.0.1:7444`, or \
         nothing",
    ),
    (
        "[health]\nprobe_timeout = '11s'\n",
        "x.toml:2: `health.probe_timeout`: `11s` is longer than `health.probe_interval`, `10s`; \
         make it shorter",
    ),
    (
        "[placement]\norder = ['soft', 'hsm']\n",
        "x.toml:2: `placement.order`: no backend is called `hsm`; known are `soft`",
    ),
    (
        "[placement]\norder = ['soft', 'soft']\n",
        "x.toml:2: `placement.order`: `soft` is listed twice; remove one",
    ),
    (
        "[backends.smartcard.chip]\n",
        "x.toml:1: `backends.smartcard`: unknown field; known are `pkcs11`, `software`, `tpm`",
    ),
    (
        "[backends.tpm.chip]\ntcti = 'tabrmd:'\nqueue = 65537\n",
        "x.toml:2: `backends.tpm.chip.tcti`: write `device:/dev/tpmrm0` or `swtpm:host=127.0.0.1,port=2321`",
    ),
    (
        "[backends.tpm.chip]\ntcti = 'device:/dev/tpmrm0'\nowner_auth = '1234'\n",
        "x.toml:3: `backends.tpm.chip.owner_auth`: a secret may not stand here; put it elsewhere and write \
         `file:PATH`, `env:NAME` or `credential:NAME`",
    ),
    (
        "[backends.tpm.chip]\ntcti = 'device:/dev/tpmrm0'\nqueue = 65537\n",
        "x.toml:3: `backends.tpm.chip.queue`: must be at most 65536, not `65537`",
    ),
    (
        "[backends.tpm.chip]\ntcti = 'device:/dev/tpmrm0'\nhang_limit = '1ms'\n",
        "x.toml:3: `backends.tpm.chip.hang_limit`: must be at least `100ms` and at most `1day`",
    ),
    ("[backends.pkcs11]\npin = 'file:x'\n", "x.toml:2: `backends.pkcs11.pin`: must be a table, not a string"),
    (
        "[backends.pkcs11.HSM_1]\n",
        "x.toml:1: `backends.pkcs11.HSM_1`: not a name for a backend; use 1 to 32 of `a-z`, \
         `0-9` and `-`",
    ),
    ("[backends.pkcs11.hsm]\n", "x.toml:1: `backends.pkcs11.hsm.module`: missing; add it to this table"),
    (
        "[backends.pkcs11.hsm]\nmodule = 'm'\ntoken = 'label:t'\npin = 'file:p'\nsesions = 4\n",
        "x.toml:5: `backends.pkcs11.hsm.sesions`: unknown field; did you mean `sessions`? known \
         are `module`, `token`, `pin`, `protection_level`, `destroy_adopted`, `sessions`, `queue`, `hang_limit`",
    ),
    (
        "[backends.pkcs11.hsm]\nmodule = 'm'\ntoken = 'slot 0'\npin = 'file:p'\nsessions = 0\n",
        "x.toml:3: `backends.pkcs11.hsm.token`: write `label:LABEL`, `serial:SERIAL` or a \
         PKCS#11 URI `pkcs11:token=…`\n\
         x.toml:5: `backends.pkcs11.hsm.sessions`: must be a whole number above zero, not `0`",
    ),
    (
        "[backends.pkcs11.soft]\nmodule = 'm'\ntoken = 'label:t'\npin = 'file:p'\n",
        "x.toml:5: `backends.software.soft`: the name is taken by `backends.pkcs11.soft`; a name \
         is used once over all kinds",
    ),
    ("[log]\nlevel = info\n", "x.toml:2: not TOML: invalid float, expected `inf`; text is written in quotes"),
    ("[log]\nlevel = 'info'\nlevel = 'debug'\n", "x.toml:3: not TOML: duplicate key"),
    ("[log\n", "x.toml:1: not TOML: unclosed table, expected `]`"),
];

#[test]
fn a_mistake_is_named_with_its_line_and_its_remedy() {
    for (text, expected) in MISTAKES {
        assert_eq!(complaint(&format!("{text}{BACKEND}"), &[]), *expected, "{text}");
    }
}

#[test]
fn a_file_without_mistakes_is_taken() {
    assert!(parse(BACKEND, &[]).is_ok());
}
