//! The last thing a client hears, and the rest of what it still sends.

use proto::receive_pack::Report;

use super::refused::Refused;
use super::{Push, Pushed};
use crate::client::Voice;
use crate::{Error, Mode};

impl Push<'_> {
    /// Tells the client why nothing was sent to the origin.
    pub(super) async fn refuse(self, refused: Refused) -> Result<Pushed, Error> {
        let report = refused.report(&self.request.commands);
        self.audit.clone().refused(&refused, &report);
        let last_word = refused.is_unspeakable.then(|| refused.others.clone());
        self.answer(&report, &refused.lines, last_word).await
    }

    /// Sends `lines` and the report; where that would repeat a secret, a last word in place of the report.
    ///
    /// A client that is still sending is heard out, so that it reads this rather than a broken pipe.
    pub(super) async fn answer(
        mut self,
        report: &Report,
        lines: &[String],
        last_word: Option<String>,
    ) -> Result<Pushed, Error> {
        let pushed = Pushed {
            refs: report.refs.len(),
            ok: report.refs.iter().filter(|report| report.is_ok()).count(),
        };
        if self.session.mode == Mode::Request {
            // the answer to an HTTP request follows its body
            self.drain().await;
        }
        let mut out = Vec::new();
        for line in lines {
            self.reply.message(&mut out, format!("{line}\n").as_bytes());
        }
        match last_word {
            Some(word) => self.reply.fatal(&mut out, word.as_bytes()),
            None => self.reply.report(&mut out, report),
        }
        self.client.voice = Voice::Silent;
        self.client.send(&out).await?;
        self.client.flush().await?;
        self.drain().await;
        Ok(pushed)
    }

    /// Reads and drops what the client still sends, until it stops or has sent more than any pack may have.
    async fn drain(&mut self) {
        let mut left = self.context.config.limits.pack.bytes();
        while !self.is_heard {
            // however it ends: it was told, or can't be
            match self.client.recv().await {
                Ok(Some(bytes)) if bytes.len() as u64 <= left => left -= bytes.len() as u64,
                _ => self.is_heard = true,
            }
        }
    }
}
