//! THE DOOR. Every use of a key, and every look at one, passes here.
//!
//! The gate decides whether a caller may do a thing, has it done, and records
//! both before the answer leaves. Work that was admitted runs on a tracked task:
//! a caller that hangs up neither loses the record nor leaves a key half made,
//! and a shutdown waits for it.
//!
//! **Invariant:** a device can be used only through a [`Permit`], and a `Permit`
//! is made only here, after a decision.
//!
//! **Invariant:** no outcome is answered without its record. When it cannot be
//! recorded, the caller learns [`Error::Audit`] and not the outcome. Two answers
//! tell no outcome and so come without one: [`Error::Closing`], before anything
//! was decided, and [`Error::Deadline`], whose work goes on and is recorded when
//! it ends.

mod error;
mod subject;

use std::{future::Future, num::NonZeroU32, panic::AssertUnwindSafe, sync::Arc, time::Instant};

use futures_util::FutureExt;
use parking_lot::Mutex;
use skms_backend::{Capabilities, KeyBackend, KeyType, OpContext, ProtectionLevel};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

use crate::{
    audit::{self, Outcome, Phase, Record},
    auth::{Call, Caller},
    backends::{BackendInfo, Backends, Devices},
    model::{Access, Action, BackendName, Key, KeyId, Reason, Rpc},
    policy::{Decision, Policies, Resource},
    rates::Rates,
    telemetry::{Step, metrics},
};

pub use self::{
    error::{Error, Reasoned},
    subject::Subject,
};
pub use crate::{
    audit::Facts,
    rates::{Exceeded, Work},
};

/// The door.
#[derive(Clone)]
pub struct Gate {
    inside: Arc<Inside>,
}

