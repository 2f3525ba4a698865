//! What a crash may have left: quarantines, temporary files, halves of packs.

use std::path::Path;

use super::{QUARANTINE, pack_dir};
use crate::files::{self, FileError, TEMP_SUFFIX, failed};

/// Removes leftovers. Nobody else may use the directory at that time.
pub(super) fn sweep(dir: &Path) -> Result<(), FileError> {
    let quarantine = dir.join(QUARANTINE);
    files::remove_dir(&quarantine)?;
    files::create_dir_all(&quarantine)?;
    for name in names(dir)? {
        if name.ends_with(TEMP_SUFFIX) {
            remove(&dir.join(&name))?;
        }
    }
    let packs = pack_dir(dir);
    let names = names(&packs)?;
    for name in &names {
        let path = packs.join(name);
        let is_half = match name.rsplit_once('.') {
            // A pack comes before its index, so one without is not finished.
            Some((stem, "pack")) => !names.contains(&format!("{stem}.idx")),
            Some((stem, "idx" | "rev" | "bitmap")) => !names.contains(&format!("{stem}.pack")),
            _ => false,
        };
        if is_half || name.ends_with(TEMP_SUFFIX) || name.starts_with("tmp_") {
            remove(&path)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), FileError> {
    tracing::info!(file = %path.display(), "swept");
    files::remove(path)
}

/// The names of all but directories.
fn names(dir: &Path) -> Result<std::collections::HashSet<String>, FileError> {
    let mut names = std::collections::HashSet::new();
    for entry in std::fs::read_dir(dir).map_err(failed("list", dir))? {
        let entry = entry.map_err(failed("list", dir))?;
        let is_dir = entry.file_type().map_err(failed("list", dir))?.is_dir();
        if let (false, Ok(name)) = (is_dir, entry.file_name().into_string()) {
            names.insert(name);
        }
    }
    Ok(names)
}
