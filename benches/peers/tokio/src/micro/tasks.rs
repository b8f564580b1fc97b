//! Spawning, joining, yielding and awaiting.
use crate::bench::{join_all, Entry, MT};
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::sync::{Arc, Barrier};
use tokio::sync::oneshot;
use tokio::task::yield_now;

#[inline(never)]
async fn leaf(x: u64) -> u64 {
    black_box(x)
}
#[inline(never)]
async fn middle(x: u64) -> u64 {
    leaf(x).await + 1
}
#[inline(never)]
async fn outer(x: u64) -> u64 {
    middle(x).await + 1
}
fn descend(depth: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if depth == 0 {
            return 0;
        }
        descend(depth - 1).await + 1
    })
}

async fn chain(n: u32, done: oneshot::Sender<()>) {
    step(n, done);
}
fn step(n: u32, done: oneshot::Sender<()>) {
    if n == 0 {
        let _ = done.send(());
    } else {
        tokio::spawn(chain(n - 1, done));
    }
}

pub fn list() -> Vec<Entry> {
    vec![
        Entry::spawned("await_task", 1_000_000, || async {
            let mut sum = 0;
            for i in 0..1_000_000 {
                sum += leaf(i).await;
            }
            sum == 499_999_500_000
        }),
        Entry::spawned("await_chain_3", 900_000, || async {
            let mut sum = 0;
            for i in 0..300_000 {
                sum += outer(i).await;
            }
            sum == 300_000 * 299_999 / 2 + 2 * 300_000
        }),
        // Polls recurse on the native stack here: ten times less deep than kioto's.
        Entry::spawned("await_deep_1e5", 100_000, || async {
            let mut sum = 0;
            for _ in 0..10 {
                sum += tokio::spawn(descend(10_000)).await.unwrap();
            }
            sum == 100_000
        }),
        Entry::spawned("spawn_join", 100_000, || async {
            let mut ended = 0;
            for _ in 0..100_000 {
                ended += tokio::spawn(async {}).await.is_ok() as u32;
            }
            ended == 100_000
        }),
        Entry::spawned("spawn_many_join", 10_000, || async {
            let tasks: Vec<_> = (0..10_000).map(|_| tokio::spawn(async {})).collect();
            join_all(tasks).await
        }),
        Entry::new("spawn_remote", 10_000, |rt, _| {
            let tasks: Vec<_> = (0..10_000).map(|_| rt.spawn(async {})).collect();
            rt.block_on(join_all(tasks))
        }),
        Entry::new("spawn_remote_2_threads", 12_800, |rt, _| {
            let start = Barrier::new(2);
            let spawns = || {
                start.wait();
                (0..6400).map(|_| rt.spawn(async {})).collect::<Vec<_>>()
            };
            let mut tasks = std::thread::scope(|s| {
                let other = s.spawn(spawns);
                let mut tasks = spawns();
                tasks.extend(other.join().unwrap());
                tasks
            });
            rt.block_on(join_all(std::mem::take(&mut tasks)))
        })
        .on(MT),
        Entry::blocked_on("yield", 200_000, || async {
            let count = Arc::new(AtomicUsize::new(0));
            let tasks: Vec<_> = (0..200)
                .map(|_| {
                    let count = count.clone();
                    tokio::spawn(async move {
                        for _ in 0..1000 {
                            yield_now().await;
                        }
                        count.fetch_add(1000, Relaxed);
                    })
                })
                .collect();
            join_all(tasks).await && count.load(Relaxed) == 200_000
        }),
        Entry::blocked_on("chained_spawn", 1000, || async {
            let (tx, rx) = oneshot::channel();
            tokio::spawn(chain(1000, tx));
            rx.await.is_ok()
        }),
        Entry::spawned("ping_pong", 1000, || async {
            let tasks: Vec<_> = (0..1000)
                .map(|_| {
                    tokio::spawn(async {
                        let (t1, r1) = oneshot::channel();
                        let (t2, r2) = oneshot::channel();
                        tokio::spawn(async move {
                            r1.await.unwrap();
                            t2.send(()).unwrap();
                        });
                        t1.send(()).unwrap();
                        r2.await.unwrap();
                    })
                })
                .collect();
            join_all(tasks).await
        }),
    ]
}
