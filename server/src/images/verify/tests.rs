#![allow(clippy::unwrap_used, clippy::expect_used)]

use protocol::GenerationRequest;

use super::*;

const SIZE: Option<(u32, u32)> = Some((8, 8));

fn recipe() -> Recipe {
    Recipe {
        request: GenerationRequest {
            model: "a/b".into(),
            prompt: "é".into(),
            seed: Some(1),
            num_inference_steps: Some(8),
            guidance_scale: Some(3.3),
            ..GenerationRequest::default()
        },
        weights_digest: "ab".into(),
        scheduler: "euler".into(),
        backend: "x".into(),
        adapter: String::new(),
        place: protocol::RunsOn::Browser,
        start: None,
        upscaler: None,
        loras: Vec::new(),
        duration_ms: 5,
    }
}

fn json() -> Value {
    serde_json::to_value(recipe()).unwrap()
}

/// A picture with these `demo-hub` texts.
fn picture(width: u32, height: u32, texts: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(png::ColorType::Rgb);
    for text in texts {
        encoder
            .add_itxt_chunk("demo-hub".into(), text.clone())
            .unwrap();
    }
    let mut writer = encoder.write_header().unwrap();
    writer
        .write_image_data(&vec![9; (width * height * 3) as usize])
        .unwrap();
    writer.finish().unwrap();
    out
}

fn good() -> Vec<u8> {
    picture(8, 8, &[serde_json::to_string(&recipe()).unwrap()])
}

/// A chunk with the CRC-32 of the PNG specification, annex D.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [kind.as_slice(), data].concat();
    let crc = !body.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| {
            if c & 1 == 1 {
                0xEDB8_8320 ^ (c >> 1)
            } else {
                c >> 1
            }
        })
    });
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    [&length, body.as_slice(), &crc.to_be_bytes()].concat()
}

/// `good()` with a chunk before its `IEND`.
fn with_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let good = good();
    let (head, end) = good.split_at(good.len() - 12);
    [head, &chunk(kind, data), end].concat()
}

#[test]
fn a_picture_with_its_recipe_is_accepted() {
    let found = check(&good(), SIZE, &recipe()).unwrap();
    assert_eq!((found.width(), found.height()), (8, 8));
    assert!(found.into_rgb8().pixels().all(|p| p.0 == [9; 3]));
    assert!(check(&with_chunk(b"tEXt", b"parameters\0x"), SIZE, &recipe()).is_ok());
    let mut more = json();
    more["permalink"] = "/i/1".into();
    more["request"]["new"] = 1.into();
    assert!(check(&picture(8, 8, &[more.to_string()]), SIZE, &recipe()).is_ok());
}

/// Clients of before requests had sizes announce none, or write none into the picture.
#[test]
fn a_recipe_without_a_size_means_that_of_its_picture() {
    let (mut sized, mut other) = (recipe(), recipe());
    sized.request.width = Some(8);
    sized.request.height = Some(8);
    other.request.height = Some(16);
    let text = |recipe: &Recipe| serde_json::to_string(recipe).unwrap();
    for (inside, announced, fits) in [
        (&recipe(), &sized, true),
        (&sized, &recipe(), true),
        (&sized, &sized, true),
        (&recipe(), &other, false),
        (&other, &sized, false),
    ] {
        let checked = check(&picture(8, 8, &[text(inside)]), SIZE, announced);
        assert_eq!(checked.is_ok(), fits, "{checked:?}");
    }
    // What is not announced cannot be said inside, either.
    let mut sampled = recipe();
    sampled.request.sampler = Some("Euler a".into());
    let refused = check(&picture(8, 8, &[text(&sampled)]), SIZE, &recipe()).unwrap_err();
    assert!(refused.to_string().contains("request.sampler"), "{refused}");
}

#[test]
fn another_recipe_is_not() {
    let mut other = json();
    other["request"]["seed"] = 2.into();
    let text = json().to_string();
    for texts in [vec![], vec!["{".into()], vec![text.clone(), text]] {
        let result = check(&picture(8, 8, &texts), SIZE, &recipe());
        assert!(matches!(result, Err(NotAPicture::Recipe(_))), "{result:?}");
    }
    let refused = check(&picture(8, 8, &[other.to_string()]), SIZE, &recipe()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the recipe inside has another request.seed"
    );
}

