//! Draw Things.

use crate::support::{app1, exif, itxt, jpeg, png, settings, unicode, webp};
use png_recipe::{Generator, Settings, read};

const JSON: &str = r#"{"c":"a guitar \"floating\" on a lake & <sky>","uc":"ocean, (sunny)","seed":1177739245,"steps":10,
 "scale":10,"sampler":"DDIM","model":"sd_v1.4_f16.ckpt","size":"1152x768","strength":1,"lora":[],"v2":{"seed":1177739245}}"#;

fn packet(properties: &str) -> String {
    format!(
        "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\" x:xmptk=\"XMP Core 6.0.0\"><rdf:RDF><rdf:Description rdf:about=\"\">\
         <xmp:CreatorTool>Draw Things</xmp:CreatorTool>{properties}</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
}

fn list(property: &str, text: &str) -> String {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\n', "&#xA;");
    format!(
        "<{property}><rdf:Alt><rdf:li xml:lang=\"x-default\">{text}</rdf:li></rdf:Alt></{property}>"
    )
}

fn expected() -> Settings {
    settings(
        "sd_v1.4_f16.ckpt",
        "a guitar \"floating\" on a lake & <sky>",
        "ocean, (sunny)",
        1_177_739_245,
        10,
        10.0,
    )
}

#[test]
fn the_packet_of_every_container() {
    let xmp = packet(&list("exif:UserComment", JSON));
    let marked = [b"http://ns.adobe.com/xap/1.0/\0", xmp.as_bytes()].concat();
    for file in [
        png(&[itxt("XML:com.adobe.xmp", xmp.as_bytes(), false)]),
        jpeg(&[(0xE1, marked)]),
        webp(&[(b"XMP ", xmp.clone().into_bytes())]),
        jpeg(&[app1(&exif(true, &[], &[(0x9286, 7, &unicode(JSON))]))]),
    ] {
        let found = read(&file).unwrap();
        assert_eq!(found.generator, Generator::DrawThings);
        assert_eq!(found.settings, expected());
        assert_eq!(found.unused, ["sampler", "size", "strength"]);
    }
}

/// The description is near to A1111's form; its line with `-` is not part of the prompt.
#[test]
fn the_description_alone() {
    let text = "a guitar\non a lake\n-ocean, (sunny)\nSteps: 10, Sampler: DDIM, Guidance Scale: 10.0, Seed: 1177739245, Size: \
                1152x768, Model: sd_v1.4_f16.ckpt, Strength: 1.0";
    let xmp = packet(&list("dc:description", text));
    let found = read(&png(&[itxt("XML:com.adobe.xmp", xmp.as_bytes(), true)])).unwrap();
    assert_eq!(found.generator, Generator::DrawThings);
    let expected = settings(
        "sd_v1.4_f16.ckpt",
        "a guitar\non a lake",
        "ocean, (sunny)",
        1_177_739_245,
        10,
        10.0,
    );
    assert_eq!(found.settings, expected);
    let prose = packet(&list("dc:description", "a holiday in Rome"));
    assert!(read(&png(&[itxt("XML:com.adobe.xmp", prose.as_bytes(), false)])).is_err());
}
