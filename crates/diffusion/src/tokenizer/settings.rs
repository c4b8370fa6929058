//! How the texts of a package become token ids, as its manifest says it.

use serde::{Deserialize, Serialize};

use crate::manifest::TokenizerSettings;

/// Most tokens of a text.
const MAX_LENGTH: usize = 1 << 14;

/// What one tokenizer of a package does with a prompt and a negative prompt.
///
/// ```json
/// {"file": "tokenizer.json", "length": 77, "padding": {"to": "max", "token": 49407}, "masks": false, "emphasis": "a1111",
///  "negative": {"absent": "zeros"}}
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextSettings {
    /// A Hugging Face `tokenizer.json`; its own truncation and padding count for nothing.
    pub file: String,
    /// Most tokens of a text, with prefix, suffix and special tokens; of longer texts the end is cut off.
    pub length: usize,
    /// What shorter texts are filled up with.
    pub padding: Padding,
    /// Whether graphs are told where padding is; off, the mask is 1 throughout.
    pub masks: bool,
    /// What is done to a text as it was written, before prefix and suffix.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cleaning: Cleaning,
    /// Stands before the prompt, as one text with it: an instruction, or the beginning of a chat template.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Stands behind the prompt, as one text with it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub suffix: String,
    /// What is different for the negative prompt.
    #[serde(default, skip_serializing_if = "is_default")]
    pub negative: NegativeSettings,
    /// What a request may ask brackets to mean.
    #[serde(default, skip_serializing_if = "is_default")]
    pub emphasis: Emphasis,
    /// Positions of the encoded text that conditioning is made of; left open, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
}

/// Filling up of short texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Padding {
    /// How far.
    pub to: PadTo,
    /// Where.
    #[serde(default, skip_serializing_if = "is_default")]
    pub side: Side,
    /// Id of the token.
    pub token: u32,
}

/// How far a text is padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PadTo {
    /// To the length of the settings.
    Max,
    /// To the longest text of a run of the encoder: texts are encoded one a run, so not at all.
    Longest,
    /// To the next multiple of a number of tokens; at most to the length of the settings.
    Multiple(usize),
}

/// A side of the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Before it.
    Left,
    /// Behind it.
    #[default]
    Right,
}

/// What is done to a text as it was written.
///
/// The cleaning of CLIP's training is none of these: a `tokenizer.json` declares it, see [`super::clip`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cleaning {
    /// Nothing.
    #[default]
    None,
    /// Lower case, and no white space at its ends.
    LowerStrip,
}

/// What brackets in a prompt mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Emphasis {
    /// Nothing: they are text, and what is beyond the length is cut off.
    #[default]
    None,
    /// Weights, and texts of any length, as [`crate::prompt`] reads them.
    A1111,
}

/// What is different for the negative prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NegativeSettings {
    /// What stands for no negative prompt.
    #[serde(default)]
    pub absent: Blank,
    /// What stands for an empty one.
    #[serde(default)]
    pub empty: Blank,
    /// Whether prefix and suffix stand around it, too.
    #[serde(default = "yes")]
    pub framed: bool,
    /// Most tokens; left open, as many as of the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
}

impl Default for NegativeSettings {
    fn default() -> Self {
        Self {
            absent: Blank::Encoded,
            empty: Blank::Encoded,
            framed: true,
            length: None,
        }
    }
}

impl NegativeSettings {
    /// What stands for `negative`; none when it says something.
    pub fn blank(&self, negative: Option<&str>) -> Option<Blank> {
        match negative {
            None => Some(self.absent),
            Some("") => Some(self.empty),
            Some(_) => None,
        }
    }
}

/// What stands for a text that says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blank {
    /// What the encoders give for the empty text.
    #[default]
    Encoded,
    /// Zeros in place of what the encoders give.
    Zeros,
}

/// Positions of the encoded text, counted with its padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// How many at the beginning.
    pub first: usize,
    /// How many at the end.
    pub last: usize,
}

impl Keep {
    /// The positions of a text of `length` tokens; all where it has no more.
    pub fn positions(self, length: usize) -> Vec<usize> {
        let end = length.saturating_sub(self.last);
        (0..length)
            .filter(|&position| position < self.first || position >= end)
            .collect()
    }
}

impl TextSettings {
    /// Most tokens of a negative prompt.
    pub fn negative_length(&self) -> usize {
        self.negative.length.unwrap_or(self.length)
    }

    /// Tokens that conditioning is made of, of a prompt that takes all there are.
    pub fn kept(&self) -> usize {
        let kept = |keep: Keep| keep.positions(self.length).len();
        self.keep.map_or(self.length, kept)
    }

