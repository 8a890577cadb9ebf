//! [`Workers`]: where threads, queues and deadlines meet a device.
//!
//! Each worker is an OS thread that owns one device context (a PKCS#11 session, a
//! TPM connection) for as long as the context lives, because such contexts may be
//! used by one thread at a time and their calls block. Jobs wait in one bounded
//! queue, in which each caller has its turn. An idle worker is woken last-in first-out,
//! so that under light load the same few contexts stay warm.
//!
//! **Invariant:** a job whose deadline passed, or that nobody waits for, never
//! reaches the device.
//!
//! **Invariant:** a caller is answered at its own deadline, whatever the device does.
//!
//! **Invariant:** a context that met an error it does not survive
//! ([`Class::context_survives`]) serves no other job.
//!
//! **Invariant:** a device that does not come back from a call costs the pool that call's
//! context and no other (`hangs`).
//!
//! The queue is written by hand: no channel crate offers last-in first-out
//! waking, withdrawal of queued items and a cap on one class of them together.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::{oneshot, watch};
use tracing::{Span, debug, error};

pub use self::config::{WorkersConfig, WorkersStatus};
use self::{
    hangs::{Doing, Place, Seat},
    queue::{Queue, Ticket},
};
use crate::{Class, Error, OpContext, Operation};

mod config;
mod hangs;
mod queue;
mod recovery;

/// A device that can be used through any number of contexts, one a thread.
pub trait Device: Send + Sync + 'static {
    /// What one thread needs to use the device. It is made, used and dropped on
    /// one thread, so it need not be `Send`.
    type Context;

    /// Makes a context, ready for use.
    ///
    /// # Errors
    /// Whatever keeps the device from being used. After [`Class::Pin`] no worker
    /// tries again.
    fn open(&self) -> Result<Self::Context, Error>;
}

/// Hears of every job that a context has done.
pub trait Observer: Send + Sync + 'static {
    /// A job was done, well or not: it waited for `queued` until a context was free
    /// and open for it, and then had that context for `device`. Called before its
    /// caller is answered, on the thread of the context, so it must not block.
    fn done(&self, operation: Operation, queued: Duration, device: Duration);
}

/// Nobody listens.
impl Observer for () {
    fn done(&self, _: Operation, _: Duration, _: Duration) {}
}

/// How long a job keeps its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Milliseconds at most.
    Fast,
    /// Up to seconds, such as making an RSA key. Slow jobs never hold the last
    /// free context.
    Slow,
}

type Work<D> = Box<dyn FnOnce(Result<(&D, &mut <D as Device>::Context), Error>) -> Option<Class> + Send>;

/// A pool of device contexts and the queue in front of it.
pub struct Workers<D: Device> {
    shared: Arc<Shared<D>>,
}

struct Shared<D: Device> {
    device: D,
    name: String,
    observer: Arc<dyn Observer>,
    state: Mutex<State<D>>,
    /// One for each worker, so that exactly the chosen one is woken.
    wake: Vec<Condvar>,
    hang_limit: Duration,
    /// Wakes the thread that looks for what hangs.
    look: Condvar,
    alive: watch::Sender<usize>,
}

struct State<D: Device> {
    queue: Queue<Work<D>>,
    /// Idle workers; the last in is the first to be woken.
    idle: Vec<usize>,
    /// What an idle worker was woken for.
    handed: Vec<Option<queue::Entry<Work<D>>>>,
    places: Vec<Place>,
    /// Threads that are inside a call that took too long.
    quarantined: usize,
    busy: usize,
    /// Workers whose context could not be opened, with the last reason.
    failed: usize,
    last_failure: Option<Error>,
    closed: bool,
}

