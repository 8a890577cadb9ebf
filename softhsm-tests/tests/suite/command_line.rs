//! The command line against a real gateway: what a script sees of it.

mod crypto;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use skms_backend::{KeyType, SignatureAlgorithm};
use skms_tests::{
    conformance::openssl,
    gateway::{Gateway, Home},
};

use crate::{
    ask::PROGRAM,
    program::{self, Ended},
};

/// The command line as one user has it: no variables and no profile but their own.
struct User<'a> {
    home: &'a Home,
    variables: Variables,
}

type Variables = Vec<(&'static str, String)>;

impl<'a> User<'a> {
    fn of(home: &'a Home, gateway: &Gateway) -> Self {
        let token = home.admin_token().display().to_string();
        Self { home, variables: vec![("SKMS_ENDPOINT", gateway.endpoint()), ("SKMS_TOKEN_FILE", token)] }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        for name in ["ENDPOINT", "CA", "TOKEN_FILE", "PROFILE", "TIMEOUT", "OUTPUT"] {
            command.env_remove(format!("SKMS_{name}"));
        }
        command.env("XDG_CONFIG_HOME", self.home.path()).current_dir(self.home.path());
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).args(arguments);
        command
    }

    fn run(&self, line: &str) -> Ended {
        self.pipe(line, b"")
    }

    fn pipe(&self, line: &str, input: &[u8]) -> Ended {
        program::run(self.command(&line.split_whitespace().collect::<Vec<_>>()), input)
    }
}

#[tokio::test]
async fn a_key_is_made_shown_listed_and_rotated() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let user = User::of(&home, &gateway);
    for backend in home.backends() {
        let line = format!(
            "keys create ec-p256 --id {backend} --backend {backend} --label env=prod --alias {backend}.2 --output json"
        );
        let made = user.run(&line);
        assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""));
        let key = made.json();
        assert_eq!((&key["id"], &key["metadata"]["labels"]["env"]), (&backend.into(), &"prod".into()));
        assert_eq!(key["metadata"]["state"], "enabled");
        openssl::check_pem(key["public_key"].as_str().unwrap(), KeyType::EcP256);

        let shown = user.run(&format!("keys get {backend}.2 --output json"));
        assert_eq!(shown.json(), key);
        let rotated = user.run(&format!("keys rotate {backend} --expected-primary 1 --output json")).json();
        assert_eq!(rotated["metadata"]["primary_version"], 2);
        let full = user.run(&format!("keys get {backend} --full --output json")).json();
        assert_eq!(full["metadata"]["versions"].as_array().unwrap().len(), 2);
        let table = user.run(&format!("keys get {backend}"));
        for part in [backend, "ec-p256", "enabled", "env=prod"] {
            assert!(table.text().contains(part), "{part}: {}", table.text());
        }
        let old = user.run(&format!("keys get {backend} --version 1 --public-key"));
        assert_eq!(old.text(), key["public_key"].as_str().unwrap());
    }
    let listed = user.run("keys list --filter labels.env=prod --output json").json();
    let mut names = home.backends();
    names.sort_unstable();
    let ids: Vec<_> = listed.as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap()).collect();
    assert_eq!(ids, names);
    assert_eq!(user.run("keys list --page-size 1 --output json").json(), listed);
    assert_eq!(user.run("keys list --limit 1 --output json").json().as_array().unwrap().len(), 1);
    let table = user.run("keys list");
    assert_eq!(table.text().lines().count(), 1 + names.len(), "{}", table.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_shows_a_line_for_each_event_and_goes_on_over_a_restart() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let mut user = User::of(&home, &gateway);
    user.variables[0].1 = format!("unix:{}", gateway.socket().display());
    user.run("keys create ec-p256 --id old");
    let shown = user.run("keys watch --initial --limit 1");
    assert_eq!(
        (shown.code, shown.text().trim_end()),
        (Some(0), "-                         initial         old")
    );
    let line = ["keys", "watch", "--initial", "--output", "json"];
    let mut watch = user.command(&line).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut events = lines.map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    let mut next =
        |kind: &str| events.find(|event| event["type"] != "bookmark" && event["type"] == kind).unwrap();
    assert_eq!(next("initial")["key"]["id"], "old");
    let token = next("initial-done")["resume_token"].as_str().unwrap().to_owned();
    user.run("keys create ec-p256 --id new");
    assert_eq!(next("created")["key"]["id"], "new");
    tokio::task::block_in_place(|| gateway.kill());
    let _gateway = home.start();
    user.run("keys rotate new");
    assert_eq!(next("rotated")["version"], 2);
    drop(events);
    // Who reads it is gone: it ends with the next event.
    user.run("keys rotate new");
    assert!(watch.wait().unwrap().success());
    let missed = user.run(&format!("keys watch --limit 3 --resume {token}"));
    let kinds: Vec<_> = missed.text().lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(kinds, ["created", "rotated", "rotated"]);
    let wrong = user.run("keys watch --resume 00");
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("resume_token"), "{}", wrong.stderr);
}

