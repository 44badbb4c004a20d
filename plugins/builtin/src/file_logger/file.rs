//! A file that may be moved away at any time.

use parking_lot::Mutex;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// A file that lines are appended to. Before each write it is looked whether it is still in its place, so that what was moved
/// away is opened anew, with or without a signal.
pub(super) struct LogFile {
    path: PathBuf,
    open: Mutex<Option<File>>,
}

impl LogFile {
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            open: Mutex::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends lines and a line feed. Blocks for as long as the disk does.
    ///
    /// # Errors
    /// The file cannot be opened or written.
    pub(super) fn append(&self, mut lines: Vec<u8>) -> io::Result<()> {
        lines.push(b'\n');
        let mut open = self.open.lock();
        if !open.as_ref().is_some_and(|file| self.in_place(file)) {
            *open = None;
        }
        let file = match &mut *open {
            Some(file) => file,
            none => none.insert(
                OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(&self.path)?,
            ),
        };
        file.write_all(&lines)
    }

    fn in_place(&self, file: &File) -> bool {
        let identity = |file: fs::Metadata| (file.dev(), file.ino());
        match (fs::metadata(&self.path), file.metadata()) {
            (Ok(there), Ok(open)) => identity(there) == identity(open),
            _ => false,
        }
    }
}
