//! Ids of pictures: short, unguessable in their second half, sorted newest first.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Crockford's base 32 in ASCII order, so that text order is numeric order.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Digits of the inverted time: 45 bits, enough until the year 3084.
const TIME_DIGITS: usize = 9;
/// Random digits: 50 bits.
const RANDOM_DIGITS: usize = 10;
const TIME_MAX: u64 = (1 << (5 * TIME_DIGITS)) - 1;

/// Inverted creation time in milliseconds, then random digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId(String);

/// The text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a picture id")]
pub struct InvalidId;

impl ImageId {
    /// A fresh id for this moment.
    ///
    /// # Errors
    /// When the system has no source of randomness.
    pub fn new() -> anyhow::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let random = u64::from_le_bytes(crate::random::bytes()?);
        Ok(Self::from_parts(u64::try_from(now.as_millis())?, random))
    }

    fn from_parts(milliseconds: u64, random: u64) -> Self {
        let mut text = String::with_capacity(TIME_DIGITS + RANDOM_DIGITS);
        push_digits(
            &mut text,
            (TIME_MAX - milliseconds.min(TIME_MAX)).into(),
            TIME_DIGITS,
        );
        push_digits(&mut text, random.into(), RANDOM_DIGITS);
        Self(text)
    }

    /// The sortable first half.
    pub fn inverted_time(&self) -> &str {
        self.0.get(..TIME_DIGITS).unwrap_or_default()
    }

    /// Milliseconds since the Unix epoch.
    pub fn created_at(&self) -> u64 {
        let inverted = self.inverted_time().bytes().fold(0, |value, digit| {
            let digit = ALPHABET.iter().position(|&a| a == digit).unwrap_or(0);
            value << 5 | digit as u64
        });
        TIME_MAX - inverted
    }

    /// The id in the low 95 bits, for sets of many.
    pub(super) fn to_bits(&self) -> u128 {
        self.0.bytes().fold(0, |value, digit| {
            let digit = ALPHABET.iter().position(|&a| a == digit).unwrap_or(0);
            value << 5 | digit as u128
        })
    }

    /// Back from [`Self::to_bits`].
    pub(super) fn from_bits(bits: u128) -> Self {
        let mut text = String::with_capacity(TIME_DIGITS + RANDOM_DIGITS);
        push_digits(&mut text, bits, TIME_DIGITS + RANDOM_DIGITS);
        Self(text)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn push_digits(text: &mut String, value: u128, digits: usize) {
    for place in (0..digits).rev() {
        text.push(char::from(ALPHABET[(value >> (5 * place) & 31) as usize]));
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ImageId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.len() == TIME_DIGITS + RANDOM_DIGITS && text.bytes().all(|b| ALPHABET.contains(&b))
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn later_ids_sort_first() {
        let times = [0, 1, 31, 32, 1_700_000_000_000, 1_700_000_000_001, TIME_MAX];
        let ids: Vec<_> = times.iter().map(|&t| ImageId::from_parts(t, 7)).collect();
        assert!(ids.is_sorted_by(|a, b| a > b));
        for (id, time) in ids.iter().zip(times) {
            assert_eq!(id.created_at(), time);
            assert_eq!(id.as_str().parse::<ImageId>().unwrap(), *id);
            assert_eq!(ImageId::from_bits(id.to_bits()), *id);
        }
    }

    #[test]
    fn what_could_escape_a_key_is_no_id() {
        for text in [
            "",
            "..",
            "../../etc/passwd",
            "0000000000000000ii",
            "000000000000000000/",
        ] {
            assert_eq!(text.parse::<ImageId>(), Err(InvalidId), "{text}");
        }
    }
}
