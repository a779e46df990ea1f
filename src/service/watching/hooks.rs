//! Listens for servers that send events as requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::super::mill::Mill;
use super::sink::MillSink;
use crate::watch::Sink as _;
use crate::watch::webhook::{Hooks, router};

/// How long requests that were begun may take once the daemon stops.
const PATIENCE: Duration = Duration::from_secs(3);

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
    let served = axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
    let patience = async {
        stop.cancelled().await;
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        ended = served => {
            if let Err(error) = ended {
                tracing::error!(%error, "requests about objects are taken no more");
            }
        }
        // Whoever began a request and does not go on with it is not waited for.
        () = patience => {}
    }
}
