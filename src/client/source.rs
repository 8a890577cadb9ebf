//! Where the token of a caller comes from, and when it is fetched anew.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::RwLock;
use tokio::{process::Command, sync::Mutex};
use zeroize::Zeroizing;

use super::{Error, Token, TokenError};

/// Where a token comes from.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// It is this one.
    Static(Token),
    /// It is in a file, which is read again when it changes.
    File(PathBuf),
    /// A program writes it to its standard output, and is asked again when it is out of date.
    Command(TokenCommand),
}

/// A program that gives tokens.
#[derive(Clone, Debug)]
pub struct TokenCommand {
    /// The program.
    pub program: PathBuf,
    /// What it is called with.
    pub arguments: Vec<OsString>,
    /// How long a token is used before there is another.
    pub lifetime: Duration,
}

/// How often a file is looked at, at most.
const LOOK: Duration = Duration::from_secs(1);
/// How long a program may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The token as it is now. All clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokens(Option<Arc<Kept>>);

#[derive(Debug)]
struct Kept {
    source: TokenSource,
    now: RwLock<Held>,
    /// One fetches it for all.
    fetching: Mutex<()>,
}

#[derive(Clone, Debug)]
struct Held {
    token: Token,
    /// From when on it is looked at again.
    due: Option<Instant>,
    stamp: Option<Stamp>,
}

/// What tells a file from the same file after a change.
type Stamp = (u64, u64, u64, SystemTime);

impl Tokens {
    /// A token that stays.
    pub(super) fn fixed(token: Token) -> Self {
        let held = Held { token: token.clone(), due: None, stamp: None };
        Self::kept(TokenSource::Static(token), held)
    }

    /// The first token of a source.
    pub(super) async fn open(source: TokenSource) -> Result<Self, Error> {
        let held = fetched(&source).await?;
        Ok(Self::kept(source, held))
    }

    fn kept(source: TokenSource, held: Held) -> Self {
        Self(Some(Arc::new(Kept { source, now: RwLock::new(held), fetching: Mutex::new(()) })))
    }

    /// The token, where there is any.
    pub(super) fn now(&self) -> Option<Token> {
        self.0.as_ref().map(|kept| kept.now.read().token.clone())
    }

    /// Fetches the token anew where that is due. A source that fails leaves the old one, of
    /// which the gateway says whether it is still good.
    pub(super) async fn refresh(&self) {
        let Some(kept) = &self.0 else { return };
        if !kept.is_due() {
            return;
        }
        let _one = kept.fetching.lock().await;
        if kept.is_due() {
            kept.fetch().await;
        }
    }

    /// Fetches the token anew because the gateway refused it. `false` where it is the same.
    pub(super) async fn replace(&self, refused: Option<&Token>) -> bool {
        let (Some(kept), Some(refused)) = (&self.0, refused) else { return false };
        let _one = kept.fetching.lock().await;
        if kept.now.read().token == *refused {
            kept.fetch().await;
        }
        kept.now.read().token != *refused
    }
}

impl Kept {
    fn is_due(&self) -> bool {
        self.now.read().due.is_some_and(|due| due <= Instant::now())
    }

    async fn fetch(&self) {
        let unchanged = match &self.source {
            TokenSource::Static(_) => true,
            TokenSource::File(path) => {
                let stamp = stamp(path);
                stamp.is_some() && stamp == self.now.read().stamp
            }
            TokenSource::Command(_) => false,
        };
        let fetched = if unchanged { None } else { fetched(&self.source).await.ok() };
        let mut now = self.now.write();
        match fetched {
            Some(held) => *now = held,
            None => now.due = now.due.map(|_| Instant::now() + LOOK),
        }
    }
}

async fn fetched(source: &TokenSource) -> Result<Held, Error> {
    match source {
        TokenSource::Static(token) => Ok(Held { token: token.clone(), due: None, stamp: None }),
        TokenSource::File(path) => {
            // Before it is read: what changes meanwhile is read once more.
            let stamp = stamp(path);
            Ok(Held { token: Token::from_file(path)?, due: Some(Instant::now() + LOOK), stamp })
        }
        TokenSource::Command(command) => {
            let token = told(command).await?;
            Ok(Held { token, due: Some(Instant::now() + command.lifetime), stamp: None })
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.len(), metadata.modified().ok()?))
}

/// What a program says.
async fn told(command: &TokenCommand) -> Result<Token, Error> {
    let failed = |source| Error::TokenCommand { program: command.program.clone(), source };
    let mut program = Command::new(&command.program);
    program.args(&command.arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, program.output()).await;
    let output = output.map_err(|_elapsed| failed(TokenError::Late))?;
    let output = output.map_err(|source| failed(TokenError::Unreadable(source)))?;
    let said = Zeroizing::new(output.stdout);
    if !output.status.success() {
        return Err(failed(TokenError::Exit(output.status)));
    }
    let text = std::str::from_utf8(&said).map_err(|_| failed(TokenError::Characters))?;
    Token::new(text).map_err(failed)
}
