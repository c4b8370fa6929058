//! The texts of a file by keyword, whatever the container.

use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

/// Longest text that is read, in bytes, after decompression; that of ComfyUI's largest graphs is about a tenth.
pub const MAX_TEXT_BYTES: usize = 4 << 20;
/// Most bytes of all texts of a file together, after decompression; what is decompressed in vain counts too.
pub const MAX_FILE_TEXT_BYTES: usize = 8 << 20;

/// The comment of EXIF and of XMP.
pub(crate) const USER_COMMENT: &str = "UserComment";
/// The description of EXIF and of XMP.
pub(crate) const IMAGE_DESCRIPTION: &str = "ImageDescription";
/// `Comment` of PNG, the comment segment of JPEG.
pub(crate) const COMMENT: &str = "Comment";
/// Name of the program.
pub(crate) const SOFTWARE: &str = "Software";
/// Which of its two schemes Fooocus wrote.
pub(crate) const FOOOCUS_SCHEME: &str = "fooocus_scheme";
/// A packet of XMP in a PNG.
pub(crate) const XMP: &str = "XML:com.adobe.xmp";

/// Other keywords are passed over before anything of them is decompressed.
const KEYWORDS: [&str; 32] = [
    crate::RECIPE_KEYWORD,
    crate::PARAMETERS_KEYWORD,
    FOOOCUS_SCHEME,
    "invokeai_metadata",
    "invokeai_graph",
    "sd-metadata",
    "Dream",
    "prompt",
    "workflow",
    USER_COMMENT,
    IMAGE_DESCRIPTION,
    COMMENT,
    SOFTWARE,
    XMP,
    "Description",
    "Source",
    "negative_prompt",
    "seed",
    "use_stable_diffusion_model",
    "num_inference_steps",
    "guidance_scale",
    "sampler_name",
    "width",
    "height",
    "Prompt",
    "Negative Prompt",
    "Seed",
    "Stable Diffusion model",
    "Steps",
    "Guidance Scale",
    "Sampler",
    "clip_skip",
];

/// A known keyword without a text so far.
#[derive(Clone, Copy)]
pub(crate) struct Place(usize);

/// The first text of each known keyword.
pub(crate) struct Texts {
    found: [Option<String>; KEYWORDS.len()],
    budget: usize,
    left_some_out: bool,
}

impl Texts {
    pub(crate) fn new() -> Self {
        Self {
            found: Default::default(),
            budget: MAX_FILE_TEXT_BYTES,
            left_some_out: false,
        }
    }

    /// Where a text goes, unless its keyword is unknown or has one.
    pub(crate) fn place(&self, keyword: &[u8]) -> Option<Place> {
        let index = KEYWORDS.iter().position(|k| k.as_bytes() == keyword)?;
        self.found[index].is_none().then_some(Place(index))
    }

    /// Keeps a text if there is room for it.
    pub(crate) fn put(&mut self, place: Place, text: String) {
        let room = self.room();
        match self.found.get_mut(place.0) {
            Some(slot) if text.len() <= room => {
                self.budget -= text.len();
                *slot = Some(text);
            }
            _ => self.left_some_out = true,
        }
    }

    /// Decompresses a zlib stream within the file's budget.
    pub(crate) fn inflate(&mut self, stream: &[u8]) -> Option<Vec<u8>> {
        match decompress_to_vec_zlib_with_limit(stream, self.room()) {
            Ok(text) => Some(text),
            Err(error) => {
                self.budget -= error.output.len().min(self.budget);
                self.left_some_out |=
                    error.status == miniz_oxide::inflate::TINFLStatus::HasMoreOutput;
                None
            }
        }
    }

    /// Longest text that is kept from here on, in bytes.
    pub(crate) fn room(&self) -> usize {
        MAX_TEXT_BYTES.min(self.budget)
    }

    /// Notes that a text was not even looked at for its length.
    pub(crate) fn leave_out(&mut self) {
        self.left_some_out = true;
    }

    /// Whether a text of a known keyword was too long to be kept.
    pub(crate) fn left_some_out(&self) -> bool {
        self.left_some_out
    }

    /// The text of a keyword.
    pub(crate) fn get(&self, keyword: &str) -> Option<&str> {
        let index = KEYWORDS.iter().position(|k| *k == keyword)?;
        self.found[index].as_deref()
    }
}
