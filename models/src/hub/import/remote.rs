//! The hub itself: what it says of a model and of a file, and the bytes.
//!
//! A small file the hub sends itself, with git's checksum as its `ETag`. A large one it keeps elsewhere: it says
//! `X-Linked-Etag`, the file's SHA-256, and redirects. So the hub is first asked about a file (`HEAD`, without following it
//! elsewhere) and then for it; the user's token goes to the hub alone. `Range` asks for the rest of a file of which some
//! is there.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::{HeaderMap, Response, Uri};
use ureq::typestate::WithoutBody;
use ureq::{Agent, Body, RequestBuilder};

use super::cache::is_checksum;
use super::{Event, Hub};
use crate::error::{Error, Result};

/// Why the hub did not answer as hoped.
pub(super) enum Failure {
    /// It is not there, or not able to answer.
    Away(String),
    /// It will not.
    No(String),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Away(why) => Self::Hub(format!("{why}: try again; what has come so far is kept")),
            Failure::No(why) => Self::Hub(why),
        }
    }
}

/// An answer of the hub, or why there is none.
type Answer<T> = std::result::Result<T, Failure>;

/// What the hub says of a model.
pub(super) struct Info {
    /// The commit that the revision is at.
    pub(super) commit: String,
    /// Its files.
    pub(super) files: BTreeSet<String>,
}

/// What the hub says of a file.
pub(super) struct Said {
    pub(super) checksum: String,
    pub(super) size: u64,
    /// Where at the hub it is.
    address: String,
}

/// The hub, asked for one model.
pub(super) struct Remote<'a> {
    hub: &'a Hub,
    name: &'a str,
    revision: &'a str,
    agent: Agent,
}

/// Redirects within the hub, as of a model that was renamed.
const REDIRECTS: usize = 5;

impl<'a> Remote<'a> {
    pub(super) fn new(hub: &'a Hub, name: &'a str, revision: &'a str) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("pretext/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity") // sizes and checksums are of the files as they are
            .timeout_connect(Some(Duration::from_secs(15)))
            .timeout_per_read(Some(Duration::from_secs(60)))
            .build();
        Self { hub, name, revision, agent: agent.into() }
    }

