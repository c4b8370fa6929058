//! `{red|blue}` in a prompt: a picture for each.
//!
//! `{2$$a|b|c}` takes every two of them, `{1-2$$a|b|c}` every one and every two, joined by commas. Groups may lie in groups; braces
//! without a bar between them, or without a partner, are text, as are `\{`, `\|` and `\}`.

/// Groups in groups that are read; what lies deeper is text.
const DEPTH: usize = 8;

/// A piece of a prompt.
enum Piece {
    Text(String),
    Choice(Choice),
}

struct Choice {
    /// Fewest and most options that are taken together.
    taken: (usize, usize),
    options: Vec<Vec<Piece>>,
}

/// Every prompt that `prompt` stands for, the first alternatives first.
///
/// # Errors
/// How many they are, where they are more than `most`.
pub fn expand(prompt: &str, most: u64) -> Result<Vec<String>, u64> {
    let chars: Vec<char> = prompt.chars().collect();
    let text = Text {
        partners: partners(&chars),
        chars,
    };
    let pieces = text.pieces(0, text.chars.len(), 0);
    match count(&pieces) {
        number if number > most => Err(number),
        _ => Ok(prompts(&pieces)),
    }
}

struct Text {
    chars: Vec<char>,
    /// The index of the brace that closes the one at that index.
    partners: Vec<Option<usize>>,
}

fn partners(chars: &[char]) -> Vec<Option<usize>> {
    let mut partners = vec![None; chars.len()];
    let mut open = Vec::new();
    let mut escaped = false;
    for (index, char) in chars.iter().enumerate() {
        match char {
            _ if std::mem::take(&mut escaped) => {}
            '\\' => escaped = true,
            '{' => open.push(index),
            '}' => {
                if let Some(start) = open.pop()
                    && let Some(partner) = partners.get_mut(start)
                {
                    *partner = Some(index);
                }
            }
            _ => {}
        }
    }
    partners
}

impl Text {
    fn at(&self, index: usize) -> Option<char> {
        self.chars.get(index).copied()
    }

    fn partner(&self, index: usize) -> Option<usize> {
        self.partners.get(index).copied().flatten()
    }

    /// The pieces from `start` to before `end`.
    fn pieces(&self, start: usize, end: usize, depth: usize) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut index = start;
        while index < end {
            let Some(char) = self.at(index) else { break };
            let next = self.at(index + 1).filter(|_| index + 1 < end);
            if char == '\\' && next.is_some_and(|next| "{|}".contains(next)) {
                plain.extend(next);
                index += 2;
                continue;
            }
            if let Some(close) = self.partner(index)
                && depth < DEPTH
                && let Some(choice) = self.choice(index + 1, close, depth + 1)
            {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
                pieces.push(Piece::Choice(choice));
                index = close + 1;
                continue;
            }
            plain.push(char);
            index += 1;
        }
        pieces.push(Piece::Text(plain));
        pieces
    }

    /// The group whose inside is `start` to before `end`; none without a bar.
    fn choice(&self, start: usize, end: usize, depth: usize) -> Option<Choice> {
        let mut bars = Vec::new();
        let mut index = start;
        while index < end {
            match self.at(index)? {
                '\\' => index += 1,
                '|' => bars.push(index),
                _ => index = self.partner(index).unwrap_or(index),
            }
            index += 1;
        }
        if bars.is_empty() {
            return None;
        }
        let (taken, start) = self.taken(start, end, bars.len() + 1);
        let ends = bars.iter().copied().chain([end]);
        let starts = [start].into_iter().chain(bars.iter().map(|bar| bar + 1));
        let options = starts.zip(ends);
        Some(Choice {
            taken,
            options: options.map(|(a, b)| self.pieces(a, b, depth)).collect(),
        })
    }

    /// How many of `options` are taken together, and where the first of them begins.
    fn taken(&self, start: usize, end: usize, options: usize) -> ((usize, usize), usize) {
        let inside = self.chars.get(start..end).unwrap_or_default();
        let mark = inside.windows(2).position(|pair| pair == ['$', '$']);
        let Some(mark) = mark else {
            return ((1, 1), start);
        };
        let prefix: String = inside.iter().take(mark).collect();
        let (least, most) = prefix.split_once('-').unwrap_or((&prefix, &prefix));
        match (least.trim().parse(), most.trim().parse()) {
            (Ok(least), Ok(most)) if 1 <= least && least <= most => {
                let within = |number: usize| number.min(options);
                ((within(least), within(most)), start + mark + 2)
            }
            _ => ((1, 1), start),
        }
    }
}