impl<D: Device> Workers<D> {
    /// Starts the threads. Contexts are opened when they are first needed.
    /// `observer` hears of every job; `Arc::new(())` where nobody wants to know.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        name: &str,
        device: D,
        config: &WorkersConfig,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, Error> {
        let contexts = config.contexts.get();
        let shared = Arc::new(Shared {
            device,
            name: name.to_owned(),
            observer,
            state: Mutex::new(State {
                // All but one context may be slow at once; a lone context must do both.
                queue: Queue::new(config.queue.get(), contexts.saturating_sub(1).max(1)),
                idle: Vec::with_capacity(contexts),
                handed: (0..contexts).map(|_| None).collect(),
                places: (0..contexts).map(|_| Place::default()).collect(),
                quarantined: 0,
                busy: 0,
                failed: 0,
                last_failure: None,
                closed: false,
            }),
            wake: (0..contexts).map(|_| Condvar::new()).collect(),
            hang_limit: config.hang_limit,
            look: Condvar::new(),
            alive: watch::Sender::new(contexts),
        });
        // From here on an early return closes what was started.
        let workers = Self { shared: Arc::clone(&shared) };
        let no_thread = |error| Error::new(Class::Broken, Operation::Open).source(error);
        for index in 0..contexts {
            let worker = Arc::clone(&shared);
            thread::Builder::new()
                .name(format!("{name}-{index}"))
                .spawn(move || worker.serve(Seat::first(index)))
                .map_err(no_thread)?;
        }
        let watch = thread::Builder::new().name(format!("{name}-hangs"));
        watch.spawn(move || shared.watch()).map_err(no_thread)?;
        Ok(workers)
    }

    /// The device behind the pool.
    #[must_use]
    pub fn device(&self) -> &D {
        &self.shared.device
    }

    /// How busy the pool is.
    #[must_use]
    pub fn status(&self) -> WorkersStatus {
        let state = self.shared.state.lock();
        WorkersStatus {
            contexts: state.handed.len(),
            busy: state.busy,
            failed: state.failed,
            quarantined: state.quarantined,
            queued: state.queue.len(),
            queue_capacity: state.queue.capacity(),
        }
    }

    /// Runs `job` on some context.
    ///
    /// # Errors
    /// What the job says; [`Class::QueueFull`], [`Class::Timeout`],
    /// [`Class::Cancelled`] and [`Class::Closed`] as named; the reason for which
    /// no context could be opened; [`Class::Broken`] when the job panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        operation: Operation,
        cost: Cost,
        ctx: &OpContext,
        job: impl FnOnce(&D, &mut D::Context) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        if ctx.cancellation.is_cancelled() {
            return Err(Error::new(Class::Cancelled, operation));
        }
        let start_by = ctx.start_by.min(ctx.deadline);
        let since = Instant::now();
        if start_by <= since {
            return Err(Error::new(Class::Timeout, operation));
        }
        let observer = Arc::clone(&self.shared.observer);
        let (answer, result) = oneshot::channel();
        // What is logged on the thread of a device is said of the call it works for.
        let call = Span::current();
        let work: Work<D> = Box::new(move |context| {
            // Its caller went while it was being handed over.
            if answer.is_closed() {
                return None;
            }
            let _call = call.entered();
            let outcome = match context {
                Ok((device, context)) => {
                    let begun = Instant::now();
                    let outcome = catch_unwind(AssertUnwindSafe(|| job(device, context)));
                    observer.done(operation, begun - since, begun.elapsed());
                    outcome.unwrap_or_else(|_| {
                        error!(operation = operation.name(), "a device job panicked");
                        Err(Error::new(Class::Broken, operation).detail("the job panicked"))
                    })
                }
                Err(error) => Err(error),
            };
            let class = outcome.as_ref().err().map(Error::class);
            // Nobody listens when the caller has gone; that is no fault.
            let _ = answer.send(outcome);
            class
        });
        let place = queue::Job {
            flow: ctx.flow,
            weight: ctx.weight,
            priority: ctx.priority,
            cost,
            deadline: start_by,
        };
        let ticket = self.shared.submit(operation, place, work)?;
        let mut withdrawal = Withdrawal { shared: &self.shared, ticket: Some(ticket) };
        let mut result = std::pin::pin!(result);
        let mut until = start_by;
        loop {
            tokio::select! {
                biased;
                outcome = &mut result => {
                    withdrawal.ticket = None;
                    return outcome.unwrap_or_else(|_| Err(Error::new(Class::Timeout, operation)));
                }
                () = ctx.cancellation.cancelled() => return Err(Error::new(Class::Cancelled, operation)),
                () = tokio::time::sleep_until(until.into()) => {
                    // What has begun by now may go on to its deadline.
                    if until == ctx.deadline || withdrawal.withdraw() {
                        return Err(Error::new(Class::Timeout, operation));
                    }
                    until = ctx.deadline;
                }
            }
        }
    }

    /// Refuses new jobs, finishes the accepted ones, and waits until every
    /// context is closed.
    pub async fn close(&self) {
        self.shared.close();
        let mut alive = self.shared.alive.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = alive.wait_for(|alive| *alive == 0).await;
    }
}

