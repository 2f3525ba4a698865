//! Who waits for a scanner, and where they stand.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// So many at once; the others wait in the order they came.
#[derive(Debug)]
pub(super) struct Queue {
    slots: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
    moved: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    tickets: BTreeSet<u64>,
}

impl Queue {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(slots)),
            waiting: Mutex::default(),
            moved: watch::Sender::new(()),
        }
    }

    /// Waits for a slot, and tells at each move how many stand before.
    pub(super) async fn enter(&self, mut ahead: impl FnMut(usize)) -> OwnedSemaphorePermit {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return slot;
        }
        let place = Place::take(self);
        let mut moved = self.moved.subscribe();
        let slot = Arc::clone(&self.slots).acquire_owned();
        tokio::pin!(slot);
        ahead(place.ahead());
        loop {
            tokio::select! {
                slot = &mut slot => break slot.expect("the queue is never closed"),
                Ok(()) = moved.changed() => ahead(place.ahead()),
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue; leaving it, for whatever reason, moves the others on.
struct Place<'a> {
    queue: &'a Queue,
    ticket: u64,
}

impl<'a> Place<'a> {
    fn take(queue: &'a Queue) -> Self {
        let mut waiting = queue.waiting();
        let ticket = waiting.next;
        waiting.next += 1;
        waiting.tickets.insert(ticket);
        Self { queue, ticket }
    }

    fn ahead(&self) -> usize {
        self.queue.waiting().tickets.range(..self.ticket).count()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queue.waiting().tickets.remove(&self.ticket);
        self.queue.moved.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn those_who_wait_hear_where_they_stand() {
        let queue = Arc::new(Queue::new(1));
        let first = queue.enter(|_| panic!("it need not wait")).await;
        let (tell, mut hear) = mpsc::channel(16);
        let mut waiters = Vec::new();
        for (name, expected) in [("b", 0), ("c", 1)] {
            let (queue, tell) = (Arc::clone(&queue), tell.clone());
            waiters.push(tokio::spawn(async move {
                queue.enter(|ahead| tell.try_send((name, ahead)).unwrap()).await
            }));
            assert_eq!(hear.recv().await, Some((name, expected)));
        }
        drop(first);
        let second = waiters.remove(0).await.unwrap();
        assert_eq!(hear.recv().await, Some(("c", 0)));
        drop(second);
        drop(waiters.remove(0).await.unwrap());
    }

    #[tokio::test]
    async fn who_gives_up_moves_the_others_on() {
        let queue = Queue::new(1);
        let held = queue.enter(|_| ()).await;
        let (mut b, mut c) = (Vec::new(), Vec::new());
        {
            let first = queue.enter(|ahead| b.push(ahead));
            let second = queue.enter(|ahead| c.push(ahead));
            tokio::pin!(second);
            {
                tokio::pin!(first);
                assert!(futures_util::poll!(&mut first).is_pending());
                assert!(futures_util::poll!(&mut second).is_pending());
            }
            assert!(futures_util::poll!(&mut second).is_pending());
        }
        assert_eq!((b, c), (vec![0], vec![1, 0]));
        drop(held);
    }
}
