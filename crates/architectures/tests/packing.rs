//! How much memory it takes to write weights of fewer bits. The only test of its file: what others hold would be counted as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::io::{self, Write};

use architectures::{Element, Kind, Part, ReadAt, Smaller, Weights, build_smaller};
use peak_alloc::PeakAlloc;
use serde_json::Value;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

fn made(config: &Value, kind: Kind) -> Smaller {
    let weights = Weights::imagined(Element::F32);
    build_smaller("net", &Part::Denoiser, config, &weights, kind).unwrap()
}

fn published() -> Value {
    serde_json::from_str(include_str!("published/sdxl-unet.json")).unwrap()
}

/// The same bytes again and again, as numbers of any size below 2: none has the highest bit of an exponent.
struct Imagined(Vec<u8>);

impl Imagined {
    fn new() -> Self {
        let byte = |i: u32| (i.wrapping_mul(0x9e37_79b9) >> 20) as u8 & 0xbb;
        Self((0..1 << 16).map(byte).collect())
    }
}

impl ReadAt for Imagined {
    fn read_at(&mut self, _file: &str, _offset: u64, into: &mut [u8]) -> io::Result<()> {
        for piece in into.chunks_mut(self.0.len()) {
            piece.copy_from_slice(&self.0[..piece.len()]);
        }
        Ok(())
    }
}

/// Counts what passes, and keeps nothing.
#[derive(Default)]
struct Sink {
    bytes: u64,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// SDXL's denoiser with every layer that it has once: each of its shapes, in less time.
fn sdxl() -> Value {
    let mut config = published();
    config["layers_per_block"] = 1.into();
    config["transformer_layers_per_block"] = serde_json::json!([1, 1, 1]);
    config
}

/// What is held does not depend on how many tensors there are, and the bound that is said for the whole denoiser is the one that this
/// holds to.
#[test]
fn packing_sdxl_takes_a_few_megabytes() {
    let all = published();
    for kind in Kind::ALL {
        let whole = made(&all, kind);
        let bound = whole.file.working_bytes();
        // The largest tensor has 118 MB.
        assert!(bound <= 8 << 20, "{bound} bytes");
        let part = made(&sdxl(), kind);
        assert_eq!(part.file.working_bytes(), bound, "{kind}");
        let (mut authors, mut sink) = (Imagined::new(), Sink::default());
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        part.file.write(&mut authors, &mut sink).unwrap();
        let held = MEMORY.peak_usage() - before;
        println!(
            "SDXL's denoiser as {kind}: {:.0} MB of {:.0} MB; {:.0} MB were written with {:.2} MB held, {:.2} MB is the bound",
            whole.file.bytes() as f64 / 1e6,
            whole.file.bytes_before() as f64 / 1e6,
            sink.bytes as f64 / 1e6,
            held as f64 / 1e6,
            bound as f64 / 1e6
        );
        assert_eq!(sink.bytes, part.file.bytes(), "{kind}");
        assert!(
            held as u64 <= bound,
            "{kind}: {held} bytes, {bound} allowed"
        );
        // Products and convolutions are nearly all of it. A step of 16 bits is shared by 32 numbers at 4 bits, 128 or 64 at 8.
        let numbers = whole.file.bytes_before() as f64 / 4.0;
        let bits = whole.file.bytes() as f64 * 8.0 / numbers;
        let expected = match kind {
            Kind::F16 => 16.0..16.1,
            Kind::Int8 => 8.1..8.2,
            // An eighth of the numbers are convolutions', which have 8 bits.
            Kind::Int4 => 4.9..5.1,
        };
        assert!(expected.contains(&bits), "{kind}: {bits} bits a number");
    }
}
