//! What the configuration takes, and what it says when it does not. Both kinds of
//! backend are configured here, so these tests want a build with both.

mod golden;
mod overrides;
mod secrets;
mod shipped;

use std::path::Path;

use super::{Config, Error};

/// A backend, so that nothing else is missing.
const BACKEND: &str = "[backends.software.soft]\nmaster_key = 'file:key'\n";

fn parse(text: &str, env: &[(&str, &str)]) -> Result<Config, Error> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::parse(text, env).map_err(|problems| Error::refused(Path::new("x.toml"), problems))
}

/// What is said about the file `x.toml` of this text.
fn complaint(text: &str, env: &[(&str, &str)]) -> String {
    parse(text, env).unwrap_err().to_string()
}
