//! A real gateway, as a process of its own: started from a configuration file,
//! spoken to over gRPC, stopped by a signal or killed.

use std::{
    ffi::OsString,
    fs,
    io::{BufRead, BufReader},
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use skms::client::{Client, ClientConfig, Retry, Token, TokenSource};
use tempfile::TempDir;
use tonic::{service::interceptor::InterceptedService, transport::Endpoint};

pub use crate::bearer::{Authorized, Bearer};
use crate::{
    activated::Outlives,
    idp::{AUDIENCE, ISSUER, Idp},
    pki::{self, Ca},
    softhsm::SoftHsm,
    swtpm::{self, Swtpm},
};

/// How long a gateway may take to serve, and to stop. Reached only by one that hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a gateway is started from, and what outlives it: its directory with
/// configuration, policies, catalog, audit log and master key; its PKCS#11 token and its
/// TPM; and the issuer whose tokens it takes. The user who runs the tests is an admin on the
/// Unix socket.
pub struct Home {
    directory: TempDir,
    idp: Idp,
    program: PathBuf,
    softhsm: Option<SoftHsm>,
    tpm: Option<Swtpm>,
    extra: String,
}

impl Home {
    /// A gateway with a software backend `soft`, and with a SoftHSM2 backend `hsm`
    /// before it unless `SKMS_TEST_BACKENDS` leaves that out. `program` is the
    /// test binary `skms-failpoints`: `env!("CARGO_BIN_EXE_skms-failpoints")`.
    #[must_use]
    pub fn new(program: &str) -> Self {
        let softhsm = (!crate::softhsm::left_out()).then(SoftHsm::new);
        Self::with(program, softhsm)
    }

    /// The same with a backend `tpm` between both, unless `SKMS_TEST_BACKENDS` leaves that
    /// out: for what every kind of device must do.
    #[must_use]
    pub fn every(program: &str) -> Self {
        Self { tpm: (!swtpm::left_out()).then(Swtpm::new), ..Self::new(program) }
    }

    /// A gateway with a software backend alone.
    #[must_use]
    pub fn software(program: &str) -> Self {
        Self::with(program, None)
    }

    /// A gateway with this token, if any, before a software backend.
    #[must_use]
    pub fn with(program: &str, softhsm: Option<SoftHsm>) -> Self {
        let home = Self {
            directory: tempfile::tempdir().unwrap(),
            idp: Idp::new("first"),
            program: program.into(),
            softhsm,
            tpm: None,
            extra: String::new(),
        };
        home.private("master.key", &hex::encode(std::array::from_fn::<u8, 32, _>(|at| at.to_le_bytes()[0])));
        home.publish(&[&home.idp]);
        fs::create_dir(home.path().join("policies")).unwrap();
        for file in fs::read_dir(SHIPPED_POLICIES).unwrap().map(Result::unwrap) {
            fs::copy(file.path(), home.path().join("policies").join(file.file_name())).unwrap();
        }
        home.private(ADMIN, &home.idp.token("admin", &["admin"]));
        home
    }

    /// The issuer whose tokens its gateway takes.
    #[must_use]
    pub const fn idp(&self) -> &Idp {
        &self.idp
    }

    /// Has the issuer publish the keys of these, and of nobody else.
    pub fn publish(&self, idps: &[&Idp]) {
        let keys: Vec<_> = idps.iter().map(|idp| idp.jwk()).collect();
        self.replace("jwks.json", &serde_json::json!({ "keys": keys }).to_string());
    }

    /// Replaces a file as a whole, as those do who do it well.
    pub fn replace(&self, name: &str, text: &str) {
        pki::replace(&self.path().join(name), text);
    }

    /// The file with a token of an admin.
    #[must_use]
    pub fn admin_token(&self) -> PathBuf {
        self.path().join(ADMIN)
    }

    /// A file that only its owner may read.
    pub fn private(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Adds lines to the end of the configuration file.
    #[must_use]
    pub fn configured(mut self, toml: &str) -> Self {
        self.extra.push_str(toml);
        self
    }

    /// Adds a listener `tls` with a certificate of this authority. Clients may show
    /// certificates of the other one, which make them signers.
    #[must_use]
    pub fn secured(self, servers: &Ca, clients: &Ca) -> Self {
        let leaf = servers.server();
        self.private("servers.pem", servers.pem());
        self.private("server.pem", &leaf.certificate);
        self.private("server.key", &leaf.key);
        self.private("clients.pem", clients.pem());
        self.private("clients.crl", &clients.crl(1, &[]));
        self.configured(
            "[listeners.tls]\naddress = \"127.0.0.1:0\"\ncertificate = \"server.pem\"\n\
             key = \"file:server.key\"\nclient_certificates = \"optional\"\n\
             [auth.certificates.mesh]\nca = \"clients.pem\"\ncrls = [\"clients.crl\"]\nidentity = \"uri\"\n\
             roles = [\"signer\"]\n",
        )
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The token behind the backend `hsm`.
    #[must_use]
    pub const fn softhsm(&self) -> Option<&SoftHsm> {
        self.softhsm.as_ref()
    }

    /// Puts another TPM in the place of the one behind the backend `tpm`, and gives that.
    ///
    /// # Panics
    /// Where there is none.
    pub fn exchange_tpm(&mut self, other: Swtpm) -> Swtpm {
        self.tpm.replace(other).unwrap()
    }

    /// The TPM behind the backend `tpm`.
    #[must_use]
    pub const fn tpm(&self) -> Option<&Swtpm> {
        self.tpm.as_ref()
    }

    /// The same, to be killed and started again.
    #[must_use]
    pub const fn tpm_mut(&mut self) -> Option<&mut Swtpm> {
        self.tpm.as_mut()
    }

    /// The names of the backends, the preferred one first.
    #[must_use]
    pub fn backends(&self) -> Vec<&'static str> {
        let (hsm, tpm) = (self.softhsm.as_ref().map(|_| "hsm"), self.tpm.as_ref().map(|_| "tpm"));
        hsm.into_iter().chain(tpm).chain(["soft"]).collect()
    }

    /// The decisions in the audit log, without what the log says of itself.
    #[must_use]
    pub fn audit(&self) -> Vec<serde_json::Value> {
        self.audit_log().into_iter().filter(|line| line["kind"] == "decision").collect()
    }

    /// Every line of the audit log that is whole: the gateway may be writing the next.
    #[must_use]
    pub fn audit_log(&self) -> Vec<serde_json::Value> {
        let text = fs::read(self.path().join("audit.jsonl")).unwrap_or_default();
        let lines = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    /// Writes the configuration file and says where it is.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        let hsm = self.softhsm.as_ref().map(|token| format!("[backends.pkcs11.hsm]\n{}\n", token.config()));
        let tpm = self.tpm.as_ref().map(|tpm| format!("[backends.tpm.tpm]\n{}\n", tpm.config()));
        let text = format!(
            "[server]\nreflection = true\n\
             [listeners.tcp]\naddress = \"127.0.0.1:0\"\n\
             [listeners.unix]\naddress = \"unix:skms.sock\"\n\
             [catalog]\npath = \"catalog.db\"\n[audit]\npath = \"audit.jsonl\"\n\
             [log]\nformat = \"json\"\n[policy]\ndirectory = \"policies\"\n\
             [auth.issuers.test]\nissuer = \"{ISSUER}\"\naudiences = [\"{AUDIENCE}\"]\n\
             algorithms = [\"ES256\"]\njwks = \"file:jwks.json\"\ntenant_claim = \"tenant\"\n\
             [auth.unix.operator]\nuid = {}\nroles = [\"admin\"]\n\
             {}{}[backends.software.soft]\nmaster_key = \"file:master.key\"\n{}",
            rustix::process::getuid().as_raw(),
            hsm.unwrap_or_default(),
            tpm.unwrap_or_default(),
            self.extra
        );
        let path = self.path().join("skms.toml");
        fs::write(&path, text).unwrap();
        path
    }

    /// The command that runs the gateway binary in this home, without arguments.
    #[must_use]
    pub fn command(&self) -> Command {
        self.run(Command::new(&self.program))
    }

    fn run(&self, mut command: Command) -> Command {
        if let Some(token) = &self.softhsm {
            command.envs(token.envs());
        }
        // Many gateways run side by side, and none may take the port of another.
        command.env("SKMS__ADMIN__LISTEN", "127.0.0.1:0");
        command.env_remove("FAILPOINTS").env_remove("RUST_BACKTRACE");
        command
    }

    /// Starts a gateway and waits until it serves.
    ///
    /// # Panics
    /// With what it logged, when it does not.
    #[must_use]
    pub fn start(&self) -> Gateway {
        self.start_with([])
    }

    /// The same with more in its environment, for example `FAILPOINTS`.
    ///
    /// # Panics
    /// With what it logged, when it does not serve.
    #[must_use]
    pub fn start_with<const N: usize>(&self, environment: [(&str, OsString); N]) -> Gateway {
        match self.try_start(environment) {
            Ok(gateway) => gateway,
            Err(log) => panic!("the gateway does not serve:\n{log}"),
        }
    }

    /// The same, and what it logged where it does not serve.
    ///
    /// # Errors
    /// What it logged.
    pub fn try_start<const N: usize>(&self, environment: [(&str, OsString); N]) -> Result<Gateway, String> {
        self.try_spawn(self.command().envs(environment))
    }

    /// Starts a gateway whose TCP listener is this socket.
    ///
    /// # Panics
    /// With what it logged, when it does not serve.
    #[must_use]
    pub fn start_on(&self, socket: &Outlives) -> Gateway {
        let served = self.try_spawn(&mut self.run(socket.command(&self.program)));
        served.unwrap_or_else(|log| panic!("the gateway does not serve:\n{log}"))
    }

    fn try_spawn(&self, command: &mut Command) -> Result<Gateway, String> {
        let mut child = command
            .arg("serve")
            .arg("--config")
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = Arc::new(parking_lot::Mutex::new(String::new()));
        let (served, serving) = mpsc::channel();
        let lines = Arc::clone(&log);
        let reader = thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().push_str(&format!("{line}\n"));
                let parsed: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                if parsed["message"] == "serving"
                    && parsed["listener"] == "tcp"
                    && let Some(address) = parsed["address"].as_str()
                {
                    let _ = served.send(address.to_owned());
                }
            }
        });
        match serving.recv_timeout(PATIENCE) {
            Ok(address) => Ok(Gateway {
                child,
                address,
                token: self.admin_token(),
                socket: self.path().join("skms.sock"),
                log,
                reader: Some(reader),
            }),
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                let text = log.lock().clone();
                Err(text)
            }
        }
    }
}

