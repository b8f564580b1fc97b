//! Very many tasks: what each costs, from 10^2 to 10^6, and what memory each takes.
use crate::bench::{join_all, percentile, resident_bytes, Effort, Entry};
use std::time::{Duration, Instant};
use tokio::time::{sleep, sleep_until};

fn spawn_entry(name: &'static str, count: u64) -> Entry {
    let effort = if count < 10_000 { Effort::Repeated } else { Effort::Heavy };
    Entry::spawned(name, count, move || async move {
        let tasks: Vec<_> = (0..count).map(|_| tokio::spawn(async {})).collect();
        join_all(tasks).await
    })
    .effort(effort)
}

/// Sleeps of 50 to 149 ms. The time of a core that each costs is what counts here.
fn sleep_entry(name: &'static str, count: u64) -> Entry {
    let effort = if count < 100 { Effort::Repeated } else { Effort::Heavy };
    Entry::blocked_on(name, count, move || async move {
        let tasks: Vec<_> =
            (0..count).map(|i| tokio::spawn(sleep(Duration::from_millis(50 + i % 100)))).collect();
        join_all(tasks).await
    })
    .effort(effort)
}

pub fn list() -> Vec<Entry> {
    vec![
        spawn_entry("spawn_many_1e2", 100),
        spawn_entry("spawn_many_1e3", 1000),
        spawn_entry("spawn_many_1e4", 10_000),
        spawn_entry("spawn_many_1e5", 100_000),
        spawn_entry("spawn_many_1e6", 1_000_000),
        sleep_entry("sleep_many_1e2", 100),
        sleep_entry("sleep_many_1e3", 1000),
        sleep_entry("sleep_many_1e4", 10_000),
        sleep_entry("sleep_many_1e5", 100_000),
        sleep_entry("sleep_many_1e6", 1_000_000),
        // Each sleeps for a time between 1 ms and 1 s, from a fixed sequence, and returns how late it
        // came back: early, and the result is wrong.
        Entry::new("sleep_1e6", 1_000_000, |rt, found| {
            const COUNT: usize = 1_000_000;
            let mut late = vec![-1.0f64; COUNT];
            let begin = Instant::now();
            rt.block_on(async {
                let mut tasks = Vec::with_capacity(COUNT);
                let before = resident_bytes();
                let mut x = 1u32;
                for _ in 0..COUNT {
                    x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let length = Duration::from_micros(1000 + u64::from((x >> 8) % 999_001));
                    tasks.push(tokio::spawn(async move {
                        let deadline = Instant::now() + length;
                        sleep_until(deadline.into()).await;
                        let now = Instant::now();
                        if now < deadline { -1.0 } else { (now - deadline).as_secs_f64() * 1e3 }
                    }));
                }
                found.set("spawn_ms", begin.elapsed().as_secs_f64() * 1e3);
                // The vector of handles was not resident before; that of kioto's side was.
                let handles = COUNT * std::mem::size_of_val(&tasks[0]);
                found.set("bytes", (resident_bytes() - before - handles as u64) as f64 / COUNT as f64);
                for (l, t) in late.iter_mut().zip(tasks) {
                    *l = t.await.unwrap();
                }
            });
            found.set("wall_ms", begin.elapsed().as_secs_f64() * 1e3);
            late.sort_by(|a, b| a.partial_cmp(b).unwrap());
            found.set("late_p50_ms", percentile(&late, 0.5));
            found.set("late_p99_ms", percentile(&late, 0.99));
            found.set("late_max_ms", late[COUNT - 1]);
            late[0] >= 0.0
        })
        .effort(Effort::Once),
        // Resident bytes of a task that sleeps for an hour. The end of the runtime ends them.
        Entry::new("mem_sleeping_task", 1_000_000, |rt, found| {
            const COUNT: usize = 1_000_000;
            let before = resident_bytes();
            rt.block_on(async {
                for _ in 0..COUNT {
                    tokio::spawn(async { sleep(Duration::from_secs(3600)).await });
                }
            });
            rt.block_on(async { sleep(Duration::from_millis(500)).await });
            found.set("bytes", (resident_bytes() - before) as f64 / COUNT as f64);
            rt.metrics().num_alive_tasks() == COUNT
        })
        .effort(Effort::Once),
    ]
}
