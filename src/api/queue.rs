//! The paths for a queue that is in use: pause, resume, priority, submit, backfill.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::routes::{Refusal, key, wish};
use crate::app::App;
use crate::app::queue::BackfillWish;
use crate::app::submit::SubmitWish;

/// The wish of `POST /v1/pause`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseBody {
    /// None: the whole mill.
    #[serde(default)]
    rule: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

/// `POST /v1/pause`
pub async fn pause(State(app): State<App>, body: Bytes) -> Result<Response, Refusal> {
    let wish: PauseBody = wish(&body)?;
    let paused = app.pause(wish.rule.as_deref(), wish.reason.as_deref()).await?;
    Ok(Json(paused).into_response())
}

/// The wish of `POST /v1/resume`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeBody {
    /// None: the whole mill.
    #[serde(default)]
    rule: Option<String>,
}

/// `POST /v1/resume`
pub async fn resume(State(app): State<App>, body: Bytes) -> Result<Response, Refusal> {
    let wish: ResumeBody = wish(&body)?;
    Ok(Json(app.resume(wish.rule.as_deref()).await?).into_response())
}

/// The wish of `POST /v1/jobs/{id}/priority`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorityBody {
    priority: i64,
}

/// `POST /v1/jobs/{id}/priority`
pub async fn priority(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Result<Response, Refusal> {
    let wish: PriorityBody = wish(&body)?;
    Ok(Json(app.prioritize(&id, wish.priority).await?).into_response())
}

/// The wish of `POST /v1/submit`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitBody {
    bucket: String,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    key_bytes: Option<String>,
    rule: String,
    #[serde(default)]
    priority: Option<i64>,
    #[serde(default)]
    context: Option<String>,
    #[serde(default)]
    dedupe_id: Option<String>,
}

/// `POST /v1/submit`
pub async fn submit(State(app): State<App>, body: Bytes) -> Result<Response, Refusal> {
    let body: SubmitBody = wish(&body)?;
    let key = key(body.key.as_deref(), body.key_bytes.as_deref())?;
    let wish = SubmitWish {
        bucket: body.bucket,
        rule: body.rule,
        priority: body.priority,
        context: body.context,
        dedupe_id: body.dedupe_id,
    };
    let submitted = app.submit(&wish, &key).await?;
    Ok((StatusCode::CREATED, Json(submitted)).into_response())
}

/// `POST /v1/backfill`
pub async fn backfill(State(app): State<App>, body: Bytes) -> Result<Response, Refusal> {
    let wish: BackfillWish = wish(&body)?;
    Ok(Json(app.backfill(&wish).await?).into_response())
}
