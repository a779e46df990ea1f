//! One function a path: take the question apart, ask the app, put the answer into JSON.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::app::{App, AppError, MOST_JOBS};
use crate::job::{JobId, JobState};
use crate::object::{BucketName, InvalidName, ObjectKey};
use crate::rule::RuleName;
use crate::store::JobFilter;

/// An error as an answer.
pub struct Refusal(AppError);

impl From<AppError> for Refusal {
    fn from(error: AppError) -> Self {
        Self(error)
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Self(AppError::BadRequest(rejection.body_text()))
    }
}

impl From<InvalidName> for Refusal {
    fn from(error: InvalidName) -> Self {
        Self(AppError::BadRequest(error.to_string()))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self.0 {
            AppError::NotFound(_) => StatusCode::NOT_FOUND,
            AppError::Conflict(_) => StatusCode::CONFLICT,
            AppError::BadRequest(_) => StatusCode::BAD_REQUEST,
            AppError::Forbidden(_) => StatusCode::FORBIDDEN,
            AppError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            AppError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        error(status, self.0.kind(), &self.0.to_string())
    }
}

fn error(status: StatusCode, kind: &str, message: &str) -> Response {
    let body = json!({ "error": { "kind": kind, "message": message } });
    (status, Json(body)).into_response()
}

/// `GET /v1/status`
pub async fn status(State(app): State<App>) -> Result<Response, Refusal> {
    Ok(Json(app.status().await?).into_response())
}

/// `GET /v1/quarantine`
pub async fn quarantine(State(app): State<App>) -> Result<Response, Refusal> {
    Ok(Json(app.quarantine().await?).into_response())
}

/// The question of `GET /v1/jobs`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobsQuery {
    /// States, parted by commas.
    state: Option<String>,
    rule: Option<String>,
    bucket: Option<String>,
    key: Option<String>,
    key_bytes: Option<String>,
    since: Option<Timestamp>,
    before: Option<String>,
    limit: Option<u32>,
}

/// `GET /v1/jobs?state=&rule=&bucket=&key=&key_bytes=&since=&before=&limit=`
pub async fn jobs(
    State(app): State<App>,
    query: Result<Query<JobsQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(query) = query?;
    let mut states = Vec::new();
    for text in query.state.iter().flat_map(|text| text.split(',')) {
        let state = JobState::parse(text.trim()).ok_or_else(|| {
            let all: Vec<_> = JobState::ALL.iter().map(|state| state.as_str()).collect();
            AppError::BadRequest(format!(
                "\"{}\" is no state of a job; there are {}",
                text.escape_debug(),
                all.join(", ")
            ))
        })?;
        states.push(state);
    }
    let filter = JobFilter {
        states,
        rule: query.rule.as_deref().map(str::parse::<RuleName>).transpose()?,
        bucket: query.bucket.as_deref().map(str::parse::<BucketName>).transpose()?,
        key: match (&query.key, &query.key_bytes) {
            (None, None) => None,
            (text, bytes) => Some(key(text.as_deref(), bytes.as_deref())?),
        },
        since: query.since,
        before: query.before.as_deref().map(JobId::parse).transpose()?,
        limit: query.limit.unwrap_or(50).clamp(1, MOST_JOBS),
    };
    Ok(Json(app.list(&filter).await?).into_response())
}

