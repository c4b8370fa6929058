//! PNGs made of text chunks.

use miniz_oxide::deflate::compress_to_vec_zlib;

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
