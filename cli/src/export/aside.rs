//! Files that are written whole or not at all: aside first, then renamed.

use crate::exit::{Exit, Failure};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Replaces these files. Where one of them cannot be written, all are as they were before.
pub(super) fn write(files: &[(PathBuf, String)]) -> Result<(), Failure> {
    let failed = |path: &Path, error| {
        Failure::new(Exit::Output, format!("{}: {error}; what was there is as it was", path.display()))
    };
    let mut ready = Vec::new();
    for (path, text) in files {
        ready.push((path, prepare(path, text.as_bytes()).map_err(|error| failed(path, error))?));
    }
    for (path, file) in ready {
        // A device has its bytes already.
        let Some(file) = file else { continue };
        file.persist(path).map_err(|error| failed(path, error.error))?;
    }
    Ok(())
}

/// The new content, whole and on the disk, beside the file that it is for.
fn prepare(path: &Path, bytes: &[u8]) -> io::Result<Option<NamedTempFile>> {
    // A device or a pipe cannot be replaced, nor is it to be.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return fs::OpenOptions::new().write(true).open(path)?.write_all(bytes).map(|()| None);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any other new file; the umask takes away from it.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.prefix(".portcullis-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(Some(file))
}
