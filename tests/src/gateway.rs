//! The built gateway as a child process, and the oracles that hold after every test.

use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::client::{Answer, Client, post};
use crate::config::Config;
use crate::rows::{self, Row};
use crate::temp::TempDir;
use crate::{CANARY, wait};

/// The program under test.
///
/// # Panics
/// It has not been built.
pub fn binary() -> PathBuf {
    // A test runs from `TARGET/PROFILE/deps`.
    let built = || std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("release/rhumb");
    let path = std::env::var_os("RHUMB_BIN").map_or_else(built, PathBuf::from);
    assert!(
        path.is_file(),
        "there is no `{}`: `make test` builds it first; to run these tests alone, `cargo build --release -p rhumb`, \
         or name a built one in RHUMB_BIN",
        path.display()
    );
    path
}

/// The `rhumb-lab` that stands beside [`binary`].
///
/// # Panics
/// It has not been built.
pub fn lab_binary() -> PathBuf {
    let path = binary().with_file_name("rhumb-lab");
    assert!(path.is_file(), "there is no `{}`: build it with `cargo build -p rhumb-lab-bin`", path.display());
    path
}

/// Runs another command of the program.
pub fn rhumb(args: &[&str]) -> Output {
    Command::new(binary()).args(args).output().unwrap()
}

/// A gateway that runs.
pub struct Gateway {
    child: Child,
    /// Where the data plane listens.
    pub address: SocketAddr,
    /// Where the admin API listens.
    pub admin: SocketAddr,
    stderr: Arc<Mutex<String>>,
    attention: Arc<Mutex<Attention>>,
    /// Gives the pipe back when it does not read on.
    pump: Option<JoinHandle<Option<Lines<BufReader<ChildStderr>>>>>,
    dir: TempDir,
    /// Rows that stood in the log before it started.
    earlier: usize,
}

/// A gateway that has stopped.
pub struct Stopped {
    /// The log.
    pub rows: Vec<Row>,
    /// What it said.
    pub stderr: String,
    dir: TempDir,
}

impl Stopped {
    /// Folder of the log.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

impl Config {
    /// Starts a gateway and waits until it serves and its first probes are over.
    pub fn start(&self) -> Gateway {
        self.start_with(TempDir::new())
    }

    /// The same, on the log that an earlier gateway left.
    pub fn start_in(&self, earlier: Stopped) -> Gateway {
        self.start_with(earlier.dir)
    }

    /// The same, on a copy of a log.
    pub fn start_on(&self, log: &Path) -> Gateway {
        let dir = TempDir::new();
        std::fs::create_dir_all(dir.path().join("data")).unwrap();
        std::fs::copy(log, dir.path().join("data/rhumb.db")).unwrap();
        self.start_with(dir)
    }

    fn start_with(&self, dir: TempDir) -> Gateway {
        let (file, data) = (dir.path().join("rhumb.yaml"), dir.path().join("data"));
        let earlier = if data.exists() { rows::count(&data) } else { 0 };
        std::fs::write(&file, self.yaml(&data)).unwrap();
        let mut command = if self.limits.is_empty() {
            Command::new(binary())
        } else {
            let limits: String = self.limits.iter().map(|limit| format!("ulimit {limit} && ")).collect();
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("{limits} exec \"$0\" \"$@\"")]).arg(binary());
            shell
        };
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let mut child = command.arg("up").arg("-c").arg(&file).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = Arc::new(Mutex::new(String::new()));
        let attention = Arc::new(Mutex::new(Attention::Reads));
        let pump = Some(listen(&mut child, &stderr, &attention));
        let (address, admin) = wait::until("the gateway serves", || {
            let said = stderr.lock().unwrap().clone();
            assert!(child.try_wait().unwrap().is_none(), "the gateway did not start: {said}");
            let after = |word: &str| said.split(word).nth(1)?.split(['/', '\n', ' ']).next()?.parse().ok();
            let either = |words: [&str; 2]| words.iter().find_map(|word| after(word));
            let admin = either(["admin API at http://", "admin API at https://"])?;
            Some((either(["serving http://", "serving https://"])?, admin))
        });
        let gateway = Gateway { child, address, admin, stderr, attention, pump, dir, earlier };
        // The first probe and the first scrape of each, so that no connection of theirs comes later.
        for e in self.endpoints.iter().filter(|e| e.open) {
            let series = |metric: &str| format!("rhumb_endpoint_{metric}{{endpoint=\"{}\"}}", e.name);
            let (rtt, load) = (series("rtt_seconds"), series("running"));
            wait::until_true("the first readings are in", || {
                let page = gateway.metrics();
                page.contains(&rtt) && page.contains(&load)
            });
        }
        gateway
    }
}

