//! A PKCS#11 module that forwards to a real one and fails on command.
//!
//! HSMs blink: sessions die, tokens go away and come back with other handles, libraries
//! hang, attributes are dropped. SoftHSM2 shows none of this. This module stands before
//! any PKCS#11 v2.40 library, SoftHSM2 or that of a real HSM, and shows all of it, at the
//! call that a test names.
//!
//! # Use
//! Configure `libskms_chaos.so` in the place of the module, and set in the environment of
//! the process that loads it:
//!
//! | variable | what |
//! |---|---|
//! | `SKMS_CHAOS_MODULE` | the real module |
//! | `SKMS_CHAOS_DIRECTORY` | a directory for the three files below |
//!
//! | file | what |
//! |---|---|
//! | `control` | a Unix socket: one command a line, one answer a line: a number, or `error` and why |
//! | `rules` | commands that hold from the first call on; need not be there |
//! | `calls` | every call, one a line: number, function, session or slot, return code in hexadecimal; it grows over restarts |
//!
//! Nothing of what a caller passes but handles is written anywhere: no PIN, no key, no
//! message.
//!
//! # Commands
//! `on FUNCTION WHEN EFFECT` adds a rule and answers with its number; `off NUMBER` takes it
//! away, `clear` all of them. `WHEN` is `every`, `nth N` (counted from now), `from N`, or
//! `chance PERMILLE SEED`. Numbers are decimal, or hexadecimal after `0x`.
//!
//! | effect | what happens at that call |
//! |---|---|
//! | `answer CKR` | this return code; the real module is not asked |
//! | `answer-after CKR` | it is asked, and then this return code |
//! | `sleep MILLISECONDS` | it is asked later |
//! | `hang` | it is asked after `release` |
//! | `crash` | the process aborts |
//! | `length DELTA` | the length of the output is told as so many bytes more (or less, below 0) |
//! | `empty` | the length of the output is told as 0 |
//! | `flip` | the first byte of the output is another one |
//! | `drop CKA` | this attribute is taken out of the template |
//! | `set CKA HEX` | it has this value in the template, where it is in it |
//! | `lie CKA HEX` | `C_GetAttributeValue` gives this value of the attribute |
//! | `close-sessions` | all sessions of the token are closed first |
//! | `logout` | the token is logged out first |
//! | `renumber` | all object handles given out so far are worth nothing from the next call on |
//!
//! | command | what |
//! |---|---|
//! | `count FUNCTION` | how often it was called by this process |
//! | `hanging N` | how many calls hang, as soon as it is at least N |
//! | `release` | ends what hangs |
//! | `remove`, `insert` | takes the token out of its slot, and puts it back with other handles |
//! | `sessions N` | at most so many sessions are opened; 0: as many as the real module has |
//! | `pin-tries N` | after so many wrong PINs in `calls` the PIN is locked; 0: never |
//! | `serial TEXT` | the serial number of the token; `-`: its own |
//!
//! # With a real HSM
//! Use a partition that you can afford to lose: rules for `C_Login` may lock its PIN.
//! Functions of PKCS#11 v3 are not forwarded; a library that must have them is not for it.

mod arguments;
mod call;
mod control;
mod functions;
mod real;
mod rules;
mod state;

pub use functions::C_GetFunctionList;
