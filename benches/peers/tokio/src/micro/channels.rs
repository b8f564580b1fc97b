//! Channels.
use crate::bench::{join_all, Entry, CT, MT, MT1};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::yield_now;

pub fn list() -> Vec<Entry> {
    vec![
        Entry::blocked_on("mpsc_pingpong", 100_000, || async {
            let (a, mut ra) = mpsc::channel::<u64>(1);
            let (b, mut rb) = mpsc::channel::<u64>(1);
            let echo = tokio::spawn(async move {
                while let Some(x) = ra.recv().await {
                    if b.send(x).await.is_err() {
                        break;
                    }
                }
            });
            let caller = tokio::spawn(async move {
                let mut right = true;
                for i in 0..100_000 {
                    a.send(i).await.unwrap();
                    right &= rb.recv().await == Some(i);
                }
                right
            });
            caller.await.unwrap() && echo.await.is_ok()
        }),
        Entry::blocked_on("mpsc_bounded_5p", 50_000, || async {
            let (tx, mut rx) = mpsc::channel::<usize>(100);
            for _ in 0..5 {
                let tx = tx.clone();
                tokio::spawn(async move {
                    for i in 0..10_000 {
                        tx.send(i).await.unwrap();
                    }
                });
            }
            drop(tx);
            tokio::spawn(async move {
                let mut sum = 0;
                while let Some(x) = rx.recv().await {
                    sum += x;
                }
                sum == 5 * 10_000 * 9_999 / 2
            })
            .await
            .unwrap()
        }),
        Entry::blocked_on("mpsc_unbounded_5p", 50_000, || async {
            let (tx, mut rx) = mpsc::unbounded_channel::<usize>();
            for _ in 0..5 {
                let tx = tx.clone();
                tokio::spawn(async move {
                    for i in 0..10_000 {
                        tx.send(i).unwrap();
                    }
                });
            }
            drop(tx);
            tokio::spawn(async move {
                let mut sum = 0;
                while let Some(x) = rx.recv().await {
                    sum += x;
                }
                sum == 5 * 10_000 * 9_999 / 2
            })
            .await
            .unwrap()
        }),
        Entry::blocked_on("mpsc_uncontended", 5000, || async {
            let (tx, mut rx) = mpsc::channel::<usize>(1_000_000);
            for i in 0..5000 {
                tx.send(i).await.unwrap();
            }
            let mut sum = 0;
            for _ in 0..5000 {
                sum += rx.recv().await.unwrap();
            }
            sum == 5000 * 4999 / 2
        }),
        Entry::spawned("oneshot", 100_000, || async {
            let mut sum = 0;
            for i in 0..100_000u64 {
                let (tx, rx) = oneshot::channel();
                tx.send(i).unwrap();
                sum += rx.await.unwrap();
            }
            sum == 100_000 * 99_999 / 2
        }),
        Entry::blocked_on("request_reply", 1000, || async {
            let (tx, mut rx) = mpsc::channel::<(u64, oneshot::Sender<u64>)>(10);
            let server = tokio::spawn(async move {
                while let Some((x, reply)) = rx.recv().await {
                    reply.send(x + 1).unwrap();
                }
            });
            let client = tokio::spawn(async move {
                let mut right = true;
                for i in 0..1000 {
                    let (reply, answer) = oneshot::channel();
                    tx.send((i, reply)).await.unwrap();
                    right &= answer.await == Ok(i + 1);
                }
                right
            });
            client.await.unwrap() && server.await.is_ok()
        })
        .on(CT | MT | MT1),
        Entry::blocked_on("broadcast_1x4", 10_000, || async {
            let (tx, _) = broadcast::channel::<u64>(16384);
            let receivers: Vec<_> = (0..4)
                .map(|_| {
                    let mut rx = tx.subscribe();
                    tokio::spawn(async move {
                        let mut sum = 0;
                        while let Ok(x) = rx.recv().await {
                            sum += x;
                        }
                        assert_eq!(sum, 10_000 * 9_999 / 2);
                    })
                })
                .collect();
            tokio::spawn(async move {
                for i in 0..10_000 {
                    tx.send(i).unwrap();
                }
            })
            .await
            .unwrap();
            join_all(receivers).await
        }),
        Entry::blocked_on("watch_1x4", 10_000, || async {
            let (tx, rx) = watch::channel(0u64);
            let receivers: Vec<_> = (0..4)
                .map(|_| {
                    let mut rx = rx.clone();
                    tokio::spawn(async move {
                        let mut last = 0;
                        while rx.changed().await.is_ok() {
                            let seen = *rx.borrow_and_update();
                            assert!(seen >= last);
                            last = seen;
                        }
                        assert_eq!(last, 9_999);
                    })
                })
                .collect();
            drop(rx);
            tokio::spawn(async move {
                for i in 0..10_000 {
                    tx.send(i).unwrap();
                    if i % 16 == 0 {
                        yield_now().await;
                    }
                }
            })
            .await
            .unwrap();
            join_all(receivers).await
        }),
    ]
}
