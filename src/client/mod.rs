//! A client of the gateway: a few connections, the token of one caller, calls that are made
//! again where that does no harm, and errors that are already decoded.
//!
//! It builds alone, without the gateway: `--no-default-features --features client`.
//!
//! ```no_run
//! use skms::{
//!     client::{Client, ClientConfig, TokenSource},
//!     proto::{SignRequest, sign_request::Input},
//! };
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = ClientConfig::new("https://gateway-1.example:7443".parse()?)
//!     .and_endpoint("https://gateway-2.example:7443".parse()?)
//!     .with_ca_file("ca.pem")
//!     .with_token(TokenSource::File("/run/secrets/token".into()));
//! let client = Client::connect(config).await?;
//! let input = Some(Input::Message("a message".into()));
//! let request = SignRequest { key_id: "payroll".into(), input, ..Default::default() };
//! println!("{:?}", client.sign(request).await?.signature);
//! # Ok(())
//! # }
//! ```
//!
//! A [`Client`] is cheap to clone and may be used from many tasks at once: all clones share
//! one HTTP/2 connection for each gateway, which is opened again when it breaks. Of several
//! gateways ([`ClientConfig::endpoints`]) each call goes to one that says that it serves and
//! has little to do. `examples/` has programs to run.
//!
//! | read | for |
//! |---|---|
//! | `pool` | which gateway takes a call |
//! | `retry` | which calls are made again, and how often |
//! | `source` | tokens from a file or a program |
//! | `streams`, `cipher` | what goes or comes in streams |
//!
//! **Invariant:** a call is made again only where nothing is done twice by that, and a stream
//! never.
//!
//! **Invariant:** a token leaves only over TLS, over a Unix socket or to this
//! very machine, unless the configuration says `danger_plaintext_token`; and
//! it is never part of a message or of a `Debug` output.

mod backoff;
mod cipher;
mod config;
mod connect;
mod crypto;
mod error;
#[cfg(test)]
pub(crate) mod fake;
mod keys;
mod pool;
mod retry;
mod source;
mod streams;
mod system;
#[cfg(test)]
mod tests;
mod token;

use std::future::Future;

use tonic::{Code, Response, Status, service::interceptor::InterceptedService};
use tonic_health::pb::health_client::HealthClient;

use self::{
    backoff::Backoff,
    retry::{Budget, Twice},
    source::Tokens,
    token::CallOptions,
};
pub use self::{
    config::{ClientConfig, Endpoint, EndpointError, IdentityFiles},
    error::{Error, Failure, FieldViolation},
    pool::Pool,
    retry::Retry,
    source::{TokenCommand, TokenSource},
    streams::{
        Answers, Asking, Ended, Items, Keys, SignStream, Signatures, Verifications, VerifyStream, Watch,
    },
    token::{Token, TokenError},
};
use crate::proto::{
    crypto_service_client::CryptoServiceClient, key_management_client::KeyManagementClient,
    system_service_client::SystemServiceClient,
};

/// What every call travels through: the connections, with token and deadline added.
pub type Transport = InterceptedService<Pool, CallOptions>;

/// Makes a call as [`Client::repeated`] does. `named`: it changes something, under the
/// `request_id` of its request.
macro_rules! ask {
    ($client:ident.$service:ident().$method:ident(named $request:ident)) => {{
        let mut request = $request;
        $client.name(&mut request.request_id);
        let twice = if request.request_id.is_empty() { retry::Twice::Other } else { retry::Twice::Same };
        ask!($client, twice, $service, $method, request)
    }};
    ($client:ident.$service:ident().$method:ident($request:expr)) => {{
        let request = $request;
        ask!($client, retry::Twice::Same, $service, $method, request)
    }};
    ($client:ident, $twice:expr, $service:ident, $method:ident, $request:ident) => {
        $client
            .repeated($twice, || {
                let (mut service, request) = ($client.$service(), $request.clone());
                async move { service.$method(request).await }
            })
            .await
    };
}
use ask;

/// Connections with gateways that know the same keys, in the name of one caller.
#[derive(Clone, Debug)]
pub struct Client {
    pool: Pool,
    retry: Retry,
    budget: Budget,
    options: CallOptions,
    max_send_bytes: usize,
    max_receive_bytes: usize,
}

