//! What is replaced while the gateway serves: certificates, lists of revoked ones, keys
//! of issuers, policies, the level of the log. Callers who may call notice nothing.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use skms::client::{Client, ClientConfig, IdentityFiles, Token, TokenSource};
use skms_tests::{
    gateway::{Gateway, Home},
    idp::Idp,
    pki::Ca,
};
use tokio::task::JoinSet;

use crate::{
    ask::{PROGRAM, create, outcome, sign},
    observe::scrape,
};

/// Reached only by what never happens.
const PATIENCE: Duration = Duration::from_secs(30);
/// Rounds in which each thing is replaced once; with `SKMS_TEST_LONG`, many.
const ROUNDS: usize = 6;
const LONG_ROUNDS: usize = 200;

/// A gateway with TLS, and everything that it is made of.
struct World {
    home: Home,
    gateway: Gateway,
    servers: Ca,
    clients: Ca,
}

impl World {
    fn start() -> Self {
        let (servers, clients) = (Ca::new("servers"), Ca::new("clients"));
        let home = Home::new(PROGRAM).secured(&servers, &clients);
        let client = clients.client(1000, "spiffe://test/signer");
        home.private("client.pem", &client.certificate);
        home.private("client.key", &client.key);
        let gateway = home.start();
        Self { home, gateway, servers, clients }
    }

    /// How to reach it over TLS, without saying who calls.
    fn config(&self) -> ClientConfig {
        let endpoint = self.gateway.tls_endpoint().parse().unwrap();
        ClientConfig { ca_file: Some(self.home.path().join("servers.pem")), ..ClientConfig::new(endpoint) }
    }

    fn by_token(&self) -> ClientConfig {
        ClientConfig { token: Some(TokenSource::File(self.home.admin_token())), ..self.config() }
    }

    fn by_certificate(&self) -> ClientConfig {
        let [certificate, key] = ["client.pem", "client.key"].map(|name| self.home.path().join(name));
        ClientConfig { identity_files: Some(IdentityFiles { certificate, key }), ..self.config() }
    }

    /// How often something was replaced, or refused.
    fn reloads(&self, what: &str, outcome: &str) -> f64 {
        let labels = format!("what=\"{what}\",outcome=\"{outcome}\"");
        scrape(&self.gateway).value("skms_reloads_total", &labels)
    }

    /// Replaces something, and waits until the gateway has taken it in or refused it.
    async fn replaced(&self, what: &str, expected: &str, replace: impl FnOnce()) -> Duration {
        let before = self.reloads(what, expected);
        let begun = Instant::now();
        replace();
        while self.reloads(what, expected) == before {
            assert!(begun.elapsed() < PATIENCE, "{what} is not {expected}: {}", self.gateway.log());
            tokio::task::yield_now().await;
        }
        begun.elapsed()
    }

    fn level(&self, level: &str) {
        let text = fs::read_to_string(self.home.path().join("skms.toml")).unwrap();
        let old = text.lines().find(|line| line.starts_with("level = ")).map(str::to_owned);
        let text = match old {
            Some(old) => text.replace(&old, &format!("level = \"{level}\"")),
            None => text.replace("[log]\n", &format!("[log]\nlevel = \"{level}\"\n")),
        };
        self.home.replace("skms.toml", &text);
    }
}

