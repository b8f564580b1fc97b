//! Tokio's side of the micro-benchmarks: the names and workloads of benches/micro, file by file.
mod bench;
mod blocking;
mod channels;
mod fork_join;
mod locks;
mod many;
mod tasks;
mod timers;
mod wake;

fn main() {
    let mut entries = vec![];
    for list in [blocking::list, channels::list, fork_join::list, locks::list, many::list, tasks::list, timers::list, wake::list] {
        entries.extend(list());
    }
    bench::main(entries);
}