    /// What contradicts itself or cannot be done, in a sentence.
    pub fn fault(&self) -> Option<String> {
        let (length, negative) = (self.length, self.negative_length());
        for length in [length, negative] {
            if !(1..=MAX_LENGTH).contains(&length) {
                return Some(format!(
                    "texts of {length} tokens cannot be used; 1 to {MAX_LENGTH} can"
                ));
            }
        }
        if self.padding.to == PadTo::Multiple(0) {
            return Some("texts cannot be padded to a multiple of 0 tokens".to_owned());
        }
        if let Some(Keep { first, last }) = self.keep {
            let kept = first.checked_add(last).unwrap_or_default();
            if !(1..=length.min(negative)).contains(&kept) {
                return Some(format!(
                    "the first {first} and the last {last} of {length} and {negative} tokens cannot be kept"
                ));
            }
        }
        let chunked = Self {
            masks: self.masks,
            cleaning: self.cleaning,
            emphasis: Emphasis::A1111,
            negative: NegativeSettings {
                absent: self.negative.absent,
                empty: self.negative.empty,
                ..NegativeSettings::default()
            },
            ..Self::fixed(&self.file, length, self.padding.token)
        };
        (self.emphasis == Emphasis::A1111 && *self != chunked).then(|| {
            "emphasis as of A1111 needs texts padded to their length on the right, without prefix, suffix, tokens to keep, or \
             another length of negative prompts"
                .to_owned()
        })
    }

    /// Texts padded on the right to `length` with `token`, with masks and as they were written.
    pub fn fixed(file: &str, length: usize, token: u32) -> Self {
        Self {
            file: file.to_owned(),
            length,
            padding: Padding {
                to: PadTo::Max,
                side: Side::Right,
                token,
            },
            masks: true,
            cleaning: Cleaning::None,
            prefix: String::new(),
            suffix: String::new(),
            negative: NegativeSettings::default(),
            emphasis: Emphasis::None,
            keep: None,
        }
    }
}

impl From<&TokenizerSettings> for TextSettings {
    fn from(settings: &TokenizerSettings) -> Self {
        Self::fixed(&settings.file, settings.max_length, settings.pad_id)
    }
}

impl Padding {
    /// Tokens of a text that has `used` of `length` tokens.
    pub(super) fn target(self, used: usize, length: usize) -> usize {
        match self.to {
            PadTo::Max => length,
            PadTo::Longest => used,
            PadTo::Multiple(of) => used
                .checked_next_multiple_of(of)
                .unwrap_or(used)
                .min(length),
        }
    }
}

impl Cleaning {
    /// The text that is encoded; white space is what Python takes for it.
    pub(super) fn clean(self, text: &str) -> String {
        match self {
            Self::None => text.to_owned(),
            Self::LowerStrip => {
                let is_space = |c: char| c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}');
                text.to_lowercase().trim_matches(is_space).to_owned()
            }
        }
    }
}