/// A gateway that serves. Killed when it is dropped.
pub struct Gateway {
    child: Child,
    address: String,
    token: PathBuf,
    socket: PathBuf,
    log: Arc<parking_lot::Mutex<String>>,
    /// Reads what it logs, until its end.
    reader: Option<thread::JoinHandle<()>>,
}

impl Gateway {
    /// Its TCP endpoint, for example `http://127.0.0.1:40312`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The endpoint of its listener `tls`, for example `https://127.0.0.1:40314`.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn tls_endpoint(&self) -> String {
        format!("https://{}", self.logged(|line| line["message"] == "serving" && line["listener"] == "tls"))
    }

    /// The address in the first line of its log that is meant.
    fn logged(&self, meant: impl Fn(&serde_json::Value) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let log = self.log();
            let mut lines = log.lines().filter_map(|line| serde_json::from_str(line).ok());
            if let Some(line) = lines.find(|line| meant(line)) {
                return line["address"].as_str().unwrap().to_owned();
            }
            assert!(begun.elapsed() < PATIENCE, "no such line:\n{log}");
            thread::yield_now();
        }
    }

    /// Its Unix socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The address on which it speaks of itself, for example `127.0.0.1:40313`.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn admin(&self) -> String {
        self.logged(|line| line["message"] == "serving admin")
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far, a JSON object a line.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().clone()
    }

    /// How an admin reaches it over TCP.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        let config = ClientConfig::new(self.endpoint().parse().unwrap());
        ClientConfig { token: Some(TokenSource::File(self.token.clone())), retry: Retry::never(), ..config }
    }

    /// A client over TCP, in the name of an admin.
    pub async fn client(&self) -> Client {
        Client::connect(self.client_config()).await.unwrap()
    }

    /// The same on a connection of its own, in the name of whoever has this token.
    ///
    /// # Panics
    /// When it is none.
    pub async fn client_of(&self, token: &str) -> Client {
        self.client().await.with_token(Token::new(token).unwrap())
    }

    /// A connection over TCP, for calls that no client makes, in the name of an admin.
    pub async fn channel(&self) -> Authorized {
        let channel = Endpoint::from_shared(self.endpoint()).unwrap().connect().await.unwrap();
        let token = fs::read_to_string(&self.token).unwrap();
        InterceptedService::new(channel, Bearer::new(&token))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
    }

    /// Stops it by SIGTERM and waits for its end. Clients of the same runtime go
    /// on meanwhile: they must answer the gateway's farewell.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        tokio::task::spawn_blocking(move || self.ended()).await.unwrap()
    }

    /// Waits for its end, and gives all that it logged.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn log_to_the_end(mut self) -> String {
        tokio::task::spawn_blocking(move || {
            self.ended();
            if let Some(reader) = self.reader.take() {
                reader.join().unwrap();
            }
            self.log()
        })
        .await
        .unwrap()
    }

    /// Kills it as `kill -9` does and waits for its end.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        let status = self.ended();
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "it ended by itself:\n{}", self.log());
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "the gateway does not end:\n{}", self.log());
            thread::yield_now();
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The policies that are shipped.
const SHIPPED_POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/policies");
/// The file with a token of an admin.
const ADMIN: &str = "admin.token";
