//! The document as a page without scripts.

use std::fmt::Write as _;

use protocol::ProblemCode;
use serde_json::{Map, Value};

/// The page's style; its digest is in the page's Content-Security-Policy.
pub const STYLE: &str = "\
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}\
body{max-width:60rem;margin:2rem auto;padding:0 1rem}\
code,pre{font:.9em ui-monospace,monospace}pre{overflow:auto;padding:.75rem;border:1px solid #8886;border-radius:.4rem}\
section{border-top:1px solid #8886;margin-top:1.5rem}summary{cursor:pointer;padding:.25rem 0}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-top:1px solid #8884}\
code,td{overflow-wrap:anywhere}details[open]{border-left:3px solid #8886;padding-left:.75rem}\
.m{display:inline-block;min-width:4.5rem;font-weight:700}";

/// Renders the page of an OpenAPI document.
pub fn render(document: &Value) -> String {
    let mut out = String::new();
    let title = text(&document["info"]["title"]);
    // Writing to a String cannot fail; the results are dropped.
    let _ = write!(
        out,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{title} API</title><style>{STYLE}</style><h1>{title} API {}</h1><p>{}</p>\
         <p><a href=\"/api/openapi.json\">OpenAPI 3.1 document</a> · <a href=\"#problems\">problem codes</a> · \
         <a href=\"/\">the hub</a></p>",
        text(&document["info"]["version"]),
        prose(&document["info"]["description"]),
    );
    for tag in array(&document["tags"]) {
        let name = &tag["name"];
        let _ = write!(
            out,
            "<section><h2>{}</h2><p>{}</p>",
            text(name),
            prose(&tag["description"])
        );
        for (path, methods) in object(&document["paths"]) {
            for (method, operation) in object(methods) {
                if array(&operation["tags"]).contains(name) {
                    operation_html(&mut out, path, method, operation);
                }
            }
        }
        out.push_str("</section>");
    }
    out.push_str("<section><h2>Schemas</h2>");
    for (name, schema) in object(&document["components"]["schemas"]) {
        let name = escape(name);
        let _ = write!(
            out,
            "<details id=\"schema-{name}\"><summary><code>{name}</code> {}</summary>",
            prose(&schema["description"])
        );
        properties(&mut out, schema);
        json(&mut out, schema);
        out.push_str("</details>");
    }
    out.push_str(
        "</section><section id=problems><h2>Problem codes</h2><p>Errors are \
         <code>application/problem+json</code> (RFC 9457); <code>code</code> is stable.</p>\
         <table><tr><th>code<th>status<th>title</tr>",
    );
    for code in ProblemCode::ALL {
        let name = code.name();
        let _ = write!(
            out,
            "<tr id=\"problem-{name}\"><td><code>{name}</code><td>{}<td>{}</tr>",
            code.status(),
            escape(code.title())
        );
    }
    out.push_str("</table></section></html>");
    out
}

fn operation_html(out: &mut String, path: &str, method: &str, operation: &Value) {
    let _ = write!(
        out,
        "<details><summary><span class=m>{}</span><code>{}</code> {}</summary><p>{}</p>",
        escape(&method.to_uppercase()),
        escape(path),
        prose(&operation["summary"]),
        prose(&operation["description"]),
    );
    let parameters = array(&operation["parameters"]);
    if !parameters.is_empty() {
        out.push_str("<h4>Parameters</h4><table>");
        for parameter in parameters {
            let _ = write!(
                out,
                "<tr><td><code>{}</code><td>{}<td>{}</tr>",
                text(&parameter["name"]),
                text(&parameter["in"]),
                prose(&parameter["description"])
            );
        }
        out.push_str("</table>");
    }
    let body = &operation["requestBody"]["content"];
    if body.is_object() {
        out.push_str("<h4>Body</h4>");
        content(out, body);
    }
    out.push_str("<h4>Answers</h4><table>");
    for (status, answer) in object(&operation["responses"]) {
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>",
            escape(status),
            prose(&answer["description"])
        );
        content(out, &answer["content"]);
        out.push_str("</tr>");
    }
    out.push_str("</table></details>");
}

fn content(out: &mut String, content: &Value) {
    for (mime, media) in object(content) {
        let _ = write!(
            out,
            "<code>{}</code> {} ",
            escape(mime),
            kind(&media["schema"])
        );
    }
}

fn properties(out: &mut String, schema: &Value) {
    let required = array(&schema["required"]);
    let all = object(&schema["properties"]);
    if all.clone().next().is_none() {
        return;
    }
    out.push_str("<table>");
    for (name, property) in all {
        let star = if required.iter().any(|r| r == name) {
            " (required)"
        } else {
            ""
        };
        let _ = write!(
            out,
            "<tr><td><code>{}</code>{star}<td>{}<td>{}</tr>",
            escape(name),
            kind(property),
            prose(&property["description"])
        );
    }
    out.push_str("</table>");
}

/// A schema in a word or two, with a link to what it refers to.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        let name = escape(name);
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    for several in ["oneOf", "anyOf"] {
        let several = array(&schema[several]);
        if !several.is_empty() {
            return several.iter().map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    match &schema["type"] {
        Value::String(name) if name == "array" => format!("array of {}", kind(&schema["items"])),
        Value::String(name) => escape(name),
        Value::Array(names) => names.iter().map(text).collect::<Vec<_>>().join(" or "),
        _ => "any".to_owned(),
    }
}

fn json(out: &mut String, value: &Value) {
    let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
    let _ = write!(out, "<pre>{}</pre>", escape(&pretty));
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn object(value: &Value) -> serde_json::map::Iter<'_> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    value.as_object().unwrap_or(&EMPTY).iter()
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

/// Text in which backticks enclose code.
fn prose(value: &Value) -> String {
    let text = text(value);
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return text;
    }
    let marked = parts.iter().enumerate().map(|(place, part)| {
        if !place.is_multiple_of(2) {
            format!("<code>{part}</code>")
        } else {
            (*part).to_owned()
        }
    });
    marked.collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_in_prose_is_marked() {
        let shown = |text: &str| prose(&Value::from(text));
        assert_eq!(
            shown("body of `GET <x>`"),
            "body of <code>GET &lt;x&gt;</code>"
        );
        assert_eq!(shown("a ` alone"), "a ` alone");
        assert_eq!(prose(&Value::Null), "");
    }
}
