//! Tries the stream of notifications of MinIO and its kin.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_types::SdkConfig;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::S3Config;
use crate::object::{Directory, ObjectKey};
use crate::watch::listen::ListenSource;
use crate::watch::{NotKept, Notice, Sink, Wanted};

/// How long a refusal may take to come.
const PATIENCE: Duration = Duration::from_secs(3);

/// Opens the stream and closes it again: how it stands.
pub async fn listen(config: &S3Config, sdk: &SdkConfig, directories: &[Directory]) -> Result<String, String> {
    let (tell, mut hear) = mpsc::unbounded_channel();
    let wanted = Wanted::new(1, directories.iter().cloned());
    let (_keep, wanted) = watch::channel(wanted);
    let stop = CancellationToken::new();
    let listening = ListenSource::new(config, sdk).run(Arc::new(Ear(tell)), wanted, stop);
    tokio::select! {
        () = listening => Err("the stream ended".to_owned()),
        heard = timeout(PATIENCE, hear.recv()) => match heard {
            Ok(Some((true, _))) => Ok("the server sends a stream: nothing needs to be set up".to_owned()),
            Ok(Some((false, words))) => Err(words),
            Ok(None) | Err(_) => Ok("the server took the request and says nothing yet, as it does while nothing happens: \
                                     nothing needs to be set up"
                .to_owned()),
        },
    }
}

/// Hears how a source stands and nothing else.
struct Ear(mpsc::UnboundedSender<(bool, String)>);

#[async_trait]
impl Sink for Ear {
    fn hint(&self, _key: ObjectKey, _event: Option<Timestamp>, _source: &'static str) {}

    async fn keep(&self, _notices: Vec<Notice>, _source: &'static str) -> Result<(), NotKept> {
        Err(NotKept("nothing is kept here".to_owned()))
    }

    async fn quarantine(&self, _body: &[u8], _reason: &str, _source: &'static str) -> Result<(), NotKept> {
        Ok(())
    }

    fn missed(&self, _directory: Directory) {}

    fn health(&self, ok: bool, message: String) {
        self.0.send((ok, message)).ok();
    }

    fn watching(&self, _book: u64) {}

    fn connected(&self, _connected: bool) {}
}
