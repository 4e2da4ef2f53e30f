//! A scripted engine on a raw socket, in threads of its own, that counts what reaches it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use socket2::{Domain, Socket, Type};

use crate::connection::{Turn, serve};
use crate::script::{Script, Step};
use crate::{MODEL, wait};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `GET` or `POST`, as written.
    pub method: String,
    /// The request target, as written.
    pub path: String,
    /// Header names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Seen {
    /// The value of a header; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What the threads of a mock have in common.
pub(crate) struct Inside {
    pub(crate) name: String,
    pub(crate) script: Mutex<Script>,
    pub(crate) once: Mutex<Vec<Script>>,
    /// What is done with requests that hold a text, whatever the others get.
    pub(crate) when: Mutex<Option<(String, Script)>>,
    pub(crate) seen: Mutex<Vec<Seen>>,
    pub(crate) probes: Mutex<Vec<String>>,
    /// What it says of its load; nothing: the truth.
    pub(crate) load: Mutex<Option<String>>,
    /// Requests for its list of models.
    pub(crate) probed: Mutex<Vec<Seen>>,
    /// Status and body of its list of models.
    pub(crate) models: Mutex<(u16, String)>,
    pub(crate) running: AtomicUsize,
    pub(crate) accepted: AtomicUsize,
    pub(crate) tokens: AtomicUsize,
    pub(crate) answered: AtomicU64,
    pub(crate) usage: Mutex<(u64, u64)>,
    pub(crate) cancels: AtomicUsize,
    pub(crate) held_up: AtomicUsize,
    pub(crate) gate: (Mutex<bool>, Condvar),
    pub(crate) forgets: AtomicBool,
    closed: AtomicBool,
    standing: Mutex<BTreeMap<usize, TcpStream>>,
}

/// One engine.
pub struct Mock {
    address: SocketAddr,
    inside: Arc<Inside>,
    accepting: Option<JoinHandle<()>>,
    /// Holds the port, so that nobody else answers there when it is closed.
    _reserved: Socket,
}

pub(crate) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap()
}

