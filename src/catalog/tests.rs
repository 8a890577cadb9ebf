//! The promises of the catalog.
