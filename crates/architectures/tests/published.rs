//! Graphs of the configurations that well-known models are published with, planned without their weights.
//!
//! `cargo test -p architectures --test published -- --nocapture` prints the table of docs/performance.md.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::borrow::Cow;
use std::time::Instant;

use architectures::{Element, Kind, Part, States, Texts, Weights, build, build_smaller};
use onnx_gpu::kernels::AdapterClass;
use onnx_gpu::weights::{Reading, WeightSource};
use onnx_gpu::{Cost, LEAST_TABLE, dry_cost_within};
use serde_json::Value;

/// What every WebGPU device binds at a time.
const BINDING: u64 = 128 << 20;

/// A component of a model: its configuration, what is read of it, how large its run is, and the numbers in its weights.
struct Component {
    model: &'static str,
    name: &'static str,
    config: &'static str,
    part: Part,
    /// Prompts, latents' side, and tokens of a run.
    run: [usize; 3],
    parameters: u64,
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
fn components() -> Vec<Component> {
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
            include_str!(concat!("published/", $name, ".json"))
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
const SSD_1B: u64 = 1_300_000_000;

/// Weights that are all zero: small ones are read while a plan is made.
struct Zeros;

impl WeightSource for Zeros {
    fn size<'a>(&'a self, _file: &'a str) -> Reading<'a, u64> {
        Box::pin(std::future::ready(Ok(u64::MAX)))
    }

    fn read<'a>(
        &'a self,
        _file: &'a str,
        _offset: u64,
        length: usize,
    ) -> Reading<'a, Cow<'a, [u8]>> {
        Box::pin(std::future::ready(Ok(Cow::Owned(vec![0; length]))))
    }
}

fn planned(component: &Component, graph: &[u8]) -> Cost {
    planned_within(component, graph, None)
}

fn planned_within(component: &Component, graph: &[u8], weights: Option<u64>) -> Cost {
    let [rows, side, tokens] = component.run;
    let open = |input: &str, place: usize| match (input, place) {
        (_, 0) => rows,
        // Two encoders of CLIP side by side, and behind their tokens those of T5.
        ("encoder_hidden_states", 2) => 768 + 1280,
        ("encoder_hidden_states_t5", _) => 256,
        ("encoder_hidden_states" | "encoder_attention_mask", _) => tokens,
        _ => side,
    };
    dry_cost_within(graph, &Zeros, AdapterClass::Hardware, weights, &open).unwrap()
}

#[test]
fn published_networks_have_their_parameters_and_fit_every_device() {
    println!(
        "| model | component | parameters | built in | graph | dispatches | memory at f16 | largest buffer |"
    );
    for component in components() {
        let config: Value = serde_json::from_str(component.config).unwrap();
        let started = Instant::now();
        let built = build(
            "net",
            &component.part,
            &config,
            &Weights::imagined(Element::F16),
        )
        .unwrap();
        let took = started.elapsed();
        let cost = planned(&component, &built.graph);
        let shown = format!("{} {}", component.model, component.name);
        println!(
            "| {} | {} | {} | {:.0} ms | {:.0} kB | {} | {:.0} MB, {:.0} MB while it loads | {:.0} MB |",
            component.model,
            component.name,
            built.parameters,
            took.as_secs_f64() * 1e3,
            built.graph.len() as f64 / 1e3,
            cost.dispatches,
            cost.total_bytes as f64 / 1e6,
            cost.load_bytes as f64 / 1e6,
            cost.largest_buffer as f64 / 1e6
        );
        if component.parameters == SSD_1B {
            let off = built.parameters.abs_diff(SSD_1B);
            assert!(off < SSD_1B / 20, "{shown}: {}", built.parameters);
        } else {
            assert_eq!(built.parameters, component.parameters, "{shown}");
        }
        assert!(
            cost.largest_buffer <= BINDING,
            "{shown}: {}",
            cost.largest_buffer
        );
        // Beside the weights are activations, which are the smaller part but in decoders; a second copy of the weights would not be.
        let weights = 2 * built.parameters;
        // A table of words is not on the device: its rows are read from the file.
        let member = |name: &str| config[name].as_u64().unwrap_or_default();
        let table = 2 * member("vocab_size") * member("hidden_size").max(member("d_model"));
        assert!(cost.load_bytes >= weights - table, "{shown}");
        if table > LEAST_TABLE {
            assert!(cost.load_bytes < weights, "{shown}");
        }
        if component.part != Part::Decoder {
            assert!(
                cost.load_bytes < weights + weights / 2,
                "{shown}: {} bytes for weights of {weights}",
                cost.load_bytes
            );
        }
    }
}

/// Fewer bits of a file are fewer bytes on the device: weights are not held there a second time in another form.
#[test]
fn smaller_weights_take_less_memory_and_fit_every_device() {
    println!("| model | component | memory at f16 | int8 | int4 | files at f16 | int8 | int4 |");
    for component in components() {
        let config: Value = serde_json::from_str(component.config).unwrap();
        let shown = format!("{} {}", component.model, component.name);
        let costs = Kind::ALL.map(|kind| {
            let weights = Weights::imagined(Element::F16);
            let built = build_smaller("net", &component.part, &config, &weights, kind).unwrap();
            let cost = planned(&component, &built.graph);
            assert!(cost.largest_buffer <= BINDING, "{shown} as {kind}");
            // What a run works with, the larger part in a decoder alone, is the same for all.
            (cost.load_bytes, built.file.bytes(), cost.dispatches)
        });
        let [f16, int8, int4] = costs;
        let mb = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            component.model,
            component.name,
            mb(f16.0),
            mb(int8.0),
            mb(int4.0),
            mb(f16.1),
            mb(int8.1),
            mb(int4.1)
        );
        assert!(int4.1 <= int8.1 && int8.1 < f16.1, "{shown}: {costs:?}");
        // A product reads rows of planes as they lie there where its matrix has no blocks, and a copy of them where it has.
        assert!(
            int8.2 == int4.2 && int8.2 < f16.2 + f16.2 / 10,
            "{shown}: {costs:?}"
        );
        if !matches!(component.part, Part::Decoder | Part::Encoder) {
            assert!(int4.0 < int8.0 && int8.0 < f16.0, "{shown}: {costs:?}");
        }
    }
}