#[tokio::test]
async fn files_and_pipes_are_signed_and_verified_as_openssl_does() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let user = User::of(&home, &gateway);
    let file = |name: &str| home.path().join(name);
    fs::write(file("message"), "hello, world").unwrap();
    let sha256 = hex::encode(skms_backend::Hash::Sha256.digest(b"hello, world").as_ref());
    for backend in home.backends() {
        user.run(&format!(
            "keys create ec-p256 --id {backend} --backend {backend} --public-key-out {backend}.pem"
        ));
        let pem = fs::read_to_string(file(&format!("{backend}.pem"))).unwrap();
        let agrees = |signature: &[u8]| {
            openssl::agrees(&pem, SignatureAlgorithm::EcdsaP256Sha256, b"hello, world", signature)
        };
        // A file to a file.
        let signed = user.run(&format!("sign {backend} --in message --out signature"));
        assert_eq!((signed.code, signed.text()), (Some(0), ""), "{signed:?}");
        assert!(agrees(&fs::read(file("signature")).unwrap()));
        let verified = user.run(&format!("verify {backend} --in message --signature signature"));
        assert_eq!((verified.code, verified.text().starts_with("valid: ")), (Some(0), true), "{verified:?}");
        // A pipe to a pipe, and nothing but the signature in it.
        let piped = user.pipe(&format!("sign {backend}"), b"hello, world");
        assert!(agrees(&piped.stdout));
        let verified = user.pipe(&format!("verify {backend} --in message --signature -"), &piped.stdout);
        assert_eq!(verified.code, Some(0), "{verified:?}");
        // A digest, in text.
        let signed = user.run(&format!("sign {backend} --digest {sha256} --hash sha256 --format hex"));
        assert!(agrees(&hex::decode(signed.text().trim()).unwrap()));
        // JOSE.
        let line = format!(
            "sign {backend} --in message --algorithm ES256 --encoding p1363 --format base64 --out jose"
        );
        assert_eq!(user.run(&line).code, Some(0));
        let line = format!(
            "verify {backend} --in message --signature jose --encoding p1363 --format base64 --output json"
        );
        let verified = user.run(&line);
        assert_eq!((verified.code, &verified.json()["valid"]), (Some(0), &true.into()), "{verified:?}");
        // Another message.
        let verified = user.pipe(&format!("verify {backend} --signature signature"), b"hello, World");
        assert_eq!(
            (verified.code, verified.text().starts_with("invalid: ")),
            (Some(3), true),
            "{verified:?}"
        );
    }
    let gone = user.run("keys create ed25519 --public-key-out -");
    openssl::check_pem(gone.text(), KeyType::Ed25519);
}

