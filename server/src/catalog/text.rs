//! Texts from elsewhere: plain, on one line, of a bounded length.

/// Characters of an abstract.
pub const ABSTRACT: usize = 20_000;
/// Characters of a title.
pub const TITLE: usize = 1_000;
/// Characters of a name, a tag or an identifier.
pub const NAME: usize = 200;

/// `text` with white space collapsed and control and direction characters left out, cut to `max` characters; nothing if that
/// leaves nothing. Markup stays what it is: characters.
pub fn plain(text: &str, max: usize) -> Option<String> {
    let mut out = String::new();
    let mut count = 0;
    for word in text.split_whitespace() {
        let visible: Vec<char> = word.chars().filter(|&c| !is_invisible(c)).collect();
        if visible.is_empty() {
            continue;
        }
        if count > 0 {
            out.push(' ');
            count += 1;
        }
        for c in visible {
            if count >= max {
                out.push('…');
                return Some(out);
            }
            out.push(c);
            count += 1;
        }
    }
    (!out.is_empty()).then_some(out)
}

/// Control characters, and those that reorder the text around them (Unicode TR 36, 2.10.5).
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Milliseconds since the Unix epoch of an RFC 3339 time.
pub fn time_ms(text: &str) -> Option<u64> {
    use aws_smithy_types::date_time::{DateTime, Format};
    let time = DateTime::from_str(text, Format::DateTimeWithOffset).ok()?;
    u64::try_from(time.to_millis().ok()?).ok()
}

/// The day of an RFC 3339 time, `YYYY-MM-DD`.
pub fn day(text: &str) -> Option<String> {
    time_ms(text)?;
    text.get(..10).map(str::to_owned)
}

/// An absolute `http` or `https` address: one of another scheme could run as a script.
pub fn web_address(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    matches!(url.scheme(), "http" | "https").then(|| url.into())
}

/// An arXiv identifier without its version, new (`2209.03003`) or old style (`hep-th/9901001`), in the months in which arXiv
/// gave such identifiers (<https://info.arxiv.org/help/arxiv_identifier.html>): one that was never given makes arXiv refuse
/// those beside it.
pub fn arxiv_id(text: &str) -> Option<&str> {
    let (id, version) = match text.rsplit_once('v') {
        Some((id, version)) if version.bytes().all(|b| b.is_ascii_digit()) => (id, version),
        _ => (text, "1"),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let known = if let Some((archive, number)) = id.split_once('/') {
        let class = |b: u8| b.is_ascii_alphabetic() || b == b'-' || b == b'.';
        let name = archive.starts_with(|c: char| c.is_ascii_lowercase());
        let given = |month: u32| (199_107..=200_703).contains(&month);
        let running = number
            .get(4..)
            .is_some_and(|rest| rest.len() == 3 && rest != "000");
        name && archive.bytes().all(class)
            && digits(number)
            && running
            && month(number).is_some_and(given)
    } else {
        id.split_once('.').is_some_and(|(before, number)| {
            let length = match month(before) {
                Some(200_704..=201_412) => 4,
                Some(201_501..=205_012) => 5,
                _ => return false,
            };
            before.len() == 4
                && number.len() == length
                && digits(number)
                && number.bytes().any(|b| b != b'0')
        })
    };
    (known && !version.is_empty()).then_some(id)
}

/// Year and month of the four digits that `text` begins with, arXiv having begun in 1991.
fn month(text: &str) -> Option<u32> {
    let digits = text.get(..4)?;
    let number: u32 = digits
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| digits.parse().ok())??;
    let (year, month) = (number / 100, number % 100);
    let year = if year >= 91 { 1900 + year } else { 2000 + year };
    (1..=12).contains(&month).then_some(year * 100 + month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_plain_and_bounded() {
        let plain = |text| plain(text, 12);
        assert_eq!(
            plain(" A title\n  on two lines ").as_deref(),
            Some("A title on t…")
        );
        assert_eq!(plain("<b>x</b>").as_deref(), Some("<b>x</b>"));
        assert_eq!(plain("a\u{202e}b\u{0}c").as_deref(), Some("abc"));
        assert_eq!(plain(" \u{200b}\n"), None);
    }

    #[test]
    fn arxiv_identifiers_are_told_from_others() {
        for (text, id) in [
            ("2209.03003", Some("2209.03003")),
            ("2209.03003v2", Some("2209.03003")),
            ("0706.0001", Some("0706.0001")),
            ("hep-th/9901001v1", Some("hep-th/9901001")),
            ("math.GT/0309136", Some("math.GT/0309136")),
            ("2209.03003v", None),
            ("2209.030", None),
            ("2209.03003&x=1", None),
            ("../../etc", None),
            // Never given: months that are none, lengths of other years, numbers that begin at 1.
            ("2213.00001", None),
            ("2200.00001", None),
            ("0703.0001", None),
            ("1412.00001", None),
            ("1501.0001", None),
            ("2209.00000", None),
            ("hep-th/0704001", None),
            ("hep-th/9106001", None),
            ("hep-th/9913001", None),
            ("hep-th/9901000", None),
            ("9901001", None),
            ("1501.00001v12", Some("1501.00001")),
            ("cond-mat/0703999", Some("cond-mat/0703999")),
            ("", None),
        ] {
            assert_eq!(arxiv_id(text), id, "{text}");
        }
    }

    #[test]
    fn times_are_read() {
        // RFC 3339, 5.8: 20 minutes and 50.52 s after the 23rd hour of 12 April 1985 in UTC.
        assert_eq!(time_ms("1985-04-12T23:20:50.52Z"), Some(482_196_050_520));
        assert_eq!(
            day("2022-07-26T01:42:07.000Z").as_deref(),
            Some("2022-07-26")
        );
        assert_eq!(time_ms("yesterday"), None);
        assert_eq!(day("2022"), None);
    }

    #[test]
    fn only_web_addresses_pass() {
        assert_eq!(
            web_address("https://a.example/x").as_deref(),
            Some("https://a.example/x")
        );
        for text in ["javascript:alert(1)", "data:text/html,x", "LICENSE.md", ""] {
            assert_eq!(web_address(text), None, "{text}");
        }
    }
}
