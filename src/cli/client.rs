//! Asks the daemon over its socket: HTTP/1, one question a connection.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::Path;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::exit::{Code, Trouble};
use crate::api::socket;
use crate::config::Config;

/// A daemon that can be asked.
pub struct Client<'a> {
    config: &'a Config,
    runtime: tokio::runtime::Runtime,
}

impl<'a> Client<'a> {
    /// A client for the daemon of this config.
    pub fn new(config: &'a Config) -> Result<Self, Trouble> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Trouble::io("cannot start the runtime", &error, Code::Internal))?;
        Ok(Self { config, runtime })
    }

    /// Asks for something.
    pub fn get(&self, path: &str) -> Result<Value, Trouble> {
        self.runtime.block_on(self.fetch(path))
    }

    /// The same for those who do something else meanwhile.
    pub async fn fetch(&self, path: &str) -> Result<Value, Trouble> {
        self.ask(Method::GET, path, None).await
    }

    /// Does something that asks.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Wishes something.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Trouble> {
        self.runtime.block_on(self.ask(Method::POST, path, Some(body)))
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Trouble> {
        let stream = socket::connect(&self.config.state)
            .await
            .map_err(|error| self.unreachable(&error))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "reelmill")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.map(Value::to_string).unwrap_or_default())))
            .map_err(|error| Trouble::new(Code::Internal, format!("cannot ask for {path}: {error}")))?;
        let broken =
            |error: hyper::Error| Trouble::new(Code::Temporary, format!("the daemon broke off its answer: {error}"));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let exchange = async move {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            Ok::<_, hyper::Error>((status, answer.into_body().collect().await?.to_bytes()))
        };
        let (answer, _) = tokio::join!(exchange, connection);
        let (status, bytes) = answer.map_err(broken)?;
        read(status, &bytes)
    }

    /// What would help somebody who may not use the socket.
    fn who_may(&self) -> String {
        use std::os::unix::fs::MetadataExt as _;
        match std::fs::metadata(socket::path(&self.config.state)) {
            Ok(about) => format!(
                "it belongs to the group {}: ask to be put into that group, or use sudo",
                named("/etc/group", about.gid())
            ),
            Err(_) => format!(
                "{} is closed to you: ask to be put into the group that owns it, or use sudo",
                self.config.state.display()
            ),
        }
    }

    fn unreachable(&self, error: &std::io::Error) -> Trouble {
        let socket = socket::path(&self.config.state);
        let socket = socket.display();
        match error.kind() {
            ErrorKind::PermissionDenied => {
                Trouble::new(Code::Permission, format!("you may not talk to the daemon at {socket}"))
                    .help(self.who_may())
            }
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Trouble::new(
                Code::Unavailable,
                format!("the daemon is not running: nobody listens at {socket}"),
            )
            .help(format!(
                "start it: reelmill run --config {}\nor name the config of the one that runs: --config FILE",
                shell_word(&self.config.file)
            )),
            _ => Trouble::new(
                Code::Unavailable,
                format!("cannot talk to the daemon at {socket}: {error}"),
            ),
        }
    }
}

/// The name that a list of accounts has for a number, or the number.
fn named(list: &str, number: u32) -> String {
    let text = std::fs::read_to_string(list).unwrap_or_default();
    let name = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number.to_string()).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| number.to_string())
}

/// A path as one word for a shell.
fn shell_word(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.chars().all(|c| c.is_alphanumeric() || "/._-+".contains(c)) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn read(status: StatusCode, bytes: &[u8]) -> Result<Value, Trouble> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| Trouble::new(Code::Internal, format!("the daemon's answer cannot be read: {error}")))?;
    if status.is_success() {
        return Ok(value);
    }
    let error = &value["error"];
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    let code = match text("kind").as_str() {
        "not_found" => Code::NoInput,
        "bad_request" | "method_not_allowed" => Code::Usage,
        "conflict" => Code::Failed,
        "forbidden" => Code::Permission,
        "unavailable" => Code::Temporary,
        _ => Code::Internal,
    };
    Err(Trouble {
        kind: text("kind"),
        ..Trouble::new(code, text("message"))
    })
}

/// One part of a path or query, escaped.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").ok();
        }
    }
    escaped
}
