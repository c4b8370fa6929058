//! Parts of a picture that a network sees at a time.

use std::ops::Range;

/// A part of an axis, in pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// What the network sees.
    pub seen: Range<usize>,
    /// What is kept of its answer: within `seen`, and where `seen` does not end with the axis, `overlap` away from its ends.
    pub kept: Range<usize>,
}

/// Spans of an axis of `length`, each of which sees `window` pixels or all; what is kept of them covers the axis, once.
///
/// All of them see equally much, so that an engine plans once; the last one lies farther back for that. A `window` has to be
/// wider than two overlaps.
pub(super) fn spans(length: usize, window: usize, overlap: usize) -> Vec<Span> {
    let window = window.min(length);
    let stride = window.saturating_sub(2 * overlap).max(1);
    let last = length - window;
    let mut spans = Vec::new();
    let (mut start, mut done) = (0, 0);
    loop {
        let end = start + window;
        let kept = if start == last { end } else { end - overlap };
        spans.push(Span {
            seen: start..end,
            kept: done..kept,
        });
        if start == last {
            return spans;
        }
        done = kept;
        start = (start + stride).min(last);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_pixel_is_kept_once_with_its_surroundings(length in 1usize..400, core in 1usize..60, overlap in 0usize..30) {
            let window = core + 2 * overlap;
            let spans = spans(length, window, overlap);
            let mut done = 0;
            for span in &spans {
                prop_assert_eq!(span.seen.len(), window.min(length));
                prop_assert!(span.seen.end <= length);
                prop_assert_eq!(span.kept.start, done);
                prop_assert!(!span.kept.is_empty());
                done = span.kept.end;
                prop_assert!(span.seen.start == 0 || span.seen.start + overlap <= span.kept.start);
                prop_assert!(span.seen.end == length || span.kept.end + overlap <= span.seen.end);
            }
            prop_assert_eq!(done, length);
        }
    }

    #[test]
    fn the_last_span_lies_farther_back() {
        let seen = |length| -> Vec<(usize, usize)> {
            let spans = spans(length, 10, 2).into_iter();
            spans.map(|span| (span.seen.start, span.seen.end)).collect()
        };
        assert_eq!(seen(10), [(0, 10)]);
        assert_eq!(seen(4), [(0, 4)]);
        assert_eq!(seen(17), [(0, 10), (6, 16), (7, 17)]);
    }
}
