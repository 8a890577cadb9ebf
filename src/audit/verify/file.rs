//! One file of a log, line by line.

use std::{fs::File, io, path::Path};

use super::{
    super::{
        chain::{Kind, Line},
        entry::{Chain, Checkpoint, Foreign, Open, signed},
        files::{Lines, foreign},
    },
    Log, Problem,
};

/// A look at one file.
pub(super) struct Scan<'a, 'b> {
    log: &'a mut Log<'b>,
    path: &'a Path,
    file: &'a File,
    /// Whether it is the last file, which is still being written.
    last: bool,
    number: u64,
    /// Where what is not of the chain may end, by what the lines after it say; read
    /// only if there is something of that kind.
    declared: Option<Vec<(u64, Foreign)>>,
}

impl<'a, 'b> Scan<'a, 'b> {
    pub(super) fn new(log: &'a mut Log<'b>, path: &'a Path, file: &'a File, last: bool) -> Self {
        Self { log, path, file, last, number: 0, declared: None }
    }

    pub(super) fn run(mut self) -> io::Result<()> {
        let mut lines = Lines::new(self.file, 0);
        // Up to where it was found to be as declared.
        let mut skipped = 0;
        while let Some((begin, bytes)) = lines.next()? {
            self.number += 1;
            if begin < skipped {
                continue;
            }
            let line = bytes.strip_suffix(b"\n").and_then(Line::parse);
            let follows = line.is_some_and(|line| self.follows(&line));
            if !follows {
                let whole = bytes.ends_with(b"\n");
                if let Some(end) = self.declared_end(begin)? {
                    skipped = end;
                    let bytes = end - begin;
                    let place = format!("{}:{}", self.path.display(), self.number);
                    self.log.remarks.push(format!(
                        "{place}: {bytes} bytes are no records, as the record after them says: a crash cut \
                         them off, or they are older than the chain"
                    ));
                    continue;
                }
                if !whole && self.last {
                    let place = format!("{}:{}", self.path.display(), self.number);
                    self.log.remarks.push(format!(
                        "{place}: the last line has no end: it is being written, or a crash cut it off"
                    ));
                    continue;
                }
            }
            match line {
                Some(line) => self.judge(&line, follows),
                None => self.found(Problem::NoRecord),
            }
        }
        Ok(())
    }

    /// Whether the line is the next one of the chain, or may begin it.
    fn follows(&self, line: &Line<'_>) -> bool {
        line.follows(&self.log.link.hash)
    }

    fn judge(&mut self, line: &Line<'_>, follows: bool) {
        let (begun, before) = (self.log.begun, self.log.link);
        let open = (line.kind() == Some(Kind::Open)).then(|| parse::<Open>(line)).flatten();
        let expected = match self.log.against.first {
            Some(first) if !begun => first,
            _ => before.sequence + 1,
        };
        if line.sequence > expected {
            self.found(Problem::Missing { from: expected, to: line.sequence - 1 });
        } else if line.sequence < expected {
            self.found(Problem::OutOfOrder { sequence: line.sequence, after: expected - 1 });
        }
        // The first line of a file says itself what comes before it. That is believed
        // only where nothing is there to be compared with.
        let says = |open: &Open| hex::decode(&open.prev).ok().and_then(|prev| prev.try_into().ok());
        let alone = line.sequence != expected || (!begun && self.log.against.first.is_some());
        let follows =
            follows || (alone && open.as_ref().and_then(says).is_some_and(|prev| line.follows(&prev)));
        if !follows && line.sequence == expected {
            self.found(Problem::Changed { sequence: line.sequence });
        }
        if open.is_some_and(|open| open.chain == Chain::AnchorMismatch) {
            let place = format!("{}:{}", self.path.display(), self.number);
            self.log.remarks.push(format!(
                "{place}: the gateway was started here with a log that was not the one it had anchored"
            ));
        }
        if !begun {
            self.log.begun = true;
            self.log.first = line.sequence;
        }
        self.log.link = line.link();
        self.log.records += 1;
        match line.kind() {
            Some(Kind::Checkpoint) => self.checkpoint(line, &before.hash),
            Some(Kind::Decision | Kind::Refused | Kind::Open | Kind::Resumed) => {}
            None => self.found(Problem::UnknownKind { sequence: line.sequence }),
        }
        if let Some(anchored) = self.log.anchors.remove(&line.sequence) {
            if anchored.iter().all(|hash| *hash == line.hash) {
                self.log.anchored = Some(line.sequence);
            } else {
                self.found(Problem::NotAnchored { sequence: line.sequence });
            }
        }
    }

    fn checkpoint(&mut self, line: &Line<'_>, before: &[u8; 32]) {
        let sequence = line.sequence;
        self.log.checkpoints += 1;
        let Some(checkpoint) = parse::<Checkpoint>(line) else {
            return self.found(Problem::Unreadable { sequence });
        };
        let Ok(signature) = hex::decode(&checkpoint.signature) else {
            return self.found(Problem::Unreadable { sequence });
        };
        if self.log.against.keys.is_empty() {
            self.log.unchecked += 1;
            return;
        }
        let message = signed(sequence, before, &checkpoint.time);
        match self.log.signed(&checkpoint.key, &message, &signature) {
            Some(true) => self.log.checkpoint = Some(sequence),
            Some(false) => self.found(Problem::BadSignature { sequence, key: checkpoint.key }),
            None => self.found(Problem::UnknownKey { sequence, key: checkpoint.key }),
        }
    }

    fn found(&mut self, problem: Problem) {
        self.log.findings.add(self.path, Some(self.number), problem);
    }

    /// Where bytes end that begin here and that a line right after them declares not to
    /// be of the chain, if they are what it says.
    fn declared_end(&mut self, begin: u64) -> io::Result<Option<u64>> {
        if self.declared.is_none() {
            self.declared = Some(self.declarations()?);
        }
        for (end, declared) in self.declared.iter().flatten() {
            if end.checked_sub(declared.bytes) == Some(begin)
                && foreign(self.file, begin..*end, false)? == *declared
            {
                return Ok(Some(*end));
            }
        }
        Ok(None)
    }

    fn declarations(&self) -> io::Result<Vec<(u64, Foreign)>> {
        let (mut lines, mut found) = (Lines::new(self.file, 0), Vec::new());
        while let Some((begin, line)) = lines.next()? {
            let Some(line) = line.strip_suffix(b"\n").and_then(Line::parse) else { continue };
            if line.kind() == Some(Kind::Open)
                && let Some(foreign) = parse::<Open>(&line).and_then(|open| open.foreign)
            {
                found.push((begin, foreign));
            }
        }
        Ok(found)
    }
}

/// What a line says of the log itself. The hash at its end is not among its fields.
fn parse<T: serde::de::DeserializeOwned>(line: &Line<'_>) -> Option<T> {
    let mut object = line.covered.to_vec();
    object.push(b'}');
    serde_json::from_slice(&object).ok()
}
