//! Where pictures are made and compared.

use axum::http::StatusCode;

use crate::page;

#[tokio::test]
async fn the_start_page_has_a_filled_form() {
    let page = page("/?prompt=a%26b&seed=5&accept-software=1").await;
    assert_eq!(page.status, StatusCode::OK);
    for expected in [
        "a&amp;b</textarea>",
        "value=\"5\"",
        "green heart",
        "74.5 MB",
        "<noscript>",
        "/render-worker-0.js",
        "Newest pictures",
    ] {
        assert!(page.html.contains(expected), "{expected} in {}", page.html);
    }
}

#[tokio::test]
async fn the_field_of_a_negative_prompt_is_off_where_the_model_takes_none() {
    const NOTE: &str = "This model takes no negative prompt.";
    let field = async |model: &str| {
        let path = format!("/?model=demo-hub/{model}&negative_prompt=leaf");
        let html = page(&path).await.html;
        let (_, rest) = html.split_once("<input id=\"negative-prompt\"").unwrap();
        let (tag, rest) = rest.split_once("</div>").unwrap();
        assert!(tag.contains("value=\"leaf\""), "{tag}");
        assert!(!rest.contains(NOTE));
        tag.to_owned()
    };
    let off = field("brief").await;
    for expected in [
        " disabled",
        "aria-describedby=\"negative-prompt-note\"",
        "id=\"negative-prompt-note\"",
        NOTE,
    ] {
        assert!(off.contains(expected), "{expected} in {off}");
    }
    let on = field("glyph").await;
    for absent in [" disabled", "aria-describedby", NOTE] {
        assert!(!on.contains(absent), "{absent} in {on}");
    }
    for (model, answer) in [("brief", "no"), ("glyph", "yes")] {
        let html = page(&format!("/models/demo-hub/{model}")).await.html;
        let row = format!("<th scope=\"row\">Negative prompt</th><td>{answer}</td>");
        assert!(html.contains(&row), "{html}");
    }
}

#[tokio::test]
async fn a_picture_to_begin_with_is_asked_for_where_the_model_takes_one() {
    for (model, offered) in [("demo-hub/glyph", false), ("demo-hub/brief", true)] {
        let page = page(&format!("/?model={model}")).await;
        assert_eq!(
            page.html.contains("Start from a picture"),
            offered,
            "{model}"
        );
        assert_eq!(page.html.contains("data-testid=\"start-file\""), offered);
    }
}

#[tokio::test]
async fn a_layer_of_the_text_encoder_is_asked_for_where_the_model_offers_one() {
    for (model, offered) in [("glyph", false), ("brief", true)] {
        let page = page(&format!("/?model=demo-hub/{model}&clip_skip=2")).await;
        let field = page.html.split_once("<input id=\"clip-skip\"");
        assert_eq!(field.is_some(), offered, "{model}");
        if let Some((_, field)) = field {
            let (tag, _) = field.split_once('>').unwrap();
            for expected in ["name=\"clip_skip\"", "max=\"12\"", "value=\"2\""] {
                assert!(tag.contains(expected), "{expected} in {tag}");
            }
        }
    }
}

/// The numbers are those of the tags in the prompt.
#[tokio::test]
async fn loras_are_offered_where_the_model_has_some() {
    for (model, offered) in [("glyph", false), ("brief", true)] {
        let prompt = "a+cat+%3Clora%3Asoft%3A0.3%3E";
        let page = page(&format!("/?model=demo-hub/{model}&prompt={prompt}")).await;
        assert_eq!(page.html.contains("LoRAs (2)"), offered, "{model}");
        if !offered {
            continue;
        }
        for (index, name, usual, value) in [(0, "ink wash", "0.8", ""), (1, "soft", "0", "0.3")] {
            let label = format!("<label for=\"lora-{index}\">{name}</label>");
            assert!(page.html.contains(&label), "{label} in {}", page.html);
            let field = format!("<input id=\"lora-{index}\"");
            let (_, field) = page.html.split_once(&field).unwrap();
            let (tag, _) = field.split_once('>').unwrap();
            let expected = [
                format!("placeholder=\"{usual}\""),
                format!("value=\"{value}\""),
            ];
            for expected in expected {
                assert!(tag.contains(&expected), "{expected} in {tag}");
            }
        }
    }
    let html = page("/models/demo-hub/brief").await.html;
    let row = "LoRAs</th><td>ink wash, usually at 0.8; soft</td>";
    assert!(html.contains(row), "{html}");
}

#[tokio::test]
async fn inline_scripts_carry_the_nonce_of_the_policy() {
    let page = page("/").await;
    let nonce = page
        .policy
        .split("'nonce-")
        .nth(1)
        .and_then(|rest| rest.split('\'').next())
        .expect("a nonce");
    assert!(nonce.len() >= 16);
    let scripts: Vec<&str> = page.html.split("<script").skip(1).collect();
    assert!(!scripts.is_empty());
    for script in scripts {
        let tag = script.split('>').next().unwrap();
        assert!(tag.contains(&format!("nonce=\"{nonce}\"")), "{tag}");
    }
    assert!(!page.html.contains(" style=\""));
    assert!(
        page.policy
            .contains("connect-src 'self' http://127.0.0.1:9000;")
    );
}

#[tokio::test]
async fn a_comparison_can_be_linked_to() {
    let page = page("/compare?prompt=a%26b&seed=7&a=demo-hub%2Fglyph%40server").await;
    assert_eq!(page.status, StatusCode::OK);
    for expected in [
        "a&amp;b</textarea>",
        "value=\"7\"",
        "data-testid=\"model-a\"",
        "data-testid=\"place-b\"",
    ] {
        assert!(page.html.contains(expected), "{expected} in {}", page.html);
    }
    assert!(!page.html.contains(" style=\""));
}
