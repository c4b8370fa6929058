//! HTTP ranges (RFC 9110, section 14).

/// The part that an answer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// First byte.
    pub start: u64,
    /// Length of the whole file, where the server tells.
    pub total: Option<u64>,
}

/// Reads `Content-Range: bytes first-last/total`; nothing where it is not of that form.
pub fn content_range(text: &str) -> Option<Part> {
    let (range, total) = text.strip_prefix("bytes ")?.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (start, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    if last < start {
        return None;
    }
    let total = match total {
        "*" => None,
        number => Some(number.parse().ok().filter(|total| *total > last)?),
    };
    Some(Part { start, total })
}

/// What an answer to a request for the bytes from `at` on means, for a file of `bytes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The body is what is missing, after `skip` bytes that are there already.
    Body {
        /// Bytes of the body to be thrown away.
        skip: u64,
    },
    /// The stored part is of no use to this server: begin anew.
    Restart,
    /// Try again after a pause.
    Transient(String),
    /// Asking again would not help.
    Final(String),
}

/// Judges an answer by its head. `length` is `Content-Length`, where the body is not encoded.
pub fn judge(
    status: u16,
    content_range: Option<Part>,
    length: Option<u64>,
    at: u64,
    bytes: u64,
) -> Answer {
    let other = |total: u64| {
        Answer::Final(format!(
            "the server has a file of {total} bytes where the manifest says {bytes}"
        ))
    };
    match status {
        206 => match content_range {
            Some(Part {
                total: Some(total), ..
            }) if total != bytes => other(total),
            Some(part) if part.start == at => Answer::Body { skip: 0 },
            _ => Answer::Restart,
        },
        200 => match length {
            Some(total) if total != bytes => other(total),
            _ => Answer::Body { skip: at },
        },
        416 if at > 0 => Answer::Restart,
        408 | 425 | 429 | 500..=599 => Answer::Transient(format!("HTTP status {status}")),
        _ => Answer::Final(format!("HTTP status {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read() {
        let part = |start, total| Some(Part { start, total });
        assert_eq!(content_range("bytes 0-1/2"), part(0, Some(2)));
        assert_eq!(content_range("bytes 30-99/100"), part(30, Some(100)));
        assert_eq!(content_range("bytes 30-99/*"), part(30, None));
        for bad in [
            "",
            "bytes */100",
            "bytes 9-3/100",
            "bytes 0-99/50",
            "items 0-1/2",
            "bytes -1/2",
        ] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_answer_has_its_meaning() {
        let part = |start, total| Some(Part { start, total });
        let body = |skip| Answer::Body { skip };
        for (status, range, length, at, expected) in [
            (206, part(30, Some(100)), Some(70), 30, body(0)),
            (206, part(30, None), Some(70), 30, body(0)),
            (200, None, Some(100), 0, body(0)),
            (200, None, None, 0, body(0)),
            // A server without ranges sends everything.
            (200, None, Some(100), 30, body(30)),
            (206, part(0, Some(100)), None, 30, Answer::Restart),
            (206, None, None, 30, Answer::Restart),
            (416, None, None, 30, Answer::Restart),
        ] {
            assert_eq!(judge(status, range, length, at, 100), expected, "{status}");
        }
        for status in [408, 429, 500, 503] {
            assert!(matches!(
                judge(status, None, None, 0, 100),
                Answer::Transient(_)
            ));
        }
        for (status, range, length) in [
            (404, None, None),
            (403, None, None),
            (416, None, None),
            (200, None, Some(99)),
            (206, part(0, Some(101)), None),
        ] {
            assert!(
                matches!(judge(status, range, length, 0, 100), Answer::Final(_)),
                "{status}"
            );
        }
    }
}
