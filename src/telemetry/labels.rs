//! The labels of the metrics: closed lists, so that nobody outside can make a
//! series, and the few names that come from the configuration.
//!
//! **Invariant:** no label is made of what a caller sends.

use std::{fmt, sync::Arc};

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use skms_backend::Operation;

use crate::model::{Reason, Rpc};

/// A label with a closed list of values.
pub(super) trait Label: Copy + Sized + 'static {
    /// How many values there are.
    const COUNT: usize;

    /// The place of a value in the list.
    fn index(self) -> usize;

    /// Every value, in the order of their places.
    fn all() -> Vec<Self>;
}

/// Two labels.
impl<A: Label, B: Label> Label for (A, B) {
    const COUNT: usize = A::COUNT * B::COUNT;

    fn index(self) -> usize {
        self.0.index() * B::COUNT + self.1.index()
    }

    fn all() -> Vec<Self> {
        A::all().into_iter().flat_map(|a| B::all().into_iter().map(move |b| (a, b))).collect()
    }
}

/// Writes one label.
fn encode(encoder: &mut LabelSetEncoder<'_>, name: &'static str, value: &str) -> fmt::Result {
    [(name, value)].encode(encoder)
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident as $label:literal {
        $($(#[$value_doc:meta])* $value:ident = $text:literal,)+
    })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$value_doc])* $value,)+ }

        impl Label for $name {
            const COUNT: usize = [$(Self::$value,)+].len();

            fn index(self) -> usize {
                self as usize
            }

            fn all() -> Vec<Self> {
                vec![$(Self::$value,)+]
            }
        }

        impl EncodeLabelSet for $name {
            fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
                encode(encoder, $label, match self { $(Self::$value => $text,)+ })
            }
        }
    )+};
}

labels! {
    /// A code of gRPC.
    Code as "code" {
        /// 0
        Ok = "OK",
        /// 1
        Cancelled = "CANCELLED",
        /// 2
        Unknown = "UNKNOWN",
        /// 3
        InvalidArgument = "INVALID_ARGUMENT",
        /// 4
        DeadlineExceeded = "DEADLINE_EXCEEDED",
        /// 5
        NotFound = "NOT_FOUND",
        /// 6
        AlreadyExists = "ALREADY_EXISTS",
        /// 7
        PermissionDenied = "PERMISSION_DENIED",
        /// 8
        ResourceExhausted = "RESOURCE_EXHAUSTED",
        /// 9
        FailedPrecondition = "FAILED_PRECONDITION",
        /// 10
        Aborted = "ABORTED",
        /// 11
        OutOfRange = "OUT_OF_RANGE",
        /// 12
        Unimplemented = "UNIMPLEMENTED",
        /// 13
        Internal = "INTERNAL",
        /// 14
        Unavailable = "UNAVAILABLE",
        /// 15
        DataLoss = "DATA_LOSS",
        /// 16
        Unauthenticated = "UNAUTHENTICATED",
    }

    /// Who an answer is owed to: fewer than codes, because each has a histogram.
    Class as "class" {
        /// It was done.
        Ok = "ok",
        /// It was refused, because of the caller or of the state of a key.
        Refused = "refused",
        /// The gateway or a device failed.
        Failed = "failed",
    }

    /// What was wrong with a call before any method saw it.
    Malformed as "why" {
        /// No gRPC at all.
        NotGrpc = "not_grpc",
        /// No such method, or a compression that is not taken.
        NoMethod = "no_method",
        /// A message that is too large.
        TooLarge = "too_large",
        /// A message that is no protobuf of its type.
        NoProtobuf = "no_protobuf",
    }

    /// Which of the two decisions denied a call.
    Step as "step" {
        /// Whether the caller may call the method.
        Method = "method",
        /// Whether the caller may do so with the key.
        Key = "key",
    }

    /// Which limit was reached.
    Limit as "limit" {
        /// That of the caller.
        Caller = "caller",
        /// That of the key.
        Key = "key",
        /// That of failed authentications of an address.
        Address = "address",
        /// That of the tokens of an issuer that are good for one change.
        Tokens = "tokens",
    }

    /// Why a connection was not taken.
    Crowded as "why" {
        /// There are too many.
        Total = "total",
        /// There are too many of its address.
        Address = "address",
    }

    /// Why a connection never came to a call.
    Handshake as "why" {
        /// TLS failed: no common version or cipher, or bytes that are no TLS.
        Tls = "tls",
        /// The client certificate is missing or not taken.
        Certificate = "certificate",
        /// It took too long.
        Timeout = "timeout",
        /// What came is no HTTP/2.
        Preface = "preface",
    }

    /// What can be replaced while the gateway runs.
    Reloaded as "what" {
        /// A server certificate, with what clients are checked against.
        Certificate = "certificate",
        /// The keys of issuers of tokens, or the list of whom to deny.
        Callers = "callers",
        /// The policies.
        Policies = "policies",
        /// The filter of the log, in the file of the configuration.
        Log = "log",
    }

    /// What became of a replacement.
    Outcome as "outcome" {
        /// It is in use.
        Applied = "applied",
        /// It was bad; what was there before stays.
        Refused = "refused",
    }

    /// What the gateway does by itself when its time has come.
    Scheduled as "task" {
        /// Destroys a version.
        Destruction = "destruction",
        /// Rotates a key.
        Rotation = "rotation",
        /// Tells that a key expires.
        ExpiryWarning = "expiry_warning",
    }

    /// How that ended.
    Ended as "outcome" {
        /// It was done.
        Done = "done",
        /// It failed, and is tried again.
        Failed = "failed",
    }
}

