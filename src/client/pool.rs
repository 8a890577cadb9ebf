//! The gateways that one client knows, and which of them takes the next call.
//!
//! **Invariant:** a gateway that says that it does not serve, or cannot be reached, is given
//! no call while there is another.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{HeaderValue, Request, Response};
use tokio::sync::watch;
use tonic::{
    Code,
    body::Body,
    transport::{self, Channel},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tower::{Service, ServiceExt as _};

use super::{Endpoint, backoff::Backoff};

/// How long a gateway that said UNAVAILABLE is left alone, if there is another.
const PAUSE: Duration = Duration::from_secs(1);

/// The gateways. All clones share their connections.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    members: Vec<Member>,
    /// Where the search for the next one begins, so that equals take turns.
    turn: AtomicUsize,
    since: Instant,
    /// Gone with the last clone, and those who watch with it.
    living: watch::Sender<()>,
}

struct Member {
    endpoint: Endpoint,
    channel: Channel,
    serves: AtomicBool,
    /// Until when it is left alone, in milliseconds since the pool was made.
    paused: AtomicU64,
    /// Calls whose answer has not begun.
    at_work: AtomicUsize,
}

impl Pool {
    pub(super) fn new(members: Vec<(Endpoint, Channel)>) -> Self {
        let member = |(endpoint, channel)| Member {
            endpoint,
            channel,
            serves: AtomicBool::new(true),
            paused: AtomicU64::new(0),
            at_work: AtomicUsize::new(0),
        };
        let members: Vec<_> = members.into_iter().map(member).collect();
        let inner = Arc::new(Inner {
            members,
            turn: AtomicUsize::new(0),
            since: Instant::now(),
            living: watch::Sender::new(()),
        });
        // One alone takes every call, whatever it says.
        if inner.members.len() > 1 {
            for number in 0..inner.members.len() {
                tokio::spawn(until_gone(
                    inner.living.subscribe(),
                    watch_health(Arc::downgrade(&inner), number),
                ));
            }
        }
        Self(inner)
    }

    /// The gateways, and whether each is given calls.
    pub fn gateways(&self) -> impl Iterator<Item = (&Endpoint, bool)> {
        let now = self.0.now();
        self.0.members.iter().map(move |member| (&member.endpoint, member.is_open(now)))
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.gateways()).finish()
    }
}

impl Inner {
    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The one with the fewest calls at work, of those that serve if there are any.
    fn pick(&self) -> Option<usize> {
        let (now, begin) = (self.now(), self.turn.fetch_add(1, Ordering::Relaxed));
        let count = self.members.len();
        let turns = (0..count).map(|step| begin.wrapping_add(step) % count);
        turns.min_by_key(|number| {
            self.members
                .get(*number)
                .map(|member| (!member.is_open(now), member.at_work.load(Ordering::Relaxed)))
        })
    }
}

impl Member {
    fn is_open(&self, now: u64) -> bool {
        self.serves.load(Ordering::Relaxed) && self.paused.load(Ordering::Relaxed) <= now
    }
}

/// One call at work, until its answer begins or nobody waits for it any more.
struct AtWork {
    pool: Pool,
    number: usize,
}

impl AtWork {
    fn begin(pool: Pool, number: usize) -> Option<(Self, Channel)> {
        let member = pool.0.members.get(number)?;
        member.at_work.fetch_add(1, Ordering::Relaxed);
        let channel = member.channel.clone();
        Some((Self { pool, number }, channel))
    }

    /// It is left alone for a while.
    fn pause(&self) {
        if let Some(member) = self.pool.0.members.get(self.number) {
            let until = self.pool.0.now().saturating_add(PAUSE.as_millis().try_into().unwrap_or(u64::MAX));
            member.paused.store(until, Ordering::Relaxed);
        }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if let Some(member) = self.pool.0.members.get(self.number) {
            member.at_work.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Service<Request<Body>> for Pool {
    type Response = Response<Body>;
    type Error = tower::BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, tower::BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), tower::BoxError>> {
        // Which of them is asked is decided with the call.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let begun = self.0.pick().and_then(|number| AtWork::begin(self.clone(), number));
        Box::pin(async move {
            let (at_work, mut channel) = begun.ok_or("the client knows no gateway")?;
            let answered: Result<_, transport::Error> =
                async { channel.ready().await?.call(request).await }.await;
            let is_away = match &answered {
                Ok(response) => response.headers().get("grpc-status") == Some(&UNAVAILABLE),
                Err(_) => true,
            };
            if is_away {
                at_work.pause();
            }
            Ok(answered?)
        })
    }
}

/// The code, as it is written on the wire.
const UNAVAILABLE: HeaderValue = HeaderValue::from_static("14");

/// Does that for as long as somebody has the pool.
async fn until_gone(mut lives: watch::Receiver<()>, work: impl Future<Output = ()>) {
    tokio::select! {
        _ = lives.changed() => {}
        () = work => {}
    }
}

/// Asks a gateway whether it serves, for ever.
async fn watch_health(pool: Weak<Inner>, number: usize) {
    let set = |serves| {
        let pool = pool.upgrade()?;
        pool.members.get(number)?.serves.store(serves, Ordering::Relaxed);
        Some(())
    };
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    while let Some(channel) =
        pool.upgrade().and_then(|pool| pool.members.get(number).map(|member| member.channel.clone()))
    {
        let watching = HealthClient::new(channel).watch(HealthCheckRequest::default()).await;
        match watching {
            Ok(watching) => {
                let mut watching = watching.into_inner();
                while let Ok(Some(told)) = watching.message().await {
                    backoff.reset();
                    if set(told.status() == ServingStatus::Serving).is_none() {
                        return;
                    }
                }
            }
            // It does not tell, and may serve all the same.
            Err(status) if status.code() == Code::Unimplemented => return,
            Err(_) => {}
        }
        if set(false).is_none() {
            return;
        }
        tokio::time::sleep(backoff.next()).await;
    }
}