impl<D: Device> Drop for Workers<D> {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// Takes a job out of the queue when its caller stops waiting.
struct Withdrawal<'a, D: Device> {
    shared: &'a Shared<D>,
    ticket: Option<Ticket>,
}

impl<D: Device> Withdrawal<'_, D> {
    /// Whether the job was still waiting; it never runs then.
    fn withdraw(&mut self) -> bool {
        let Some(ticket) = self.ticket.take() else { return false };
        let withdrawn = self.shared.state.lock().queue.withdraw(ticket);
        // Dropped after the lock is given back: a job owns what it captured.
        withdrawn.is_some()
    }
}

impl<D: Device> Drop for Withdrawal<'_, D> {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl<D: Device> Shared<D> {
    fn close(&self) {
        self.state.lock().closed = true;
        self.look.notify_one();
        for wake in &self.wake {
            wake.notify_one();
        }
    }

    fn submit(&self, operation: Operation, job: queue::Job, work: Work<D>) -> Result<Ticket, Error> {
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.closed {
            return Err(Error::new(Class::Closed, operation));
        }
        if let Some(refusal) = state.refusal(operation) {
            return Err(refusal);
        }
        let Some(ticket) = state.queue.push(job, work) else {
            return Err(Error::new(Class::QueueFull, operation));
        };
        if let Some(index) = state.idle.pop() {
            // The queue may hold only slow jobs that must not start yet.
            match state.queue.next() {
                Some(entry) => {
                    state.busy += 1;
                    if let Some(handed) = state.handed.get_mut(index) {
                        *handed = Some(entry);
                    }
                    if let Some(wake) = self.wake.get(index) {
                        wake.notify_one();
                    }
                }
                None => state.idle.push(index),
            }
        }
        Ok(ticket)
    }

    /// The life of a worker thread.
    fn serve(&self, mut seat: Seat) {
        let mut context = None;
        let mut finished = None;
        while let Some((entry, now)) = self.next(&mut seat, finished.take(), &mut context) {
            let cost = entry.cost;
            if entry.deadline <= now {
                // The caller has been answered by its own clock; dropping the
                // job is all that is left to do.
                drop(entry);
                finished = Some(cost);
                continue;
            }
            if context.is_none() {
                match self.open() {
                    Ok(opened) => context = Some(opened),
                    Err(failure) => {
                        let has_place = self.fail(&mut seat, entry, &failure);
                        if has_place && !self.recover(&mut seat, &mut context)
                            || !self.reseat(&mut seat, &mut context)
                        {
                            break;
                        }
                        continue;
                    }
                }
            }
            if let Some(open) = &mut context
                && let Some(class) = (entry.item)(Ok((&self.device, open)))
                && !class.context_survives()
            {
                debug!(backend = self.name, ?class, "device context retired");
                self.retire(&seat, &mut context);
            }
            finished = Some(cost);
        }
        if seat.is_lost {
            return;
        }
        drop(context);
        self.alive.send_modify(|alive| *alive -= 1);
        self.look.notify_one();
    }

    /// Gives back the job that was finished, if any, and waits for the next one, which
    /// begins then: one turn at the lock, so that a worker is never neither busy nor idle.
    /// `None` when the pool is closed and nothing is left to do.
    fn next(
        &self,
        seat: &mut Seat,
        finished: Option<Cost>,
        context: &mut Option<D::Context>,
    ) -> Option<(queue::Entry<Work<D>>, Instant)> {
        let index = seat.index;
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if let Some(cost) = finished {
            if state.ends(seat) {
                state.busy -= 1;
                state.queue.finished(cost);
            } else if !self.reseat(seat, context) {
                return None;
            }
        }
        if let Some(entry) = state.queue.next() {
            state.busy += 1;
            let now = state.begins(seat, Doing::Job(entry.cost));
            return Some((entry, now));
        }
        if state.closed {
            return None;
        }
        state.idle.push(index);
        loop {
            if let Some(wake) = self.wake.get(index) {
                wake.wait(&mut guard);
            }
            let state = &mut *guard;
            if let Some(entry) = state.handed.get_mut(index).and_then(Option::take) {
                let now = state.begins(seat, Doing::Job(entry.cost));
                return Some((entry, now));
            }
            if state.closed {
                state.idle.retain(|idle| *idle != index);
                let entry = state.queue.next()?;
                state.busy += 1;
                let now = state.begins(seat, Doing::Job(entry.cost));
                return Some((entry, now));
            }
        }
    }
}

#[cfg(test)]
mod tests;