/// Weights of a component that are on a device which streams them, as `diffusion::STREAMED_WEIGHTS` says.
const STREAMED_WEIGHTS: u64 = 512 << 20;

/// What models take with all components on the device, with one at a time, and with layers brought to it.
#[test]
fn large_models_fit_small_devices_part_by_part() {
    println!("| model | all | one at a time | layers streamed | brought each step |");
    let mb = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
    for (model, kind) in [
        ("FLUX.2 klein 4B", Kind::Int4),
        ("Z-Image", Kind::Int4),
        ("SDXL", Kind::F16),
        ("FLUX.1-schnell", Kind::Int4),
    ] {
        let (mut all, mut one, mut streamed, mut step) = (0, 0, 0, 0);
        let own = components();
        for component in own.iter().filter(|component| component.model == model) {
            let config: Value = serde_json::from_str(component.config).unwrap();
            let weights = Weights::imagined(Element::F16);
            let built = build_smaller("net", &component.part, &config, &weights, kind).unwrap();
            let cost = planned(component, &built.graph);
            let within = planned_within(component, &built.graph, Some(STREAMED_WEIGHTS));
            let shown = format!("{model} {}", component.name);
            assert!(within.largest_buffer <= BINDING, "{shown}: {within:?}");
            assert_eq!(within.flops, cost.flops, "{shown}");
            let working = cost.total_bytes - cost.constant_bytes;
            let held = within.total_bytes - working;
            // Small constants, and what is prepared once, come on top of the weights.
            assert!(held <= STREAMED_WEIGHTS / 10 * 11, "{shown}: {held}");
            // Every weight is there, or brought once a run.
            if within.streamed_bytes > 0 {
                let whole = within.constant_bytes + within.streamed_bytes;
                assert!(whole >= cost.constant_bytes, "{shown}");
                assert!(
                    whole <= cost.constant_bytes + cost.constant_bytes / 20,
                    "{shown}: {whole}"
                );
            } else {
                assert!(cost.constant_bytes <= STREAMED_WEIGHTS, "{shown}");
            }
            all += cost.load_bytes;
            one = one.max(cost.load_bytes);
            streamed = streamed.max(within.load_bytes);
            if component.name == "denoiser" {
                step = within.streamed_bytes;
            }
        }
        println!(
            "| {model}, `{kind}` | {} | {} | {} | {} |",
            mb(all),
            mb(one),
            mb(streamed),
            mb(step)
        );
        assert!(streamed < one && one <= all && step > 0, "{model}");
    }
}
