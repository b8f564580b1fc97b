//! Calls that block.
use crate::bench::{Entry, MT};

pub fn list() -> Vec<Entry> {
    vec![
        Entry::spawned("spawn_blocking", 10_000, || async {
            let mut sum = 0;
            for _ in 0..10_000 {
                sum += tokio::task::spawn_blocking(|| 1).await.unwrap();
            }
            sum == 10_000
        }),
        Entry::spawned("block_in_place", 10_000, || async {
            let mut sum = 0;
            for _ in 0..10_000 {
                sum += tokio::task::block_in_place(|| 1);
            }
            sum == 10_000
        })
        .on(MT),
    ]
}
