//! The few properties of an XMP packet that programs write settings into.
//!
//! Draw Things puts its settings into `exif:UserComment` (JSON) and `dc:description`, its name into `xmp:CreatorTool`.

use crate::texts::{IMAGE_DESCRIPTION, SOFTWARE, Texts, USER_COMMENT};

const PROPERTIES: [(&str, &str); 3] = [
    ("exif:UserComment", USER_COMMENT),
    ("dc:description", IMAGE_DESCRIPTION),
    ("xmp:CreatorTool", SOFTWARE),
];

/// Reads a packet; what is damaged is passed over.
pub(super) fn read(packet: &str, texts: &mut Texts) {
    for (property, keyword) in PROPERTIES {
        if let Some(place) = texts.place(keyword.as_bytes())
            && let Some(value) = value(packet, property)
        {
            texts.put(place, value);
        }
    }
}

/// The text of a property: an attribute, an element, or the first item of a list in one.
fn value(packet: &str, property: &str) -> Option<String> {
    let after = packet.split_once(&format!("<{property}"));
    if let Some((_, after)) = after.filter(|(_, after)| after.starts_with(['>', ' '])) {
        let (_, inside) = after.split_once('>')?;
        let (inside, _) = inside.split_once(&format!("</{property}>"))?;
        let item = inside
            .split_once("<rdf:li")
            .and_then(|(_, item)| item.split_once('>'))
            .and_then(|(_, item)| item.split_once("</rdf:li>"));
        let text = item.map_or(inside, |(item, _)| item);
        return (!text.contains('<')).then(|| unescape(text));
    }
    let (_, after) = packet.split_once(&format!("{property}="))?;
    let quote = after.chars().next().filter(|c| ['"', '\''].contains(c))?;
    let (text, _) = after.get(1..)?.split_once(quote)?;
    Some(unescape(text))
}

/// The five entities of XML, and characters by number.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        // No entity is longer.
        let name = after
            .bytes()
            .take(9)
            .position(|b| b == b';')
            .and_then(|end| after.get(..end));
        match name.and_then(|name| Some((name, character(name)?))) {
            Some((name, c)) => {
                out.push(c);
                rest = &after[name.len() + 1..];
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

fn character(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}
