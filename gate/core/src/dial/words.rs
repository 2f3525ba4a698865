//! The origin's own words: what it says beside the protocol, bounded, cleaned, and without the paths it must not tell.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bstr::ByteSlice;
use tokio::sync::watch;

/// Most bytes kept of what an origin says on stderr: its first ones, which name the cause.
const MAX_KEPT: usize = 4096;
/// Most bytes of it that go into one line for a client.
const MAX_LINE: usize = 400;
/// How long a stream that ended is given to deliver its stderr and exit status.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the origin said on stderr, and how its program ended. Written by the transport, read when something failed.
#[derive(Clone, Debug)]
pub struct Words {
    inner: Arc<Mutex<Inner>>,
    over: Arc<watch::Sender<bool>>,
}

#[derive(Debug, Default)]
struct Inner {
    said: Vec<u8>,
    /// Replaced by `<origin>` wherever it stands: a path of this or the origin's machine.
    secret: Vec<u8>,
    exit: Option<u32>,
}

impl Default for Words {
    fn default() -> Self {
        Self { inner: Arc::default(), over: Arc::new(watch::Sender::new(false)) }
    }
}

impl Words {
    /// Words in which `path` is shown as `<origin>`.
    pub fn hiding(path: &[u8]) -> Self {
        let words = Self::default();
        words.lock().secret = path.to_vec();
        words
    }

    /// Words of a transport that has none: they are over at once.
    pub fn none() -> Self {
        let words = Self::default();
        words.end(None);
        words
    }

    /// Keeps what was said, up to a bound.
    pub fn add(&self, said: &[u8]) {
        let mut inner = self.lock();
        let room = MAX_KEPT.saturating_sub(inner.said.len());
        inner.said.extend_from_slice(&said[..said.len().min(room)]);
    }

    /// Nothing more will be said; `exit` is the program's status where it is known.
    pub fn end(&self, exit: Option<u32>) {
        if exit.is_some() {
            self.lock().exit = exit;
        }
        self.over.send_replace(true);
    }

    /// What was said, once it is over or shortly after the stream ended; clean, and empty if there was nothing.
    pub async fn hear(&self) -> String {
        let mut over = self.over.subscribe();
        // a program that keeps its stderr open has said by now what it has to say
        drop(tokio::time::timeout(FAREWELL, over.wait_for(|over| *over)).await);
        self.so_far()
    }

    /// What was said until now.
    pub fn so_far(&self) -> String {
        let inner = self.lock();
        match inner.secret.as_slice() {
            b"" => Self::clean(&inner.said),
            secret => Self::clean(&inner.said.replace(secret, b"<origin>")),
        }
    }

    /// The exit status of the origin's program.
    pub fn exit(&self) -> Option<u32> {
        self.lock().exit
    }

    /// Makes foreign text fit for one line: printable, lines joined by a space, bounded.
    pub fn clean(said: &[u8]) -> String {
        let mut line = String::new();
        for char in said.trim().chars() {
            if line.len() >= MAX_LINE {
                line.push('…');
                break;
            }
            line.push(match char {
                '\n' | '\t' => ' ',
                '\r' => continue,
                c if c.is_control() => '.',
                c => c,
            });
        }
        line.trim_end().to_owned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hides_the_path_and_bounds_what_is_kept() {
        let words = Words::hiding(b"/srv/git/app.git");
        words.add(b"fatal: '/srv/git/app.git' does not appear to be a git repository\r\n");
        words.end(Some(128));
        assert_eq!(words.hear().await, "fatal: '<origin>' does not appear to be a git repository");
        assert_eq!(words.exit(), Some(128));
        for _ in 0..100 {
            words.add(&[b'x'; 100]);
        }
        assert!(words.lock().said.len() == MAX_KEPT && words.so_far().chars().count() <= 401);
    }
}
