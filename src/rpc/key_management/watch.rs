//! WatchKeys.

use std::sync::Arc;

use prost_types::Timestamp;

use super::{Service, lists::filter};
use crate::{
    keys::{Begin, Call, Error, GateError, Kind, Moment, Told, Watch},
    model::{Action, Reason},
    proto::{self, watch_keys_response::Type},
    rpc::{
        convert::{self, View},
        page,
        parse::Fields,
        stream::{Answers, Untaken, answers},
    },
};

impl Service {
    pub(super) fn follow(
        &self,
        call: &Call,
        request: proto::WatchKeysRequest,
    ) -> Result<Answers<proto::WatchKeysResponse>, Error> {
        let mut fields = Fields::default();
        let full = fields.full(request.view);
        let filter = filter(&mut fields, &request.filter);
        let begin = begin(&mut fields, &request);
        let parsed = (|| Some((full?, Watch { filter: filter?, begin: begin? })))();
        let (full, watch) = fields.finish(parsed)?;
        let (keyring, asked) = (self.keyring.clone(), call.clone());
        call.taken.set();
        let patience = keyring.limits().stream_idle_timeout;
        Ok(answers(call.clone(), patience, move |sink| async move {
            let sink = Arc::new(sink);
            let give = move |told| {
                let (sink, response) = (Arc::clone(&sink), response(told, full, &request));
                async move {
                    sink.give(response).await.map_err(|untaken| match untaken {
                        Untaken::Late => Error::WatchTooSlow,
                        gone @ Untaken::Gone => gone.into(),
                    })
                }
            };
            let begun = keyring.watch(&asked, watch, give).await;
            match begun {
                Ok(()) => Ok(()),
                // What is no fault of its caller is no matter of the record, and what was
                // refused at its beginning is on record.
                Err(error @ (Error::WatchTooSlow | Error::Gate { source: GateError::ProofEnded { .. } })) => {
                    Err(keyring.refuse(&asked, Action::ListKeys, error).await)
                }
                Err(error) => Err(error),
            }
        }))
    }
}

fn begin(fields: &mut Fields, request: &proto::WatchKeysRequest) -> Option<Begin> {
    if request.resume_token.is_empty() {
        return Some(if request.send_initial_state { Begin::AllKeys } else { Begin::Now });
    }
    if request.send_initial_state {
        let why = "a watch that is resumed goes on behind its token; ask for the one or the other";
        fields.fail("send_initial_state", Reason::ParameterNotApplicable, why);
        return None;
    }
    let moment = page::read(request, &request.resume_token);
    if moment.is_none() {
        let why = "not a token of a watch with this filter; begin again without one";
        fields.fail("resume_token", Reason::FieldInvalid, why);
    }
    moment.map(Begin::After)
}

/// How many bytes of a token each of its numbers has.
const NUMBER: usize = size_of::<u64>();

impl page::Parted for proto::WatchKeysRequest {
    type Place = Moment;

    fn bound(&self) -> String {
        format!("watch {:?}", self.filter)
    }

    fn write(moment: &Moment) -> Vec<u8> {
        [moment.revision.to_be_bytes(), moment.millis.to_be_bytes()].concat()
    }

    fn read(bytes: &[u8]) -> Option<Moment> {
        let (revision, millis) = bytes.split_at_checked(NUMBER)?;
        let number = |bytes: &[u8]| bytes.try_into().ok();
        let revision = u64::from_be_bytes(number(revision)?);
        Some(Moment { revision, millis: i64::from_be_bytes(number(millis)?) })
    }
}

fn response(told: Told, full: bool, request: &proto::WatchKeysRequest) -> proto::WatchKeysResponse {
    let (kind, key, version, moment) = match told {
        Told::Initial(shown) => (Type::Initial, Some(shown), 0, None),
        Told::InitialDone(moment) => (Type::InitialDone, None, 0, Some(moment)),
        Told::Bookmark(moment) => (Type::Bookmark, None, 0, Some(moment)),
        Told::Changed { kind, version, shown, moment } => (event(kind), Some(shown), version, Some(moment)),
    };
    let is_change = key.is_some();
    let event_time = moment.filter(|_| is_change).map(|moment| Timestamp {
        seconds: moment.millis.div_euclid(1000),
        nanos: i32::try_from(moment.millis.rem_euclid(1000) * 1_000_000).unwrap_or_default(),
    });
    proto::WatchKeysResponse {
        r#type: kind.into(),
        key: key.map(|shown| convert::key(&shown, View { full, version: 0 })),
        version,
        resume_token: moment.map(|moment| page::written(request, &moment).into()).unwrap_or_default(),
        event_time,
    }
}

const fn event(kind: Kind) -> Type {
    match kind {
        Kind::Created => Type::Created,
        Kind::Rotated => Type::Rotated,
        Kind::Updated => Type::Updated,
        Kind::StateChanged => Type::StateChanged,
        Kind::Destroyed => Type::Destroyed,
        Kind::ExpiryWarning => Type::ExpiryWarning,
        // It is not told.
        Kind::Nothing => Type::Unspecified,
    }
}
