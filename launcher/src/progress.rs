//! What a launch is doing: a spinner with the time on a terminal, plain lines elsewhere.

use std::cell::RefCell;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Tells a person how far a launch is.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    step: RefCell<Option<(String, Instant)>>,
    quiet: bool,
}

impl Progress {
    pub fn new(quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            ProgressBar::new_spinner().with_style(style)
        });
        // A dumb terminal gets lines: the bar would hide there, and its lines with it.
        let bar = bar.filter(|bar| !bar.is_hidden());
        if let Some(bar) = &bar {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Self { bar, step: RefCell::new(None), quiet }
    }

    /// Begins a step; the one before is over.
    pub fn step(&self, what: &str) {
        self.done();
        if let Some(bar) = &self.bar {
            bar.reset_elapsed();
            bar.set_message(what.to_owned());
        }
        *self.step.borrow_mut() = Some((what.to_owned(), Instant::now()));
    }

    /// Says more about the running step, where there is a place for what passes.
    pub fn detail(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    /// Ends the running step.
    pub fn done(&self) {
        let Some((what, began)) = self.step.borrow_mut().take() else { return };
        self.line(&format!("{what}  {:.1}s", began.elapsed().as_secs_f64()));
    }

    /// Ends everything, also a step that failed.
    pub fn finish(&self) {
        self.step.borrow_mut().take();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None if self.quiet => {}
            // Progress that nobody can read is not worth a failed launch.
            None => drop(writeln!(std::io::stderr(), "{text}")),
        }
    }
}
