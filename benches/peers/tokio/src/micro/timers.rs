//! Sleeping and timeouts.
use crate::bench::{join_all, Entry};
use std::future::{poll_fn, Future};
use std::task::Poll;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

pub fn list() -> Vec<Entry> {
    vec![
        Entry::spawned("timeout_ready", 100_000, || async {
            let mut sum = 0;
            for _ in 0..100_000 {
                sum += timeout(Duration::from_secs(1), async { 1 }).await.unwrap();
            }
            sum == 100_000
        }),
        Entry::spawned("timeout_pending_yield", 100_000, || async {
            let mut ended = 0;
            for _ in 0..100_000 {
                ended += timeout(Duration::from_secs(1), yield_now()).await.is_ok() as u32;
            }
            ended == 100_000
        }),
        Entry::spawned("sleep_insert_cancel_100k", 100_000, || async {
            let mut sleeps: Vec<_> =
                (0..100_000u64).map(|i| Box::pin(sleep(Duration::from_millis(1000 + i % 60_000)))).collect();
            let mut armed = 0;
            for s in sleeps.iter_mut() {
                poll_fn(|cx| {
                    armed += s.as_mut().poll(cx).is_pending() as u32;
                    Poll::Ready(())
                })
                .await;
            }
            drop(sleeps);
            armed == 100_000
        }),
        Entry::blocked_on("sleep_fire_10k_tasks", 10_000, || async {
            let tasks: Vec<_> = (0..10_000u64)
                .map(|i| tokio::spawn(async move { sleep(Duration::from_millis(1 + i % 10)).await }))
                .collect();
            join_all(tasks).await
        }),
    ]
}