    /// What the model has, and which commit the revision is.
    pub(super) fn info(&self) -> Answer<Info> {
        #[derive(Deserialize)]
        struct Repository {
            sha: String,
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let revision = self.revision.replace('/', "%2F");
        let address = format!("{}/api/models/{}/revision/{revision}", self.hub.endpoint, self.name);
        let (_, answer) = self.ask(address, |agent, address| agent.get(address))?;
        let Repository { sha, siblings } = serde_json::from_reader(answer.into_body().into_reader().take(1 << 26))
            .map_err(|error| self.strange(error))?;
        if !is_checksum(&sha) {
            return Err(self.strange(format!("{sha:?} is no commit")));
        }
        Ok(Info { commit: sha, files: siblings.into_iter().map(|sibling| sibling.rfilename).collect() })
    }

    /// What the hub says of a file.
    pub(super) fn head(&self, commit: &str, file: &str) -> Answer<Said> {
        let address = format!("{}/{}/resolve/{commit}/{file}", self.hub.endpoint, self.name);
        let (address, answer) = self.ask(address, |agent, address| agent.head(address))?;
        let says = |names: [&str; 2]| names.into_iter().find_map(|name| text(answer.headers(), name));
        let checksum = says(["x-linked-etag", "etag"]).unwrap_or_default();
        let checksum = checksum.trim_start_matches("W/").trim_matches('"').to_owned();
        let size = says(["x-linked-size", "content-length"]).and_then(|size| size.parse().ok());
        match size {
            Some(size) if is_checksum(&checksum) => Ok(Said { checksum, size, address }),
            _ => Err(self.strange(format!("no checksum and size of {file}"))),
        }
    }

    /// Fetches what `into` does not have yet of a file.
    pub(super) fn download(
        &self,
        name: &str,
        said: &Said,
        into: &mut File,
        path: &Path,
        tell: &mut dyn FnMut(Event),
    ) -> Result<()> {
        let io = |error: io::Error| Error::io(path, "write", &error);
        let size = said.size;
        let mut done = into.seek(SeekFrom::End(0)).map_err(io)?;
        if done > size {
            into.set_len(0).map_err(io)?;
            done = 0;
        }
        let mut tell = |done| tell(Event::Bytes { name, done, size });
        tell(done);
        if done == size {
            return Ok(());
        }
        let request = self.with_token(self.agent.get(&said.address)).header("Range", format!("bytes={done}-"));
        let answer = request.call().map_err(|error| self.away(error))?;
        match answer.status().as_u16() {
            206 => {}
            200 => {
                into.set_len(0).map_err(io)?; // all of it comes, from the beginning
                done = 0;
            }
            _ => return Err(self.refusal(&answer).into()),
        }
        let mut body = answer.into_body().into_reader().take(size - done);
        let mut buffer = vec![0; 1 << 16];
        while done < size {
            let n = match body.read(&mut buffer) {
                Ok(0) => return Err(self.broken(name, done, size, "it ended")),
                Ok(n) => n,
                Err(error) => return Err(self.broken(name, done, size, error)),
            };
            into.write_all(&buffer[..n]).map_err(io)?;
            done += n as u64;
            tell(done);
        }
        Ok(())
    }

    /// The answer to a request, and the address that gave it after redirects within the hub.
    fn ask(
        &self,
        mut address: String,
        request: impl Fn(&Agent, &str) -> RequestBuilder<WithoutBody>,
    ) -> Answer<(String, Response<Body>)> {
        for _ in 0..REDIRECTS {
            let request = self.with_token(request(&self.agent, &address)).config().max_redirects(0).build();
            let answer = request.call().map_err(|error| self.away(error))?;
            let status = answer.status();
            let elsewhere = text(answer.headers(), "location").filter(|_| status.is_redirection());
            match elsewhere.filter(|place| place.starts_with('/') && !place.starts_with("//")) {
                Some(place) => address = origin(&address) + &place,
                None if status.is_success() || status.is_redirection() => return Ok((address, answer)),
                None => return Err(self.refusal(&answer)),
            }
        }
        Err(self.strange("redirects without end"))
    }

    fn with_token(&self, request: RequestBuilder<WithoutBody>) -> RequestBuilder<WithoutBody> {
        match &self.hub.token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    fn away(&self, error: ureq::Error) -> Failure {
        Failure::Away(format!("cannot reach {} ({})", self.hub.shown(), error.into_io()))
    }

    fn strange(&self, what: impl std::fmt::Display) -> Failure {
        Failure::No(format!("{} does not answer as the hub does ({what}): check HF_ENDPOINT", self.hub.shown()))
    }

    fn broken(&self, file: &str, done: u64, size: u64, why: impl std::fmt::Display) -> Error {
        let what = format!("{file}: the connection broke after {done} of {size} bytes ({why})");
        Error::Hub(format!("{what}: import {} again, and it goes on from there", self.name))
    }

    /// The sentence for an answer that is none.
    fn refusal(&self, answer: &Response<Body>) -> Failure {
        let Self { hub: Hub { token, .. }, name, revision, .. } = self;
        let endpoint = self.hub.shown();
        let code = text(answer.headers(), "x-error-code").unwrap_or_default();
        let token = match token {
            Some(_) => "the token that was sent does not open it",
            None => "set HF_TOKEN to a token that may read it",
        };
        Failure::No(match (answer.status().as_u16(), code.as_str()) {
            (_, "RevisionNotFound") => format!("{name} has no revision {revision}: see its page, {endpoint}/{name}"),
            (_, "GatedRepo") | (403, _) => {
                format!("{name} is only for those whom its owner lets in: ask for it at {endpoint}/{name}; {token}")
            }
            (401 | 404, _) => {
                format!("{endpoint} has no model {name}, or it is private: check the name; if it is right, {token}")
            }
            (status @ (429 | 500..), _) => {
                return Failure::Away(format!("{endpoint} cannot answer now (status {status})"));
            }
            (status, _) => format!("{endpoint} refuses {name} with status {status}: check HF_ENDPOINT"),
        })
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// The beginning of an address, to which a path is added.
fn origin(address: &str) -> String {
    let uri: Uri = address.parse().unwrap_or_default();
    format!("{}://{}", uri.scheme_str().unwrap_or("https"), uri.authority().map_or("", |authority| authority.as_str()))
}
