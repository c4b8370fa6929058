//! Files made of texts, in the three containers, and what is expected of them.

use miniz_oxide::deflate::compress_to_vec_zlib;
use png_recipe::{Reading, Settings, read};

/// A chunk with its type; the CRC is left at zero, since readers of text pass it by.
pub fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap();
    [&length.to_be_bytes()[..], kind, data, &[0; 4]].concat()
}

pub fn text(keyword: &str, value: &[u8]) -> Vec<u8> {
    chunk(b"tEXt", &[keyword.as_bytes(), &[0], value].concat())
}

pub fn ztxt(keyword: &str, value: &[u8]) -> Vec<u8> {
    let stream = compress_to_vec_zlib(value, 9);
    chunk(b"zTXt", &[keyword.as_bytes(), &[0, 0], &stream].concat())
}

pub fn itxt(keyword: &str, value: &[u8], compressed: bool) -> Vec<u8> {
    let body = if compressed {
        compress_to_vec_zlib(value, 9)
    } else {
        value.to_vec()
    };
    let flags = [0, u8::from(compressed), 0];
    chunk(
        b"iTXt",
        &[keyword.as_bytes(), &flags, b"en\0", b"\0", &body].concat(),
    )
}

pub fn png(chunks: &[Vec<u8>]) -> Vec<u8> {
    let header = chunk(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0]);
    let end = chunk(b"IEND", &[]);
    [b"\x89PNG\r\n\x1a\n".to_vec(), header, chunks.concat(), end].concat()
}

/// Chunks of a WebP (RIFF: name, little-endian length, padded to even).
pub fn webp(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    for (name, data) in chunks {
        let length = u32::try_from(data.len()).unwrap().to_le_bytes();
        let pad = vec![0; data.len() % 2];
        body.extend([name.as_slice(), &length, data, &pad].concat());
    }
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    [b"RIFF", &length[..], &body].concat()
}

/// Segments of a JPEG between its start and its (empty) scan.
pub fn jpeg(segments: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut out = b"\xFF\xD8".to_vec();
    for (marker, data) in segments {
        let length = u16::try_from(data.len() + 2).unwrap().to_be_bytes();
        out.extend([&[0xFF, *marker], &length[..], data].concat());
    }
    [&out[..], b"\xFF\xDA\0\x02\xFF\xD9"].concat()
}

/// `APP1` with EXIF.
pub fn app1(exif: &[u8]) -> (u8, Vec<u8>) {
    (0xE1, [b"Exif\0\0", exif].concat())
}

/// A tag, the type of its value (2 ASCII, 7 undefined), and the value.
pub type Tag<'a> = (u16, u16, &'a [u8]);

/// EXIF with tags in the first directory and in the Exif directory, big-endian or little-endian.
pub fn exif(big: bool, first: &[Tag], inner: &[Tag]) -> Vec<u8> {
    let u16s = |n: u16| {
        if big {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        }
    };
    let u32s = |n: usize| {
        let n = u32::try_from(n).unwrap();
        if big {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        }
    };
    let directory_bytes = |n: usize| 2 + 12 * n + 4;
    let pointer = usize::from(!inner.is_empty());
    let inner_at = 8 + directory_bytes(first.len() + pointer);
    let mut data_at = inner_at
        + if pointer == 1 {
            directory_bytes(inner.len())
        } else {
            0
        };
    let mut data: Vec<u8> = Vec::new();
    let mut directory = |tags: &[Tag], link: bool| {
        let count = u16::try_from(tags.len() + usize::from(link)).unwrap();
        let mut out = u16s(count).to_vec();
        for (tag, kind, value) in tags {
            out.extend(u16s(*tag));
            out.extend(u16s(*kind));
            out.extend(u32s(value.len()));
            if value.len() <= 4 {
                let mut short = (*value).to_vec();
                short.resize(4, 0);
                out.extend(short);
            } else {
                out.extend(u32s(data_at));
                data.extend_from_slice(value);
                data_at += value.len();
            }
        }
        if link {
            out.extend([u16s(0x8769), u16s(4)].concat());
            out.extend([u32s(1), u32s(inner_at)].concat());
        }
        out.extend(u32s(0));
        out
    };
    let mut out = if big {
        b"MM\0*".to_vec()
    } else {
        b"II*\0".to_vec()
    };
    out.extend(u32s(8));
    out.extend(directory(first, pointer == 1));
    if pointer == 1 {
        out.extend(directory(inner, false));
    }
    out.extend(data);
    out
}

/// A user comment as `piexif` writes it: UTF-16, big-endian in any block.
pub fn unicode(text: &str) -> Vec<u8> {
    let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    [b"UNICODE\0", &units[..]].concat()
}

/// Empty texts stand for what is not there.
pub fn settings(
    model: &str,
    prompt: &str,
    negative: &str,
    seed: u64,
    steps: u32,
    guidance: f32,
) -> Settings {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Settings {
        model: some(model),
        prompt: some(prompt),
        negative_prompt: some(negative),
        seed: Some(seed),
        num_inference_steps: Some(steps),
        guidance_scale: Some(guidance),
        ..Settings::default()
    }
}

/// What is read of a PNG with one `tEXt` chunk.
pub fn reading(keyword: &str, value: &str) -> Reading {
    read(&png(&[text(keyword, value.as_bytes())])).unwrap()
}
