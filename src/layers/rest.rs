//! What is still to come of a call that was refused.
//!
//! An answer that overtakes its question closes the stream, and h2 counts what comes
//! for it afterwards against the connection: after some dozen such frames it ends the
//! connection, and with it the calls of everybody who shares it. One caller behind a
//! proxy whose token has expired would stop all the others. So the rest is let in, as
//! far as it can be on its way, before a refusal leaves.

use std::{future::poll_fn, pin::Pin, time::Duration};

use bytes::Bytes;
use http_body::Body;

/// Reads what comes of the body, and forgets it.
pub(super) async fn let_in<B: Body<Data = Bytes> + Unpin>(mut body: B) {
    let all = async {
        let mut left = WINDOW;
        while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    // Who does not end its request is told all the same.
    let _ = tokio::time::timeout(PATIENCE, all).await;
}

/// More cannot be on its way before it is known that the first of it was read.
const WINDOW: usize = 128 * 1024;
/// A body leaves together with its headers. A stream that stays open does not end, and
/// whoever opened it waits no longer than this for its refusal.
const PATIENCE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use http_body::Frame;

    use super::*;

    /// So many frames of 16 KiB, and then an end, or none.
    struct Frames {
        left: usize,
        ends: bool,
    }

    impl Body for Frames {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            match self.left.checked_sub(1) {
                Some(left) => {
                    self.left = left;
                    Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 16 * 1024])))))
                }
                None if self.ends => Poll::Ready(None),
                None => Poll::Pending,
            }
        }
    }

    #[tokio::test]
    async fn the_rest_is_read_to_its_end_but_not_for_ever() {
        for (frames, ends, left, patience) in [
            (0, true, 0, Duration::ZERO),
            (3, true, 0, Duration::ZERO),
            (3, false, 0, PATIENCE),
            (1_000, false, 1_000 - 8, Duration::ZERO),
        ] {
            let mut body = Frames { left: frames, ends };
            let begun = tokio::time::Instant::now();
            let_in(&mut body).await;
            assert_eq!(body.left, left, "of {frames}");
            assert!(begun.elapsed() >= patience, "{frames}");
        }
    }
}
