//! What runs when gitleaks asks `git` for a patch: this very program, under that name.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Whether this process was started as `git`, by the scanner: then it is to do nothing but [`patch_source_main`].
pub fn is_patch_source(argv: &[OsString]) -> bool {
    argv.first().is_some_and(|name| Path::new(name).file_name().is_some_and(|name| name == "git"))
}

/// Copies the patch to standard output, for gitleaks, which believes that it is git that speaks.
///
/// The patch is what gitleaks has for its own standard input. Its last argument names that pipe (`pipe:[1234]`), and no
/// other file is read. What goes wrong is said on standard error, and gitleaks then counts the scan as failed.
pub fn patch_source_main(argv: &[OsString]) -> ExitCode {
    match copy(argv.last()) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the scanner listens to it")]
            {
                eprintln!("patch source: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

fn copy(pipe: Option<&OsString>) -> io::Result<u64> {
    let parent =
        rustix::process::getppid().ok_or_else(|| io::Error::other("the scanner is gone"))?;
    let input = PathBuf::from(format!("/proc/{}/fd/0", parent.as_raw_nonzero()));
    let link = fs::read_link(&input)?;
    if Some(link.as_os_str()) != pipe.map(OsString::as_os_str) {
        return Err(io::Error::other("the scanner's input is not the patch"));
    }
    io::copy(&mut File::open(input)?, &mut io::stdout().lock())
}
