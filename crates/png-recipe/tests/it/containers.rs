//! Where the three kinds of files keep text, and files that are damaged or hostile.

use crate::support::{Tag, app1, chunk, exif, itxt, jpeg, png, text, unicode, webp, ztxt};
use png_recipe::{Generator, MAX_TEXT_BYTES, ReadError, read};

#[test]
fn every_kind_of_text_chunk_is_read() {
    let value = "Äpfel\nSteps: 1, Seed: 2, Size: 1x1";
    let latin1: Vec<u8> = value.chars().map(|c| c as u8).collect();
    for chunk in [
        text("parameters", &latin1),
        text("parameters", value.as_bytes()),
        ztxt("parameters", &latin1),
        itxt("parameters", value.as_bytes(), false),
        itxt("parameters", value.as_bytes(), true),
    ] {
        let found = read(&png(&[chunk])).unwrap();
        assert_eq!(found.settings.prompt.as_deref(), Some("Äpfel"));
    }
}

#[test]
fn bombs_and_long_texts_are_left_alone() {
    let bomb = vec![b' '; MAX_TEXT_BYTES + 1];
    for chunk in [
        text("parameters", &bomb),
        ztxt("parameters", &bomb),
        itxt("parameters", &bomb, true),
        itxt("parameters", &bomb, false),
    ] {
        assert_eq!(read(&png(&[chunk])), Err(ReadError::TooLong));
    }
    // What is not too long is read all the same.
    let good = text("parameters", b"a\nSteps: 1, Seed: 2, Size: 1x1");
    assert!(read(&png(&[ztxt("prompt", &bomb), good])).is_ok());
    let deep = "{\"a\":".repeat(100_000);
    assert_eq!(
        read(&png(&[text("prompt", deep.as_bytes())])),
        Err(ReadError::Unreadable {
            generator: Generator::ComfyUi,
            detail: "recursion limit exceeded at line 1 column 636".into()
        })
    );
}

/// Each text within its limit, all of them beyond any: one budget for the file, what does not become a text included.
/// Inflating all of it would take minutes here, so the time bounds nothing but that.
#[test]
fn thousands_of_compressed_texts_are_inflated_within_one_budget() {
    let start = std::time::Instant::now();
    let keywords = [
        "parameters",
        "prompt",
        "workflow",
        "Comment",
        "UserComment",
        "Dream",
    ];
    let white = vec![b' '; MAX_TEXT_BYTES];
    // The checksum at its end is wrong: inflated in vain.
    let damaged = |keyword: &str| {
        let mut chunk = ztxt(keyword, &white);
        let at = chunk.len() - 5;
        chunk[at] ^= 1;
        chunk
    };
    for one_each in [
        keywords.map(|keyword| ztxt(keyword, &white)),
        keywords.map(damaged),
    ] {
        let file = png(&vec![one_each.concat(); 2_600]);
        assert_eq!(read(&file), Err(ReadError::TooLong));
    }
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

/// Chunks and segments without end cost no more than their walk; those beyond the limit are left out.
#[test]
fn files_of_very_many_parts_are_walked_in_time() {
    let start = std::time::Instant::now();
    let empty = chunk(b"tEXt", b"");
    let late = text("parameters", b"a\nSteps: 1, Seed: 2, Size: 1x1");
    assert!(read(&png(&[vec![empty.clone(); 20_000].concat(), late.clone()])).is_ok());
    let file = png(&[vec![empty; 1_000_000].concat(), late]);
    assert_eq!(read(&file), Err(ReadError::NoRecipe));
    let long = [b'x'; 1_000];
    let tags: Vec<Tag> = vec![(0x010E, 2, &long[..]); 256];
    let block = exif(true, &tags, &[]);
    let blocks = vec![(*b"EXIF", block); 40];
    let blocks: Vec<(&[u8; 4], Vec<u8>)> = blocks.iter().map(|(n, b)| (n, b.clone())).collect();
    assert_eq!(read(&webp(&blocks)), Err(ReadError::NoRecipe));
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

#[test]
fn what_is_no_picture_or_says_nothing() {
    for other in [
        &b""[..],
        b"GIF89a",
        b"\xFF\xD8",
        b"RIFF\0\0\0\0WAVE",
        b"RIFF",
        b"II*\0",
    ] {
        assert_eq!(read(other), Err(ReadError::NotAPicture));
    }
    for nothing in [
        webp(&[]),
        webp(&[(b"VP8L", vec![0; 5])]),
        jpeg(&[]),
        jpeg(&[app1(b"")]),
    ] {
        assert_eq!(read(&nothing), Err(ReadError::NoRecipe));
    }
    assert_eq!(
        ReadError::NoRecipe.to_string(),
        "this file does not say how it was made"
    );
    assert_eq!(read(&png(&[])), Err(ReadError::NoRecipe));
    assert_eq!(
        read(&png(&[text("Software", b"x")])),
        Err(ReadError::NoRecipe)
    );
}

#[test]
fn a_file_that_is_cut_off_or_lies_is_read_as_far_as_it_goes() {
    let good = png(&[text("parameters", b"a\nSteps: 1, Seed: 2, Size: 1x1")]);
    assert!(read(&good[..good.len() - 12]).is_ok());
    let lying = |length: u32| {
        let mut file = png(&[text("parameters", b"a\nSteps: 1, Seed: 2, Size: 1x1")]);
        let at = file.windows(4).position(|w| w == b"tEXt").unwrap() - 4;
        file[at..at + 4].copy_from_slice(&length.to_be_bytes());
        read(&file)
    };
    assert_eq!(lying(u32::MAX), Err(ReadError::NoRecipe));
    assert_eq!(lying(0), Err(ReadError::NoRecipe));
}

/// Lengths that point out of the file, directories that point at themselves, segments without an end.
#[test]
fn webp_and_jpeg_that_lie_are_read_as_far_as_they_go() {
    let info = unicode("a\nSteps: 1, Seed: 2, Size: 1x1");
    let block = exif(false, &[(0x0131, 2, b"x\0")], &[(0x9286, 7, &info)]);
    for file in [jpeg(&[app1(&block)]), webp(&[(b"EXIF", block.clone())])] {
        assert!(read(&file).is_ok());
        for end in 0..file.len() {
            // Whether it is read or not: it ends.
            let _ = read(&file[..end]);
        }
        for at in 0..file.len() {
            for byte in [0, 0xFF, 0x80] {
                let mut lying = file.clone();
                lying[at] = byte;
                if let Ok(found) = read(&lying) {
                    assert_eq!(found.settings.seed.unwrap_or(2), 2);
                }
            }
        }
    }
    // The Exif directory is the first directory.
    let circle = [
        &b"MM\0*\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x08"[..],
        &[0; 4],
    ]
    .concat();
    assert_eq!(read(&jpeg(&[app1(&circle)])), Err(ReadError::NoRecipe));
}
