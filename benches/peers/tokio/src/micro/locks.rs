//! Locks, semaphores and notifications.
use crate::bench::{join_all, Entry};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::sync::Arc;
use tokio::sync::{Mutex, Notify, RwLock, Semaphore};
use tokio::task::yield_now;

/// `count` tasks of the same kind, joined.
async fn all<F: Future<Output = ()> + Send + 'static>(count: usize, make: impl Fn() -> F) -> bool {
    let tasks: Vec<_> = (0..count).map(|_| tokio::spawn(make())).collect();
    join_all(tasks).await
}

/// 500 wake-ups of `waiters` tasks that wait again and again. A waiter that is not there yet is woken
/// by a later turn.
async fn notify_many(waiters: u64, at_once: bool) -> bool {
    let news = Arc::new(Notify::new());
    let woken = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..waiters)
        .map(|_| {
            let (news, woken) = (news.clone(), woken.clone());
            tokio::spawn(async move {
                loop {
                    news.notified().await;
                    woken.fetch_add(1, AcqRel);
                }
            })
        })
        .collect();
    while woken.load(Acquire) < 500 {
        if at_once {
            news.notify_waiters();
        } else {
            news.notify_one();
        }
        yield_now().await;
    }
    for t in &tasks {
        t.abort();
    }
    let mut ended = 0;
    for t in tasks {
        ended += t.await.is_ok() as u32;
    }
    ended == 0
}

pub fn list() -> Vec<Entry> {
    let mut entries = vec![
        Entry::spawned("mutex_uncontended", 100_000, || async {
            let m = Mutex::new(0u64);
            for _ in 0..100_000 {
                *m.lock().await += 1;
            }
            let count = *m.lock().await;
            count == 100_000
        }),
        Entry::blocked_on("mutex_contended_8", 80_000, || async {
            let m = Arc::new(Mutex::new(0u64));
            let joined = all(8, || {
                let m = m.clone();
                async move {
                    for _ in 0..10_000 {
                        *m.lock().await += 1;
                    }
                }
            })
            .await;
            let count = *m.lock().await;
            joined && count == 80_000
        }),
        Entry::blocked_on("mutex_handoff_8", 80_000, || async {
            let m = Arc::new(Mutex::new(0u64));
            let joined = all(8, || {
                let m = m.clone();
                async move {
                    for _ in 0..10_000 {
                        let mut guard = m.lock().await;
                        *guard += 1;
                        yield_now().await;
                    }
                }
            })
            .await;
            let count = *m.lock().await;
            joined && count == 80_000
        }),
        Entry::blocked_on("rwlock_read_8", 80_000, || async {
            let m = Arc::new(RwLock::new(1u64));
            let sum = Arc::new(AtomicU64::new(0));
            let joined = all(8, || {
                let (m, sum) = (m.clone(), sum.clone());
                async move {
                    let mut mine = 0;
                    for _ in 0..10_000 {
                        mine += *m.read().await;
                    }
                    sum.fetch_add(mine, Relaxed);
                }
            })
            .await;
            joined && sum.load(Relaxed) == 80_000
        }),
        Entry::blocked_on("semaphore_contended_6of5", 60_000, || async {
            let s = Arc::new(Semaphore::new(5));
            let inside = Arc::new(AtomicU64::new(0));
            let joined = all(6, || {
                let (s, inside) = (s.clone(), inside.clone());
                async move {
                    for _ in 0..10_000 {
                        let _permit = s.acquire().await.unwrap();
                        assert!(inside.fetch_add(1, Relaxed) < 5);
                        inside.fetch_sub(1, Relaxed);
                    }
                }
            })
            .await;
            joined && s.available_permits() == 5
        }),
        Entry::blocked_on("notify_pingpong", 100_000, || async {
            let a = Arc::new(Notify::new());
            let b = Arc::new(Notify::new());
            let (a2, b2) = (a.clone(), b.clone());
            let answers = tokio::spawn(async move {
                for _ in 0..100_000 {
                    a2.notified().await;
                    b2.notify_one();
                }
            });
            let calls = tokio::spawn(async move {
                for _ in 0..100_000 {
                    a.notify_one();
                    b.notified().await;
                }
            });
            calls.await.is_ok() && answers.await.is_ok()
        }),
    ];
    for (one, all, waiters) in [
        ("notify_one_10", "notify_all_10", 10),
        ("notify_one_100", "notify_all_100", 100),
        ("notify_one_500", "notify_all_500", 500),
    ] {
        entries.push(Entry::spawned(one, 500, move || notify_many(waiters, false)));
        entries.push(Entry::spawned(all, 500, move || notify_many(waiters, true)));
    }
    entries
}
