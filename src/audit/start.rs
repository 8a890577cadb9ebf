//! Where the chain goes on when the log is opened: after its last whole line, unless
//! an anchor knows better.

use std::{fs::File, io, path::Path, sync::Arc};

use tokio::sync::mpsc::WeakSender;
use tracing::{error, info, warn};

use super::{
    Config,
    chain::Link,
    entry::{self, Chain, Open, Place, Why},
    files,
    keeper::Keeper,
    sink::{Opened, Sink},
    state::State,
    witness::{AnchorFile, Anchors, Signer, Witnesses},
    writer::{Message, Writer},
};
use crate::{model::Anchor, telemetry::metrics};

/// A log that was opened and not yet written.
pub(super) struct Beginning {
    sink: Sink,
    opened: Opened,
    link: Link,
    chain: Chain,
    /// What an anchor says, where the log says otherwise.
    anchor: Option<Place>,
    signer: Option<Arc<dyn Signer>>,
    anchors: Vec<Arc<dyn Anchors>>,
}

/// Opens the log and finds out where its chain goes on.
pub(super) fn of(config: &Config, witnesses: Witnesses) -> io::Result<Beginning> {
    let Witnesses { signer, mut anchors } = witnesses;
    if let Some(path) = &config.anchor_file {
        anchors.push(Arc::new(AnchorFile::new(path.clone())));
    }
    let (sink, opened) = Sink::open(&config.path, config.durability, config.rotate_bytes, Why::Start)?;
    if let Some(foreign) = &opened.foreign {
        warn!(bytes = foreign.bytes, "the audit log ends with something that is no record; it is kept");
    }
    let end = match opened.link {
        Some(link) => Some(link),
        None => before(&config.path)?,
    };
    let anchor = last(&anchors);
    let (link, chain, told) = standing(&config.path, end, anchor.as_ref());
    if let (Some(_), Some(anchor)) = (&told, &anchor) {
        metrics().audit_mismatch();
        error!(
            anchor = anchor.sequence,
            log = end.map_or(0, |end| end.sequence),
            "the audit log is not the one that was anchored: it was cut off, replaced or taken away"
        );
    }
    Ok(Beginning { sink, opened, link, chain, anchor: told, signer, anchors })
}

impl Beginning {
    /// Writes the first line, signs what there is, and is ready to write.
    pub(super) fn writer(
        self,
        config: &Config,
        state: Arc<State>,
        messages: WeakSender<Message>,
    ) -> io::Result<Writer> {
        let open = Open {
            time: entry::now(),
            why: self.opened.why,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            prev: hex::encode(self.link.hash),
            chain: self.chain,
            anchor: self.anchor,
            foreign: self.opened.foreign,
        };
        let keeper = Keeper::start(self.anchors, move || {
            // One that has messages looks anyway.
            messages.upgrade().map(|messages| messages.try_send(Message::Wake));
        })?;
        Writer::new(config, (self.sink, self.link), (open, self.opened.torn), (self.signer, keeper), state)
    }
}

/// The end of the chain in the files that were rotated.
fn before(path: &Path) -> io::Result<Option<Link>> {
    for path in files::rotated(path)?.iter().rev() {
        if let Some(link) = files::end(&File::open(path)?)?.link {
            return Ok(Some(link));
        }
    }
    Ok(None)
}

/// The anchor with the highest number.
fn last(anchors: &[Arc<dyn Anchors>]) -> Option<Anchor> {
    let known = anchors.iter().filter_map(|place| {
        place.last().unwrap_or_else(|error| {
            error!(%error, place = place.name(), "cannot read the anchors of the audit log");
            None
        })
    });
    known.max_by_key(|anchor| anchor.sequence)
}

/// Where the chain goes on, given where it ends and what an anchor says.
fn standing(path: &Path, end: Option<Link>, anchor: Option<&Anchor>) -> (Link, Chain, Option<Place>) {
    let Some(anchor) = anchor else {
        return end.map_or((Link::START, Chain::New, None), |end| (end, Chain::Continued, None));
    };
    let anchored = Link { sequence: anchor.sequence, hash: anchor.hash };
    match end {
        Some(end) if end == anchored => (end, Chain::Continued, None),
        Some(end) if end.sequence > anchored.sequence => match find(path, anchored.sequence) {
            Some(link) if link != anchored => (end, Chain::AnchorMismatch, Some(anchored.into())),
            Some(_) => (end, Chain::Continued, None),
            None => {
                // Files may be kept elsewhere; whoever has all of them can tell.
                info!(
                    anchor = anchored.sequence,
                    "the last anchor of the audit log is not in the files here"
                );
                (end, Chain::Continued, None)
            }
        },
        // No number is used twice. Where the end was only moved away, the chain is whole.
        _ => (anchored, Chain::AnchorMismatch, Some(anchored.into())),
    }
}

/// The place of this number in the files that are here.
fn find(path: &Path, sequence: u64) -> Option<Link> {
    let rotated = files::rotated(path).unwrap_or_default();
    let newest_first = std::iter::once(path.to_owned()).chain(rotated.into_iter().rev());
    newest_first.filter_map(|path| files::find(&path, sequence).ok().flatten()).next()
}
