//! Keeps a client company while something takes long: how far it is, the origin's words, and keepalives.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bstr::BString;
use proto::receive_pack::Reply;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::{Client, Error};

/// The shortest time between two lines of progress; what is done sooner is not talked about.
const PROGRESS: Duration = Duration::from_secs(1);

/// Talks to a client that waits.
pub(super) struct Companion<'a> {
    pub(super) client: &'a mut Client,
    reply: &'a Reply,
    keepalive: Duration,
    /// Whether the client may be talked to yet. One that is still sending the body of an HTTP request may not listen.
    speaks: bool,
    next: Instant,
    last_word: Instant,
    shown: String,
}

impl<'a> Companion<'a> {
    pub(super) fn new(
        client: &'a mut Client,
        reply: &'a Reply,
        keepalive: Duration,
        speaks: bool,
    ) -> Self {
        let now = Instant::now();
        let shown = String::new();
        let next = now + PROGRESS.min(keepalive);
        Self { client, reply, keepalive, speaks, next, last_word: now, shown }
    }

    /// Awaits `work`, passing on what comes through `words`.
    ///
    /// # Errors
    /// The client is gone, or takes nothing; `work` is dropped.
    pub(super) async fn during<T>(
        &mut self,
        status: &(dyn Fn() -> String + Sync),
        mut words: Option<&mut mpsc::Receiver<BString>>,
        work: impl Future<Output = T>,
    ) -> Result<T, Error> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                Some(text) = heard(&mut words) => self.pass_on(&text).await?,
                done = &mut work => {
                    if let Some(words) = words {
                        while let Ok(text) = words.try_recv() {
                            self.pass_on(&text).await?;
                        }
                    }
                    self.end_line().await?;
                    return Ok(done);
                }
                () = sleep_until(self.next) => self.speak(status).await?,
            }
        }
    }

    /// When the client should hear something again.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Says how far things are if that has changed, or shows that the connection lives.
    pub(super) async fn speak(
        &mut self,
        status: &(dyn Fn() -> String + Sync),
    ) -> Result<(), Error> {
        let now = Instant::now();
        self.next = now + PROGRESS.min(self.keepalive);
        let mut out = Vec::new();
        let text = status();
        if text != self.shown && !text.is_empty() {
            self.reply.progress(&mut out, format!("{text}\r").as_bytes());
            self.shown = text;
        }
        if out.is_empty() && now >= self.last_word + self.keepalive {
            self.reply.keepalive(&mut out);
        }
        self.say(&out).await
    }

    /// Ends a line of progress, if one stands there.
    pub(super) async fn end_line(&mut self) -> Result<(), Error> {
        if self.shown.is_empty() {
            return Ok(());
        }
        let mut out = Vec::new();
        let text = std::mem::take(&mut self.shown);
        self.reply.progress(&mut out, format!("{text}, done\n").as_bytes());
        self.say(&out).await
    }

    async fn pass_on(&mut self, text: &[u8]) -> Result<(), Error> {
        let mut out = Vec::new();
        self.reply.message(&mut out, text);
        self.say(&out).await
    }

    async fn say(&mut self, out: &[u8]) -> Result<(), Error> {
        if out.is_empty() || !self.speaks {
            return Ok(());
        }
        self.last_word = Instant::now();
        self.client.send(out).await?;
        self.client.flush().await
    }
}

async fn heard(words: &mut Option<&mut mpsc::Receiver<BString>>) -> Option<BString> {
    match words {
        Some(words) => match words.recv().await {
            Some(text) => Some(text),
            // nobody speaks any more: the work itself tells when it is over
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