impl Code {
    /// The code of the header `grpc-status`. What is none counts as unknown, as
    /// clients have it.
    #[must_use]
    pub fn of_header(text: &[u8]) -> Self {
        let number: Option<usize> = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        number.and_then(|number| Self::all().get(number).copied()).unwrap_or(Self::Unknown)
    }

    /// The number of the code.
    #[must_use]
    pub const fn number(self) -> usize {
        self as usize
    }

    /// Who its answer is owed to.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::Ok => Class::Ok,
            Self::Cancelled
            | Self::InvalidArgument
            | Self::NotFound
            | Self::AlreadyExists
            | Self::PermissionDenied
            | Self::ResourceExhausted
            | Self::FailedPrecondition
            | Self::Aborted
            | Self::OutOfRange
            | Self::Unimplemented
            | Self::Unauthenticated => Class::Refused,
            Self::Unknown | Self::DeadlineExceeded | Self::Internal | Self::Unavailable | Self::DataLoss => {
                Class::Failed
            }
        }
    }
}

/// The method of a call; none where the path is not that of an RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Method(pub(super) Option<Rpc>);

impl Label for Method {
    const COUNT: usize = Rpc::ALL.len() + 1;

    fn index(self) -> usize {
        self.0.map_or(Rpc::ALL.len(), |rpc| rpc as usize)
    }

    fn all() -> Vec<Self> {
        Rpc::ALL.iter().map(|rpc| Self(Some(*rpc))).chain([Self(None)]).collect()
    }
}

impl EncodeLabelSet for Method {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        encode(encoder, "rpc", self.0.map_or("unknown", Rpc::name))
    }
}

/// Why a caller was not taken for anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct AuthFailure(pub(super) Reason);

impl Label for AuthFailure {
    const COUNT: usize = Reason::ALL.len();

    fn index(self) -> usize {
        self.0 as usize
    }

    fn all() -> Vec<Self> {
        Reason::ALL.iter().copied().map(Self).collect()
    }
}

impl EncodeLabelSet for AuthFailure {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        encode(encoder, "reason", self.0.text())
    }
}

/// What a device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Job(pub(super) Operation);

impl Label for Job {
    const COUNT: usize = Operation::ALL.len();

    fn index(self) -> usize {
        self.0 as usize
    }

    fn all() -> Vec<Self> {
        Operation::ALL.map(Self).into()
    }
}

impl EncodeLabelSet for Job {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        encode(encoder, "operation", self.0.name())
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $label:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub(super) struct $name(pub(super) Arc<str>);

        impl EncodeLabelSet for $name {
            fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
                encode(encoder, $label, &self.0)
            }
        }
    )+};
}

names! {
    /// A backend, by the name that the configuration gives it.
    Backend = "backend";
    /// An address on which the gateway listens.
    Listener = "listener";
    /// An issuer of tokens that the configuration names.
    Issuer = "issuer";
    /// The version of this program.
    Version = "version";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_a_label_is_at_its_place() {
        fn check<L: Label + fmt::Debug>() {
            let all = L::all();
            assert_eq!(all.len(), L::COUNT);
            for (place, label) in all.into_iter().enumerate() {
                assert_eq!(label.index(), place, "{label:?}");
            }
        }
        check::<Code>();
        check::<(Method, Code)>();
        check::<(Step, Limit)>();
        check::<AuthFailure>();
        check::<Job>();
    }

    #[test]
    fn the_header_is_read_as_the_protocol_has_it() {
        for (header, code) in [("0", Code::Ok), ("14", Code::Unavailable), ("16", Code::Unauthenticated)] {
            assert_eq!(Code::of_header(header.as_bytes()), code);
            assert_eq!(code.number().to_string(), header);
        }
        for header in ["17", "", "-1", "OK", "\u{663}"] {
            assert_eq!(Code::of_header(header.as_bytes()), Code::Unknown, "{header}");
        }
    }
}
