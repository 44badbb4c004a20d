//! The three forms of a date in HTTP (RFC 9110 §5.6.7). The day of the week is not looked at, as in nginx.

use jiff::{civil::DateTime, tz::TimeZone};

/// Seconds since 1970, UTC.
pub(super) fn seconds(written: &str) -> Option<i64> {
    let written = written.trim();
    let parsed = match written.split_once(", ") {
        Some((_, rest)) => {
            parse("%d %b %Y %H:%M:%S GMT", rest).or_else(|| parse("%d-%b-%y %H:%M:%S GMT", rest))
        }
        None => parse("%b %e %H:%M:%S %Y", written.split_once(' ')?.1),
    };
    let zoned = parsed?.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_second())
}

fn parse(format: &str, text: &str) -> Option<DateTime> {
    DateTime::strptime(format, text).ok()
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn the_three_forms_are_one_time() {
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Mon, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(seconds(date), Some(784_111_777), "{date}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for date in [
            "",
            "784111777",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 25:49:37 GMT",
            "1994-11-06T08:49:37Z",
            "Sun, 06 Nov 99999999999 08:49:37 GMT",
        ] {
            assert_eq!(seconds(date), None, "{date}");
        }
    }
}
