//! Components of well-known models: their published configurations, how large a run of them is, and the numbers in their weights.

use architectures::{Part, States, Texts};

#[derive(Clone)]
/// A component of a model: its configuration, what is read of it, how large its run is, and the numbers in its weights.
pub struct Component {
    pub model: &'static str,
    pub name: &'static str,
    pub config: &'static str,
    pub part: Part,
    /// Prompts, latents' side, and tokens of a run.
    pub run: [usize; 3],
    pub parameters: u64,
}

fn texts(states: States, pooled: bool) -> Part {
    Part::TextEncoder(Texts {
        states,
        pooled,
        skips: 0,
    })
}

/// Numbers of parameters as PyTorch counts them in the published models; of encoders that a pipeline does not read to their end
/// (SDXL's first) less those of the last layer and norm, and the decoder's part of an autoencoder.
///
/// The configurations of SANA and of its autoencoder are those that diffusers' conversion scripts write (convert_sana_to_diffusers.py,
/// convert_dcae_to_diffusers.py), that of Gemma 2 has the defaults of transformers' class, which are the model of 2 billion,
/// and that of Lumina-2 those of diffusers' class, with captions as wide as Gemma's states.
pub fn components() -> Vec<Component> {
    let last = || texts(States::Last, false);
    let of = |model, name, config, part, run, parameters| Component {
        model,
        name,
        config,
        part,
        run,
        parameters,
    };
    macro_rules! config {
        ($name:literal) => {
            include_str!(concat!($name, ".json"))
        };
    }
    vec![
        of(
            "SD 1.5",
            "text encoder",
            config!("sd15-text_encoder"),
            last(),
            [1, 0, 77],
            123_060_480,
        ),
        of(
            "SD 1.5",
            "denoiser",
            config!("sd15-unet"),
            Part::Denoiser,
            [2, 64, 77],
            859_520_964,
        ),
        of(
            "SD 1.5",
            "decoder",
            config!("sd15-vae"),
            Part::Decoder,
            [1, 32, 0],
            DECODER,
        ),
        of(
            "SD-Turbo",
            "text encoder",
            config!("sd-turbo-text_encoder"),
            last(),
            [1, 0, 77],
            340_387_840,
        ),
        of(
            "SD-Turbo",
            "denoiser",
            config!("sd-turbo-unet"),
            Part::Denoiser,
            [1, 64, 77],
            865_910_724,
        ),
        of(
            "SDXL",
            "text encoder",
            config!("sdxl-text_encoder"),
            texts(States::BeforeLast, false),
            [1, 0, 77],
            123_060_480 - CLIP_L_LAYER - 2 * 768,
        ),
        of(
            "SDXL",
            "text encoder 2",
            config!("sdxl-text_encoder_2"),
            texts(States::BeforeLast, true),
            [1, 0, 77],
            694_659_840,
        ),
        of(
            "SDXL",
            "denoiser",
            config!("sdxl-unet"),
            Part::Denoiser,
            [2, 128, 77],
            2_567_463_684,
        ),
        of(
            "SDXL",
            "decoder",
            config!("sdxl-vae"),
            Part::Decoder,
            [1, 32, 0],
            DECODER,
        ),
        of(
            "SSD-1B",
            "denoiser",
            config!("ssd-1b-unet"),
            Part::Denoiser,
            [2, 128, 77],
            SSD_1B,
        ),
        of(
            "TAESD",
            "decoder",
            config!("taesd-vae"),
            Part::Decoder,
            [1, 32, 0],
            1_222_531,
        ),
        of(
            "FLUX.2 klein 4B",
            "text encoder",
            config!("qwen3-4b"),
            texts(States::Behind(vec![9, 18, 27]), false),
            [1, 512, 0],
            QWEN3_WORDS + 27 * QWEN3_LAYER,
        ),
        of(
            "FLUX.2 klein 4B",
            "denoiser",
            config!("klein-transformer"),
            Part::Denoiser,
            [1, 64, 512],
            3_875_544_576,
        ),
        of(
            "FLUX.2 klein 4B",
            "decoder",
            config!("klein-vae"),
            Part::Decoder,
            [1, 16, 0],
            49_620_515,
        ),
        of(
            "Z-Image",
            "text encoder",
            config!("qwen3-4b"),
            texts(States::BeforeLast, false),
            [1, 128, 0],
            QWEN3_WORDS + 35 * QWEN3_LAYER,
        ),
        of(
            "Z-Image",
            "denoiser",
            config!("z-image-transformer"),
            Part::Denoiser,
            [1, 128, 128],
            6_154_908_736,
        ),
        of(
            "SANA 0.6B",
            "text encoder",
            config!("gemma-2-2b"),
            last(),
            [1, 512, 0],
            2_614_341_888,
        ),
        of(
            "SANA 0.6B",
            "denoiser",
            config!("sana-transformer"),
            Part::Denoiser,
            [1, 32, 300],
            591_747_872,
        ),
        of(
            "SANA-Sprint 0.6B",
            "denoiser",
            config!("sana-sprint-transformer"),
            Part::Denoiser,
            [1, 32, 300],
            593_501_216,
        ),
        of(
            "SANA 0.6B",
            "decoder",
            config!("sana-vae"),
            Part::Decoder,
            [1, 8, 0],
            159_223_171,
        ),
        of(
            "SANA 0.6B",
            "encoder",
            config!("sana-vae"),
            Part::Encoder,
            [1, 256, 0],
            153_027_104,
        ),
        of(
            "Lumina-2",
            "text encoder",
            config!("gemma-2-2b"),
            texts(States::BeforeLast, false),
            [1, 256, 0],
            2_614_341_888 - GEMMA_2_LAYER - 2304,
        ),
        of(
            "Lumina-2",
            "denoiser",
            config!("lumina-2-transformer"),
            Part::Denoiser,
            [1, 128, 256],
            2_609_769_152,
        ),
        of(
            "T5-XXL",
            "text encoder",
            config!("t5-xxl"),
            last(),
            [1, 512, 0],
            4_762_310_656,
        ),
        of(
            "PixArt-Σ",
            "denoiser",
            config!("pixart-sigma-transformer"),
            Part::Denoiser,
            [1, 128, 300],
            610_856_096,
        ),
        of(
            "SD3.5-medium",
            "denoiser",
            config!("sd35-medium-transformer"),
            Part::Denoiser,
            [1, 128, 77],
            2_243_171_520 + SD3_PLACES,
        ),
        of(
            "FLUX.1-schnell",
            "denoiser",
            config!("flux1-schnell-transformer"),
            Part::Denoiser,
            [1, 128, 512],
            11_891_178_560,
        ),
        of(
            "SD3",
            "text encoder",
            config!("sd3-text_encoder"),
            texts(States::BeforeLast, true),
            [1, 0, 77],
            123_060_480 + 768 * 768,
        ),
        of(
            "FLUX.1",
            "decoder",
            config!("flux1-vae"),
            Part::Decoder,
            [1, 32, 0],
            DECODER - (4 * 4 + 4) + 12 * 512 * 9,
        ),
    ]
}

/// Decoder and the convolution before it: 83,653,863 of the whole less the encoder's 34,163,592 and the convolution behind it.
const DECODER: u64 = 83_653_863 - 34_163_592 - (8 * 8 + 8);
/// Products, their biases and two norms of a layer of 768 in CLIP: four of 768², two of 768·3072.
const CLIP_L_LAYER: u64 = 4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 4 * 768;
/// The table of words, and a layer.
const QWEN3_WORDS: u64 = 151_936 * 2560;
const QWEN3_LAYER: u64 = 100_930_816;
/// The table of places, a buffer that is stored with the weights.
const SD3_PLACES: u64 = 384 * 384 * 1536;
/// A layer of Gemma 2.
const GEMMA_2_LAYER: u64 = 77_865_984;
/// Of SSD-1B the card says 1.3 billion, and no more.
pub const SSD_1B: u64 = 1_300_000_000;
