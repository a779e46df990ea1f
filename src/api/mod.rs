//! HTTP over a Unix socket in the state directory, for the command line and for programs on this machine.
//!
//! Whoever may write to the socket may ask: it has mode 0660, so the file system decides. Every answer is JSON;
//! every error is `{"error": {"kind": ..., "message": ...}}`. No logic lives here: see [`crate::app`].

mod queue;
mod routes;
pub mod socket;

use axum::Router;
use axum::routing::{get, post};
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use crate::app::App;
pub use socket::listen;

/// Every path of the API.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/v1/status", get(routes::status))
        .route("/v1/quarantine", get(routes::quarantine))
        .route("/v1/jobs", get(routes::jobs))
        .route("/v1/jobs/{id}", get(routes::job))
        .route("/v1/jobs/{id}/provenance", get(routes::provenance))
        .route("/v1/jobs/{id}/retry", post(routes::retry))
        .route("/v1/jobs/{id}/cancel", post(routes::cancel))
        .route("/v1/jobs/{id}/priority", post(queue::priority))
        .route("/v1/pause", post(queue::pause))
        .route("/v1/resume", post(queue::resume))
        .route("/v1/submit", post(queue::submit))
        .route("/v1/backfill", post(queue::backfill))
        .route("/v1/watch", get(routes::watch))
        .route("/v1/backup", post(routes::backup))
        .route("/v1/explain", get(routes::explain))
        .route("/v1/rules", get(routes::rules))
        .route("/v1/reload", post(routes::reload))
        .fallback(routes::no_such_path)
        .method_not_allowed_fallback(routes::wrong_method)
        .with_state(app)
}

/// Answers until `stop`; answers under way are finished.
pub async fn serve(app: App, listener: UnixListener, stop: CancellationToken) {
    let served = axum::serve(listener, router(app)).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "the control socket broke off");
    }
}

#[cfg(test)]
mod tests;