impl Client {
    /// Connects to one gateway at least, within the connect timeout.
    ///
    /// # Errors
    /// A CA file or a token that cannot be used; no gateway that can be reached
    /// or, over TLS, is not the one it claims to be.
    pub async fn connect(config: ClientConfig) -> Result<Self, Error> {
        let exposed = config.endpoints.iter().find(|endpoint| endpoint.is_exposed());
        if let Some(endpoint) = exposed.filter(|_| config.token.is_some() && !config.danger_plaintext_token) {
            return Err(Error::PlaintextToken { endpoint: endpoint.clone() });
        }
        let tokens = match config.token.clone() {
            Some(source) => Tokens::open(source).await?,
            None => Tokens::default(),
        };
        Ok(Self {
            pool: connect::pool(&config).await?,
            budget: Budget::new(&config.retry),
            retry: config.retry,
            options: CallOptions::new(tokens, config.call_timeout),
            max_send_bytes: config.max_send_bytes,
            max_receive_bytes: config.max_receive_bytes,
        })
    }

    /// The same connection in the name of another caller.
    #[must_use]
    pub fn with_token(mut self, token: Token) -> Self {
        self.options = CallOptions::new(Tokens::fixed(token), self.options.timeout());
        self
    }

    /// The gateways.
    #[must_use]
    pub const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The generated client of `skms.v1.KeyManagement`, for what has no method here. Its calls
    /// are made once.
    #[must_use]
    pub fn key_management(&self) -> KeyManagementClient<Transport> {
        KeyManagementClient::new(self.transport())
            .max_encoding_message_size(self.max_send_bytes)
            .max_decoding_message_size(self.max_receive_bytes)
    }

    /// The generated client of `skms.v1.CryptoService`.
    #[must_use]
    pub fn crypto(&self) -> CryptoServiceClient<Transport> {
        CryptoServiceClient::new(self.transport())
            .max_encoding_message_size(self.max_send_bytes)
            .max_decoding_message_size(self.max_receive_bytes)
    }

    /// The generated client of `skms.v1.SystemService`.
    #[must_use]
    pub fn system(&self) -> SystemServiceClient<Transport> {
        SystemServiceClient::new(self.transport())
            .max_encoding_message_size(self.max_send_bytes)
            .max_decoding_message_size(self.max_receive_bytes)
    }

    /// The generated client of `grpc.health.v1.Health`.
    #[must_use]
    pub fn health_checks(&self) -> HealthClient<Transport> {
        HealthClient::new(self.transport())
    }

    fn transport(&self) -> Transport {
        InterceptedService::new(self.pool.clone(), self.options.clone())
    }

    /// Makes a call, and makes it again where that does no harm, within the time that a call
    /// has.
    async fn repeated<T, Answer>(&self, twice: Twice, make: impl Fn() -> Answer) -> Result<T, Error>
    where
        Answer: Future<Output = Result<Response<T>, Status>>,
    {
        let end = tokio::time::Instant::now() + self.options.timeout();
        let mut backoff = Backoff::new(self.retry.first_wait, self.retry.longest_wait);
        let mut renewed = false;
        let mut attempts = 1;
        loop {
            self.options.tokens().refresh().await;
            let token = self.options.tokens().now();
            let error = match self.call_by(end, make()).await {
                Ok(answer) => {
                    self.budget.succeeded();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let refused = error.failure().is_some_and(|failure| failure.code == Code::Unauthenticated);
            if refused && !renewed && self.options.tokens().replace(token.as_ref()).await {
                renewed = true;
                continue;
            }
            let may = attempts < self.retry.attempts && retry::may_repeat(&error, twice);
            if !may || !self.budget.take() {
                return Err(error);
            }
            let told = error.failure().and_then(|failure| failure.retry_after);
            let wait = tokio::time::Instant::now() + backoff.next().max(told.unwrap_or_default());
            if wait >= end {
                return Err(error);
            }
            tokio::time::sleep_until(wait).await;
            attempts += 1;
        }
    }

    /// The id under which a call is done once however often it is made; a new one, where its
    /// caller gave none.
    fn name(&self, request_id: &mut String) {
        if request_id.is_empty() && self.retry.attempts > 1 {
            *request_id = uuid::Uuid::new_v4().to_string();
        }
    }

    /// Bounds the whole call, its answer included: the deadline of the generated
    /// client ends with the headers of the answer.
    async fn call<T>(&self, answer: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Error> {
        let end = tokio::time::Instant::now() + self.options.timeout();
        self.options.tokens().refresh().await;
        self.call_by(end, answer).await
    }

    async fn call_by<T>(
        &self,
        end: tokio::time::Instant,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        let timeout = self.options.timeout();
        match tokio::time::timeout_at(end, answer).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(Failure::decode(&status, timeout).into()),
            Err(_elapsed) => Err(Failure::late(timeout).into()),
        }
    }
}
