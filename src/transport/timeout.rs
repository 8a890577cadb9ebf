//! How long the client of a call waits: the header `grpc-timeout` of the gRPC protocol
//! over HTTP/2.

use std::time::Duration;

use http::HeaderMap;

/// Up to eight digits and a unit.
const HEADER: &str = "grpc-timeout";
/// More digits than the protocol allows are no timeout.
const DIGITS: usize = 8;

/// How long the client waits, from when it made the call. A missing or malformed timeout
/// counts as none.
#[must_use]
pub fn timeout_of(headers: &HeaderMap) -> Option<Duration> {
    parse(headers.get(HEADER)?.to_str().ok()?)
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
