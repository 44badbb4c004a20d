//! How header names are written towards HTTP/1 peers. Names have no case (RFC 9110 §5.1) and `http` keeps none; nginx and
//! APISIX write `X-Real-IP`, and there are clients and scripts that look for just that.

use bytes::Bytes;
use http::HeaderName;

/// A name as nginx and APISIX write it; others with a capital at each part. Pingora's `insert_header` and
/// `append_header` keep it.
pub(super) fn spelled(name: &HeaderName) -> Bytes {
    match known(name.as_str()) {
        Some(spelling) => Bytes::from_static(spelling.as_bytes()),
        None => title_case(name.as_str()),
    }
}

/// Names whose parts are no plain words, and those that are common, which then cost no allocation.
fn known(name: &str) -> Option<&'static str> {
    Some(match name {
        "content-md5" => "Content-MD5",
        "dnt" => "DNT",
        "etag" => "ETag",
        "expect-ct" => "Expect-CT",
        "last-event-id" => "Last-Event-ID",
        "nel" => "NEL",
        "sec-gpc" => "Sec-GPC",
        "sec-websocket-accept" => "Sec-WebSocket-Accept",
        "sec-websocket-extensions" => "Sec-WebSocket-Extensions",
        "sec-websocket-key" => "Sec-WebSocket-Key",
        "sec-websocket-protocol" => "Sec-WebSocket-Protocol",
        "sec-websocket-version" => "Sec-WebSocket-Version",
        "sourcemap" => "SourceMap",
        "te" => "TE",
        "www-authenticate" => "WWW-Authenticate",
        "x-api-key" => "X-API-KEY",
        "x-apisix-upstream-status" => "X-APISIX-Upstream-Status",
        "x-consumer-custom-id" => "X-Consumer-Custom-ID",
        "x-correlation-id" => "X-Correlation-ID",
        "x-dns-prefetch-control" => "X-DNS-Prefetch-Control",
        "x-http-method-override" => "X-HTTP-Method-Override",
        "x-ratelimit-limit" => "X-RateLimit-Limit",
        "x-ratelimit-remaining" => "X-RateLimit-Remaining",
        "x-ratelimit-reset" => "X-RateLimit-Reset",
        "x-real-ip" => "X-Real-IP",
        "x-ua-compatible" => "X-UA-Compatible",
        "x-xss-protection" => "X-XSS-Protection",

        "accept-ranges" => "Accept-Ranges",
        "access-control-allow-credentials" => "Access-Control-Allow-Credentials",
        "access-control-allow-headers" => "Access-Control-Allow-Headers",
        "access-control-allow-methods" => "Access-Control-Allow-Methods",
        "access-control-allow-origin" => "Access-Control-Allow-Origin",
        "access-control-expose-headers" => "Access-Control-Expose-Headers",
        "access-control-max-age" => "Access-Control-Max-Age",
        "age" => "Age",
        "allow" => "Allow",
        "apisix-plugins" => "Apisix-Plugins",
        "cache-control" => "Cache-Control",
        "connection" => "Connection",
        "content-encoding" => "Content-Encoding",
        "content-length" => "Content-Length",
        "content-type" => "Content-Type",
        "date" => "Date",
        "expires" => "Expires",
        "host" => "Host",
        "last-modified" => "Last-Modified",
        "location" => "Location",
        "retry-after" => "Retry-After",
        "server" => "Server",
        "set-cookie" => "Set-Cookie",
        "strict-transport-security" => "Strict-Transport-Security",
        "transfer-encoding" => "Transfer-Encoding",
        "vary" => "Vary",
        "x-consumer-username" => "X-Consumer-Username",
        "x-credential-identifier" => "X-Credential-Identifier",
        "x-forwarded-for" => "X-Forwarded-For",
        "x-forwarded-host" => "X-Forwarded-Host",
        "x-forwarded-port" => "X-Forwarded-Port",
        "x-forwarded-proto" => "X-Forwarded-Proto",
        "x-request-id" => "X-Request-Id",
        _ => return None,
    })
}

fn title_case(name: &str) -> Bytes {
    let mut begins = true;
    let each = name.bytes().map(|byte| {
        let capital = std::mem::replace(&mut begins, byte == b'-');
        match capital {
            true => byte.to_ascii_uppercase(),
            false => byte,
        }
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pingora_http::ResponseHeader;

    fn of(name: &'static str) -> String {
        String::from_utf8(spelled(&HeaderName::from_static(name)).to_vec()).unwrap()
    }

    #[test]
    fn names_are_written_as_nginx_and_apisix_write_them() {
        for spelling in [
            "X-Real-IP",
            "X-Forwarded-For",
            "X-Forwarded-Proto",
            "X-Forwarded-Host",
            "X-Forwarded-Port",
            "X-Consumer-Username",
            "X-Credential-Identifier",
            "X-Consumer-Custom-ID",
            "X-RateLimit-Limit",
            "X-Request-Id",
            "X-APISIX-Upstream-Status",
            "WWW-Authenticate",
            "ETag",
            "Server",
        ] {
            let name = HeaderName::from_bytes(spelling.as_bytes()).unwrap();
            assert_eq!(spelled(&name), spelling);
        }
    }

    #[test]
    fn unknown_names_begin_each_part_with_a_capital() {
        assert_eq!(of("x-foo-bar"), "X-Foo-Bar");
        assert_eq!(of("a"), "A");
        assert_eq!(of("-x--1a-b_c"), "-X--1a-B_c");
    }

    #[test]
    fn a_spelling_is_the_name() {
        let source = include_str!("spelling.rs");
        let table = source.lines().filter_map(|line| {
            let (name, spelling) = line.trim().strip_suffix(',')?.split_once(" => ")?;
            Some((
                name.strip_prefix('"')?.strip_suffix('"')?,
                spelling.trim_matches('"'),
            ))
        });
        let mut seen = 0;
        for (name, spelling) in table {
            assert_eq!(name, spelling.to_ascii_lowercase());
            seen += 1;
        }
        assert!(seen > 50);
    }

    #[test]
    fn pingora_keeps_the_spelling() {
        let mut head = ResponseHeader::build(200, None).unwrap();
        let name = HeaderName::from_static("x-ratelimit-limit");
        head.insert_header(spelled(&name), "1").unwrap();
        let mut wire = Vec::new();
        head.header_to_h1_wire(&mut wire);
        assert_eq!(wire, b"X-RateLimit-Limit: 1\r\n");
    }
}
