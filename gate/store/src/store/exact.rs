//! The list of packs that are known to hold nothing but what the refs reach.
//!
//! It is trusted only if it names exactly the packs that are there. A new pack makes it wrong by itself until it is
//! written anew after the refs; a change that may leave objects behind removes it before the refs.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::Pack;
use crate::files::{self, FileError};

const NAME: &str = "exact-packs";

/// Whether the list names exactly these packs.
pub(super) fn is_recorded(dir: &Path, packs: &[Arc<Pack>]) -> Result<bool, FileError> {
    let Some(text) = files::read(&dir.join(NAME))? else { return Ok(false) };
    Ok(text == render(packs).as_bytes())
}

/// Writes the list. Losing it does no harm, so nothing waits for the disk.
pub(super) fn record(dir: &Path, packs: &[Arc<Pack>]) -> Result<(), FileError> {
    files::replace_unsynced(&dir.join(NAME), render(packs).as_bytes())
}

/// Removes the list for good before the refs change.
pub(super) fn forget(dir: &Path) -> Result<(), FileError> {
    files::remove(&dir.join(NAME))?;
    files::sync_dir(dir)
}

/// One name a line, and a last line that shows that none is lost.
fn render(packs: &[Arc<Pack>]) -> String {
    let names: BTreeSet<_> = packs.iter().filter_map(|pack| pack.path().file_name()).collect();
    let mut text = String::new();
    for name in names {
        text.push_str(&name.to_string_lossy());
        text.push('\n');
    }
    text.push_str("end\n");
    text
}
