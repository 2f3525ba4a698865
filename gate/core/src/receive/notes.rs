//! What happens meanwhile, told from where it happens to where the client is talked to.

use std::sync::{Arc, Mutex, PoisonError};

use bstr::BString;
use tokio::sync::mpsc;

use crate::forward::Tell;

/// Pieces of the origin's words under way. Past that, a client that does not read loses them.
const WORDS: usize = 64;

/// The one line that says how far things are.
#[derive(Clone, Debug, Default)]
pub(super) struct Status(Arc<Mutex<String>>);

impl Status {
    pub(super) fn new(text: impl Into<String>) -> Self {
        let status = Self::default();
        status.set(text);
        status
    }

    pub(super) fn set(&self, text: impl Into<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text.into();
    }

    pub(super) fn get(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The status, and the origin's words.
#[derive(Debug)]
pub(super) struct Notes {
    pub(super) status: Status,
    words: mpsc::Sender<BString>,
}

impl Notes {
    pub(super) fn new() -> (Self, mpsc::Receiver<BString>) {
        let (words, receiver) = mpsc::channel(WORDS);
        (Self { status: Status::new("sending to origin"), words }, receiver)
    }
}

impl Tell for Notes {
    fn origin_said(&self, text: &[u8]) {
        // full: the client does not read; closed: it has gone. The push goes on in both cases.
        drop(self.words.try_send(text.into()));
    }

    fn sent(&self, bytes: u64) {
        if bytes >= 1_000_000 {
            self.status.set(format!("sending to origin: {} MB", bytes / 1_000_000));
        }
    }
}
