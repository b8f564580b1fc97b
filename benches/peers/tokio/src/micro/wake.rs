// SPDX-License-Identifier: MIT
//! A thread outside of the runtime wakes a task: how soon it runs, and what the runtime burns.
use crate::bench::{cpu_time, percentile, Effort, Entry};
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

fn cpu_time_of_this_thread() -> Duration {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

struct Exchange {
    news: Notify,
    epoch: Instant,
    sent_at: AtomicU64, // 0: the notice has been seen
}

async fn receive(with: Arc<Exchange>, count: usize) -> Option<Vec<f64>> {
    let mut latencies = Vec::with_capacity(count);
    while latencies.len() != count {
        with.news.notified().await;
        let now = with.epoch.elapsed().as_nanos() as u64;
        let sent = with.sent_at.swap(0, SeqCst);
        if sent == 0 {
            return None;
        }
        latencies.push((now - sent) as f64 / 1e3);
    }
    Some(latencies)
}

/// Sends a notice, waits until it was seen, and then for `gap`: spinning, so that the other core
/// stays awake, or asleep, as one that waits for a device does. Who spins gives way after 100 us: on
/// a busy machine the receiver may need this core.
fn send(with: &Exchange, count: usize, gap: Duration, spins: bool) {
    for _ in 0..count {
        let now = Instant::now();
        with.sent_at.store((now - with.epoch).as_nanos() as u64, SeqCst);
        with.news.notify_one();
        if !spins {
            std::thread::sleep(gap);
        }
        while with.sent_at.load(SeqCst) != 0 {
            if !spins {
                std::thread::sleep(gap);
            } else if now.elapsed() > Duration::from_micros(100) {
                std::thread::yield_now();
            }
        }
        while spins && now.elapsed() < gap {}
    }
}

fn entry(name: &'static str, count: usize, gap: Duration, spins: bool) -> Entry {
    Entry::new(name, count as u64, move |rt, found| {
        let between =
            Arc::new(Exchange { news: Notify::new(), epoch: Instant::now(), sent_at: AtomicU64::new(0) });
        let before = cpu_time();
        let (latencies, outside) = std::thread::scope(|s| {
            let sender = s.spawn(|| {
                send(&between, count, gap, spins);
                cpu_time_of_this_thread()
            });
            // In a task of a worker, as kioto runs it.
            let receiver = receive(between.clone(), count);
            let latencies = rt.block_on(async { tokio::spawn(receiver).await.unwrap() });
            (latencies, sender.join().unwrap())
        });
        let Some(mut latencies) = latencies else { return false };
        found.set("ns", latencies.iter().sum::<f64>() * 1e3);
        found.set("cpu_ns", (cpu_time() - before - outside).as_nanos() as f64);
        latencies.sort_by(|a, b| a.partial_cmp(b).unwrap());
        found.set("p50_us", percentile(&latencies, 0.5));
        found.set("p99_us", percentile(&latencies, 0.99));
        true
    })
    .effort(Effort::Heavy)
}

pub fn list() -> Vec<Entry> {
    vec![
        entry("wake_latency_20us", 5000, Duration::from_micros(20), true),
        entry("wake_latency_500us", 1000, Duration::from_micros(500), false),
    ]
}
