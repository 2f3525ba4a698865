//! The one door between async sessions and the blocking store, and the pipes that cross it.

mod pipe;

use std::panic;
use std::sync::Arc;

use gate_store::Interrupt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Span;

pub use pipe::{Inlet, Outlet, PIECE, ReaderGone, Sink, Source, inward, outward};

/// Permits for blocking work: so many tasks at once, the others wait their turn.
///
/// Work that waits for a client's bytes and work that burns CPU take their permits from different pools, so that slow
/// clients can't hold the others back.
#[derive(Clone, Debug)]
pub struct Pool {
    permits: Arc<Semaphore>,
}

impl Pool {
    /// A pool that runs at most `permits` tasks at once.
    pub fn new(permits: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(permits)) }
    }

    /// Waits for a permit.
    pub async fn permit(&self) -> Permit {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        Permit { _held: permit.expect("the pool is never closed") }
    }
}

/// The right to run one piece of blocking work. To be had first where others are to be asked for what the work consumes:
/// bytes that nobody takes yet hold back all that comes by the same way.
#[derive(Debug)]
pub struct Permit {
    _held: OwnedSemaphorePermit,
}

/// The gate's pools.
#[derive(Clone, Debug)]
pub struct Pools {
    /// For work that ends by itself: walks, counts, checks.
    pub cpu: Pool,
    /// For work that waits for a client or an origin at the other end of a pipe.
    pub io: Pool,
}

/// Runs `work` on a blocking thread once the pool has a permit for it.
///
/// Dropping the future sets the interrupt that `work` was given; the permit returns when `work` does. A panic in `work`
/// goes on in the caller's task.
pub async fn run<T, F>(pool: &Pool, work: F) -> T
where
    T: Send + 'static,
    F: FnOnce(&Interrupt) -> T + Send + 'static,
{
    run_with(pool.permit().await, work).await
}

/// As [`run`], with a permit that was had before.
pub async fn run_with<T, F>(permit: Permit, work: F) -> T
where
    T: Send + 'static,
    F: FnOnce(&Interrupt) -> T + Send + 'static,
{
    let interrupt = Interrupt::default();
    let _guard = InterruptOnDrop(interrupt.clone());
    let span = Span::current();
    #[expect(clippy::disallowed_methods, reason = "this is the one door")]
    let task = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        span.in_scope(|| work(&interrupt))
    });
    match task.await {
        Ok(value) => value,
        Err(error) => panic::resume_unwind(error.into_panic()),
    }
}

struct InterruptOnDrop(Interrupt);

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, Read, Write};

    #[tokio::test]
    async fn a_pack_crosses_outward() {
        let pool = Pool::new(1);
        let (mut sink, mut outlet) = outward();
        let work = run(&pool, move |_| {
            sink.write_all(&vec![7; 1 << 20]).unwrap();
            sink.finish().unwrap();
        });
        let read = async {
            let mut total = 0;
            while let Some(piece) = outlet.next().await {
                assert!(piece.len() <= PIECE);
                total += piece.len();
            }
            total
        };
        let ((), total) = tokio::join!(work, read);
        assert_eq!(total, 1 << 20);
    }

    #[tokio::test]
    async fn a_pack_crosses_inward_and_ends_only_when_told() {
        let pool = Pool::new(1);
        let (inlet, mut source) = inward();
        let work = run(&pool, move |_| {
            let mut all = Vec::new();
            source.read_to_end(&mut all).map(|_| all)
        });
        let feed = async move {
            inlet.send("PACK".into()).await.unwrap();
            inlet.send("....".into()).await.unwrap();
            inlet.finish().await;
        };
        assert_eq!(tokio::join!(work, feed).0.unwrap(), b"PACK....");

        let (inlet, mut source) = inward();
        let cut = run(&pool, move |_| source.fill_buf().map(<[u8]>::to_vec));
        drop(inlet);
        assert_eq!(cut.await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn dropping_the_future_interrupts_the_work_and_frees_the_permit() {
        let pool = Pool::new(1);
        let (started, has_started) = tokio::sync::oneshot::channel();
        let (stopped, has_stopped) = tokio::sync::oneshot::channel();
        let work = run(&pool, move |interrupt| {
            started.send(()).unwrap();
            while !interrupt.is_set() {
                std::thread::yield_now();
            }
            stopped.send(()).unwrap();
        });
        tokio::select! {
            () = work => unreachable!("nothing interrupts it but the drop"),
            started = has_started => started.unwrap(),
        }
        has_stopped.await.unwrap();
        assert_eq!(run(&pool, |_| 1).await, 1);
    }

    #[tokio::test]
    async fn a_reader_that_leaves_stops_the_writer() {
        let (mut sink, outlet) = outward();
        drop(outlet);
        let pool = Pool::new(1);
        let error = run(&pool, move |_| sink.write_all(&vec![0; 1 << 20]).unwrap_err()).await;
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    #[should_panic(expected = "in the pool")]
    async fn a_panic_goes_on_in_the_caller() {
        run(&Pool::new(1), |_| panic!("in the pool")).await;
    }
}
