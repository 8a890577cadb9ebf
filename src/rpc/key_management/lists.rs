//! ListKeys.

use std::{fmt, str::FromStr};

use prost::Message;

use super::Service;
use crate::{
    keys::{Call, Error, Limits, List},
    model::{Place, Reason},
    proto,
    rpc::{
        convert::{self, View},
        page::{self, Listed},
        parse::Fields,
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
                filter: filter?,
                show_destroyed: request.show_destroyed,
            };
            Some((list, full?))
        })();
        let (list, full) = fields.finish(parsed)?;
        let by = list.order.by;
        let listed = self.keyring.list(call, list).await?;
        let mut next = listed.next;
        let (mut keys, mut bytes, mut last) = (Vec::new(), 0, None);
        for shown in &listed.keys {
            let key = convert::key(shown, View { full, version: 0 });
            bytes += key.encoded_len();
            if bytes > PAGE_BYTES && last.is_some() {
                next = last;
                break;
            }
            last = Some(Place::of(&shown.key, by));
            keys.push(key);
        }
        Ok(proto::ListKeysResponse {
            keys,
            next_page_token: next.map(|last| page::token(request, &last)).unwrap_or_default(),
            unreachable: listed.unreachable.iter().map(ToString::to_string).collect(),
        })
    }
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

fn filter<F: FromStr<Err: fmt::Display>>(fields: &mut Fields, text: &str) -> Option<F> {
    if text.len() > Limits::FILTER_BYTES {
        fields.at_most("filter", text.len(), Limits::FILTER_BYTES);
        return None;
    }
    text.parse().map_err(|error| fields.fail("filter", Reason::FilterInvalid, format!("{error}"))).ok()
}