struct Inside {
    devices: Devices,
    backends: Arc<Backends>,
    policies: Policies,
    rates: Rates,
    log: audit::Log,
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Gate {
    /// A gate before these devices, which decides by these policies, holds to these
    /// rates and writes this log. From here on nobody else can use the devices.
    #[must_use]
    pub fn new(
        devices: Devices,
        backends: Arc<Backends>,
        policies: Policies,
        rates: Rates,
        log: audit::Log,
    ) -> Self {
        Self {
            inside: Arc::new(Inside {
                devices,
                backends,
                policies,
                rates,
                log,
                tasks: TaskTracker::new(),
                closing: CancellationToken::new(),
            }),
        }
    }

    /// What may be known of the backends without using them.
    #[must_use]
    pub fn backends(&self) -> &Backends {
        &self.inside.backends
    }

    /// What the caller may do, by the policies, without doing it.
    #[must_use]
    pub fn decide(&self, caller: &Caller, action: Action, subject: &Subject) -> Decision {
        self.inside.decide(caller, action, subject)
    }

    /// Decides, does, records; then answers.
    ///
    /// # Errors
    /// What the work says; and every [`Error`] as named.
    pub async fn admit<T, E, Work, Done>(
        &self,
        call: &Call,
        action: Action,
        subject: Subject,
        work: Work,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Reasoned + From<Error> + Send + 'static,
        Work: FnOnce(Permit) -> Done + Send + 'static,
        Done: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.admit_all(call, action, subject, Vec::new(), work).await
    }

    /// The same where more is asked than one thing of one key: all of it must be
    /// allowed, and it is one record.
    ///
    /// **Invariant:** `work` begins by ending where a subject does not exist, in the order
    /// of the subjects. Behind such a one nothing else is asked, as the answers must not
    /// tell it from a hidden one.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub async fn admit_all<T, E, Work, Done>(
        &self,
        call: &Call,
        action: Action,
        subject: Subject,
        also: Vec<(Action, Subject)>,
        work: Work,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Reasoned + From<Error> + Send + 'static,
        Work: FnOnce(Permit) -> Done + Send + 'static,
        Done: Future<Output = Result<T, E>> + Send + 'static,
    {
        call.taken.set();
        if self.inside.closing.is_cancelled() {
            return Err(Error::Closing.into());
        }
        // What could not be recorded is not begun.
        self.inside.log.check().map_err(|source| Error::Audit { source })?;
        let pass = Pass {
            inside: Arc::clone(&self.inside),
            call: call.clone(),
            action,
            subject,
            also,
            facts: facts_of(call),
            begun: Instant::now(),
            abandoned: CancellationToken::new(),
        };
        // Dropped with this future when the caller hangs up.
        let _abandon = pass.abandoned.clone().drop_guard();
        let task = self.inside.tasks.spawn(pass.through(work).in_current_span());
        if action.mutates() {
            // A device is given up at the caller's deadline by its pool. What
            // changes the catalog goes on, and only its caller stops waiting.
            match tokio::time::timeout_at(call.deadline.into(), task).await {
                Ok(joined) => joined,
                Err(_) => return Err(Error::Deadline.into()),
            }
        } else {
            task.await
        }
        .unwrap_or_else(|_| Err(Error::Panicked.into()))
    }

    /// Records a thing that is not to be done, or not to its end, for this reason, although
    /// its caller might do it: an item of a batch that is at fault, a stream that was cut. Gives the error back to be answered, or
    /// the one that says that there is no record.
    pub async fn refuse<E>(&self, call: &Call, action: Action, subject: Subject, error: E) -> E
    where
        E: Reasoned + From<Error>,
    {
        call.taken.set();
        let pass = Pass {
            inside: Arc::clone(&self.inside),
            call: call.clone(),
            action,
            subject,
            also: Vec::new(),
            facts: facts_of(call),
            begun: Instant::now(),
            abandoned: CancellationToken::new(),
        };
        let decision = self.inside.policies.may_call(&call.caller, action);
        let outcome = Outcome::refused(error.reason(), pass.begun.elapsed());
        match pass.record(Phase::Outcome, &decision, Some(outcome)).await {
            Ok(()) => error,
            Err(unrecorded) => unrecorded.into(),
        }
    }

    /// Whether the caller of what goes on for long could still prove who it is.
    ///
    /// # Errors
    /// [`Error::ProofEnded`].
    pub fn stands(call: &Call) -> Result<(), Error> {
        call.stands().map_err(|refusal| Error::ProofEnded { refusal })
    }

    /// Charges the caller for one more item of a stream, as for a call of this RPC; if it
    /// could still prove who it is. A token that is good for one change is good for the
    /// first.
    ///
    /// # Errors
    /// [`Error::ProofEnded`], [`Error::RateLimited`]; nothing was charged.
    pub fn charge_item(&self, call: &Call, rpc: Rpc, number: u32) -> Result<(), Error> {
        Self::stands(call)?;
        let Access::Action(action) = rpc.access() else { return Ok(()) };
        if action.mutates() && number > 0 {
            call.changes_again().map_err(|refusal| Error::ProofEnded { refusal })?;
        }
        self.inside.rates.charge_caller(call.caller.id(), crate::rates::of_call(rpc)).map_err(exceeded)
    }

    /// Charges the caller for the items of a batch, as so many calls.
    ///
    /// # Errors
    /// [`Error::RateLimited`]; nothing was charged.
    pub fn charge_items(&self, call: &Call, items: NonZeroU32) -> Result<(), Error> {
        self.inside.rates.charge_caller(call.caller.id(), items).map_err(exceeded)
    }

    /// Takes no more calls and waits until every admitted one has ended.
    pub async fn close(&self) {
        self.inside.closing.cancel();
        self.inside.tasks.close();
        self.inside.tasks.wait().await;
        self.inside.devices.close().await;
    }
}

fn exceeded(exceeded: Exceeded) -> Error {
    metrics().rate_limited(exceeded.limit.label());
    Error::RateLimited { exceeded }
}

fn facts_of(call: &Call) -> Arc<Mutex<Facts>> {
    Arc::new(Mutex::new(Facts { item: call.item, ..Facts::default() }))
}

impl Inside {
    fn decide(&self, caller: &Caller, action: Action, subject: &Subject) -> Decision {
        self.policies.decide(caller, action, subject.resource())
    }
}

/// One passage through the door.
struct Pass {
    inside: Arc<Inside>,
    call: Call,
    action: Action,
    subject: Subject,
    also: Vec<(Action, Subject)>,
    facts: Arc<Mutex<Facts>>,
    begun: Instant,
    abandoned: CancellationToken,
}

impl Pass {
    async fn through<T, E, Work, Done>(self, work: Work) -> Result<T, E>
    where
        E: Reasoned + From<Error>,
        Work: FnOnce(Permit) -> Done,
        Done: Future<Output = Result<T, E>>,
    {
        let Judged { decision, refused } = self.judge();
        if let Some(refused) = refused {
            metrics().authorization_denied(Step::Key);
            let outcome = Outcome::refused(Reason::KeyAccessDenied, self.begun.elapsed());
            self.record(Phase::Outcome, &decision, Some(outcome)).await?;
            return Err(refused.into());
        }
        if self.action.mutates() {
            self.record(Phase::Intent, &decision, None).await?;
        }
        let permit = Permit {
            inside: Arc::clone(&self.inside),
            call: self.call.clone(),
            facts: Arc::clone(&self.facts),
            abandoned: self.abandoned.clone(),
        };
        // A panic is an outcome, too: recorded, and answered like any other.
        let working = AssertUnwindSafe(async { work(permit).await }).catch_unwind();
        let outcome = working.await.unwrap_or_else(|_| Err(Error::Panicked.into()));
        let latency = self.begun.elapsed();
        let ended = match &outcome {
            Ok(_) => Outcome::done(latency),
            Err(error) => Outcome::refused(error.reason(), latency),
        };
        self.record(Phase::Outcome, &decision, Some(ended)).await?;
        outcome
    }

