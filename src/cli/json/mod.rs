//! Answers as JSON: the names of the proto in lower_snake, times in RFC 3339,
//! durations in seconds with an `s`, enums by their short names, bytes in base64.
//!
//! **Invariant:** the shape is stable. A field is always there, `null` if it has
//! no value; fields are added, never renamed. The messages are taken apart
//! without `..`, so that a field that is new in the API is decided on here.

mod backend;
mod import_job;
mod key;

pub(super) use self::{
    backend::BackendView,
    import_job::ImportJobView,
    key::{KeyView, VersionView},
};
