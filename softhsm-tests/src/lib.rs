//! The tests of skms.