    /// What the policies say to everything that is asked; and, where that is no, what
    /// the caller is told.
    fn judge(&self) -> Judged {
        let caller = &self.call.caller;
        let mut all = Vec::new();
        if !self.also.is_empty() {
            let mut also: Vec<_> = self.also.iter().map(|(action, _)| action.name()).collect();
            also.dedup();
            self.facts.lock().also = also;
        }
        for (action, subject) in std::iter::once((self.action, &self.subject))
            .chain(self.also.iter().map(|(action, subject)| (*action, subject)))
        {
            let decision = self.inside.decide(caller, action, subject);
            if !decision.allowed {
                self.facts.lock().denied = (action != self.action).then(|| action.name());
                return Judged { decision, refused: Some(self.refused(action, subject)) };
            }
            // What may be done with a key that does not exist ends with being told so, and
            // with nothing else that a hidden key would not end with as well.
            if self.also.is_empty() || matches!(subject, Subject::Missing(_)) {
                return Judged { decision, refused: None };
            }
            all.extend(decision.policies.iter().cloned());
        }
        all.sort_unstable();
        all.dedup();
        let decision = Decision { allowed: true, policies: all.into() };
        Judged { decision, refused: None }
    }

    /// What a caller is told that may not do this. One that may not even see the key
    /// is told what it would be told if there were none.
    fn refused(&self, action: Action, subject: &Subject) -> Error {
        let caller = &self.call.caller;
        if let Subject::Key(_, asked) = subject
            && !self.inside.decide(caller, Action::GetKey, subject).allowed
            && self.inside.decide(caller, action, &Subject::Missing(asked.clone())).allowed
        {
            return Error::Missing { name: asked.clone() };
        }
        Error::Denied
    }

