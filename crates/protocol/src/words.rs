//! Words that agree with their numbers.

use std::fmt::Display;

/// A number and what it counts, whose plural ends in s: `1 step`, `4 steps`.
pub fn counted(number: impl Display + PartialEq<u32>, what: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {what}{ending}")
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_no_plural() {
        assert_eq!(counted(0, "step"), "0 steps");
        assert_eq!(counted(1, "step"), "1 step");
        assert_eq!(counted(25, "step"), "25 steps");
    }
}