#[test]
fn what_only_begins_like_a_picture_is_not_one() {
    let good = good();
    let mut flipped = good.clone();
    let middle = good.len() - 30;
    flipped[middle] ^= 0xFF;
    let twice_ended = [&good[..], b"<script>", &good[good.len() - 12..]].concat();
    let compressed = [b"demo-hub\0\x01\0\0\0".as_slice(), &[0x78, 0x9c]].concat();
    let cases: [(&str, Vec<u8>); 12] = [
        ("empty", Vec::new()),
        ("HTML", b"<html><script>".to_vec()),
        ("signature alone", b"\x89PNG\r\n\x1a\n".to_vec()),
        ("cut off", good[..good.len() - 1].to_vec()),
        ("flipped bit", flipped),
        ("trailing script", [&good[..], b"<script>"].concat()),
        (
            "trailing zip",
            [&good[..], b"PK\x05\x06", &[0; 18]].concat(),
        ),
        ("two ends", twice_ended),
        ("animation", with_chunk(b"acTL", &[0, 0, 0, 1, 0, 0, 0, 0])),
        ("private chunk", with_chunk(b"juNk", b"x")),
        ("compressed text", with_chunk(b"iTXt", &compressed)),
        ("much text", with_chunk(b"tEXt", &vec![b'x'; 70_000])),
    ];
    for (name, bytes) in cases {
        let result = check(&bytes, SIZE, &recipe());
        let error = result.map(|_| ()).expect_err(name);
        assert!(!error.depends_on_announcement(), "{name}: {error}");
    }
}

#[test]
fn huge_dimensions_are_refused_before_decoding() {
    let header = |width: u32, height: u32| {
        let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
        let ihdr = chunk(b"IHDR", &[&sides[..], &[8, 2, 0, 0, 0]].concat());
        let bytes = [
            b"\x89PNG\r\n\x1a\n",
            &ihdr[..],
            &chunk(b"IDAT", b"x"),
            &chunk(b"IEND", b""),
        ];
        check(&bytes.concat(), SIZE, &recipe()).unwrap_err()
    };
    assert!(matches!(header(100_000, 8), NotAPicture::TooLarge { .. }));
    assert!(matches!(header(4096, 4096), NotAPicture::OtherSize { .. }));
}

/// `good()` with other chunks instead of its pixels'.
fn with_pixels(chunks: &[Vec<u8>]) -> Vec<u8> {
    let good = good();
    let start = good.windows(4).position(|w| w == b"IDAT").unwrap() - 4;
    let end = good.len() - 12;
    [&good[..start], &chunks.concat(), &good[end..]].concat()
}

/// 8 rows of 8 pixels of three bytes, each with its filter.
const ROWS: usize = 8 * (1 + 24);

fn zlib(raw: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(level));
    std::io::Write::write_all(&mut encoder, raw).unwrap();
    encoder.finish().unwrap()
}

