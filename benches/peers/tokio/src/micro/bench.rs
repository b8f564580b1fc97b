//! The harness of the micro-benchmarks; the counterpart of benches/micro/bench.hpp and bench.cpp.
//! It measures in the same way, takes the same arguments and prints the same lines.
use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::process::exit;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// Where a benchmark runs; each becomes a prefix of its name.
pub const CT: u32 = 1;
pub const MT: u32 = 2;
pub const MT1: u32 = 4;
const PREFIXES: [(u32, &str); 3] = [(CT, "ct/"), (MT, "mt/"), (MT1, "mt1/")];

/// What one repetition has found, beside the time it took. A figure of its own has its unit at the
/// end of its name; `ns` and `cpu_ns` take the places of the time of the whole call.
#[derive(Default)]
pub struct Sample(Vec<(&'static str, f64)>);

impl Sample {
    pub fn set(&mut self, metric: &'static str, value: f64) {
        self.0.push((metric, value));
    }
}

/// How often a benchmark is repeated in one run of the program.
#[derive(PartialEq)]
pub enum Effort {
    /// Warm-ups and repetitions as the command line says.
    Repeated,
    /// Takes long: at most one warm-up, and one repetition.
    Heavy,
    /// Says itself what it measures: no warm-up, one repetition.
    Once,
}

pub struct Entry {
    pub name: &'static str,
    pub operations: u64,
    pub flavours: u32,
    pub effort: Effort,
    pub run: Box<dyn Fn(&Runtime, &mut Sample) -> bool>,
}

impl Entry {
    /// A benchmark on the current-thread runtime and with two workers.
    pub fn new(name: &'static str, operations: u64, run: impl Fn(&Runtime, &mut Sample) -> bool + 'static) -> Self {
        Entry { name, operations, flavours: CT | MT, effort: Effort::Repeated, run: Box::new(run) }
    }
    /// `rt.block_on(work())`
    pub fn blocked_on<F: Future<Output = bool>>(name: &'static str, operations: u64, work: impl Fn() -> F + 'static) -> Self {
        Entry::new(name, operations, move |rt, _| rt.block_on(work()))
    }
    /// The work runs in a task of its own.
    pub fn spawned<F: Future<Output = bool> + Send + 'static>(
        name: &'static str,
        operations: u64,
        work: impl Fn() -> F + 'static,
    ) -> Self {
        Entry::new(name, operations, move |rt, _| {
            let task = work();
            rt.block_on(async move { tokio::spawn(task).await.unwrap() })
        })
    }
    pub fn on(mut self, flavours: u32) -> Self {
        self.flavours = flavours;
        self
    }
    pub fn effort(mut self, effort: Effort) -> Self {
        self.effort = effort;
        self
    }
}

/// Joins all; true if all ended with a value.
pub async fn join_all(tasks: Vec<tokio::task::JoinHandle<()>>) -> bool {
    let mut right = true;
    for t in tasks {
        right &= t.await.is_ok();
    }
    right
}

/// CPU time of this process, all threads.
pub fn cpu_time() -> Duration {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

/// Resident memory of this process, in bytes.
pub fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// The value below which `share` of the sorted values lie.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    sorted[((share * sorted.len() as f64) as usize).min(sorted.len() - 1)]
}

struct Options {
    list: bool,
    exact: bool,
    light: bool,
    repetitions: usize,
    warmups: usize,
    patterns: Vec<String>,
}

impl Options {
    fn parse() -> Self {
        let mut out = Options { list: false, exact: false, light: false, repetitions: 15, warmups: 2, patterns: vec![] };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let mut number = || arguments.next().and_then(|n| n.parse().ok()).unwrap_or_else(|| usage());
            match name.as_str() {
                "--list" => out.list = true,
                "--exact" => out.exact = true,
                "--light" => out.light = true,
                "--reps" => out.repetitions = number(),
                "--warmup" => out.warmups = number(),
                other if other.starts_with('-') => usage(),
                pattern => out.patterns.push(pattern.to_string()),
            }
        }
        if out.repetitions == 0 {
            usage()
        }
        out
    }
    fn selects(&self, name: &str, e: &Entry) -> bool {
        if self.light && e.effort != Effort::Repeated {
            return false;
        }
        let matches = |p: &String| if self.exact { name == p } else { name.contains(p.as_str()) };
        self.patterns.is_empty() || self.patterns.iter().any(matches)
    }
}

fn usage() -> ! {
    eprintln!("usage: tokio_micro [--list] [--exact] [--light] [--reps N] [--warmup N] [PATTERN...]");
    exit(2)
}

fn make(flavour: u32) -> Runtime {
    match flavour {
        CT => Builder::new_current_thread().enable_all().build(),
        MT => Builder::new_multi_thread().worker_threads(2).enable_all().build(),
        _ => Builder::new_multi_thread().worker_threads(1).enable_all().build(),
    }
    .unwrap()
}

fn measure(name: &str, e: &Entry, flavour: u32, wanted: &Options) -> bool {
    let rt = make(flavour);
    let warmups = match e.effort {
        Effort::Once => 0,
        Effort::Heavy => wanted.warmups.min(1),
        Effort::Repeated => wanted.warmups,
    };
    let repetitions = if e.effort == Effort::Repeated { wanted.repetitions } else { 1 };
    let mut figures: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for i in 0..warmups + repetitions {
        let mut found = Sample::default();
        let cpu_before = cpu_time();
        let before = Instant::now();
        let right = (e.run)(&rt, &mut found);
        let mut values = BTreeMap::new();
        values.insert("ns", before.elapsed().as_nanos() as f64);
        values.insert("cpu_ns", (cpu_time() - cpu_before).as_nanos() as f64);
        if !right {
            println!("{{\"bench\":\"{name}\",\"error\":\"wrong result\"}}");
            return false;
        }
        if i < warmups {
            continue;
        }
        values.extend(found.0);
        for (metric, value) in values {
            if metric == "ns" || metric == "cpu_ns" {
                figures.entry(format!("{metric}_per_op")).or_default().push(value / e.operations as f64);
            } else {
                figures.entry(metric.to_string()).or_default().push(value);
            }
        }
    }
    let mut line = vec![];
    for (metric, values) in &mut figures {
        values.sort_by(|a, b| a.partial_cmp(b).unwrap());
        let (median, least, most) = (values[values.len() / 2], values[0], values[values.len() - 1]);
        line.push(format!("\"{metric}\":[{median:.2},{least:.2},{most:.2}]"));
    }
    println!(
        "{{\"bench\":\"{name}\",\"ops\":{},\"reps\":{repetitions},\"metrics\":{{{}}}}}",
        e.operations,
        line.join(",")
    );
    let _ = std::io::stdout().flush();
    true
}

pub fn main(entries: Vec<Entry>) {
    let wanted = Options::parse();
    let (mut any, mut all_right) = (false, true);
    for (flavour, prefix) in PREFIXES {
        for e in &entries {
            let name = format!("{prefix}{}", e.name);
            if e.flavours & flavour == 0 || !wanted.selects(&name, e) {
                continue;
            }
            any = true;
            if wanted.list {
                println!("{name}");
            } else {
                all_right &= measure(&name, e, flavour, &wanted);
            }
        }
    }
    if !any {
        eprintln!("no benchmark has such a name");
        exit(2);
    }
    exit(if all_right { 0 } else { 1 });
}
