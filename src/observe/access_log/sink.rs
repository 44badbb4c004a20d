//! Where lines end up: a file that may be moved away at any time, or a stream of the process.

use crate::settings::LogTarget;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How often it is looked whether the file is still in its place.
const LOOK: Duration = Duration::from_secs(1);

/// An open target.
pub(super) struct Sink {
    file: File,
    /// For a file: its path and when it was last looked for.
    place: Option<(PathBuf, Instant)>,
    /// A write failed in the middle of a line.
    torn: bool,
}

impl Sink {
    pub(super) fn open(target: &LogTarget) -> io::Result<Self> {
        let (file, place) = match target {
            LogTarget::File(path) => (append(path)?, Some((path.clone(), Instant::now()))),
            LogTarget::Stderr => (stream(io::stderr().as_fd())?, None),
            LogTarget::Stdout | LogTarget::Off => (stream(io::stdout().as_fd())?, None),
        };
        Ok(Self {
            file,
            place,
            torn: false,
        })
    }

    /// Opens the file anew. When that fails, the one that was open stays.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let Some((path, looked)) = &mut self.place {
            self.file = append(path)?;
            *looked = Instant::now();
            self.torn = false;
        }
        Ok(())
    }

    /// Opens the file anew when another one, or none, is in its place. Looks at most once a second.
    pub(super) fn follow(&mut self, now: Instant) -> io::Result<()> {
        let Some((path, looked)) = &mut self.place else {
            return Ok(());
        };
        if now.saturating_duration_since(*looked) < LOOK {
            return Ok(());
        }
        *looked = now;
        let identity = |file: fs::Metadata| (file.dev(), file.ino());
        let in_place = match fs::metadata(&*path) {
            Ok(file) => Some(identity(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if in_place == Some(identity(self.file.metadata()?)) {
            Ok(())
        } else {
            self.reopen()
        }
    }

    /// Writes whole lines.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.torn {
            self.file.write_all(b"\n")?;
            self.torn = false;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(written) if written > 0 => rest = rest.get(written..).unwrap_or_default(),
                Ok(_) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.torn = rest.len() < lines.len();
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// Readable by the owner's group, as log collectors are.
fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}

/// The stream without the buffer that the standard library puts around it.
fn stream(of: BorrowedFd<'_>) -> io::Result<File> {
    Ok(of.try_clone_to_owned()?.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_that_was_moved_away_is_opened_anew_and_another_program_s_file_is_followed() {
        let home = tempfile::tempdir().unwrap();
        let (path, moved) = (
            home.path().join("access.log"),
            home.path().join("access.log.1"),
        );
        let mut sink = Sink::open(&LogTarget::File(path.clone())).unwrap();
        let mut now = Instant::now();
        let mut write = |line: &str, seconds| {
            now += Duration::from_secs(seconds);
            sink.follow(now).unwrap();
            sink.write(line.as_bytes()).unwrap();
        };
        write("a\n", 2);
        fs::rename(&path, &moved).unwrap();
        write("b\n", 0);
        write("c\n", 2);
        assert_eq!(fs::read_to_string(&moved).unwrap(), "a\nb\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "c\n");
        fs::rename(&path, &moved).unwrap();
        fs::write(&path, "new\n").unwrap();
        write("d\n", 2);
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\nd\n");
        assert_eq!(
            fs::metadata(&moved).unwrap().mode() & 0o777,
            0o640 & !umask(home.path())
        );
    }

    /// The bits that this process may not set.
    fn umask(home: &Path) -> u32 {
        let probe = home.join("probe");
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o777)
            .open(&probe)
            .unwrap();
        0o777 & !fs::metadata(probe).unwrap().mode()
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        assert!(Sink::open(&LogTarget::File(home.path().join("no/access.log"))).is_err());
    }

    #[test]
    fn a_line_that_was_torn_is_ended_before_the_next_one() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("access.log");
        let mut sink = Sink::open(&LogTarget::File(path.clone())).unwrap();
        sink.write(b"half").unwrap();
        sink.torn = true;
        sink.write(b"next\n").unwrap();
        sink.write(b"last\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "half\nnext\nlast\n");
    }
}