fn yes() -> bool {
    true
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn read(settings: &Value) -> Result<TextSettings, String> {
        serde_json::from_value::<TextSettings>(settings.clone()).map_err(|e| e.to_string())
    }

    /// What diffusers 0.42 does with the texts of each family, written as a manifest writes it.
    #[test]
    fn every_family_can_be_written_down() {
        let clip = json!({"to": "max", "token": 49407});
        let t5 = json!({"to": "max", "token": 0});
        let families = [
            json!({"file": "clip.json", "length": 77, "padding": clip, "masks": false, "emphasis": "a1111"}),
            json!({"file": "sdxl.json", "length": 77, "padding": {"to": "max", "token": 0}, "masks": false, "emphasis": "a1111",
                   "negative": {"absent": "zeros", "empty": "encoded", "framed": true}}),
            json!({"file": "sd3.json", "length": 256, "padding": t5, "masks": false}),
            json!({"file": "pixart.json", "length": 300, "padding": t5, "masks": true, "cleaning": "lower-strip"}),
            json!({"file": "sana.json", "length": 520, "padding": t5, "masks": true, "cleaning": "lower-strip",
                   "prefix": "Given a user prompt, generate an \"Enhanced prompt\"\nUser Prompt: ",
                   "negative": {"absent": "encoded", "empty": "encoded", "framed": false, "length": 300},
                   "keep": {"first": 1, "last": 299}}),
            json!({"file": "klein.json", "length": 512, "padding": {"to": "max", "token": 151_643}, "masks": true,
                   "prefix": "<|im_start|>user\n", "suffix": "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"}),
            json!({"file": "z.json", "length": 512, "padding": {"to": "longest", "token": 151_643}, "masks": true,
                   "prefix": "<|im_start|>user\n", "suffix": "<|im_end|>\n<|im_start|>assistant\n"}),
            json!({"file": "x.json", "length": 512, "padding": {"to": {"multiple": 32}, "side": "left", "token": 7}, "masks": true}),
        ];
        for family in families {
            let settings = read(&family).unwrap();
            assert_eq!(settings.fault(), None);
            assert_eq!(serde_json::to_value(&settings).unwrap(), family);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let good = json!({"file": "a.json", "length": 77, "padding": {"to": "max", "token": 0}, "masks": false});
        assert!(read(&good).is_ok());
        for (pointer, key, value) in [
            ("", "max_length", json!(77)),
            ("", "emphasis", json!("compel")),
            ("", "cleaning", json!("lower")),
            ("", "negative", json!({"absent": "none"})),
            ("", "negative", json!({"missing": "zeros"})),
            ("", "keep", json!({"first": 1})),
            ("/padding", "to", json!("min")),
            ("/padding", "to", json!({"multiple": -1})),
            ("/padding", "side", json!("both")),
            ("/padding", "pad", json!(0)),
            ("", "masks", json!("on")),
        ] {
            let mut bad = good.clone();
            bad.pointer_mut(pointer).unwrap()[key] = value;
            assert!(read(&bad).is_err(), "{bad}");
        }
        for missing in ["file", "length", "padding", "masks"] {
            let mut bad = good.clone();
            bad.as_object_mut().unwrap().remove(missing);
            assert!(read(&bad).unwrap_err().contains(missing));
        }
    }

    #[test]
    fn what_contradicts_itself_is_a_fault() {
        let good = TextSettings::fixed("a.json", 300, 0);
        let a1111 = TextSettings {
            emphasis: Emphasis::A1111,
            ..good.clone()
        };
        let negative = |length| NegativeSettings {
            length,
            ..NegativeSettings::default()
        };
        let keep = |first, last| Some(Keep { first, last });
        assert_eq!(good.fault(), None);
        assert_eq!(a1111.fault(), None);
        #[rustfmt::skip]
        let faults = [
            (TextSettings { length: 0, ..good.clone() }, "0 tokens"),
            (TextSettings { length: MAX_LENGTH + 1, ..good.clone() }, "16385 tokens"),
            (TextSettings { negative: negative(Some(0)), ..good.clone() }, "0 tokens"),
            (TextSettings { padding: Padding { to: PadTo::Multiple(0), ..good.padding }, ..good.clone() }, "multiple of 0"),
            (TextSettings { keep: keep(0, 0), ..good.clone() }, "kept"),
            (TextSettings { keep: keep(2, 299), ..good.clone() }, "kept"),
            (TextSettings { keep: keep(usize::MAX, 1), ..good.clone() }, "kept"),
            (TextSettings { keep: keep(1, 299), negative: negative(Some(200)), ..good.clone() }, "kept"),
            (TextSettings { prefix: "a".to_owned(), ..a1111.clone() }, "emphasis"),
            (TextSettings { suffix: "a".to_owned(), ..a1111.clone() }, "emphasis"),
            (TextSettings { keep: keep(1, 2), ..a1111.clone() }, "emphasis"),
            (TextSettings { negative: negative(Some(200)), ..a1111.clone() }, "emphasis"),
            (TextSettings { padding: Padding { to: PadTo::Longest, ..a1111.padding }, ..a1111.clone() }, "emphasis"),
            (TextSettings { padding: Padding { side: Side::Left, ..a1111.padding }, ..a1111 }, "emphasis"),
        ];
        for (settings, fault) in faults {
            assert!(
                settings.fault().is_some_and(|it| it.contains(fault)),
                "{settings:?}"
            );
        }
    }

    #[test]
    fn an_absent_negative_is_not_an_empty_one() {
        let settings = NegativeSettings {
            absent: Blank::Zeros,
            ..NegativeSettings::default()
        };
        assert_eq!(settings.blank(None), Some(Blank::Zeros));
        assert_eq!(settings.blank(Some("")), Some(Blank::Encoded));
        assert_eq!(settings.blank(Some(" ")), None);
    }

    #[test]
    fn the_ends_of_a_text_are_kept() {
        let keep = Keep { first: 1, last: 3 };
        assert_eq!(keep.positions(8), [0, 5, 6, 7]);
        assert_eq!(keep.positions(4), [0, 1, 2, 3]);
        assert_eq!(keep.positions(2), [0, 1]);
    }
}