/// What the test does with the gateway's standard error stream after the next line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    /// Reads it.
    Reads,
    /// Keeps it open and reads nothing.
    Ignores,
    /// Closes it.
    HangsUp,
}

/// Collects what the gateway says; the thread ends with the pipe, or when the test pays no more attention.
fn listen(
    child: &mut Child,
    said: &Arc<Mutex<String>>,
    attention: &Arc<Mutex<Attention>>,
) -> JoinHandle<Option<Lines<BufReader<ChildStderr>>>> {
    let (pipe, said, attention) = (child.stderr.take().unwrap(), Arc::clone(said), Arc::clone(attention));
    std::thread::spawn(move || {
        let mut lines = BufReader::new(pipe).lines();
        while let Some(Ok(line)) = lines.next() {
            let mut said = said.lock().unwrap();
            said.push_str(&line);
            said.push('\n');
            match *attention.lock().unwrap() {
                Attention::Reads => {}
                Attention::Ignores => return Some(lines),
                Attention::HangsUp => return None,
            }
        }
        None
    })
}

impl Gateway {
    /// A new connection to it.
    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Posts JSON on a connection of its own.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.client().exchange(&post(path, "connection: close\r\n", body.to_string().as_bytes()))
    }

    /// Posts a chat request.
    pub fn chat(&self, body: &Value) -> Answer {
        self.post("/v1/chat/completions", body)
    }

    /// Asks the admin API.
    pub fn ask_admin(&self, path: &str) -> Answer {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.admin);
        Client::connect(self.admin).exchange(request.as_bytes())
    }

    /// The metrics page.
    pub fn metrics(&self) -> String {
        self.ask_admin("/metrics").text()
    }

    /// The value of a series, written with its labels.
    pub fn metric(&self, series: &str) -> f64 {
        sample(&self.metrics(), series)
    }

    /// One endpoint's value of a metric.
    pub fn of_endpoint(&self, metric: &str, endpoint: &str) -> f64 {
        self.metric(&format!("rhumb_endpoint_{metric}{{endpoint=\"{endpoint}\"}}"))
    }

    /// Changes what is done with what it says, from after the next line on.
    pub fn pay(&self, attention: Attention) {
        *self.attention.lock().unwrap() = attention;
    }

    /// Lets its files grow to so many bytes; `unlimited` is as far as the system lets them.
    pub fn limit_files(&self, most: &str) {
        let done = Command::new("prlimit")
            .args(["--pid", &self.child.id().to_string(), &format!("--fsize={most}:")])
            .status()
            .unwrap();
        assert!(done.success());
    }

    /// The number of its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Memory it has now, in bytes.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// Address space that it has mapped, in bytes.
    pub fn mapped(&self) -> u64 {
        self.status("VmSize:")
    }

    /// Most memory it has had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix(field)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Time of a processor that it has taken, in seconds.
    pub fn processor_s(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // Fields 14 and 15 of proc(5), in the hundredths of a second that Linux shows; the second field ends with `)`.
        let fields = stat.rsplit(')').next().unwrap().split_whitespace();
        fields.skip(11).take(2).map(|t| t.parse::<f64>().unwrap()).sum::<f64>() / 100.0
    }

    /// Lets it open no descriptor from this number on; those that are open stay.
    pub fn limit_descriptors(&self, most: u32) {
        let done = Command::new("prlimit")
            .args(["--pid", &self.child.id().to_string(), &format!("--nofile={most}:")])
            .status()
            .unwrap();
        assert!(done.success());
    }

    /// Files and sockets that it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Folder of the log.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The status of a health path, on the data plane and on the admin API, each on a connection of its own.
    pub fn health(&self, path: &str) -> (u16, u16) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: grid\r\nconnection: close\r\n\r\n");
        let of = |address| Client::connect(address).exchange(request.as_bytes()).status;
        (of(self.address), of(self.admin))
    }

    /// Waits until every request has ended.
    pub fn await_rest(&self) {
        wait::until_true("nothing is in progress", || {
            let page = self.metrics();
            let is_of_requests = |l: &&str| {
                ["rhumb_endpoint_in_flight{", "rhumb_queue_length{", "rhumb_requests_in_progress "]
                    .iter()
                    .any(|series| l.starts_with(series))
            };
            page.lines().filter(is_of_requests).all(|l| value(l) == 0.0)
        });
    }

    /// The file of its configuration.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("rhumb.yaml")
    }

    /// What a configuration says when it is this gateway's.
    pub fn text_of(&self, config: &Config) -> String {
        config.yaml(&self.data_dir())
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// Asks it to end, as a service manager does.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Waits until it has ended by itself.
    pub fn await_exit(mut self) -> Stopped {
        let status: ExitStatus = wait::until("the gateway ends", || self.child.try_wait().unwrap());
        let stopped = self.stopped();
        assert_eq!(status.code(), Some(0), "{}", stopped.stderr);
        stopped
    }

    /// Stops it once nothing is in flight, and holds the log to agree with the metrics: one row for each accepted
    /// request, the same tokens, no money below zero, and the canary nowhere.
    pub fn stop(self) -> Stopped {
        let (page, earlier) = (self.last_page(), self.earlier);
        let stopped = self.await_exit();
        rows::Totals::of(&stopped.rows[earlier..]).agree_with(&page);
        stopped
    }

    /// The same for a log too long to be kept in memory, that no earlier gateway began.
    pub fn stop_counted(mut self) -> rows::Totals {
        let page = self.last_page();
        let status: ExitStatus = wait::until("the gateway ends", || self.child.try_wait().unwrap());
        assert_eq!(status.code(), Some(0), "{}", self.said());
        assert!(!self.said().contains(CANARY) && !self.said().contains("panicked"), "{}", self.said());
        let totals = rows::Totals::read(&self.data_dir());
        totals.agree_with(&page);
        totals
    }

    /// The metrics once nothing is in flight; it is asked to end.
    fn last_page(&self) -> String {
        self.await_rest();
        let page = self.metrics();
        assert!(!page.contains(CANARY), "{page}");
        self.terminate();
        page
    }

    /// Kills it: it gets no chance to write anything.
    pub fn kill(mut self) -> Stopped {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.stopped()
    }

    fn stopped(mut self) -> Stopped {
        drop(self.pump.take().unwrap().join().unwrap());
        let dir = std::mem::take(&mut self.dir);
        let stderr = self.stderr.lock().unwrap().clone();
        let data = dir.path().join("data");
        assert!(!stderr.contains(CANARY) && !stderr.contains("panicked"), "{stderr}");
        let rows = rows::read(&data);
        assert!(!holds(&data, CANARY), "the canary is in the log");
        Stopped { rows, stderr, dir }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of the folder holds the text.
fn holds(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(text.len()).any(|w| w == text.as_bytes())
    })
}

pub(crate) fn value(line: &str) -> f64 {
    line.split_whitespace().nth(1).and_then(|v| v.parse().ok()).unwrap()
}

pub(crate) fn sample(page: &str, series: &str) -> f64 {
    let line = page.lines().find(|l| l.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    line.map(value).unwrap_or_else(|| panic!("no `{series}` in {page}"))
}
