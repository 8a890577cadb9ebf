//! Room for Cedar to read in. Its reader and its validator call themselves for every
//! bracket and every `&&`, without a bound: on the stack of an ordinary thread three
//! hundred of them end the whole process, and with it a gateway that only wanted to
//! replace its policies.
//!
//! **Invariant:** what [`unreadable`] lets pass fits the stack of [`with_room`].

use std::{io, panic, thread};

use super::{Problem, sources::Source};

/// The first policy that is too deep or too long to be read, if there is one.
pub(super) fn unreadable(source: &Source) -> Option<Problem> {
    let (mut depth, mut length) = (0_usize, 0_usize);
    let mut bytes = source.text.bytes().enumerate().peekable();
    while let Some((offset, byte)) = bytes.next() {
        match byte {
            b'/' if bytes.peek().is_some_and(|(_, next)| *next == b'/') => {
                bytes.find(|(_, byte)| *byte == b'\n');
                continue;
            }
            b'"' => {
                while let Some((_, byte)) = bytes.next() {
                    length += 1;
                    match byte {
                        b'"' => break,
                        // What it stands for is no end of the string.
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b';' => (depth, length) = (0, 0),
            _ => {}
        }
        length += usize::from(!byte.is_ascii_whitespace());
        if depth > BRACKETS {
            let message = format!("more than {BRACKETS} brackets within each other");
            return Some(source.problem(Some(offset), message));
        }
        if length > LENGTH {
            let message = format!("a policy of more than {LENGTH} bytes; split it, or use roles and labels");
            return Some(source.problem(Some(offset), message));
        }
    }
    None
}

/// Does something on a stack that is large enough for it.
pub(super) fn with_room<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let reader = thread::Builder::new().name("policies".to_owned()).stack_size(STACK);
        let done = reader.spawn_scoped(scope, work)?.join();
        Ok(done.unwrap_or_else(|panicked| panic::resume_unwind(panicked)))
    })
}

/// Nobody can follow a tenth of it.
const BRACKETS: usize = 100;
/// The longest policy, without space and comments: room for a list of several hundred
/// names, and for 8,192 operators at most, such as those of `1-1-1`.
const LENGTH: usize = 16 * 1024;
/// In a build without optimisation an operator takes 13 kB of stack, a bracket 60 kB.
/// Only what is used is ever taken from the system.
const STACK: usize = 256 * 1024 * 1024;
