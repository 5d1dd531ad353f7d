//! Kinds of problems as HTTP statuses, and back.

use base::Kind;
use hyper::StatusCode;

/// The status that tells of a problem of this kind.
pub fn status_of(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Denied => StatusCode::FORBIDDEN,
        Kind::Exhausted => StatusCode::INSUFFICIENT_STORAGE,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        Kind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The kind that a status tells of, when nothing better is known.
pub fn kind_of(status: StatusCode) -> Kind {
    match status.as_u16() {
        404 | 405 => Kind::NotFound,
        409 => Kind::Conflict,
        401 | 403 => Kind::Denied,
        413 | 429 | 507 => Kind::Exhausted,
        502 | 503 => Kind::Unavailable,
        408 | 504 => Kind::TimedOut,
        501 => Kind::Unsupported,
        400..=499 => Kind::Invalid,
        _ => Kind::Internal,
    }
}
