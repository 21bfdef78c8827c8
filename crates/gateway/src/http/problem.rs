//! The two forms of an error in HTTP: RFC 7807, and the classic error object of the older surfaces.
//!
//! Texts are for the person who reads a log at the other end: what is wrong, and what to do. They never hold a secret or
//! anything that the gateway only knows from inside.

use std::borrow::Cow;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::body::BodyError;
use crate::access::Denied;

/// How long a caller is asked to wait when nothing more exact is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Nothing was done, so that a ServiceID in it is as good as before (E7).
const TOO_OFTEN: &str = "Too many requests with this API credential (limit requests_per_second). Wait, then repeat it, \
                         with the same ServiceID if it has one.";

/// An error as RFC 7807 has it:
/// `{"type":"about:blank","title":"Not Found","status":404,"detail":"..","errorCode":"00_404"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    #[serde(serialize_with = "number")]
    status: StatusCode,
    detail: Cow<'static, str>,
    error_code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    invalid_fields: Vec<InvalidField>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    occurrence: Option<Occurrence>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

/// A value that is wrong: `{"name":"deviceId","value":"V400m-1","message":".."}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct InvalidField {
    /// The member, or the part of the path.
    pub(crate) name: Cow<'static, str>,
    /// As it came.
    pub(crate) value: String,
    /// What is wrong with it.
    pub(crate) message: String,
}

/// Which request an error is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Occurrence {
    instance: String,
    request_id: String,
}

impl Problem {
    /// An error with this detail. Its `errorCode` is `00_` and the status.
    pub(crate) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status,
            detail: detail.into(),
            error_code: format!("00_{}", status.as_u16()),
            code: None,
            invalid_fields: Vec::new(),
            occurrence: None,
            retry_after: None,
        }
    }

    /// No credential, or none that we know.
    pub(crate) fn unauthorized() -> Problem {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "No valid API key. Send one in the header x-api-key, or a user and password by HTTP Basic.",
        )
    }

    /// A credential that may not do this.
    pub(crate) fn forbidden(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, detail)
    }

    /// Not there, or not the caller's: nobody can tell which.
    pub(crate) fn not_found(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, detail)
    }

    /// It may work later, unchanged.
    pub(crate) fn try_again(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(status, detail).retry_after(RETRY_AFTER)
    }

    /// The same with the member `code`, by which a terminal's program tells refusals apart.
    pub(crate) fn code(self, code: &'static str) -> Problem {
        Problem { code: Some(code), ..self }
    }

    /// The same with one more value that is wrong.
    pub(crate) fn invalid_field(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
        message: impl Into<String>,
    ) -> Problem {
        self.invalid_fields.push(InvalidField {
            name: name.into(),
            value: value.into(),
            message: message.into(),
        });
        self
    }

    /// The same in the form that the official clients know: the published `type`, `instance` (the request's path),
    /// `requestId`, and the content type `application/json`, for some of them read no other.
    ///
    /// Source: Cloud device API, `DefaultErrorResponseEntity`; the types are those of its published examples.
    pub(crate) fn published(self, instance: &str, request_id: String) -> Problem {
        let kind = match self.status {
            StatusCode::UNAUTHORIZED => "https://docs.adyen.com/errors/unauthorized",
            StatusCode::FORBIDDEN => "https://docs.adyen.com/errors/forbidden",
            StatusCode::UNPROCESSABLE_ENTITY => "https://docs.adyen.com/errors/unprocessable-entity",
            _ => self.kind,
        };
        Problem { kind, occurrence: Some(Occurrence { instance: instance.to_owned(), request_id }), ..self }
    }

    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The same with `Retry-After`, in whole seconds, rounded up.
    pub(crate) fn retry_after(self, wait: Duration) -> Problem {
        Problem { retry_after: Some(wait), ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, retry_after) = (self.status, self.retry_after);
        let kind = match self.occurrence {
            Some(_) => "application/json",
            None => "application/problem+json",
        };
        let json = [(header::CONTENT_TYPE, kind)];
        with_retry_after((status, json, Json(self)).into_response(), retry_after)
    }
}

/// An error as the classic surfaces write it:
/// `{"status":403,"errorCode":"010","message":"..","errorType":"security"}`.
///
/// Source: Terminal API cloud endpoints and POS Terminal Management API, error objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClassicError {
    #[serde(serialize_with = "number")]
    status: StatusCode,
    error_code: &'static str,
    message: Cow<'static, str>,
    error_type: ErrorType,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

/// Whose turn it is to change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ErrorType {
    /// The credential.
    Security,
    /// The request.
    Validation,
    /// The gateway.
    Internal,
}

impl ClassicError {
    /// An error of this code.
    pub(crate) fn new(
        status: StatusCode,
        error_code: &'static str,
        message: impl Into<Cow<'static, str>>,
        error_type: ErrorType,
    ) -> ClassicError {
        ClassicError { status, error_code, message: message.into(), error_type, retry_after: None }
    }

    /// No credential, or none that we know.
    pub(crate) fn unauthorized() -> ClassicError {
        let message = "HTTP Status Response - Unauthorized";
        ClassicError::new(StatusCode::UNAUTHORIZED, "000", message, ErrorType::Security)
    }

    /// A credential that may not do this.
    pub(crate) fn forbidden(message: impl Into<Cow<'static, str>>) -> ClassicError {
        ClassicError::new(StatusCode::FORBIDDEN, "010", message, ErrorType::Security)
    }

