//! OCSP responses to staple, from the files of a directory. Whoever fetches them writes a file; nothing else has to be told.

use super::ocsp::Response;
use arc_swap::{ArcSwap, ArcSwapOption};
use jiff::Timestamp;
use rustls::sign::CertifiedKey;
use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Notify;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Files that are larger are no OCSP responses.
const MAX_BYTES: u64 = 64 * 1024;

/// How often the files are read again, where nobody says otherwise.
const INTERVAL: Duration = Duration::from_secs(60);

/// The responses that are there now, by the serial number of the certificate.
#[derive(Debug, Default)]
pub struct Staples {
    place: ArcSwap<Place>,
    /// Tells of another place.
    moved: Notify,
    responses: ArcSwap<HashMap<Vec<u8>, Vec<Arc<Response>>>>,
}

/// Where the files are, and how often they are read again.
#[derive(Debug)]
struct Place {
    directory: Option<PathBuf>,
    interval: Duration,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            directory: None,
            interval: INTERVAL,
        }
    }
}

impl Staples {
    /// None, until there is a place where some are.
    pub fn none() -> Arc<Self> {
        Arc::default()
    }

    /// Those in the files of `directory` whose names end in `.ocsp` or `.der`. A file says itself for which certificate
    /// it is. A file that cannot be used is logged and left out.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn open(directory: &Path) -> io::Result<Arc<Self>> {
        let staples = Self::default();
        staples.move_to(Some(directory), INTERVAL)?;
        Ok(Arc::new(staples))
    }

    /// From now on takes them from another directory, or none, and reads it again after each `interval`.
    ///
    /// # Errors
    /// The directory cannot be read. Nothing has changed then.
    pub fn move_to(&self, directory: Option<&Path>, interval: Duration) -> io::Result<()> {
        let problems = match directory {
            Some(directory) => self.read(directory)?,
            None => {
                self.responses.store(Arc::default());
                BTreeSet::new()
            }
        };
        for problem in problems {
            tracing::warn!("{problem}");
        }
        self.place.store(Arc::new(Place {
            directory: directory.map(Path::to_owned),
            interval,
        }));
        self.moved.notify_one();
        Ok(())
    }

    /// Reads the files again and again. A problem is logged when it is new.
    pub async fn follow(self: Arc<Self>) {
        let mut known = BTreeSet::new();
        loop {
            let interval = self.place.load().interval;
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = self.moved.notified() => {}
            }
            // Looked at now: what was read of the place before is replaced by this.
            let Some(directory) = self.place.load().directory.clone() else {
                self.responses.store(Arc::default());
                continue;
            };
            let staples = self.clone();
            let read = tokio::task::spawn_blocking(move || {
                staples.read(&directory).unwrap_or_else(|error| {
                    BTreeSet::from([format!("{}: {error}", directory.display())])
                })
            });
            let problems = read.await.unwrap_or_default();
            for problem in problems.difference(&known) {
                tracing::warn!("{problem}");
            }
            known = problems;
        }
    }

    pub(super) fn read(&self, directory: &Path) -> io::Result<BTreeSet<String>> {
        let mut problems = BTreeSet::new();
        let mut responses: HashMap<Vec<u8>, Vec<Arc<Response>>> = HashMap::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let is_response = |e: &std::ffi::OsStr| e == "ocsp" || e == "der";
            if !path.extension().is_some_and(is_response) {
                continue;
            }
            match response(&path) {
                Ok(response) => responses
                    .entry(response.serial.clone())
                    .or_default()
                    .push(Arc::new(response)),
                Err(error) => {
                    problems.insert(format!("{}: {error}", path.display()));
                }
            }
        }
        self.responses.store(Arc::new(self.kept(responses)));
        Ok(problems)
    }

    /// What did not change keeps its identity, so that nothing is made anew for it.
    fn kept(
        &self,
        mut now: HashMap<Vec<u8>, Vec<Arc<Response>>>,
    ) -> HashMap<Vec<u8>, Vec<Arc<Response>>> {
        let before = self.responses.load();
        for (serial, responses) in &mut now {
            let Some(known) = before.get(serial) else {
                continue;
            };
            for response in responses {
                if let Some(same) = known.iter().find(|k| **k == *response) {
                    *response = same.clone();
                }
            }
        }
        now
    }

    fn find(&self, issuer: &[u8], serial: &[u8]) -> Option<Arc<Response>> {
        let all = self.responses.load();
        if all.is_empty() {
            return None;
        }
        let now = Timestamp::now();
        let fits = |r: &&Arc<Response>| r.is_for(issuer, serial) && r.holds(now);
        all.get(serial)?.iter().find(fits).cloned()
    }
}

fn response(path: &Path) -> Result<Response, String> {
    let length = fs::metadata(path).map_err(|e| e.to_string())?.len();
    if length > MAX_BYTES {
        return Err("it is too large for an OCSP response".to_owned());
    }
    let bytes = fs::read(path).map_err(|e| e.to_string())?;
    Response::parse(bytes).map_err(|e| e.to_string())
}

/// A certificate with its key, and with the response that was stapled last.
#[derive(Debug)]
pub(super) struct Stapled {
    plain: Arc<CertifiedKey>,
    /// The name of the issuer in DER, and the serial number; `None` when the certificate cannot be read.
    id: Option<(Vec<u8>, Vec<u8>)>,
    last: ArcSwapOption<(Arc<Response>, Arc<CertifiedKey>)>,
}

impl Stapled {
    pub(super) fn new(plain: Arc<CertifiedKey>) -> Self {
        let read = |own: &[u8]| {
            let (_, own) = X509Certificate::from_der(own).ok()?;
            Some((own.issuer().as_raw().to_vec(), own.raw_serial().to_vec()))
        };
        Self {
            id: plain.cert.first().and_then(|own| read(own)),
            plain,
            last: ArcSwapOption::default(),
        }
    }

    pub(super) fn plain(&self) -> &Arc<CertifiedKey> {
        &self.plain
    }

    /// With the response that is there now, if one is.
    pub(super) fn current(&self, staples: &Staples) -> Arc<CertifiedKey> {
        let found = self.id.as_ref().and_then(|(i, s)| staples.find(i, s));
        let Some(response) = found else {
            return self.plain.clone();
        };
        if let Some(last) = &*self.last.load()
            && Arc::ptr_eq(&last.0, &response)
        {
            return last.1.clone();
        }
        let mut stapled = (*self.plain).clone();
        stapled.ocsp = Some(response.der.clone());
        let stapled = Arc::new(stapled);
        self.last.store(Some(Arc::new((response, stapled.clone()))));
        stapled
    }
}