/// How many prompts these stand for.
fn count(pieces: &[Piece]) -> u64 {
    let factors = pieces.iter().map(|piece| match piece {
        Piece::Text(_) => 1,
        Piece::Choice(choice) => {
            // `ways[k]`: of the options so far, every k of them.
            let mut ways = vec![0_u64; choice.options.len() + 1];
            ways[0] = 1;
            for option in &choice.options {
                let own = count(option);
                for k in (1..ways.len()).rev() {
                    ways[k] = ways[k].saturating_add(ways[k - 1].saturating_mul(own));
                }
            }
            let (least, most) = choice.taken;
            let counted = ways.iter().take(most + 1).skip(least);
            counted.fold(0, |sum: u64, n| sum.saturating_add(*n))
        }
    });
    factors.fold(1, u64::saturating_mul)
}

fn prompts(pieces: &[Piece]) -> Vec<String> {
    let mut all = vec![String::new()];
    for piece in pieces {
        let own = match piece {
            Piece::Text(text) => vec![text.clone()],
            Piece::Choice(choice) => {
                let (least, most) = choice.taken;
                (least..=most)
                    .flat_map(|k| together(&choice.options, k))
                    .map(|parts| parts.join(", "))
                    .collect()
            }
        };
        let longer = all
            .iter()
            .flat_map(|start| own.iter().map(move |end| format!("{start}{end}")));
        all = longer.collect();
    }
    all
}

/// Every `k` of the options, each by every prompt that it stands for.
fn together(options: &[Vec<Piece>], k: usize) -> Vec<Vec<String>> {
    let Some((first, rest)) = options.split_first().filter(|_| k > 0) else {
        return if k == 0 { vec![Vec::new()] } else { Vec::new() };
    };
    let with = prompts(first).into_iter().flat_map(|prompt| {
        together(rest, k - 1).into_iter().map(move |mut others| {
            others.insert(0, prompt.clone());
            others
        })
    });
    with.chain(together(rest, k)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn all(prompt: &str) -> Vec<String> {
        expand(prompt, 100).unwrap()
    }

    #[test]
    fn every_alternative_makes_a_prompt() {
        assert_eq!(all("a {red|blue} cat"), ["a red cat", "a blue cat"]);
        assert_eq!(
            all("{red|blue} {cat|dog}"),
            ["red cat", "red dog", "blue cat", "blue dog"]
        );
        assert_eq!(
            all("{a {b|c}|d}{|!}"),
            ["a b", "a b!", "a c", "a c!", "d", "d!"]
        );
    }

    #[test]
    fn several_are_taken_together() {
        assert_eq!(all("{2$$a|b|c}"), ["a, b", "a, c", "b, c"]);
        assert_eq!(all("{1-2$$a|b|c}"), ["a", "b", "c", "a, b", "a, c", "b, c"]);
        assert_eq!(all("{2$$a|{b|c}}"), ["a, b", "a, c"]);
        // More than there are: all of them. What is no number is text.
        assert_eq!(all("{9$$a|b}"), ["a, b"]);
        assert_eq!(all("{x$$a|b}"), ["x$$a", "b"]);
        assert_eq!(all("{0$$a|b}"), ["0$$a", "b"]);
        assert_eq!(all("{2-1$$a|b}"), ["2-1$$a", "b"]);
    }

    #[test]
    fn other_braces_are_text() {
        for text in [
            "",
            "a cat",
            "{a}",
            "}{",
            "{a|b",
            "a|b}",
            "a|b",
            "{{a}}",
            "\\",
            "a \\(b\\)",
            "日本 {語}",
        ] {
            assert_eq!(all(text), [text], "{text}");
        }
        assert_eq!(all("\\{a\\|b\\}"), ["{a|b}"]);
        assert_eq!(all("{a\\|b|c}"), ["a|b", "c"]);
        assert_eq!(all("{{a|b}}"), ["{a}", "{b}"]);
    }

    /// 4 × 5 = 20; C(20, 10) = 184,756; 2^70 does not fit.
    #[test]
    fn too_many_are_counted_and_not_made() {
        assert_eq!(expand("{1|2|3|4} {1|2|3|4|5}", 16), Err(20));
        let twenty = (0..20).map(|n| n.to_string()).collect::<Vec<_>>().join("|");
        assert_eq!(expand(&format!("{{10$${twenty}}}"), 16), Err(184_756));
        assert_eq!(expand(&"{a|b}".repeat(70), 16), Err(u64::MAX));
        // Deep and long texts end.
        assert!(expand(&"{".repeat(100_000), 16).is_ok());
        assert!(expand(&"{a|".repeat(10_000), 16).is_ok());
        let deep = format!("{}x{}", "{a|".repeat(50), "}".repeat(50));
        assert_eq!(expand(&deep, 16).map(|all| all.len()), Ok(DEPTH + 1));
    }
}