/// `GET /v1/jobs/{id}`
pub async fn job(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Refusal> {
    Ok(Json(app.job(&id).await?).into_response())
}

/// `GET /v1/jobs/{id}/provenance`
pub async fn provenance(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Refusal> {
    Ok(Json(app.provenance(&id).await?).into_response())
}

/// The wish of `POST /v1/jobs/{id}/retry`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryBody {
    /// Under the version of the rule that the old job had.
    #[serde(default)]
    same_version: bool,
}

/// `POST /v1/jobs/{id}/retry`
pub async fn retry(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Result<Response, Refusal> {
    let wish: RetryBody = wish(&body)?;
    let job = app.retry(&id, wish.same_version).await?;
    Ok((StatusCode::CREATED, Json(job)).into_response())
}

/// The wish of `POST /v1/jobs/{id}/cancel`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelBody {
    /// For whoever looks at the job later.
    #[serde(default)]
    reason: Option<String>,
}

/// `POST /v1/jobs/{id}/cancel`
pub async fn cancel(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Result<Response, Refusal> {
    let wish: CancelBody = wish(&body)?;
    let job = app.cancel(&id, wish.reason.as_deref()).await?;
    Ok((StatusCode::ACCEPTED, Json(job)).into_response())
}

/// The question of `GET /v1/watch`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchQuery {
    /// What the last answer said.
    cursor: Option<String>,
    /// Whole ids, parted by commas.
    jobs: Option<String>,
}

/// `GET /v1/watch?cursor=&jobs=`
pub async fn watch(
    State(app): State<App>,
    query: Result<Query<WatchQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(query) = query?;
    let named = query.jobs.iter().flat_map(|text| text.split(','));
    let named = named.map(JobId::parse).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(app.watch(query.cursor.as_deref(), &named).await?).into_response())
}

/// The wish of `POST /v1/backup`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupBody {
    /// Absolute; nothing may be there.
    #[serde(default)]
    file: String,
}

/// `POST /v1/backup`
pub async fn backup(State(app): State<App>, body: Bytes) -> Result<Response, Refusal> {
    let wish: BackupBody = wish(&body)?;
    let made = app.backup(&wish.file).await?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// The question of `GET /v1/explain`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainQuery {
    bucket: String,
    key: Option<String>,
    key_bytes: Option<String>,
}

/// `GET /v1/explain?bucket=&key=` or `&key_bytes=`
pub async fn explain(
    State(app): State<App>,
    query: Result<Query<ExplainQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(query) = query?;
    let key = key(query.key.as_deref(), query.key_bytes.as_deref())?;
    Ok(Json(app.explain(&query.bucket, &key).await?).into_response())
}

/// `GET /v1/rules`
pub async fn rules(State(app): State<App>) -> Result<Response, Refusal> {
    Ok(Json(app.rules().await?).into_response())
}

/// `POST /v1/reload`
pub async fn reload(State(app): State<App>) -> Response {
    app.reload();
    (StatusCode::ACCEPTED, Json(json!({ "reloading": true }))).into_response()
}

/// Any other path.
pub async fn no_such_path() -> Response {
    error(StatusCode::NOT_FOUND, "not_found", "there is no such path")
}

/// A path that is asked in another way.
pub async fn wrong_method() -> Response {
    let words = "this path does not take this method";
    error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", words)
}

/// A body of JSON; an empty one wishes nothing in particular.
pub(super) fn wish<T: for<'de> Deserialize<'de>>(body: &Bytes) -> Result<T, AppError> {
    let text: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(text).map_err(|error| AppError::BadRequest(error.to_string()))
}

/// A key as text or as base64 of its bytes, in either alphabet, with or without padding.
pub(super) fn key(text: Option<&str>, bytes: Option<&str>) -> Result<ObjectKey, AppError> {
    let raw = match (text, bytes) {
        (Some(text), None) => text.as_bytes().to_vec(),
        (None, Some(encoded)) => {
            let bare = encoded.trim_end_matches('=');
            URL_SAFE_NO_PAD
                .decode(bare)
                .or_else(|_| STANDARD_NO_PAD.decode(bare))
                .map_err(|_| AppError::BadRequest("key_bytes is not base64".to_owned()))?
        }
        _ => {
            let words = "give the key either as key or as key_bytes (base64)";
            return Err(AppError::BadRequest(words.to_owned()));
        }
    };
    ObjectKey::new(raw).map_err(|error| AppError::BadRequest(error.to_string()))
}