    /// A merchant account that the credential can't see, whether there is one or not.
    pub(crate) fn invalid_merchant_account() -> ClassicError {
        ClassicError::new(StatusCode::FORBIDDEN, "901", "Invalid Merchant Account", ErrorType::Security)
    }

    /// The path is there, for POST; the router adds `Allow`.
    pub(crate) fn post_only() -> ClassicError {
        let message = "This path takes POST only.";
        ClassicError::new(StatusCode::METHOD_NOT_ALLOWED, "000", message, ErrorType::Validation)
    }

    /// A request whose structure can't be what is meant.
    pub(crate) fn unreadable(message: impl Into<Cow<'static, str>>) -> ClassicError {
        ClassicError::new(StatusCode::BAD_REQUEST, "702", message, ErrorType::Validation)
    }

    /// A request that was understood and can't be done.
    pub(crate) fn unprocessable(
        error_code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> ClassicError {
        ClassicError::new(StatusCode::UNPROCESSABLE_ENTITY, error_code, message, ErrorType::Validation)
    }

    /// It may work later, unchanged.
    pub(crate) fn try_again(status: StatusCode, message: impl Into<Cow<'static, str>>) -> ClassicError {
        ClassicError::new(status, "000", message, ErrorType::Internal).retry_after(RETRY_AFTER)
    }

    /// The same with `Retry-After`, in whole seconds, rounded up.
    pub(crate) fn retry_after(self, wait: Duration) -> ClassicError {
        ClassicError { retry_after: Some(wait), ..self }
    }
}

impl From<Denied> for ClassicError {
    fn from(denied: Denied) -> ClassicError {
        match denied {
            Denied::Unauthorized => ClassicError::unauthorized(),
            Denied::Forbidden(_) => ClassicError::forbidden(format!("Not allowed: {denied}.")),
            Denied::TooOften(wait) => {
                ClassicError::try_again(StatusCode::TOO_MANY_REQUESTS, TOO_OFTEN).retry_after(wait)
            }
            Denied::Unavailable => ClassicError::try_again(
                StatusCode::SERVICE_UNAVAILABLE,
                "The API credential can't be checked now. Nothing was done; try again.",
            ),
        }
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Problem {
        match denied {
            Denied::Unauthorized => Problem::unauthorized(),
            Denied::Forbidden(_) => Problem::forbidden(format!("Not allowed: {denied}.")),
            Denied::TooOften(wait) => {
                Problem::try_again(StatusCode::TOO_MANY_REQUESTS, TOO_OFTEN).retry_after(wait)
            }
            Denied::Unavailable => Problem::try_again(
                StatusCode::SERVICE_UNAVAILABLE,
                "The API credential can't be checked now. Nothing was done; try again.",
            ),
        }
    }
}

impl From<BodyError> for ClassicError {
    fn from(error: BodyError) -> ClassicError {
        ClassicError::new(error.status(), "702", error.to_string(), ErrorType::Validation)
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Problem {
        Problem::new(error.status(), error.to_string())
    }
}

impl IntoResponse for ClassicError {
    fn into_response(self) -> Response {
        let (status, retry_after) = (self.status, self.retry_after);
        with_retry_after((status, Json(self)).into_response(), retry_after)
    }
}

fn with_retry_after(mut response: Response, wait: Option<Duration>) -> Response {
    if let Some(wait) = wait {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        // Digits are always a header's value.
        if let Ok(value) = HeaderValue::try_from(seconds.to_string()) {
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
    }
    response
}

fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn written(error: impl IntoResponse) -> (StatusCode, Option<String>, Option<String>, String) {
        let response = error.into_response();
        let header = |name| response.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
        let (kind, retry) = (header(header::CONTENT_TYPE), header(header::RETRY_AFTER));
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, kind, retry, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_problem_is_written_as_rfc_7807() {
        let (status, kind, retry, body) = written(Problem::unauthorized()).await;
        assert_eq!(
            (status, kind.as_deref(), retry),
            (StatusCode::UNAUTHORIZED, Some("application/problem+json"), None)
        );
        assert_eq!(
            body,
            r#"{"type":"about:blank","title":"Unauthorized","status":401,"detail":"No valid API key. Send one in the header x-api-key, or a user and password by HTTP Basic.","errorCode":"00_401"}"#
        );
    }

    #[tokio::test]
    async fn a_problem_may_carry_a_code_and_a_wait() {
        let problem = Problem::try_again(StatusCode::TOO_MANY_REQUESTS, "Wait.")
            .code("locked")
            .retry_after(Duration::from_millis(1001));
        let (_, _, retry, body) = written(problem).await;
        assert_eq!(retry.as_deref(), Some("2"));
        assert_eq!(
            body,
            r#"{"type":"about:blank","title":"Too Many Requests","status":429,"detail":"Wait.","errorCode":"00_429","code":"locked"}"#
        );
    }

    #[tokio::test]
    async fn a_classic_error_has_its_four_members() {
        let (status, kind, retry, body) = written(ClassicError::unauthorized()).await;
        assert_eq!(
            (status, kind.as_deref(), retry),
            (StatusCode::UNAUTHORIZED, Some("application/json"), None)
        );
        assert_eq!(
            body,
            r#"{"status":401,"errorCode":"000","message":"HTTP Status Response - Unauthorized","errorType":"security"}"#
        );
        let (_, _, retry, body) =
            written(ClassicError::try_again(StatusCode::SERVICE_UNAVAILABLE, "Later.")).await;
        assert_eq!(retry.as_deref(), Some("1"));
        assert_eq!(body, r#"{"status":503,"errorCode":"000","message":"Later.","errorType":"internal"}"#);
    }
}
