//! Who calls: by token, by client certificate, or by the user behind a Unix socket.
//! Who cannot prove it is refused here, on record, before anything of its request is
//! read; and told the same while the log cannot be written, for a stranger learns
//! nothing of the log.

use http::{HeaderMap, Response, header};
use tonic::body::Body;

use super::{Arrived, Guards};
use crate::{
    audit::Refused,
    auth::{Caller, Evidence, Refusal},
    model::{Action, Reason},
    rpc::status,
    telemetry::{Limit, metrics},
};

/// A second place where a token could stand. It never counts as one, only as one too
/// many: two readers could disagree on which is meant.
const BINARY: &str = "authorization-bin";

/// The caller, or the answer to somebody who is none.
pub(super) async fn caller(
    guards: &Guards,
    headers: &HeaderMap,
    arrived: &Arrived<'_>,
) -> Result<Caller, Response<Body>> {
    let tokens: Vec<&[u8]> = headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .chain(headers.get_all(BINARY))
        .map(http::HeaderValue::as_bytes)
        .collect();
    let evidence = Evidence {
        authorization: &tokens,
        certificate: arrived.peer.certificate.as_deref(),
        uid: arrived.peer.uid,
    };
    if arrived.peer.withdrawn.is_set() {
        let detail = "the certificate of the connection is not taken any more";
        return Err(stranger(guards, arrived, Refusal { reason: Reason::TokenRevoked, detail }).await);
    }
    // Who is known already is let in even from an address that failed too often:
    // others may share it.
    if let Some(caller) = guards.authenticator.known(&evidence) {
        return Ok(caller);
    }
    // Behind a proxy are many, and one of them must not shut out the others.
    let alone = !evidence.certificate.is_some_and(|certificate| guards.authenticator.is_proxy(certificate));
    if alone && let Err(exceeded) = guards.rates.may_try(&arrived.peer.source) {
        metrics().rate_limited(exceeded.limit.label());
        refused(guards, arrived, None, Reason::RateLimited, "too many failed authentications").await;
        return Err(status::rate_limited(&exceeded, arrived.request_id).into_http());
    }
    match guards.authenticator.caller(&evidence).await {
        Ok(caller) => Ok(caller),
        Err(refusal) => {
            if alone {
                guards.rates.failed(&arrived.peer.source);
            }
            Err(stranger(guards, arrived, refusal).await)
        }
    }
}

/// Nothing, or the answer to a caller whose token is not good for this change. What
/// changes nothing may be asked for as often as ever.
pub(super) async fn spent(
    guards: &Guards,
    caller: &Caller,
    action: Action,
    arrived: &Arrived<'_>,
) -> Result<(), Response<Body>> {
    if !action.mutates() {
        return Ok(());
    }
    let Err(refusal) = guards.authenticator.spend(caller) else { return Ok(()) };
    match refusal.reason {
        Reason::RateLimited => metrics().rate_limited(Limit::Tokens),
        reason => metrics().auth_failure(reason),
    }
    refused(guards, arrived, Some(caller), refusal.reason, refusal.detail).await;
    Err(status::refusal(refusal.reason, refusal.text(), arrived.request_id).into_http())
}

/// The answer to somebody who is no caller.
async fn stranger(guards: &Guards, arrived: &Arrived<'_>, refusal: Refusal) -> Response<Body> {
    let Refusal { reason, detail } = refusal;
    metrics().auth_failure(reason);
    refused(guards, arrived, None, reason, detail).await;
    status::refusal(reason, refusal.text(), arrived.request_id).into_http()
}

async fn refused(
    guards: &Guards,
    arrived: &Arrived<'_>,
    caller: Option<&Caller>,
    reason: Reason,
    detail: &'static str,
) {
    let record = Refused {
        source: caller.map_or(&*arrived.peer.source, Caller::id),
        caller,
        peer: &arrived.peer.address,
        certificate: arrived.peer.fingerprint.as_deref(),
        request_id: arrived.request_id,
        rpc: arrived.name(),
        reason,
        detail,
        latency: arrived.begun.elapsed(),
    };
    guards.log.refused(&record).await;
}