#[tokio::test]
async fn every_failure_has_its_exit_code_and_says_why() {
    let home = Home::software(PROGRAM).configured("[limits]\nmessage_bytes = 4\n");
    let gateway = home.start();
    let user = User::of(&home, &gateway);
    assert_eq!(user.run("keys create ec-p256 --id key").code, Some(0));
    assert_eq!(user.run("keys create ec-p256 --id late --expires 2001-01-01T00:00:00Z").code, Some(0));
    fs::write(home.path().join("wrong.toml"), "endpoint = 'ftp://nowhere'\n").unwrap();
    for (line, code, parts) in [
        ("--help", 0, vec![]),
        ("--version", 0, vec![]),
        ("keys get key", 0, vec![]),
        ("health", 0, vec![]),
        ("health --service backend/soft", 0, vec![]),
        ("backends --output json", 0, vec![]),
        ("keys create ec-p256 --id new --validate-only", 0, vec!["nothing was made"]),
        ("keys", 2, vec!["Usage"]),
        ("keys explode", 2, vec!["explode"]),
        ("keys create ec-p256 --label env", 2, vec!["NAME=VALUE"]),
        ("keys create rot13", 2, vec!["UNSUPPORTED_KEY_TYPE", "field key_type", "ec-p256", "request id"]),
        ("keys create ec-p256 --id KEY", 2, vec!["FIELD_INVALID", "field key_id"]),
        ("keys list --filter x", 2, vec!["FILTER_INVALID", "field filter"]),
        ("sign key --in skms.toml", 2, vec!["PAYLOAD_TOO_LARGE", "hint", "--digest"]),
        ("sign key --in - --algorithm ES384", 2, vec!["ALGORITHM_NOT_ALLOWED"]),
        ("verify key --signature -", 2, vec!["both be stdin"]),
        ("keys get nobody", 4, vec!["KEY_NOT_FOUND", "keyId nobody", "request id"]),
        ("keys get key --version 7", 4, vec!["KEY_VERSION_NOT_FOUND"]),
        ("keys create ec-p256 --backend none", 4, vec!["BACKEND_NOT_FOUND"]),
        ("health --service nothing", 4, vec![]),
        ("keys create ec-p256 --id key", 6, vec!["KEY_ALREADY_EXISTS"]),
        ("keys rotate key --etag x", 6, vec!["ETAG_MISMATCH", "hint", "skms keys get"]),
        ("keys rotate key --expected-primary 7", 6, vec!["PRIMARY_VERSION_CHANGED"]),
        ("sign late --in -", 6, vec!["KEY_EXPIRED"]),
        ("keys get key --endpoint http://127.0.0.1:1", 7, vec!["cannot connect", "hint", "skms serve"]),
        ("keys get key --endpoint unix:/nowhere", 7, vec!["cannot connect"]),
        ("keys get key --endpoint https://127.0.0.1:1", 78, vec!["CA"]),
        ("keys get key --profile nowhere.toml", 78, vec!["nowhere.toml"]),
        ("keys get key --profile wrong.toml", 78, vec!["wrong.toml:1: ", "an endpoint is"]),
        ("keys get key --token-file nowhere", 78, vec!["nowhere"]),
        ("sign key --in nowhere", 1, vec!["cannot read `nowhere`"]),
        ("sign key", 2, vec!["nothing came on stdin", "--in FILE"]),
        ("sign key --in - --out nowhere/signature", 1, vec!["cannot write `nowhere/signature`"]),
    ] {
        let ended = user.run(line);
        assert_eq!(ended.code, Some(code), "`{line}`: {ended:?}");
        for part in parts {
            assert!(ended.stderr.contains(part), "`{line}` does not say `{part}`: {}", ended.stderr);
        }
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        if code != 0 {
            assert_eq!(ended.text(), "", "`{line}`");
        }
    }
}

#[tokio::test]
async fn the_gateway_is_named_by_flag_variable_or_profile() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let nowhere = "http://127.0.0.1:1".to_owned();
    let endpoint = gateway.endpoint();
    let profile = |name: &str, endpoint: &str| {
        let path = home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("endpoint = '{endpoint}'\noutput = 'json'\n")).unwrap();
        path.display().to_string()
    };
    let named = profile("named.toml", &endpoint);
    let table: [(&str, Variables, Option<i32>); 6] = [
        ("health", vec![], Some(7)),
        ("health", vec![("SKMS_ENDPOINT", endpoint.clone())], Some(0)),
        ("health", vec![("SKMS_ENDPOINT", nowhere.clone())], Some(7)),
        ("health", vec![("SKMS_PROFILE", named.clone())], Some(0)),
        ("health", vec![("SKMS_PROFILE", named), ("SKMS_ENDPOINT", nowhere.clone())], Some(7)),
        ("health", vec![("SKMS_ENDPOINT", "nonsense".into())], Some(78)),
    ];
    for (line, variables, code) in table {
        let user = User { home: &home, variables };
        // Nothing listens on the usual port where the tests run alone.
        let line =
            if user.variables.is_empty() { format!("{line} --endpoint {nowhere}") } else { line.into() };
        let ended = user.run(&line);
        assert_eq!(ended.code, code, "{:?}: {ended:?}", user.variables);
    }
    let user = User { home: &home, variables: vec![("SKMS_ENDPOINT", nowhere)] };
    assert_eq!(user.run(&format!("health --endpoint {endpoint}")).text(), "serving\n");
    let socket = gateway.socket().display();
    assert_eq!(user.run(&format!("health --endpoint unix:{socket}")).text(), "serving\n");
    // The profile of the user is found without being named, and says how to print.
    profile("skms/profile.toml", &endpoint);
    let user = User { home: &home, variables: vec![] };
    assert_eq!(user.run("health").json()["status"], "serving");
    assert_eq!(user.run("health --output table").text(), "serving\n");
}

/// A reader that leaves early is no failure.
#[tokio::test]
async fn a_broken_pipe_is_no_failure() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let user = User::of(&home, &gateway);
    for _ in 0..3 {
        user.run("keys create ed25519");
    }
    let mut shell = user.command(&[]);
    shell = {
        let mut piped = Command::new("sh");
        piped.envs(shell.get_envs().filter_map(|(name, value)| Some((name, value?))));
        piped.arg("-c").arg(format!("{{ {PROGRAM} keys list --output json; echo $? >&2; }} | head -c 1"));
        piped
    };
    let ended = program::run(shell, b"");
    assert_eq!((ended.text(), ended.stderr.trim()), ("[", "0"));
}
