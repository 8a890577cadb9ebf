//! The promises of the pool, against a device made of channels.

use std::{
    num::NonZeroUsize,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
};

use super::*;

/// Counts its contexts, and refuses to open while `broken`.
#[derive(Default)]
struct Fake {
    opened: AtomicUsize,
    broken: AtomicBool,
}

impl Device for Fake {
    type Context = usize;

    fn open(&self) -> Result<usize, Error> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(Error::new(Class::Reinitialize, Operation::Open));
        }
        Ok(self.opened.fetch_add(1, Ordering::SeqCst))
    }
}

fn pool(contexts: usize, queue: usize) -> Workers<Fake> {
    observed(contexts, queue, Arc::new(()))
}

fn observed(contexts: usize, queue: usize, observer: Arc<dyn Observer>) -> Workers<Fake> {
    Workers::start("fake", Fake::default(), &config(contexts, queue), observer).unwrap()
}

fn config(contexts: usize, queue: usize) -> WorkersConfig {
    WorkersConfig {
        contexts: NonZeroUsize::new(contexts).unwrap(),
        queue: NonZeroUsize::new(queue).unwrap(),
        ..WorkersConfig::default()
    }
}

fn soon() -> OpContext {
    OpContext::within(Duration::from_secs(10))
}

/// Occupies one context until the returned sender is dropped.
async fn occupy(pool: &Arc<Workers<Fake>>, cost: Cost) -> mpsc::Sender<()> {
    let (release, blocked) = mpsc::channel::<()>();
    let (started, running) = oneshot::channel();
    let pool = Arc::clone(pool);
    tokio::spawn(async move {
        pool.run(Operation::Sign, cost, &soon(), move |_, _| {
            let _ = started.send(());
            let _ = blocked.recv();
            Ok(())
        })
        .await
    });
    running.await.unwrap();
    release
}

#[tokio::test]
async fn under_light_load_one_context_serves_all() {
    let pool = pool(4, 8);
    let all_idle = async || {
        while pool.shared.state.lock().idle.len() < 4 {
            tokio::task::yield_now().await;
        }
    };
    all_idle().await;
    for _ in 0..100 {
        let served = pool.run(Operation::Sign, Cost::Fast, &soon(), |_, context| Ok(*context)).await;
        assert_eq!(served.unwrap(), 0);
        all_idle().await;
    }
}

#[tokio::test]
async fn a_caller_is_answered_at_its_deadline_and_a_late_job_never_runs() {
    let pool = Arc::new(pool(1, 8));
    let release = occupy(&pool, Cost::Fast).await;
    let ran = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ran);
    let late = pool
        .run(Operation::Sign, Cost::Fast, &OpContext::within(Duration::from_millis(5)), move |_, _| {
            flag.store(true, Ordering::SeqCst);
            Ok(())
        })
        .await;
    assert_eq!(late.unwrap_err().class(), Class::Timeout);
    assert_eq!(pool.status().queued, 0, "a withdrawn job leaves the queue");
    drop(release);
    pool.close().await;
    assert!(!ran.load(Ordering::SeqCst));
}

#[tokio::test]
async fn work_that_has_begun_may_outlive_the_wish_to_begin_it() {
    let pool = Arc::new(pool(1, 8));
    let release = occupy(&pool, Cost::Fast).await;
    let hurried = OpContext { start_by: Instant::now() + Duration::from_millis(5), ..soon() };
    let waiting = pool.run(Operation::Generate, Cost::Slow, &hurried, |_, _| Ok(())).await;
    assert_eq!(waiting.unwrap_err().class(), Class::Timeout, "it had not begun");
    drop(release);
    let hurried = OpContext { start_by: Instant::now() + Duration::from_millis(50), ..soon() };
    let start_by = hurried.start_by;
    let begun = pool.run(Operation::Generate, Cost::Slow, &hurried, move |_, _| {
        while Instant::now() <= start_by {
            thread::yield_now();
        }
        Ok(7)
    });
    assert_eq!(begun.await.unwrap(), 7);
}