/// Signs until it is told to stop, and connects anew now and then, as the certificate
/// of the gateway matters to new connections only.
async fn keeps_signing(
    config: ClientConfig,
    key: &'static str,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
) {
    const CALLS_A_CONNECTION: usize = 50;
    while !stop.load(Ordering::Relaxed) {
        let client = Client::connect(config.clone()).await.unwrap();
        for _ in 0..CALLS_A_CONNECTION {
            let signed = client.sign(sign(key, "text")).await;
            assert!(signed.is_ok(), "{}", outcome(&signed));
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_notices_what_is_replaced_under_load() {
    let world = World::start();
    let (home, admin) = (&world.home, world.gateway.client().await);
    for backend in home.backends() {
        admin.create_key(create("ec-p256", backend, backend)).await.unwrap();
    }
    let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let mut callers = JoinSet::new();
    let unix = ClientConfig::new(format!("unix:{}", world.gateway.socket().display()).parse().unwrap());
    for (number, config) in [world.by_token(), world.by_certificate(), world.gateway.client_config(), unix]
        .into_iter()
        .enumerate()
    {
        let key = home.backends()[number % home.backends().len()];
        callers.spawn(keeps_signing(config, key, Arc::clone(&stop), Arc::clone(&done)));
    }
    let long = std::env::var_os("SKMS_TEST_LONG").is_some();
    let (other, mut replaced, mut slowest) = (Idp::new("second"), 0, Duration::ZERO);
    let extra = home.path().join("policies/extra.cedar");
    for round in 0..if long { LONG_ROUNDS } else { ROUNDS } {
        let even = round % 2 == 0;
        // The certificate and its key are two files: between them they do not fit.
        let certificate = world.replaced("certificate", "applied", || {
            let leaf = world.servers.server();
            home.replace("server.pem", &leaf.certificate);
            home.replace("server.key", &leaf.key);
        });
        let certificate = certificate.await;
        let revoked = world.replaced("certificate", "applied", || {
            let number = u64::try_from(round).unwrap();
            home.replace("clients.crl", &world.clients.crl(2 + number, &[1, 2 + number]));
        });
        let revoked = revoked.await;
        let callers = world.replaced("callers", "applied", || {
            let idps = if even { vec![home.idp(), &other] } else { vec![home.idp()] };
            home.publish(&idps);
        });
        let callers = callers.await;
        let policies = world.replaced("policies", "applied", || {
            if even {
                fs::write(&extra, "permit (principal in Role::\"nobody\", action, resource);").unwrap();
            } else {
                fs::remove_file(&extra).unwrap();
            }
        });
        let policies = policies.await;
        let level =
            world.replaced("log", "applied", || world.level(if even { "debug" } else { "info" })).await;
        for one in [certificate, revoked, callers, policies, level] {
            (replaced, slowest) = (replaced + 1, slowest.max(one));
        }
        // What cannot be used changes nothing.
        world.replaced("certificate", "refused", || home.replace("server.pem", "half a certifi")).await;
        let broken = home.path().join("policies/broken.cedar");
        world.replaced("policies", "refused", || fs::write(&broken, "permit everybody").unwrap()).await;
        fs::remove_file(broken).unwrap();
        world.replaced("callers", "refused", || home.replace("jwks.json", "{")).await;
        world.replaced("log", "refused", || world.level("loud")).await;
        world.level(if even { "debug" } else { "info" });
        let idps = if even { vec![home.idp(), &other] } else { vec![home.idp()] };
        home.publish(&idps);
    }
    stop.store(true, Ordering::Relaxed);
    callers.join_all().await;
    let calls = done.load(Ordering::Relaxed);
    assert!(calls > 0);
    println!("{replaced} replaced, the slowest seen after {slowest:?}; {calls} calls answered, none failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_has_everything_read_again() {
    let world = World::start();
    let other = Idp::new("second");
    let stranger = Client::connect(world.gateway.client_config()).await.unwrap();
    let stranger = stranger.with_token(Token::new(&other.token("admin", &["admin"])).unwrap());
    assert_eq!(outcome(&stranger.server_info().await), "Unauthenticated TOKEN_SIGNATURE_INVALID");
    world
        .replaced("callers", "applied", || {
            world.home.publish(&[&other]);
            world.gateway.signal(rustix::process::Signal::HUP);
        })
        .await;
    stranger.server_info().await.unwrap();
    // Whose key is gone is nobody any more, although it was known.
    let known = outcome(&world.gateway.client().await.server_info().await);
    assert_eq!(known, "Unauthenticated TOKEN_SIGNATURE_INVALID");
    assert!(world.gateway.log().contains("SIGHUP"), "{}", world.gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_revoked_is_refused_and_its_connection_ends() {
    let world = World::start();
    let admin = world.gateway.client().await;
    admin.create_key(create("ed25519", "key", "soft")).await.unwrap();
    let client = Client::connect(world.by_certificate()).await.unwrap();
    client.sign(sign("key", "text")).await.unwrap();
    let begun = Instant::now();
    world
        .replaced("certificate", "applied", || {
            world.home.replace("clients.crl", &world.clients.crl(2, &[1000]));
        })
        .await;
    // Its connection is cut, and the next handshake is refused.
    while client.sign(sign("key", "text")).await.is_ok() {
        assert!(begun.elapsed() < PATIENCE);
    }
    println!("the last call of a revoked certificate was answered within {:?}", begun.elapsed());
    // In TLS 1.3 a client hears of it after it has said all it had to say.
    if let Ok(client) = Client::connect(world.by_certificate()).await {
        assert!(client.sign(sign("key", "text")).await.is_err());
    }
    Client::connect(world.by_token()).await.unwrap().sign(sign("key", "text")).await.unwrap();
}
