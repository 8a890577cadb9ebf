//! Exit codes: what a script can tell apart. They do not change.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | any other failure |
//! | 2 | wrong usage, or an argument that the gateway refuses |
//! | 3 | the signature or code is not valid, or the audit log was changed |
//! | 4 | no such key, version, backend or service |
//! | 5 | refused: not authenticated, or not allowed |
//! | 6 | the state is in the way: failed precondition, conflict, already exists |
//! | 7 | try again later: unavailable, exhausted, too slow |
//! | 78 | the configuration cannot be used |
//! | 130 | `skms serve` was told a second time to stop, and did not wait |

use std::process::ExitCode;

use tonic::Code;

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Success,
    /// Any other failure.
    Failure,
    /// Wrong usage, or an argument that the gateway refuses.
    Usage,
    /// The signature or code is not valid, or the audit log was changed.
    SignatureInvalid,
    /// No such key, version, backend or service.
    NotFound,
    /// Not authenticated, or not allowed.
    Refused,
    /// The state is in the way.
    Conflict,
    /// A later try may do.
    TryAgain,
    /// The configuration cannot be used (`EX_CONFIG` of sysexits.h).
    Configuration,
}

impl Exit {
    /// The number that the operating system gets.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::SignatureInvalid => 3,
            Self::NotFound => 4,
            Self::Refused => 5,
            Self::Conflict => 6,
            Self::TryAgain => 7,
            Self::Configuration => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

impl From<Code> for Exit {
    fn from(code: Code) -> Self {
        match code {
            Code::Ok => Self::Success,
            Code::InvalidArgument | Code::OutOfRange => Self::Usage,
            Code::NotFound => Self::NotFound,
            Code::Unauthenticated | Code::PermissionDenied => Self::Refused,
            Code::FailedPrecondition | Code::Aborted | Code::AlreadyExists => Self::Conflict,
            Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded => Self::TryAgain,
            Code::Cancelled | Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => {
                Self::Failure
            }
        }
    }
}

/// The codes, for `--help`.
pub(super) const HELP: &str = "\
Exit codes:
   0  done
   1  any other failure
   2  wrong usage, or an argument that the gateway refuses
   3  the signature or code is not valid, or the audit log was changed
   4  no such key, version, backend or service
   5  refused: not authenticated, or not allowed
   6  the state is in the way: failed precondition, conflict, already exists
   7  try again later: unavailable, exhausted, too slow
  78  the configuration cannot be used
 130  told a second time to stop, and did not wait (serve)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_grpc_code_has_its_exit_code() {
        let expected = [0, 1, 1, 2, 7, 4, 6, 5, 7, 6, 6, 2, 1, 1, 7, 1, 5];
        for (code, number) in (0..).zip(expected) {
            let code = Code::from_i32(code);
            assert_eq!(Exit::from(code).number(), number, "{code:?}");
        }
    }

    #[test]
    fn the_help_lists_every_code() {
        for exit in [
            Exit::Success,
            Exit::Failure,
            Exit::Usage,
            Exit::SignatureInvalid,
            Exit::NotFound,
            Exit::Refused,
            Exit::Conflict,
            Exit::TryAgain,
            Exit::Configuration,
        ] {
            assert!(
                HELP.lines().any(|line| line.trim().starts_with(&format!("{}  ", exit.number()))),
                "{exit:?}"
            );
        }
    }
}