#[tokio::test]
async fn a_cancelled_job_leaves_the_queue() {
    let pool = Arc::new(pool(1, 1));
    let _release = occupy(&pool, Cost::Fast).await;
    let ctx = soon();
    ctx.cancellation.cancel();
    let cancelled = pool.run(Operation::Sign, Cost::Fast, &ctx, |_, _| Ok(())).await;
    assert_eq!(cancelled.unwrap_err().class(), Class::Cancelled);
    assert_eq!(pool.status().queued, 0);
}

#[tokio::test]
async fn what_nobody_waits_for_never_reaches_the_device() {
    let pool = pool(1, 8);
    let cancelled = soon();
    cancelled.cancellation.cancel();
    let late = OpContext { deadline: Instant::now(), ..soon() };
    for (ctx, class) in [(cancelled, Class::Cancelled), (late, Class::Timeout)] {
        let refused = pool.run(Operation::Sign, Cost::Fast, &ctx, |_, _| Ok(())).await;
        assert_eq!(refused.unwrap_err().class(), class);
    }
    assert_eq!(pool.device().opened.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let pool = Arc::new(pool(1, 1));
    let _release = occupy(&pool, Cost::Fast).await;
    let waiting = Arc::clone(&pool);
    let queued =
        tokio::spawn(async move { waiting.run(Operation::Sign, Cost::Fast, &soon(), |_, _| Ok(())).await });
    while pool.status().queued == 0 {
        tokio::task::yield_now().await;
    }
    let refused = pool.run(Operation::Sign, Cost::Fast, &soon(), |_, _| Ok(())).await;
    assert_eq!(refused.unwrap_err().class(), Class::QueueFull);
    queued.abort();
}

#[tokio::test]
async fn slow_jobs_leave_one_context_to_the_others() {
    let pool = Arc::new(pool(2, 8));
    let _slow = occupy(&pool, Cost::Slow).await;
    let waiting = Arc::clone(&pool);
    let second =
        tokio::spawn(
            async move { waiting.run(Operation::Generate, Cost::Slow, &soon(), |_, _| Ok(())).await },
        );
    while pool.status().queued == 0 {
        tokio::task::yield_now().await;
    }
    pool.run(Operation::Sign, Cost::Fast, &soon(), |_, _| Ok(())).await.unwrap();
    assert_eq!(pool.status().queued, 1, "the second slow job still waits");
    second.abort();
}

#[tokio::test]
async fn a_context_that_met_a_fatal_error_serves_no_other_job() {
    let pool = pool(1, 8);
    let pool = &pool;
    let fail = async |class| {
        pool.run(Operation::Sign, Cost::Fast, &soon(), move |_, _| {
            Err::<(), _>(Error::new(class, Operation::Sign))
        })
        .await
    };
    let context = async || pool.run(Operation::Sign, Cost::Fast, &soon(), |_, context| Ok(*context)).await;
    assert_eq!(context().await.unwrap(), 0);
    assert!(fail(Class::Unsupported).await.is_err());
    assert_eq!(context().await.unwrap(), 0);
    assert!(fail(Class::Session).await.is_err());
    assert_eq!(context().await.unwrap(), 1);
}

#[tokio::test]
async fn a_job_that_panics_is_an_error_and_costs_its_context() {
    let pool = pool(1, 8);
    let panicked = pool
        .run(Operation::Sign, Cost::Fast, &soon(), |_, _| -> Result<(), Error> {
            panic!("as the test wants")
        })
        .await;
    assert_eq!(panicked.unwrap_err().class(), Class::Broken);
    let context = pool.run(Operation::Sign, Cost::Fast, &soon(), |_, context| Ok(*context)).await;
    assert_eq!(context.unwrap(), 1);
}

#[tokio::test]
async fn callers_learn_why_no_context_opens_and_the_pool_recovers_by_itself() {
    let pool = pool(2, 8);
    pool.device().broken.store(true, Ordering::SeqCst);
    // The first worker fails and hands the job on; the second knows of no other.
    let refused = pool.run(Operation::Sign, Cost::Fast, &soon(), |_, _| Ok(())).await;
    assert_eq!(refused.unwrap_err().class(), Class::Reinitialize);
    assert_eq!(pool.status().failed, 2);
    let at_once = pool.run(Operation::Sign, Cost::Fast, &soon(), |_, _| Ok(())).await;
    assert_eq!(at_once.unwrap_err().class(), Class::Reinitialize);
    pool.device().broken.store(false, Ordering::SeqCst);
    while pool.status().failed > 0 {
        tokio::task::yield_now().await;
    }
    pool.run(Operation::Sign, Cost::Fast, &soon(), |_, _| Ok(())).await.unwrap();
}

#[tokio::test]
async fn closing_finishes_what_was_accepted_and_refuses_the_rest() {
    let pool = Arc::new(pool(1, 8));
    let release = occupy(&pool, Cost::Fast).await;
    let accepted = Arc::clone(&pool);
    let accepted =
        tokio::spawn(async move { accepted.run(Operation::Sign, Cost::Fast, &soon(), |_, _| Ok(7)).await });
    while pool.status().queued == 0 {
        tokio::task::yield_now().await;
    }
    let closing = Arc::clone(&pool);
    let closing = tokio::spawn(async move { closing.close().await });
    let refused = async || {
        let ctx = OpContext::within(Duration::from_millis(1));
        pool.run(Operation::Sign, Cost::Fast, &ctx, |_, _| Ok(())).await.unwrap_err().class()
    };
    while refused().await != Class::Closed {}
    drop(release);
    closing.await.unwrap();
    assert_eq!(accepted.await.unwrap().unwrap(), 7);
    assert_eq!(refused().await, Class::Closed);
}

/// Remembers what it heard.
#[derive(Default)]
struct Heard(Mutex<Vec<(Operation, Duration, Duration)>>);

impl Observer for Heard {
    fn done(&self, operation: Operation, queued: Duration, device: Duration) {
        self.0.lock().push((operation, queued, device));
    }
}

#[tokio::test]
async fn the_time_in_the_queue_and_the_time_in_the_device_are_told_apart() {
    const AT_LEAST: Duration = Duration::from_millis(20);
    let heard = Arc::new(Heard::default());
    let pool = Arc::new(observed(1, 8, Arc::clone(&heard) as Arc<dyn Observer>));
    let release = occupy(&pool, Cost::Fast).await;
    let waiting = Arc::clone(&pool);
    let queued = tokio::spawn(async move {
        waiting
            .run(Operation::Generate, Cost::Slow, &soon(), |_, _| {
                Err::<(), _>(Error::new(Class::Key, Operation::Generate))
            })
            .await
    });
    while pool.status().queued == 0 {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    while begun.elapsed() < AT_LEAST {
        tokio::task::yield_now().await;
    }
    drop(release);
    // Failed or not, it was there; and it was told before its caller was answered.
    assert!(queued.await.unwrap().is_err());
    let heard = heard.0.lock().clone();
    let [(Operation::Sign, _, long), (Operation::Generate, waited, short)] = heard[..] else {
        panic!("{heard:?}");
    };
    assert!(long >= AT_LEAST && waited >= AT_LEAST && short < AT_LEAST, "{heard:?}");
}

#[tokio::test]
async fn what_never_reached_the_device_is_not_measured() {
    let heard = Arc::new(Heard::default());
    let pool = observed(1, 8, Arc::clone(&heard) as Arc<dyn Observer>);
    pool.device().broken.store(true, Ordering::SeqCst);
    assert!(pool.run(Operation::Sign, Cost::Fast, &soon(), |_, _| Ok(())).await.is_err());
    assert!(heard.0.lock().is_empty());
}

/// A pool of one context, in which a call hangs that takes longer than a blink.
fn impatient() -> Arc<Workers<Fake>> {
    let config = WorkersConfig { hang_limit: Duration::from_millis(40), ..config(1, 8) };
    Arc::new(Workers::start("fake", Fake::default(), &config, Arc::new(())).unwrap())
}

async fn quarantined(pool: &Workers<Fake>, number: usize) {
    while pool.status().quarantined != number {
        tokio::task::yield_now().await;
    }
}

/// Which context serves a call.
async fn server(pool: &Workers<Fake>) -> Result<usize, Class> {
    let served = pool.run(Operation::Sign, Cost::Fast, &soon(), |_, context| Ok(*context)).await;
    served.map_err(|error| error.class())
}

#[tokio::test]
async fn a_context_that_hangs_is_replaced_and_never_used_again() {
    let pool = impatient();
    let release = occupy(&pool, Cost::Slow).await;
    // It had waited for that one context.
    assert_eq!(server(&pool).await, Ok(1));
    assert_eq!(pool.status().quarantined, 1);
    drop(release);
    quarantined(&pool, 0).await;
    for _ in 0..10 {
        assert_eq!(server(&pool).await, Ok(1));
    }
    pool.close().await;
}

#[tokio::test]
async fn where_every_context_hangs_callers_are_refused_until_one_comes_back() {
    let pool = impatient();
    let first = occupy(&pool, Cost::Fast).await;
    quarantined(&pool, 1).await;
    let second = occupy(&pool, Cost::Fast).await;
    // As many as the pool has places were replaced, so now nobody is left, for those who
    // waited and for those who come.
    assert_eq!(server(&pool).await, Err(Class::Hung));
    assert_eq!(pool.status().quarantined, 2);
    assert_eq!(server(&pool).await, Err(Class::Hung));
    drop(first);
    quarantined(&pool, 1).await;
    assert_eq!(server(&pool).await, Ok(2), "its old context is as lost as the other");
    drop(second);
    quarantined(&pool, 0).await;
    assert_eq!(server(&pool).await, Ok(2));
    pool.close().await;
    assert_eq!(server(&pool).await, Err(Class::Closed));
}

#[tokio::test]
async fn a_pool_closes_beside_a_call_that_never_comes_back() {
    let pool = impatient();
    let release = occupy(&pool, Cost::Fast).await;
    pool.close().await;
    drop(release);
}

#[tokio::test]
async fn who_is_in_a_hurry_puts_nothing_into_quarantine() {
    let pool = Arc::new(pool(1, 8));
    let (release, blocked) = mpsc::channel::<()>();
    let hurried = OpContext::within(Duration::from_millis(5));
    let late = pool
        .run(Operation::Sign, Cost::Fast, &hurried, move |_, _| {
            let _ = blocked.recv();
            Ok(())
        })
        .await;
    assert_eq!(late.unwrap_err().class(), Class::Timeout);
    drop(release);
    assert_eq!(server(&pool).await, Ok(0));
    assert_eq!(pool.status().quarantined, 0);
}

/// Counts the contexts that were closed.
struct Closing(Arc<AtomicUsize>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[derive(Default)]
struct Closes(Arc<AtomicUsize>);

impl Device for Closes {
    type Context = Closing;

    fn open(&self) -> Result<Closing, Error> {
        Ok(Closing(Arc::clone(&self.0)))
    }
}

#[tokio::test]
async fn a_context_that_came_back_with_an_error_is_not_closed_either() {
    let config = WorkersConfig { hang_limit: Duration::from_millis(40), ..config(1, 8) };
    let pool = Workers::start("fake", Closes::default(), &config, Arc::new(())).unwrap();
    let fails = |_: &Closes, _: &mut Closing| -> Result<(), Error> {
        Err(Error::new(Class::Session, Operation::Sign))
    };
    pool.run(Operation::Sign, Cost::Fast, &soon(), fails).await.unwrap_err();
    let (release, blocked) = mpsc::channel::<()>();
    let hangs = move |_: &Closes, _: &mut Closing| -> Result<(), Error> {
        let _ = blocked.recv();
        Err(Error::new(Class::Session, Operation::Sign))
    };
    let frame = soon();
    let hung = pool.run(Operation::Sign, Cost::Fast, &frame, hangs);
    let released = async {
        while pool.status().quarantined == 0 {
            tokio::task::yield_now().await;
        }
        drop(release);
    };
    let (hung, ()) = tokio::join!(hung, released);
    hung.unwrap_err();
    while pool.status().quarantined > 0 {
        tokio::task::yield_now().await;
    }
    pool.close().await;
    assert_eq!(pool.device().0.load(Ordering::SeqCst), 1, "only the one that failed in time");
}
