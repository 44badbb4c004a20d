//! The page for an error that nobody gave a body to.

use http::StatusCode;

/// A short HTML page, as users of nginx and APISIX expect one.
pub(super) fn error_page(status: StatusCode) -> String {
    let code = status.as_u16();
    let reason = status.canonical_reason().unwrap_or("Error");
    format!(
        "<html>\r\n<head><title>{code} {reason}</title></head>\r\n<body>\r\n<center><h1>{code} {reason}</h1></center>\r\n\
         <hr><center>crossway</center>\r\n</body>\r\n</html>\r\n"
    )
}

/// Content-Type of [`error_page`].
pub(super) const CONTENT_TYPE: &str = "text/html; charset=utf-8";
