#![allow(clippy::unwrap_used, clippy::expect_used)]

use protocol::GenerationRequest;

use super::*;

const SIZE: Option<(u32, u32)> = Some((8, 8));

fn recipe() -> Recipe {
    Recipe {
        request: GenerationRequest {
            model: "a/b".into(),
            prompt: "é".into(),
            negative_prompt: String::new(),
            seed: Some(1),
            num_inference_steps: Some(8),
            guidance_scale: Some(3.3),
        },
        weights_digest: "ab".into(),
        scheduler: "euler".into(),
        backend: "x".into(),
        adapter: String::new(),
        place: "browser".into(),
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
