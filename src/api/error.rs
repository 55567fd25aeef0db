//! Error responses.
//!
//! A handler returns an [`OpError`], and [`frame`](super::frame) writes the body, because it has
//! the request id. The format of the body belongs to a router: [`ErrorForm`].

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::http::{Response as HttpResponse, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::{Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

use crate::domain::error_code::ErrorCode;
use crate::dto::{CronErrorView, EnvelopeView, ProblemView};
use crate::ops::OpError;

/// Value of `Retry-After`, in seconds.
const RETRY_AFTER_S: &str = "1";

/// The format of a router's errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct ErrorForm {
    /// A unique name.
    pub name: &'static str,
    /// The media type of the body.
    pub content_type: &'static str,
    /// Builds the body from an error and the id of the request.
    pub body: fn(&OpError, &str) -> Value,
    /// Builds the schema of the body.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

/// The canonical format: RFC 9457.
pub(super) const PROBLEM: ErrorForm = ErrorForm {
    name: "problem",
    content_type: "application/problem+json",
    body: |error, request_id| written(problem(error, request_id)),
    schema: |generator| generator.subschema_for::<ProblemView>(),
};

/// The format of the routes below `/api/cron`.
pub(super) const CRON: ErrorForm = ErrorForm {
    name: "cron",
    content_type: "application/json",
    body: |error, _request_id| written(CronErrorView { error: error.detail().to_owned() }),
    schema: |generator| generator.subschema_for::<CronErrorView>(),
};

/// An envelope that contains the problem as its data.
pub(super) const ENVELOPE: ErrorForm = ErrorForm {
    name: "envelope",
    content_type: "application/json",
    body: |error, request_id| {
        let data = problem(error, request_id);
        written(EnvelopeView { code: data.status, message: data.detail.clone(), data })
    },
    schema: |generator| generator.subschema_for::<EnvelopeView<ProblemView>>(),
};

fn written(body: impl Serialize) -> Value {
    serde_json::to_value(body).unwrap_or_default()
}

fn problem(error: &OpError, request_id: &str) -> ProblemView {
    let code = error.code();
    ProblemView {
        kind: format!("urn:punctual:problem:{code}"),
        title: code.as_str().replace('_', " "),
        status: code.status(),
        detail: error.detail().to_owned(),
        advice: error.advice().to_owned(),
        code: code.as_str().into(),
        request_id: request_id.to_owned(),
        errors: error.fields(),
        extra: error.extra().clone(),
    }
}

/// The HTTP status of an error.
pub(super) fn status(error: &OpError) -> StatusCode {
    StatusCode::from_u16(error.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl ErrorForm {
    /// Builds the complete response.
    pub fn render(self, error: &OpError, request_id: &str) -> Response {
        let status = status(error);
        let body = (self.body)(error, request_id);
        let mut response = HttpResponse::new(Body::from(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        response
    }
}

/// The route does not support the method of the request. `methods` is the `Allow` header.
pub(super) fn method_not_allowed(methods: Option<&HeaderValue>) -> OpError {
    let why = match methods.and_then(|methods| methods.to_str().ok()) {
        Some(methods) => format!("the route has no such method; it has {methods}"),
        None => "the route has no such method".to_owned(),
    };
    OpError::new(ErrorCode::MethodNotAllowed, why)
}

impl IntoResponse for OpError {
    /// Stores the error in the response. The frame around all routes writes the body.
    fn into_response(self) -> Response {
        let mut response = status(&self).into_response();
        response.extensions_mut().insert(self);
        response
    }
}
