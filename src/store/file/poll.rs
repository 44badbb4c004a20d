//! Notices that the file has changed, also when a link to it was exchanged (a mounted ConfigMap),
//! and reads it only when it is not being written.

use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::parse::{FileError, Format, Item, parse, text_before_end};
use crate::store::{Key, Position};

/// A file written this shortly before it was read may change again without a sign: time stamps are
/// coarse.
const COARSE: Duration = Duration::from_secs(2);
/// How often a file is tried at start that changes while it is read.
const FIRST_LOOKS: usize = 100;
/// Larger files are refused.
const SIZE_LIMIT: u64 = 256 << 20;

/// What a look at the file found.
pub(super) enum Look {
    Same,
    Contents(Vec<(Key, Bytes)>),
    Broken { what: String, at: Option<Position> },
}

/// What tells two states of a file apart without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

pub(super) struct Poller {
    path: PathBuf,
    format: Format,
    /// Of what was read last, and whether its time stamp can be relied on.
    read: Option<(Stamp, bool)>,
    digest: Option<u64>,
    /// A file without `#END` is read once it has looked the same twice.
    pending: Option<Stamp>,
    /// Why the file could not even be read, as reported.
    unreadable: Option<String>,
}

impl Poller {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            format: Format::of(path),
            read: None,
            digest: None,
            pending: None,
            unreadable: None,
        }
    }

    /// Reads the file as it is, without waiting for it to settle.
    pub(super) fn first(&mut self) -> Look {
        for _ in 0..FIRST_LOOKS {
            self.pending = fs::metadata(&self.path)
                .ok()
                .map(|metadata| Stamp::from(&metadata));
            let look = self.look();
            if !matches!(look, Look::Same) {
                return look;
            }
        }
        self.cannot_read(&io::Error::other("it is written all the time"))
    }

    pub(super) fn look(&mut self) -> Look {
        match self.try_look() {
            Ok(look) => look,
            Err(error) => self.cannot_read(&error),
        }
    }

    fn cannot_read(&mut self, error: &io::Error) -> Look {
        let what = format!("{} cannot be read: {error}", self.path.display());
        // When it is back it is news, even if it is as it was.
        (self.read, self.digest, self.pending) = (None, None, None);
        if self.unreadable.as_ref() == Some(&what) {
            return Look::Same;
        }
        self.unreadable = Some(what.clone());
        Look::Broken { what, at: None }
    }

    fn try_look(&mut self) -> io::Result<Look> {
        let metadata = fs::metadata(&self.path)?;
        let stamp = Stamp::from(&metadata);
        if self.read == Some((stamp, true)) {
            return Ok(Look::Same);
        }
        if metadata.len() > SIZE_LIMIT {
            return Err(io::Error::other(format!(
                "it is larger than {SIZE_LIMIT} bytes"
            )));
        }
        let reliable = metadata.modified().is_ok_and(|modified| {
            SystemTime::now()
                .duration_since(modified)
                .is_ok_and(|age| age > COARSE)
        });
        let bytes = fs::read(&self.path)?;
        if Stamp::from(&fs::metadata(&self.path)?) != stamp {
            return Ok(Look::Same);
        }
        let mut hasher = DefaultHasher::new();
        hasher.write(&bytes);
        let digest = hasher.finish();
        if self.digest == Some(digest) {
            self.read = Some((stamp, reliable));
            return Ok(Look::Same);
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("byte {at} is not UTF-8"),
            )
        })?;
        let (_, ended) = text_before_end(&text, self.format);
        if !ended && self.pending != Some(stamp) {
            self.pending = Some(stamp);
            return Ok(Look::Same);
        }
        self.read = Some((stamp, reliable));
        self.digest = Some(digest);
        self.unreadable = None;
        Ok(self.parsed(parse(&text, self.format, &|name| std::env::var(name).ok())))
    }

    fn parsed(&self, parsed: Result<Vec<Item>, FileError>) -> Look {
        let documents = parsed.and_then(|items| {
            let bytes = |item: Item| Ok((item.key, item.value.to_string().into()));
            items
                .into_iter()
                .map(bytes)
                .collect::<Result<Vec<(Key, Bytes)>, FileError>>()
        });
        match documents {
            Ok(documents) => Look::Contents(documents),
            Err(error) => {
                let at = error.at();
                let path = self.path.display();
                let what = match at {
                    Some(Position { line, column }) => format!("{path}:{line}:{column}: {error}"),
                    None => format!("{path}: {error}"),
                };
                Look::Broken { what, at }
            }
        }
    }
}
