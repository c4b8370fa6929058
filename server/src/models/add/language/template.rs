//! Chat templates: what stands before and behind a prompt when a pipeline asks a language model about it.

use std::path::Path;

use anyhow::{Context, ensure};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, context};
use serde_json::Value;

use super::super::json::{bytes, json};

/// Steps of a template: hostile ones end.
const FUEL: u64 = 100_000;
/// Stands for the prompt; of no use in any text.
const MARK: &str = "\u{e000}";
/// Prompts that have to come through as they are.
const TRIED: [&str; 4] = ["a red apple", "", " a {{ 1 }}\n</think> b ", "<|im_end|>"];

/// Prefix and suffix of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub prefix: String,
    pub suffix: String,
}

/// The template of the tokenizer's folder: a file of its own, or a member of tokenizer_config.json.
///
/// # Errors
/// Where there is none.
pub(super) fn of_folder(folder: &Path) -> anyhow::Result<String> {
    let own = folder.join("chat_template.jinja");
    if own.is_file() {
        return String::from_utf8(bytes(&own)?).context("chat_template.jinja is no UTF-8");
    }
    let config: Value = json(&folder.join("tokenizer_config.json"))?;
    let stated = match &config["chat_template"] {
        Value::Array(several) => {
            let plain = |one: &&Value| one["name"] == "default";
            several.iter().find(plain).map(|one| &one["template"])
        }
        one => Some(one),
    };
    let stated = stated.and_then(Value::as_str).map(str::to_owned);
    stated.context("the tokenizer has no chat template, which the pipeline puts prompts into")
}

/// Renders one turn of the user, and finds what stands around it.
///
/// # Errors
/// Where the template does anything with the prompt but put it between two texts.
pub(super) fn frame(template: &str, thinking: bool) -> anyhow::Result<Frame> {
    let mut environment = Environment::new();
    // As transformers reads templates.
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()?;
    environment.set_syntax(syntax);
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |text: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, text))
    });
    environment.add_template("chat", template)?;
    let render = |prompt: &str| -> anyhow::Result<String> {
        let messages = [context! { role => "user", content => prompt }];
        let known =
            context! { messages, add_generation_prompt => true, enable_thinking => thinking };
        let text = environment.get_template("chat")?.render(known);
        text.context("the chat template cannot be rendered")
    };
    let marked = render(MARK)?;
    let (prefix, suffix) = marked
        .split_once(MARK)
        .context("the chat template leaves the prompt out")?;
    for prompt in TRIED {
        ensure!(
            render(prompt)? == format!("{prefix}{prompt}{suffix}"),
            "the chat template changes the prompt {prompt:?}, which cannot be packed"
        );
    }
    Ok(Frame {
        prefix: prefix.to_owned(),
        suffix: suffix.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// In the manner of Qwen3's, with what it does to the turns of an assistant.
    const QWEN: &str = "{%- if tools %}\n    {{- 'tools' }}\n{%- endif %}\n{%- set ns = namespace(last=messages|length - 1) %}\n\
        {%- for message in messages[::-1] %}\n    {%- set index = (messages|length - 1) - loop.index0 %}\n\
        {%- if message.role == \"user\" and message.content is string and not(message.content.startswith('<tool_response>') and \
        message.content.endswith('</tool_response>')) %}{%- set ns.last = index %}{%- endif %}\n{%- endfor %}\n\
        {%- for message in messages %}\n    {%- if message.role == 'assistant' %}\n        {%- set content = \
        message.content.split('</think>')[-1].lstrip('\\n') %}\n    {%- else %}\n        {{- '<|im_start|>' + message.role + '\\n' + \
        message.content + '<|im_end|>' + '\\n' }}\n    {%- endif %}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    \
        {{- '<|im_start|>assistant\\n' }}\n    {%- if enable_thinking is defined and enable_thinking is false %}\n        \
        {{- '<think>\\n\\n</think>\\n\\n' }}\n    {%- endif %}\n{%- endif %}";

    /// What Jinja 3.1 renders with `trim_blocks` and `lstrip_blocks`.
    #[test]
    fn a_turn_is_framed_with_and_without_thinking() {
        let off = frame(QWEN, false).unwrap();
        assert_eq!(off.prefix, "<|im_start|>user\n");
        assert_eq!(
            off.suffix,
            "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
        );
        let on = frame(QWEN, true).unwrap();
        assert_eq!(on.suffix, "<|im_end|>\n<|im_start|>assistant\n");
    }

    #[test]
    fn templates_that_do_more_are_refused() {
        for (template, said) in [
            ("{{ messages[0].content.strip() }}", "changes the prompt"),
            ("{{ messages[0].content | upper }}", "changes the prompt"),
            (
                "{{ messages[0].content }}{{ messages[0].content }}",
                "changes the prompt",
            ),
            ("hello", "leaves the prompt out"),
            (
                "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}",
                "rendered",
            ),
            ("{{ raise_exception('no') }}", "rendered"),
            ("{% include 'other' %}", "rendered"),
        ] {
            let error = format!("{:#}", frame(template, false).unwrap_err());
            assert!(error.contains(said), "{template}: {error}");
        }
        assert!(frame("{% if %}", false).is_err());
    }
}
