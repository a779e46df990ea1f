//! Listens for servers that send events as requests.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::super::mill::Mill;
use super::sink::MillSink;
use crate::watch::Sink as _;
use crate::watch::webhook::{Hooks, router};

/// Takes the address, where the config names one.
///
/// # Errors
/// Where it cannot be had: somebody else listens there, or it is not this machine's.
pub async fn listen(at: Option<SocketAddr>) -> Result<Option<TcpListener>, std::io::Error> {
    match at {
        Some(at) => TcpListener::bind(at).await.map(Some),
        None => Ok(None),
    }
}

/// Serves until it is stopped.
pub async fn run(mill: Arc<Mill>, listener: TcpListener, stop: CancellationToken) {
    let hooks: Vec<_> = mill
        .config
        .buckets
        .iter()
        .filter_map(|(name, bucket)| {
            let secret = bucket.s3()?.webhook.as_ref()?.secret.as_str();
            let sink = MillSink::far(&mill, name, "webhook");
            sink.connected(true);
            sink.health(true, "requests are taken".to_owned());
            Some((name, secret, sink as Arc<dyn crate::watch::Sink>))
        })
        .collect();
    let app = router(Hooks::new(hooks));
    let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "requests about objects are taken no more");
    }
}
