//! What went wrong between the gateway and an upstream, and what the client is told.

use crate::listener::http::Cut;
use pingora_core::{Error, ErrorSource, ErrorType};

/// The status for an error that ended a request; `None` when there is nobody left to tell.
pub(super) fn status_of(error: &Error) -> Option<u16> {
    if let ErrorType::HTTPStatus(status) = error.etype() {
        return Some(*status);
    }
    if let Some(cut) = Cut::of(error) {
        return cut.status();
    }
    match error.esource() {
        ErrorSource::Upstream => Some(if is_timeout(error) { 504 } else { 502 }),
        ErrorSource::Downstream => match error.etype() {
            ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed => None,
            ErrorType::ReadTimedout | ErrorType::WriteTimedout => Some(408),
            _ => Some(400),
        },
        ErrorSource::Internal | ErrorSource::Unset => Some(500),
    }
}

/// Whether time ran out, rather than the node refusing or breaking off.
pub(super) fn is_timeout(error: &Error) -> bool {
    matches!(
        error.etype(),
        ErrorType::ConnectTimedout
            | ErrorType::TLSHandshakeTimedout
            | ErrorType::ReadTimedout
            | ErrorType::WriteTimedout
    )
}
