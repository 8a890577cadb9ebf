//! ListKeys and ListKeyVersions.

use std::{fmt, str::FromStr, sync::Arc};

use prost::Message;

use super::Service;
use crate::{
    keys::{Call, Error, Limits, List, ListVersions, Shown, Which},
    model::{Place, Reason, Version},
    proto,
    rpc::{
        convert::{self, View},
        page::{self, Listed},
        parse::Fields,
        stream::{Answers, answers, closing},
    },
};

/// A page that is longer ends before its size: most clients take 4 MiB at most.
const PAGE_BYTES: usize = 3 * 1024 * 1024;

impl Service {
    pub(super) async fn list(
        &self,
        call: &Call,
        request: &proto::ListKeysRequest,
    ) -> Result<proto::ListKeysResponse, Error> {
        let mut fields = Fields::default();
        let full = fields.full(request.view);
        let limit = limit(&mut fields, request.page_size);
        let after = after(&mut fields, request);
        let filter = filter(&mut fields, &request.filter);
        let order = request
            .order_by
            .parse()
            .map_err(|error| fields.fail("order_by", Reason::FieldInvalid, format!("{error}")))
            .ok();
        let parsed = (|| {
            let list = List {
                limit: limit?,
                order: order?,
                after: after?,
                which: Which { filter: filter?, show_destroyed: request.show_destroyed },
            };
            Some((list, full?))
        })();
        let (list, full) = fields.finish(parsed)?;
        let by = list.order.by;
        let listed = self.keyring.list(call, list).await?;
        let written = |shown: &Shown| convert::key(shown, View { full, version: 0 });
        let keys = listed.keys.iter().map(|shown| (Place::of(&shown.key, by), written(shown)));
        let (keys, cut) = fitting(keys);
        let next = cut.or(listed.next);
        Ok(proto::ListKeysResponse {
            keys,
            next_page_token: next.map(|last| page::token(request, &last)).unwrap_or_default(),
            unreachable: listed.unreachable.iter().map(ToString::to_string).collect(),
        })
    }

    /// All keys, as an answer of many messages.
    pub(super) fn list_all(
        &self,
        call: &Call,
        request: &proto::StreamKeysRequest,
    ) -> Result<Answers<proto::StreamKeysResponse>, Error> {
        let mut fields = Fields::default();
        let full = fields.full(request.view);
        let filter = filter(&mut fields, &request.filter);
        let (full, filter) = fields.finish(full.zip(filter))?;
        let which = Which { filter, show_destroyed: request.show_destroyed };
        let (keyring, asked) = (self.keyring.clone(), call.clone());
        // Its record is that of the whole, and is written at its end.
        call.taken.set();
        let patience = keyring.limits().stream_idle_timeout;
        Ok(answers(call.clone(), patience, move |sink| async move {
            let (sink, stopping) = (Arc::new(sink), keyring.stopping().clone());
            let give = move |shown: Shown| {
                let (sink, stopping) = (Arc::clone(&sink), stopping.clone());
                let key = convert::key(&shown, View { full, version: 0 });
                async move {
                    tokio::select! {
                        () = stopping.cancelled() => Err(closing()),
                        given = sink.give(proto::StreamKeysResponse { key: Some(key) }) => Ok(given?),
                    }
                }
            };
            keyring.list_all(&asked, which, give).await
        }))
    }

    pub(super) async fn list_versions(
        &self,
        call: &Call,
        request: &proto::ListKeyVersionsRequest,
    ) -> Result<proto::ListKeyVersionsResponse, Error> {
        let mut fields = Fields::default();
        let key = fields.required_key_id("key_id", &request.key_id);
        let limit = limit(&mut fields, request.page_size);
        let after = after(&mut fields, request);
        let filter = filter(&mut fields, &request.filter);
        let parsed = (|| Some(ListVersions { key: key?, limit: limit?, after: after?, filter: filter? }))();
        let listed = self.keyring.list_versions(call, fields.finish(parsed)?).await?;
        let written = |version: &Version| convert::version(version, listed.limit);
        let versions = listed.versions.iter().map(|version| (version.number, written(version)));
        let (versions, cut) = fitting(versions);
        let next = cut.or(listed.next);
        Ok(proto::ListKeyVersionsResponse {
            versions,
            next_page_token: next.map(|last| page::token(request, &last)).unwrap_or_default(),
        })
    }
}

/// As many as a page may be long, at least one; and where it ends, if it ends before
/// the last.
fn fitting<P, M: Message>(all: impl Iterator<Item = (P, M)>) -> (Vec<M>, Option<P>) {
    let (mut page, mut bytes, mut last) = (Vec::new(), 0, None);
    for (place, message) in all {
        bytes += message.encoded_len();
        if bytes > PAGE_BYTES && last.is_some() {
            return (page, last);
        }
        last = Some(place);
        page.push(message);
    }
    (page, None)
}

fn limit(fields: &mut Fields, page_size: i32) -> Option<usize> {
    match usize::try_from(page_size) {
        Ok(0) => Some(Limits::DEFAULT_PAGE_SIZE),
        Ok(size) => Some(size.min(Limits::PAGE_SIZE)),
        Err(_) => {
            fields.fail("page_size", Reason::FieldInvalid, "must not be negative");
            None
        }
    }
}

/// `Some(None)` on the first page.
fn after<L: Listed>(fields: &mut Fields, request: &L) -> Option<Option<L::Place>> {
    if request.token().is_empty() {
        return Some(None);
    }
    let last = page::last(request);
    if last.is_none() {
        let why = "not a token of this list; begin again without one";
        fields.fail("page_token", Reason::PageTokenInvalid, why);
    }
    last.map(Some)
}

pub(super) fn filter<F: FromStr<Err: fmt::Display>>(fields: &mut Fields, text: &str) -> Option<F> {
    if text.len() > Limits::FILTER_BYTES {
        fields.at_most("filter", text.len(), Limits::FILTER_BYTES);
        return None;
    }
    text.parse().map_err(|error| fields.fail("filter", Reason::FilterInvalid, format!("{error}"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_before_it_is_too_long_for_clients() {
        let version =
            |bytes: usize| proto::KeyVersion { public_key: "x".repeat(bytes), ..Default::default() };
        let fit = |sizes: &[usize]| {
            let all = sizes.iter().enumerate().map(|(at, bytes)| (at, version(*bytes)));
            let (page, cut) = fitting(all);
            (page.len(), cut)
        };
        const HALF: usize = PAGE_BYTES / 2;
        assert_eq!(fit(&[]), (0, None));
        assert_eq!(fit(&[1, 2, 3]), (3, None));
        assert_eq!(fit(&[HALF, HALF - 100, 9]), (3, None));
        assert_eq!(fit(&[HALF, HALF, 9]), (1, Some(0)));
        assert_eq!(fit(&[9, HALF, HALF, 9]), (2, Some(1)));
        // Else nobody would ever see it.
        assert_eq!(fit(&[PAGE_BYTES + 1, 9]), (1, Some(0)));
    }
}
