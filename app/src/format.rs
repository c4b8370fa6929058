//! Numbers and dates as people read them.

/// Bytes as megabytes (10^6), one decimal below 100, and as gigabytes from 1000 on: `7.4 MB`, `2.51 GB`.
pub fn megabytes(bytes: u64) -> String {
    match bytes as f64 / 1e6 {
        megabytes if megabytes >= 999.5 => format!("{:.2} GB", megabytes / 1e3),
        megabytes if megabytes >= 99.95 => format!("{megabytes:.0} MB"),
        megabytes => format!("{megabytes:.1} MB"),
    }
}

/// A size in the unit that fits: `873 bytes`, `9.1 kB`, `7.4 MB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => megabytes(bytes),
    }
}

/// [`size`], and gigabytes (10^9) where there are any: `2.3 GB`.
pub fn amount(bytes: u64) -> String {
    match bytes {
        0..1_000_000_000 => size(bytes),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// What a browser downloads for a model: `74.5 MB to download`, or that there is no package.
pub fn download(model: &protocol::ModelSummary) -> String {
    match model.package_url {
        Some(_) => format!("{} to download", megabytes(model.download_bytes)),
        None => "runs on the server".to_owned(),
    }
}

/// A duration given in milliseconds: `0.8 s`, `42 s`, `3 min 5 s`, `20 h 54 min`.
pub fn duration(ms: f64) -> String {
    let seconds = ms / 1e3;
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    if whole >= 3600 {
        let minutes = (seconds / 60.0).round() as u64;
        return match (minutes / 60, minutes % 60) {
            (h, 0) => format!("{h} h"),
            (h, m) => format!("{h} h {m} min"),
        };
    }
    match (whole / 60, whole % 60) {
        (0, s) => format!("{s} s"),
        (m, 0) => format!("{m} min"),
        (m, s) => format!("{m} min {s} s"),
    }
}

/// Milliseconds since the Unix epoch as `2026-11-23 20:15 UTC`.
pub fn date_time(unix_ms: u64) -> String {
    let (y, m, d, minutes) = civil(unix_ms);
    format!(
        "{y:04}-{m:02}-{d:02} {:02}:{:02} UTC",
        minutes / 60,
        minutes % 60
    )
}

/// Milliseconds since the Unix epoch as the `datetime` attribute takes it, `2026-11-23T20:15Z`.
pub fn date_time_attr(unix_ms: u64) -> String {
    let (y, m, d, minutes) = civil(unix_ms);
    format!(
        "{y:04}-{m:02}-{d:02}T{:02}:{:02}Z",
        minutes / 60,
        minutes % 60
    )
}

/// Year, month, day and minute of the day in the proleptic Gregorian calendar
/// (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
fn civil(unix_ms: u64) -> (u64, u64, u64, u64) {
    let days = unix_ms / 86_400_000;
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z - era * 146_097;
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    (year, month, day, unix_ms % 86_400_000 / 60_000)
}

/// A prompt as part of a file name: lower-case words joined by `-`, 40 characters at most.
pub fn slug(prompt: &str) -> String {
    let words: Vec<String> = prompt
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let slug: String = words.join("-").chars().take(40).collect();
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() {
        "picture".to_owned()
    } else {
        slug.to_owned()
    }
}

/// Text as HTML content.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Percent-encodes everything but the unreserved characters of RFC 3986, section 2.3.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(megabytes(74_500_000), "74.5 MB");
        assert_eq!(megabytes(234_400_000), "234 MB");
        assert_eq!(megabytes(1_234_000_000), "1.23 GB");
        assert_eq!(size(999), "999 bytes");
        assert_eq!(size(9_100), "9.1 kB");
        assert_eq!(size(4_109_450), "4.1 MB");
    }

    #[test]
    fn durations() {
        assert_eq!(duration(0.0), "0.0 s");
        assert_eq!(duration(840.0), "0.8 s");
        assert_eq!(duration(9_960.0), "10 s");
        assert_eq!(duration(59_600.0), "1 min");
        assert_eq!(duration(185_000.0), "3 min 5 s");
        assert_eq!(duration(3_599_400.0), "59 min 59 s");
        assert_eq!(duration(3_599_600.0), "1 h");
        assert_eq!(duration(75_270_000.0), "20 h 55 min");
    }

    /// Expected values from `date -u -d @SECONDS`.
    #[test]
    fn dates() {
        assert_eq!(date_time(0), "1970-01-01 00:00 UTC");
        assert_eq!(date_time(951_782_400_000), "2000-02-29 00:00 UTC");
        assert_eq!(date_time_attr(1_735_689_599_000), "2024-12-31T23:59Z");
        assert_eq!(date_time(1_767_225_600_000), "2026-01-01 00:00 UTC");
    }

    #[test]
    fn slugs() {
        assert_eq!(slug("Red apple, on a table!"), "red-apple-on-a-table");
        assert_eq!(slug("  ?!"), "picture");
        assert_eq!(slug("../../etc/passwd"), "etc-passwd");
        assert_eq!(slug(&"a b ".repeat(40)).len(), 39);
    }
}
