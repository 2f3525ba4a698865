//! What is said to the person: answers on stdout, everything else on stderr.

use std::io::{self, IsTerminal as _, Write as _};

/// Says an answer.
///
/// # Errors
/// When stdout is closed.
pub fn answer(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Says something that is not the answer. Who closed stderr does not want to know it.
pub fn tell(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}

/// The text without what would steer a terminal, or show it in another order than it is: others made it.
pub fn printable(text: &str) -> String {
    let steers = |c: char| {
        (c.is_control() && c != '\t')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// Asks one question on the terminal.
///
/// # Errors
/// When there is no terminal to ask on, or nobody answers.
pub fn ask(question: &str) -> io::Result<String> {
    if !io::stdin().is_terminal() {
        return Err(io::Error::other(format!("there is no terminal to ask `{question}` on")));
    }
    let mut err = io::stderr();
    write!(err, "{question}: ")?;
    err.flush()?;
    let mut line = String::new();
    if io::stdin().read_line(&mut line)? == 0 {
        return Err(io::Error::other(format!("nobody answered `{question}`")));
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}
