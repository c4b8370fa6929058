//! Damaged files: 30,000 seeded mutations, none of which may panic, hang or grow without bound.

use crate::support::{app1, exif, itxt, jpeg, png, text, unicode, webp, ztxt};
use png_recipe::{MAX_TEXT_BYTES, read};

/// Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (2014): SplitMix64.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

const GRAPH: &[u8] = br#"{"3":{"inputs":{"seed":["4",0],"steps":20,"cfg":8,"positive":["6",0],"negative":["6",1]},
"class_type":"KSampler","is_changed":[NaN]},"4":{"inputs":{"value":7}},"6":{"inputs":{"text":"a","positive":["6",0]}}}"#;

const XMP: &[u8] = br#"<xmp:CreatorTool>Draw Things</xmp:CreatorTool><exif:UserComment><rdf:Alt><rdf:li xml:lang="x">
{&quot;c&quot;:&quot;a &amp; b&quot;,&quot;uc&quot;:&quot;&quot;,&quot;seed&quot;:1}</rdf:li></rdf:Alt></exif:UserComment>"#;

const WORKFLOW: &[u8] = br#"{"nodes":[{"id":1,"type":"KSampler","mode":0,"inputs":[{"name":"positive","link":1,"type":"C"}],
"widgets_values":[5,"fixed",20,8,"euler","normal",1]},{"id":2,"type":"CLIPTextEncode","mode":0,"inputs":[],"outputs":[{"type":"C"}],
"widgets_values":["a"]}],"links":[[1,2,0,1,0,"C"]],"definitions":{"subgraphs":[{"id":"s","nodes":[],"links":[]}]}}"#;

#[test]
fn damaged_files_never_panic() {
    let parameters = "a cat\nNegative prompt: \"dog\nSteps: 20, Model: \"x, \\\"y\", CFG scale: 7, Seed: 9, Size: 1x1";
    let files = [
        png(&[
            text("parameters", parameters.as_bytes()),
            ztxt("prompt", GRAPH),
        ]),
        png(&[text("prompt", GRAPH)]),
        png(&[itxt(
            "invokeai_metadata",
            br#"{"positive_prompt":"x","seed":1,"model":{"name":"y"}}"#,
            true,
        )]),
        png(&[
            text("Dream", br#""a [b] c" -s 50 -S 1 -C 7.5 -A k"#),
            itxt(
                "sd-metadata",
                br#"{"image":{"prompt":[{"prompt":"a [b"}]}}"#,
                false,
            ),
        ]),
        png(&[
            text("fooocus_scheme", b"fooocus"),
            text("parameters", br#"{"prompt":"x","seed":"1","steps":3}"#),
        ]),
        png(&[itxt(
            "demo-hub",
            r#"{"request":{"prompt":"りんご","seed":1}}"#.as_bytes(),
            false,
        )]),
        jpeg(&[app1(&exif(true, &[], &[(0x9286, 7, &unicode(parameters))]))]),
        webp(&[(
            b"EXIF",
            exif(false, &[(0x0110, 2, &[b"prompt:", GRAPH].concat())], &[]),
        )]),
        jpeg(&[(0xE1, [b"http://ns.adobe.com/xap/1.0/\0", XMP].concat())]),
        png(&[text("workflow", WORKFLOW)]),
        png(&[
            text("Software", b"NovelAI"),
            text(
                "Comment",
                br#"{"steps":1,"seed":2,"scale":3,"uc":"x","prompt":"y"}"#,
            ),
        ]),
        png(&[text(
            "parameters",
            br#"{"sui_image_params":{"prompt":"x","seed":"1","steps":3}}"#,
        )]),
    ];
    // Bytes that mean something to the parsers find more than random ones.
    let telling = b"\0\"\\[]{}:,\n\xff\x80N-9";
    let mut random = SplitMix(20_261_125);
    let mut read_all_the_same = 0;
    for round in 0..30_000 {
        let mut file = files[round % files.len()].clone();
        for _ in 0..=random.below(4) {
            let at = random.below(file.len());
            match random.below(5) {
                0 => file[at] ^= 1 << random.below(8),
                1 => file[at] = telling[random.below(telling.len())],
                2 => file.truncate(at.max(8)),
                3 => {
                    let end = (at + random.below(12)).min(file.len());
                    file.drain(at..end);
                }
                _ => {
                    let end = (at + random.below(40)).min(file.len());
                    let copy = file[at..end].to_vec();
                    file.splice(at..at, copy);
                }
            }
            if file.is_empty() {
                break;
            }
        }
        if let Ok(reading) = read(&file) {
            read_all_the_same += 1;
            let prompt = reading.settings.prompt.unwrap_or_default();
            assert!(prompt.len() <= MAX_TEXT_BYTES);
            assert!(reading.settings.guidance_scale.is_none_or(f32::is_finite));
        }
    }
    // Else the mutations would test nothing but the signatures.
    assert!(read_all_the_same > 4_000, "{read_all_the_same}");
}
