//! A model and a policy in files: read when the first request needs them, by a thread that serves none.

use super::rules::Rules;
use std::{fs, io::Read, path::Path, sync::Arc};
use tokio::sync::OnceCell;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 4 * 1024 * 1024;

/// The two files, and what was made of them.
pub(super) struct Files {
    paths: Arc<(Box<Path>, Box<Path>)>,
    rules: OnceCell<Arc<Rules>>,
}

impl Files {
    /// Files that will be read later.
    pub(super) fn new(model: &str, policy: &str) -> Self {
        let path = |text: &str| Path::new(text).into();
        Self {
            paths: Arc::new((path(model), path(policy))),
            rules: OnceCell::new(),
        }
    }

    /// The rules. Once they were read, the files are not looked at again.
    ///
    /// # Errors
    /// A file cannot be read, or does not make sense. The next request tries again.
    pub(super) async fn rules(&self) -> Result<&Arc<Rules>, String> {
        let load = || async {
            let paths = self.paths.clone();
            let loaded = tokio::task::spawn_blocking(move || load(&paths.0, &paths.1)).await;
            loaded.map_err(|e| e.to_string())?.map(Arc::new)
        };
        self.rules.get_or_try_init(load).await
    }
}

fn load(model: &Path, policy: &Path) -> Result<Rules, String> {
    use super::rules::Unfit;
    Rules::new(&read(model)?, &read(policy)?).map_err(|unfit| match unfit {
        Unfit::Model(why) => format!("{}: {why}", model.display()),
        Unfit::Policy(why) => format!("{}: {why}", policy.display()),
    })
}

fn read(path: &Path) -> Result<String, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(format!("{}: not a file", path.display()));
    }
    let mut text = String::new();
    let file = fs::File::open(path).map_err(failed)?;
    let read = file.take(LARGEST + 1).read_to_string(&mut text);
    read.map_err(failed)?;
    match text.len() as u64 > LARGEST {
        true => Err(format!("{}: larger than {LARGEST} bytes", path.display())),
        false => Ok(text),
    }
}
