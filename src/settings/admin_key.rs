//! The keys of the Admin API: configured, else kept in the data directory, else made there. A key is never logged.

use super::{Admin, AdminKey, Role, Secret};
use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The file in the data directory.
const FILE: &str = "admin.key";
/// The name that the key outside a list goes by, in logs.
const NAME: &str = "admin";

/// Where the keys came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOrigin {
    /// From the settings.
    Settings,
    /// From this file, which was there.
    File(PathBuf),
    /// Made just now, and written to this file: worth telling the operator where it is.
    Created(PathBuf),
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum AdminKeyError {
    /// The file cannot be read or made.
    #[error("admin key: {}: {source}", path.display())]
    File {
        /// The file or its directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds no key.
    #[error(
        "admin key: {} holds no key: expected visible ASCII characters (remove the file to get a new key)",
        .0.display()
    )]
    Malformed(PathBuf),
    /// Everybody on this machine can read the file.
    #[error("admin key: {} can be read by every user of this machine: chmod 600 it", .0.display())]
    Exposed(PathBuf),
}

/// The keys of the Admin API; at least one.
///
/// # Errors
/// No key is configured, and `admin.key` in the data directory can be neither used nor made.
pub fn admin_keys(
    admin: &Admin,
    data_dir: &Path,
) -> Result<(Vec<AdminKey>, KeyOrigin), AdminKeyError> {
    let only = |key| AdminKey {
        name: NAME.to_owned(),
        key,
        role: Role::Admin,
    };
    let mut keys: Vec<_> = admin.key.clone().map(only).into_iter().collect();
    keys.extend(admin.keys.iter().cloned());
    if !keys.is_empty() {
        return Ok((keys, KeyOrigin::Settings));
    }
    let path = data_dir.join(FILE);
    if let Some(key) = read(&path)? {
        return Ok((vec![only(key)], KeyOrigin::File(path)));
    }
    if create(data_dir, &path)? {
        let key = read(&path)?.ok_or_else(|| AdminKeyError::Malformed(path.clone()))?;
        return Ok((vec![only(key)], KeyOrigin::Created(path)));
    }
    // Another process was faster; its file is complete.
    let key = read(&path)?.ok_or_else(|| AdminKeyError::Malformed(path.clone()))?;
    Ok((vec![only(key)], KeyOrigin::File(path)))
}

fn read(path: &Path) -> Result<Option<Secret>, AdminKeyError> {
    let failed = |source| AdminKeyError::File {
        path: path.to_owned(),
        source,
    };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    // The group may: Kubernetes sets its bits on mounted volumes.
    if fs::metadata(path).map_err(failed)?.permissions().mode() & 0o007 != 0 {
        return Err(AdminKeyError::Exposed(path.to_owned()));
    }
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(AdminKeyError::Malformed(path.to_owned()));
    }
    Ok(Some(Secret::new(text.to_owned())))
}

/// Writes a new key beside the place and moves it there, unless there is one by now (`false`): nobody ever reads half a key.
fn create(directory: &Path, path: &Path) -> Result<bool, AdminKeyError> {
    let failed = |path: &Path, source| AdminKeyError::File {
        path: path.to_owned(),
        source,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|e| failed(directory, e))?;
    let random: [u8; 32] = rand::random();
    let key: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let write = || {
        // Mode 0600 from the start.
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        writeln!(file, "{key}")?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    match write()
        .map_err(|e| failed(path, e))?
        .persist_noclobber(path)
    {
        Ok(_) => Ok(true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(path, error.error)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_key_is_made_once_and_kept_where_only_the_owner_reads_it() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("var/data");
        let (made, origin) = admin_keys(&Admin::default(), &data).unwrap();
        let path = data.join("admin.key");
        assert_eq!(origin, KeyOrigin::Created(path.clone()));
        assert_eq!((mode(&data), mode(&path)), (0o700, 0o600));
        assert_eq!(made.len(), 1);
        assert_eq!(made[0].key.expose().len(), 64);
        assert_eq!(made[0].role, Role::Admin);
        assert!(!format!("{made:?}").contains(made[0].key.expose()));
        let (again, origin) = admin_keys(&Admin::default(), &data).unwrap();
        assert_eq!((again, origin), (made, KeyOrigin::File(path)));
        assert_eq!(
            fs::read_dir(&data).unwrap().count(),
            1,
            "nothing else is left behind"
        );
    }

    #[test]
    fn two_new_directories_get_different_keys() {
        let key = || {
            let home = tempfile::tempdir().unwrap();
            admin_keys(&Admin::default(), home.path()).unwrap().0
        };
        assert_ne!(key(), key());
    }

    #[test]
    fn of_processes_that_start_together_all_use_one_key() {
        let home = tempfile::tempdir().unwrap();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let started: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| admin_keys(&Admin::default(), home.path()).unwrap()))
                .collect();
            started.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|(key, _)| *key == keys[0].0));
        let created = keys
            .iter()
            .filter(|(_, from)| matches!(from, KeyOrigin::Created(_)));
        assert_eq!(created.count(), 1);
    }

    #[test]
    fn configured_keys_leave_the_data_directory_alone() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        let second = AdminKey {
            name: "dashboard".into(),
            key: Secret::new("two".into()),
            role: Role::Viewer,
        };
        let admin = Admin {
            key: Some(Secret::new("one".into())),
            keys: vec![second.clone()],
            ..Admin::default()
        };
        let (keys, origin) = admin_keys(&admin, &data).unwrap();
        assert_eq!(origin, KeyOrigin::Settings);
        let names: Vec<_> = keys
            .iter()
            .map(|k| (k.name.as_str(), k.key.expose()))
            .collect();
        assert_eq!(names, [("admin", "one"), ("dashboard", "two")]);
        assert!(!data.exists());
    }

    #[test]
    fn a_file_that_is_empty_or_open_to_all_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("admin.key");
        let write = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            admin_keys(&Admin::default(), home.path())
        };
        assert!(matches!(
            write(" \n", 0o600),
            Err(AdminKeyError::Malformed(_))
        ));
        assert!(matches!(
            write("a b", 0o600),
            Err(AdminKeyError::Malformed(_))
        ));
        assert!(matches!(
            write("secret\n", 0o644),
            Err(AdminKeyError::Exposed(_))
        ));
        let (keys, _) = write("secret\n", 0o660).unwrap();
        assert_eq!(keys[0].key.expose(), "secret");
    }
}
