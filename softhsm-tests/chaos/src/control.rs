//! The socket on which the module is told what to do.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    thread,
};

use crate::{rules::Command, state::State};

/// Listens in this directory for as long as the process lives.
pub(crate) fn listen(directory: &Path) {
    let path = directory.join("control");
    // That of a process which is no more.
    let _ = std::fs::remove_file(&path);
    let Ok(listener) = UnixListener::bind(&path) else { return };
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(&stream));
        }
    });
}

fn serve(stream: &UnixStream) {
    let mut writer = stream;
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let answer = match Command::parse(&line) {
            Ok(command) => format!("{}\n", State::get().obey(command)),
            Err(why) => format!("error {why}\n"),
        };
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
