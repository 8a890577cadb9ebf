//! When a caller stops waiting: its `grpc-timeout`, capped.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use http::{HeaderMap, Response};
use tonic::body::Body;

use crate::{model::Reason, rpc::status};

/// The header of the gRPC protocol: up to eight digits and a unit.
const HEADER: &str = "grpc-timeout";
/// More digits than the protocol allows are no timeout.
const DIGITS: usize = 8;

/// The end of a call that begins now. A missing or malformed timeout counts as none.
pub(super) fn of(headers: &HeaderMap, longest: Duration) -> Instant {
    let asked = headers.get(HEADER).and_then(|value| parse(value.to_str().ok()?));
    Instant::now() + asked.map_or(longest, |asked| asked.min(longest))
}

/// What is late waits a little longer: a use case that gives up at the deadline
/// says better why than this floor can.
const SLACK: Duration = Duration::from_millis(100);

/// The response, or the end of waiting for it. Streams are bounded to their
/// first answer only.
pub(super) async fn kept(
    response: impl Future<Output = Response<Body>>,
    deadline: Instant,
    request_id: &str,
) -> Response<Body> {
    match tokio::time::timeout_at((deadline + SLACK).into(), response).await {
        Ok(response) => response,
        Err(_) => {
            let message = "the deadline passed before the call was complete";
            status::refusal(Reason::BackendTimeout, message, request_id).into_http()
        }
    }
}

fn parse(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if number.is_empty() || number.len() > DIGITS || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 60 * 60)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_has_them() {
        assert_eq!(parse("5S"), Some(Duration::from_secs(5)));
        assert_eq!(parse("100m"), Some(Duration::from_millis(100)));
        assert_eq!(parse("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for bad in ["", "S", "5", "5s", "-5S", "123456789S", "5 S", "+5S", "٥S", "5µ"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
