//! A small server that answers as Hugging Face's hub does, and can be made to fail as networks and hubs do.
//!
//! Small files it sends itself, after a redirect within it; large ones (`.safetensors`) lie elsewhere, as on the real one: the
//! hub says their SHA-256 and redirects to `/elsewhere/…` under another host name, where a token must never arrive.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// A model's files by their names.
pub type Files = BTreeMap<String, Vec<u8>>;

/// How the server fails.
#[derive(Clone, Default)]
pub enum Fault {
    /// Not at all.
    #[default]
    None,
    /// It sends so many bytes of a file and hangs up.
    Cut(&'static str, usize),
    /// It sends other bytes of a file than it should.
    Wrong(&'static str),
    /// It answers everything with a status and the hub's code for why.
    Status(u16, &'static str),
}

/// The server, with one model, `org/tiny`, which was called `tiny` before.
pub struct Hub {
    pub endpoint: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    port: u16,
    files: Files,
    fault: Fault,
    /// Who may see the model, if not everyone.
    token: Option<&'static str>,
    /// Every request so far, as `GET /path [Range]`.
    asked: Vec<String>,
    /// How many bytes of files were sent.
    sent: usize,
}

impl Hub {
    pub fn new(files: Files) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { port, files, ..State::default() }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&shared);
                // Who is answered may hang up.
                thread::spawn(move || stream.and_then(|stream| answer(&state, stream)));
            }
        });
        Self { endpoint: format!("http://127.0.0.1:{port}"), state }
    }

    pub fn fail(&self, fault: Fault) {
        self.state.lock().unwrap().fault = fault;
    }

    pub fn only_with(&self, token: &'static str) {
        self.state.lock().unwrap().token = Some(token);
    }

    pub fn put(&self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.state.lock().unwrap().files.insert(name.to_owned(), bytes.into());
    }

    /// What was asked since this was asked last, and how many bytes of files were sent.
    pub fn news(&self) -> (Vec<String>, usize) {
        let mut state = self.state.lock().unwrap();
        (std::mem::take(&mut state.asked), std::mem::take(&mut state.sent))
    }
}

impl State {
    /// The hash of what there is.
    fn commit(&self) -> String {
        hex(&Sha1::digest(format!("{:?}", self.files)))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a request and answers it; each connection is for one.
fn answer(state: &Mutex<State>, mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let lines = lines.map_while(|line| line.ok().filter(|line| !line.is_empty()));
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())))
        .collect();
    let [method, path] = [0, 1].map(|i| first.split(' ').nth(i).unwrap_or_default());
    let range = headers.get("range").map_or(String::new(), |range| format!(" {range}"));
    let mut state = state.lock().unwrap();
    state.asked.push(format!("{method} {path}{range}"));
    let token = headers.get("authorization").map(|words| words.trim_start_matches("Bearer "));
    let (status, more, body) = state.response(path, token, headers.get("range").map(String::as_str));
    let mut head = format!("HTTP/1.1 {status} -\r\nConnection: close\r\nContent-Length: {}\r\n", body.bytes.len());
    more.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    let send = if method == "HEAD" { 0 } else { body.until };
    if body.is_file {
        state.sent += send;
    }
    drop(state);
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(&body.bytes[..send])
}

#[derive(Default)]
struct Sent {
    bytes: Vec<u8>,
    /// After how many of them the server hangs up.
    until: usize,
    is_file: bool,
}

type Response = (u16, Vec<(&'static str, String)>, Sent);

impl State {
    fn response(&self, path: &str, token: Option<&str>, range: Option<&str>) -> Response {
        let no = |status, code: &str| (status, vec![("X-Error-Code", code.to_owned())], Sent::default());
        if let Fault::Status(status, code) = self.fault {
            return no(status, code);
        }
        if let Some(name) = path.strip_prefix("/elsewhere/") {
            return if token.is_some() { no(400, "TokenWhereItDoesNotBelong") } else { self.file(name, range) };
        }
        if self.token.is_some() && self.token != token {
            return no(401, "RepoNotFound");
        }
        let commit = self.commit();
        for api in ["/api/models/", "/"] {
            if let Some(rest) = path.strip_prefix(&format!("{api}tiny/")) {
                return (307, vec![("Location", format!("{api}org/tiny/{rest}"))], Sent::default());
            }
        }
        if let Some(revision) = path.strip_prefix("/api/models/org/tiny/revision/") {
            if !["main", "refs%2Fpr%2F1", &commit].contains(&revision) {
                return no(404, "RevisionNotFound");
            }
            let siblings: Vec<_> = self.files.keys().map(|name| serde_json::json!({"rfilename": name})).collect();
            let bytes = serde_json::json!({"sha": commit, "siblings": siblings}).to_string().into_bytes();
            return (200, Vec::new(), Sent { until: bytes.len(), bytes, is_file: false });
        }
        if let Some(name) = path.strip_prefix(&format!("/api/resolve-cache/org/tiny/{commit}/")) {
            return self.file(name, range);
        }
        let Some(name) = path.strip_prefix(&format!("/org/tiny/resolve/{commit}/")) else {
            return no(404, "RepoNotFound");
        };
        let Some(bytes) = self.files.get(name) else { return no(404, "EntryNotFound") };
        let mut headers = vec![("X-Repo-Commit", commit.clone())];
        if name.ends_with(".safetensors") {
            headers.push(("Location", format!("http://localhost:{}/elsewhere/{name}", self.port)));
            headers.push(("X-Linked-Etag", format!("\"{}\"", hex(&Sha256::digest(bytes)))));
            headers.push(("X-Linked-Size", bytes.len().to_string()));
        } else {
            headers.push(("Location", format!("/api/resolve-cache/org/tiny/{commit}/{name}")));
        }
        (307, headers, Sent::default())
    }

    /// A file, or the rest of one.
    fn file(&self, name: &str, range: Option<&str>) -> Response {
        let Some(mut bytes) = self.files.get(name).cloned() else { return (404, Vec::new(), Sent::default()) };
        let git = [format!("blob {}\0", bytes.len()).as_bytes(), &bytes].concat();
        let headers = vec![("ETag", format!("W/\"{}\"", hex(&Sha1::digest(git))))];
        let size = bytes.len();
        if let Fault::Wrong(wrong) = self.fault
            && wrong == name
        {
            bytes[size / 2] ^= 1;
        }
        let from = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let (status, from) = from.map_or((200, 0), |from: usize| (206, from));
        let bytes = bytes.split_off(from);
        let until = match self.fault {
            Fault::Cut(cut, until) if cut == name => until.min(bytes.len()),
            _ => bytes.len(),
        };
        (status, headers, Sent { bytes, until, is_file: true })
    }
}
