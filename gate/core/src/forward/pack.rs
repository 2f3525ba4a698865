//! The pack on its way from the blocking pool to the origin, as a stream that fails if the pack does.

use std::io::{self, Write};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use gate_store::Interrupt;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use crate::blocking::{Outlet, Pool, outward, run};

/// Writes a pack; called once, on a blocking thread.
pub(crate) type WritePack =
    Box<dyn FnOnce(&mut dyn Write, &Interrupt) -> Result<(), WritePackError> + Send>;

/// Why the gate could not make its own pack.
pub(crate) type WritePackError = Box<dyn std::error::Error + Send + Sync>;

/// What is sent after the commands.
pub(super) struct Packing {
    /// Commands and pack, piece by piece. An error in it means that the pack is not whole.
    pub(super) pieces: BoxStream<'static, io::Result<Bytes>>,
    /// Why the pack failed, if it did.
    pub(super) failure: oneshot::Receiver<WritePackError>,
    /// Ends the writer when the conversation ends.
    pub(super) writer: Option<AbortOnDropHandle<()>>,
}

/// Begins to write the pack; `head` goes before it.
pub(super) fn start(head: Bytes, pack: Option<WritePack>, pool: &Pool) -> Packing {
    let (failed, failure) = oneshot::channel();
    let head = stream::once(async { Ok(head) });
    let Some(pack) = pack else {
        return Packing { pieces: head.boxed(), failure, writer: None };
    };
    let (mut sink, outlet) = outward();
    let (done, is_done) = oneshot::channel();
    let pool = pool.clone();
    let writer = tokio::spawn(async move {
        let work = move |interrupt: &Interrupt| {
            pack(&mut sink, interrupt)?;
            Ok::<(), WritePackError>(sink.finish()?)
        };
        match run(&pool, work).await {
            // whoever listened is gone in both cases: nobody needs to know
            Ok(()) => drop(done.send(())),
            Err(error) => drop(failed.send(error)),
        }
    });
    Packing {
        pieces: head.chain(pieces(outlet, is_done)).boxed(),
        failure,
        writer: Some(AbortOnDropHandle::new(writer)),
    }
}

fn pieces(
    outlet: Outlet,
    done: oneshot::Receiver<()>,
) -> impl stream::Stream<Item = io::Result<Bytes>> {
    stream::unfold(Some((outlet, done)), async |state| {
        let (mut outlet, done) = state?;
        match outlet.next().await {
            Some(piece) => Some((Ok(piece), Some((outlet, done)))),
            None => match done.await {
                Ok(()) => None,
                Err(_) => Some((Err(io::Error::other("the pack is not whole")), None)),
            },
        }
    })
}
