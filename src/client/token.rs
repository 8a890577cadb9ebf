//! The bearer token of a caller (RFC 6750 §2.1), and what else every call carries.
//!
//! **Invariant:** the value is marked sensitive from the moment it is made, so
//! that neither `Debug` nor HTTP/2 header compression gives it away.

use std::{fmt, fs, io, io::Read as _, path::Path, process::ExitStatus, time::Duration};

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
};
use zeroize::Zeroizing;

use super::{Error, source::Tokens};

/// A bearer token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(MetadataValue<Ascii>);

impl Token {
    /// A token as its issuer gave it; white space around it does not count.
    ///
    /// # Errors
    /// When it is empty, too long, or has characters that no token has.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TokenError::Empty);
        }
        if text.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        // Wider than the b64token of RFC 6750, so that opaque tokens pass; but
        // nothing that could end the header or be mistaken for two of them.
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Characters);
        }
        let header = Zeroizing::new(format!("Bearer {text}"));
        let mut value: MetadataValue<Ascii> = header.parse().map_err(|_| TokenError::Characters)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// The token in a file.
    ///
    /// # Errors
    /// When the file cannot be read, or holds no token.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Token { path: path.to_owned(), source };
        let mut text = Zeroizing::new(String::new());
        // One byte more than a token with white space around it may have.
        let limit = u64::try_from(2 * MAX_TOKEN_BYTES).unwrap_or(u64::MAX);
        fs::File::open(path)
            .and_then(|file| file.take(limit).read_to_string(&mut text))
            .map_err(|source| failed(source.into()))?;
        Self::new(&text).map_err(failed)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Text that is no token. It never repeats the text.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// There is nothing but white space.
    #[error("there is no token in it")]
    Empty,
    /// Longer than any gateway takes.
    #[error("a token has at most {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// White space inside, control characters, or no ASCII.
    #[error("a token is one word of printable ASCII")]
    Characters,
    /// The file cannot be read, or the program not be started.
    #[error("it cannot be read")]
    Unreadable(#[from] io::Error),
    /// The program fails.
    #[error("it ended with {0}")]
    Exit(ExitStatus),
    /// The program does not end.
    #[error("it did not end in time")]
    Late,
}

/// What is added to every call: the token and the deadline.
#[derive(Clone, Debug)]
pub struct CallOptions {
    tokens: Tokens,
    timeout: Duration,
    /// Whether the gateway is told when its caller stops waiting.
    is_bounded: bool,
}

impl CallOptions {
    pub(super) fn new(tokens: Tokens, timeout: Duration) -> Self {
        Self { tokens, timeout: timeout.min(MAX_TIMEOUT), is_bounded: true }
    }

    /// The same for a stream, which goes on for as long as the gateway lets it.
    pub(super) fn unbounded(self) -> Self {
        Self { is_bounded: false, ..self }
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) const fn tokens(&self) -> &Tokens {
        &self.tokens
    }
}

impl Interceptor for CallOptions {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(Token(value)) = self.tokens.now() {
            request.metadata_mut().insert("authorization", value);
        }
        if self.is_bounded {
            request.set_timeout(self.timeout);
        }
        Ok(request)
    }
}

/// Above what an HTTP server takes as one header line by default.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// The header of the deadline has eight digits; no call takes a day.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_is_never_shown() {
        let token = Token::new(" eyJh.b-_.c~+/=\n").unwrap();
        assert_eq!(token.0.to_str().unwrap(), "Bearer eyJh.b-_.c~+/=");
        assert!(token.0.is_sensitive());
        assert!(
            !format!("{token:?} {:?}", CallOptions::new(Tokens::fixed(token.clone()), Duration::ZERO))
                .contains("eyJ")
        );
        for wrong in ["", " \n", "two words", "line\nbreak", "schlüssel"] {
            let error = Token::new(wrong).unwrap_err().to_string();
            assert!(wrong.trim().is_empty() || !error.contains(wrong), "{error}");
        }
        assert!(matches!(Token::new(&"a".repeat(MAX_TOKEN_BYTES + 1)), Err(TokenError::TooLong)));
    }

    #[test]
    fn a_token_file_that_is_missing_is_named() {
        let error = Token::from_file(Path::new("/nonexistent/token")).unwrap_err();
        assert_eq!(error.to_string(), "token file `/nonexistent/token` cannot be used");
        assert_eq!(error.io_error().unwrap().kind(), io::ErrorKind::NotFound);
    }
}