    async fn record(&self, phase: Phase, decision: &Decision, outcome: Option<Outcome>) -> Result<(), Error> {
        let mut facts = self.facts.lock().clone();
        let key = facts.key.take();
        let record = Record {
            time: audit::now(),
            phase,
            request_id: &self.call.request_id,
            caller: self.call.caller.id(),
            issuer: Some(self.call.caller.issuer()),
            subject: Some(self.call.caller.subject()),
            tenant: self.call.caller.tenant(),
            authenticated_by: self.call.caller.method().name(),
            certificate: self.call.certificate.as_deref(),
            peer: &self.call.peer,
            action: self.action.name(),
            decision: if decision.allowed { "allow" } else { "deny" },
            policies: &decision.policies,
            key: key.as_ref().map(KeyId::as_str).or_else(|| self.subject.name()),
            facts,
            outcome,
        };
        self.inside.log.append(&record).await.map_err(|source| Error::Audit { source })
    }
}

/// What was decided.
struct Judged {
    decision: Decision,
    /// What its caller is told, where that is no.
    refused: Option<Error>,
}

/// The right to do one admitted thing.
pub struct Permit {
    inside: Arc<Inside>,
    call: Call,
    facts: Arc<Mutex<Facts>>,
    abandoned: CancellationToken,
}

impl Permit {
    /// What may be known of every backend, in placement order.
    pub fn backends(&self) -> impl Iterator<Item = &BackendInfo> {
        self.inside.backends.iter()
    }

    /// What a backend can do.
    #[must_use]
    pub fn capabilities(&self, backend: &BackendName) -> Option<&Capabilities> {
        self.inside.backends.get(backend).map(BackendInfo::capabilities)
    }

    /// Whether the caller of this may see a key, by whatever name it came upon it.
    #[must_use]
    pub fn sees(&self, key: &Key) -> bool {
        self.inside.policies.decide(&self.call.caller, Action::GetKey, Resource::Key(key)).allowed
    }

    /// Whether the caller of this may also do that, to one of many keys.
    #[must_use]
    pub fn may(&self, action: Action, key: &Key) -> bool {
        self.inside.policies.decide_among(&self.call.caller, action, key).allowed
    }

    /// Charges the caller and the key for what a device is about to do.
    ///
    /// # Errors
    /// [`Error::RateLimited`]; the caller may have been charged then.
    pub fn charge(&self, work: Work, key: &Key, protection: ProtectionLevel) -> Result<(), Error> {
        let units = crate::rates::of_work(work, key.key_type, protection);
        let charged = self.inside.rates.charge_caller(self.call.caller.id(), units);
        let charged = charged.and_then(|()| self.inside.rates.charge_key(key.id.as_str(), units));
        charged.map_err(exceeded)
    }

    /// Charges the caller alone, for work that is not with a key of the catalog.
    ///
    /// # Errors
    /// [`Error::RateLimited`].
    pub fn charge_caller(
        &self,
        work: Work,
        key_type: KeyType,
        protection: ProtectionLevel,
    ) -> Result<(), Error> {
        let units = crate::rates::of_work(work, key_type, protection);
        self.inside.rates.charge_caller(self.call.caller.id(), units).map_err(exceeded)
    }

    /// A backend, to be used.
    #[must_use]
    pub fn device(&self, backend: &BackendName) -> Option<Arc<dyn KeyBackend>> {
        self.inside.devices.get(backend)
    }

    /// The frame of a device call: at most `limit`, not beyond the caller's
    /// deadline, and not after the caller has gone.
    #[must_use]
    pub fn context(&self, limit: std::time::Duration) -> OpContext {
        OpContext {
            deadline: self.call.deadline.min(Instant::now() + limit),
            cancellation: self.abandoned.clone(),
            ..self.patient_context(limit)
        }
    }

    /// The frame of a device call that is not begun for a caller who has stopped
    /// waiting, but comes to its end once it was begun.
    #[must_use]
    pub fn wanted_context(&self, limit: std::time::Duration) -> OpContext {
        OpContext { start_by: self.call.deadline, ..self.patient_context(limit) }
    }

    /// The frame of a device call that must come to its end even when its caller
    /// does not wait for it.
    #[must_use]
    pub fn patient_context(&self, limit: std::time::Duration) -> OpContext {
        let caller = &self.call.caller;
        OpContext {
            flow: caller.flow(),
            weight: self.inside.rates.weight(caller.roles()),
            priority: self.call.priority,
            ..OpContext::within(limit)
        }
    }

    /// Adds to the record of this call.
    pub fn note(&self, add: impl FnOnce(&mut Facts)) {
        add(&mut self.facts.lock());
    }
}