/// A socket on an address that it may share with others of ours.
fn bound(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

impl Mock {
    /// Starts one.
    pub fn start(name: &str, script: Script) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), name, script)
    }

    /// Starts one at an address; port 0 is any.
    pub fn start_at(address: SocketAddr, name: &str, script: Script) -> Self {
        let listener = bound(address);
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        // Bound but not listening: once the listener is gone, connections are refused, and the port is nobody else's.
        let reserved = bound(address);
        // Hundreds of connections may come at once; a shorter backlog would refuse some.
        listener.listen(2_048).unwrap();
        let listener = TcpListener::from(listener);
        let inside = Arc::new(Inside {
            name: name.to_owned(),
            script: Mutex::new(script),
            once: Mutex::default(),
            when: Mutex::default(),
            seen: Mutex::default(),
            probes: Mutex::default(),
            load: Mutex::new(Some(page("0", "0", "0.0"))),
            probed: Mutex::default(),
            models: Mutex::new((200, format!("{{\"data\":[{{\"id\":\"{MODEL}\"}}]}}"))),
            running: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
            tokens: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            usage: Mutex::default(),
            cancels: AtomicUsize::new(0),
            held_up: AtomicUsize::new(0),
            gate: (Mutex::new(false), Condvar::new()),
            forgets: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            standing: Mutex::default(),
        });
        let shared = Arc::clone(&inside);
        let accepting = std::thread::spawn(move || accept(&listener, &shared));
        Self { address, inside, accepting: Some(accepting), _reserved: reserved }
    }

    /// One that answers well, with so many tokens.
    pub fn answering(name: &str, tokens: usize) -> Self {
        Self::start(name, vec![Step::Answer(tokens)])
    }

    /// Its name, which is also that of the endpoint.
    pub fn name(&self) -> &str {
        &self.inside.name
    }

    /// `http://HOST:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Keeps no more of the requests from now on: there will be many.
    pub fn forget(&self) {
        self.inside.forgets.store(true, Ordering::SeqCst);
    }

    /// True until [`Self::close`].
    pub fn is_open(&self) -> bool {
        self.accepting.is_some()
    }

    /// Changes what it does with the requests to come.
    pub fn set(&self, script: Script) {
        *lock(&self.inside.script) = script;
    }

    /// What it says of its load from now on: requests running, waiting, and the share of its KV cache in use, as written.
    pub fn report(&self, running: &str, waiting: &str, kv_use: &str) {
        *lock(&self.inside.load) = Some(page(running, waiting, kv_use));
    }

    /// It tells the truth about its load from now on; until then it says that it has nothing to do.
    pub fn report_truly(&self) {
        *lock(&self.inside.load) = None;
    }

    /// Does this once, with the next request.
    pub fn once(&self, script: Script) {
        lock(&self.inside.once).push(script);
    }

    /// Does this with every request that holds the text.
    pub fn when(&self, text: &str, script: Script) {
        *lock(&self.inside.when) = Some((text.to_owned(), script));
    }

    /// Lets every [`Step::Gate`] pass, now and from now on.
    pub fn release(&self) {
        *lock(&self.inside.gate.0) = true;
        self.inside.gate.1.notify_all();
    }

    /// Refuses connections from now on and drops those that stand.
    pub fn close(&mut self) {
        self.shut();
    }

    fn shut(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        self.inside.closed.store(true, Ordering::SeqCst);
        self.release();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        accepting.join().unwrap();
        lock(&self.inside.standing).values().for_each(|s| {
            let _ = s.shutdown(Shutdown::Both);
        });
        wait::until_true("the mock's connections end", || lock(&self.inside.standing).is_empty());
    }

    /// Requests other than probes, in the order they came.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.inside.seen).clone()
    }

    /// How many of them.
    pub fn requests(&self) -> usize {
        lock(&self.inside.seen).len()
    }

    /// Its page of metrics from now on.
    pub fn report_page(&self, page: &str) {
        *lock(&self.inside.load) = Some(page.to_owned());
    }

    /// How it answers from now on when it is asked for its models.
    pub fn list(&self, status: u16, body: &str) {
        *lock(&self.inside.models) = (status, body.to_owned());
    }

    /// Requests for its models.
    pub fn listings(&self) -> Vec<Seen> {
        lock(&self.inside.probed).clone()
    }

    /// Paths of the gateway's own probes and scrapes.
    pub fn probes(&self) -> Vec<String> {
        lock(&self.inside.probes).clone()
    }

    /// Connections taken.
    pub fn accepted(&self) -> usize {
        self.inside.accepted.load(Ordering::SeqCst)
    }

    /// Tokens of streams written so far.
    pub fn tokens(&self) -> usize {
        self.inside.tokens.load(Ordering::SeqCst)
    }

    /// Requests answered whole, and the prompt and completion tokens that their answers stated.
    pub fn answered(&self) -> (u64, (u64, u64)) {
        (self.inside.answered.load(Ordering::SeqCst), *lock(&self.inside.usage))
    }

    /// Requests whose other side went away before the script was done.
    pub fn cancels(&self) -> usize {
        self.inside.cancels.load(Ordering::SeqCst)
    }

    /// Waits until so many floods were held up because the other side did not read on.
    ///
    /// # Panics
    /// They were not.
    pub fn await_held_up(&self, count: usize) {
        let held_up = || self.inside.held_up.load(Ordering::SeqCst);
        wait::until_true(&format!("`{}` is held up {count} times", self.name()), || held_up() >= count);
    }

    /// Waits until so many requests were cancelled, and holds that there were no more.
    ///
    /// # Panics
    /// They were not.
    pub fn await_cancels(&self, count: usize) {
        wait::until_true(&format!("`{}` sees {count} cancels", self.name()), || self.cancels() >= count);
        assert_eq!(self.cancels(), count, "cancels seen by `{}`", self.name());
    }

    /// Waits until so many requests have come.
    pub fn await_requests(&self, count: usize) {
        wait::until_true(&format!("`{}` has {count} requests", self.name()), || self.requests() >= count);
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.shut();
        }
    }
}

pub(crate) fn page(running: &str, waiting: &str, kv_use: &str) -> String {
    format!(
        "vllm:num_requests_running {running}\nvllm:num_requests_waiting {waiting}\nvllm:kv_cache_usage_perc {kv_use}\n"
    )
}

fn accept(listener: &TcpListener, inside: &Arc<Inside>) {
    for number in 0.. {
        let Ok((stream, _)) = listener.accept() else { return };
        if inside.closed.load(Ordering::SeqCst) {
            return;
        }
        inside.accepted.fetch_add(1, Ordering::SeqCst);
        stream.set_nodelay(true).unwrap();
        lock(&inside.standing).insert(number, stream.try_clone().unwrap());
        let inside = Arc::clone(inside);
        std::thread::spawn(move || {
            let turn = serve(&inside, &stream);
            if turn == Turn::Reset {
                // The other handle keeps the socket open: both must be gone for the RST to be sent.
                let _ = socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO));
            } else {
                let _ = (&stream).flush();
                let _ = stream.shutdown(Shutdown::Both);
            }
            drop(stream);
            lock(&inside.standing).remove(&number);
        });
    }
}