/// Adler-32 (RFC 1950, 8.2).
fn adler(raw: &[u8]) -> [u8; 4] {
    let (a, b) = raw.iter().fold((1_u32, 0_u32), |(a, b), &byte| {
        let a = (a + u32::from(byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    ((b << 16) | a).to_be_bytes()
}

/// A stored block (RFC 1951, 3.2.4).
fn stored(data: &[u8], last: bool) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    let lengths = [length.to_le_bytes(), (!length).to_le_bytes()].concat();
    [&[u8::from(last)][..], &lengths, data].concat()
}

#[test]
fn pixels_in_any_form_that_encoders_write_are_accepted() {
    let stream = zlib(&[0; ROWS], 6);
    let (head, tail) = stream.split_at(5);
    let by_hand = [
        &[0x78, 1][..],
        &stored(&[0; ROWS], true),
        &adler(&[0; ROWS]),
    ]
    .concat();
    for chunks in [
        vec![chunk(b"IDAT", &stream)],
        vec![chunk(b"IDAT", head), chunk(b"IDAT", tail)],
        stream.iter().map(|&byte| chunk(b"IDAT", &[byte])).collect(),
        vec![chunk(b"IDAT", &zlib(&[0; ROWS], 0))],
        vec![chunk(b"IDAT", &by_hand)],
    ] {
        let result = check(&with_pixels(&chunks), SIZE, &recipe());
        assert!(result.is_ok(), "{result:?}");
    }
}

/// Raw sizes counted by hand. The passes of Adam7 over 3 × 5 pixels (8.2) are 1×1, none, 1×1, 1×2, 2×1, 1×3 and 3×2.
#[test]
fn rows_of_interlaced_pictures_are_counted() {
    let ihdr = |width: u32, height: u32, depth: u8, color: u8, interlace: u8| {
        let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
        [&sides[..], &[depth, color, 0, 0, interlace]].concat()
    };
    for (header, raw) in [
        (ihdr(3, 5, 8, 2, 0), 5 * (1 + 9)),
        (
            ihdr(3, 5, 8, 2, 1),
            (1 + 3) + (1 + 3) + 2 * (1 + 3) + (1 + 6) + 3 * (1 + 3) + 2 * (1 + 9),
        ),
        (ihdr(3, 5, 1, 0, 0), 5 * (1 + 1)),
        (ihdr(9, 1, 4, 3, 0), 1 + 5),
        (ihdr(1, 1, 16, 6, 1), 1 + 8),
    ] {
        let header = pixels::Header::read(&header).unwrap();
        let walk = |bytes: usize| pixels::walk(&header, &[&zlib(&vec![0; bytes], 9)]);
        assert_eq!(walk(raw), Ok(()), "{header:?}");
        assert!(
            walk(raw + 1).is_err() && walk(raw - 1).is_err(),
            "{header:?}"
        );
    }
}

/// Files that show the same picture everywhere and carry something else: none may be stored and served.
#[test]
fn what_is_hidden_among_the_pixels_is_refused() {
    let zip = [b"PK\x03\x04", &[7; 2000][..], b"PK\x05\x06", &[0; 18]].concat();
    let stream = zlib(&[0; ROWS], 6);
    let idat = |data: &[u8]| chunk(b"IDAT", data);
    let blocks = |after: &[Vec<u8>], raw: &[u8]| {
        let rows = stored(&[0; ROWS], after.is_empty());
        [&[0x78, 1][..], &rows, &after.concat(), &adler(raw)].concat()
    };
    let mut wrong_sum = stream.clone();
    *wrong_sum.last_mut().unwrap() ^= 1;
    let dictionary = [&[0x78, 0x20, 0, 0, 0, 1][..], &stream[2..]].concat();
    let empty_blocks = vec![stored(&[], false); 400];
    let cases: [(&str, Vec<Vec<u8>>); 13] = [
        (
            "zip behind the stream",
            vec![idat(&[&stream[..], &zip].concat())],
        ),
        (
            "one byte behind the stream",
            vec![idat(&[&stream[..], &[0]].concat())],
        ),
        ("zip in one more chunk", vec![idat(&stream), idat(&zip)]),
        (
            "second stream in one more chunk",
            vec![idat(&stream), idat(&stream)],
        ),
        ("empty chunk", vec![idat(&stream), idat(&[])]),
        (
            "zip in a row too many",
            vec![idat(&zlib(&[&[0; ROWS][..], &zip].concat(), 0))],
        ),
        (
            "zip in a stored block of its own",
            vec![idat(&blocks(
                &[stored(&zip, true)],
                &[&[0; ROWS][..], &zip].concat(),
            ))],
        ),
        (
            "hundreds of empty blocks",
            vec![idat(&blocks(
                &[empty_blocks.concat(), stored(&[], true)],
                &[0; ROWS],
            ))],
        ),
        ("too few rows", vec![idat(&zlib(&[0; ROWS - 1], 6))]),
        ("wrong checksum", vec![idat(&wrong_sum)]),
        ("no checksum", vec![idat(&stream[..stream.len() - 4])]),
        ("preset dictionary", vec![idat(&dictionary)]),
        (
            "text between the pixels",
            vec![
                idat(&stream[..5]),
                chunk(b"tEXt", b"a\0b"),
                idat(&stream[5..]),
            ],
        ),
    ];
    for (name, chunks) in cases {
        let result = check(&with_pixels(&chunks), SIZE, &recipe());
        let error = result.map(|_| ()).expect_err(name);
        println!("{name}: {error}");
        assert!(!error.depends_on_announcement(), "{name}: {error}");
    }
    let many = vec![idat(&[0]); 5000];
    assert!(matches!(
        check(&with_pixels(&many), SIZE, &recipe()),
        Err(NotAPicture::Hidden(_))
    ));
}

#[test]
fn what_is_hidden_in_other_chunks_is_refused() {
    let zip = b"PK\x03\x04\x14\0\0\0";
    for (kind, data) in [
        (b"tEXt", [b"a\0".as_slice(), zip].concat()),
        (b"iTXt", [b"a\0\0\0\0\0".as_slice(), zip].concat()),
        (b"tIME", [&[0; 7], zip.as_slice()].concat()),
        (b"gAMA", zip.to_vec()),
        (b"pHYs", vec![0; 8]),
        (b"tRNS", vec![0; 300]),
        (b"zTXt", b"a\0\0x".to_vec()),
        (b"eXIf", b"MM\0*".to_vec()),
        (b"iCCP", b"a\0\0x".to_vec()),
    ] {
        let result = check(&with_chunk(kind, &data), SIZE, &recipe());
        let name = String::from_utf8_lossy(kind);
        let error = result.map(|_| ()).expect_err(&name);
        assert!(!error.depends_on_announcement(), "{name}: {error}");
    }
    let twice = [
        chunk(b"tIME", &[1; 7]),
        chunk(b"tEXt", b"a\0b"),
        chunk(b"tIME", &[1; 7]),
    ];
    let stream = chunk(b"IDAT", &zlib(&[0; ROWS], 6));
    let result = check(&with_pixels(&[stream, twice.concat()]), SIZE, &recipe());
    assert!(result.is_err(), "{result:?}");
}
