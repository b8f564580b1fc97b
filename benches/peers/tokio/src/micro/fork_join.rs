//! Divide and conquer by spawn and await. The operations are calls: of fib(n), 2 fib(n + 1) - 1.
use crate::bench::{Effort, Entry, CT, MT, MT1};
use std::future::Future;
use std::pin::Pin;

fn fib(n: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if n < 2 {
            return n;
        }
        let h = tokio::spawn(fib(n - 1));
        let b = fib(n - 2).await;
        h.await.unwrap() + b
    })
}

fn skynet(number: u64, size: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if size == 1 {
            return number;
        }
        let tasks: Vec<_> = (0..10).map(|i| tokio::spawn(skynet(number + i * (size / 10), size / 10))).collect();
        let mut total = 0;
        for t in tasks {
            total += t.await.unwrap();
        }
        total
    })
}

fn fib_entry(name: &'static str, calls: u64, n: u64, expected: u64) -> Entry {
    Entry::blocked_on(name, calls, move || async move { tokio::spawn(fib(n)).await.unwrap() == expected })
}
fn skynet_entry(name: &'static str, tasks: u64, size: u64) -> Entry {
    Entry::blocked_on(name, tasks, move || async move {
        tokio::spawn(skynet(0, size)).await.unwrap() == size * (size - 1) / 2
    })
}

pub fn list() -> Vec<Entry> {
    vec![
        fib_entry("fib20_spawn", 21_891, 20, 6765).on(CT),
        fib_entry("fib25_spawn", 242_785, 25, 75_025),
        fib_entry("fib30_spawn", 2_692_537, 30, 832_040).on(CT | MT | MT1).effort(Effort::Heavy),
        skynet_entry("skynet_1e5", 111_111, 100_000),
        skynet_entry("skynet_1e6", 1_111_111, 1_000_000).on(CT | MT | MT1).effort(Effort::Heavy),
    ]
}
