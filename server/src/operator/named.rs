//! The model that somebody typed or pasted.

use protocol::{AdditionRequest, MAX_COMPONENTS, Problem, ProblemCode};
use url::Url;

use crate::catalog::hub::is_name;

/// Longest revision, licence and name of a component, in bytes.
const LONGEST: usize = 128;

/// Reads the id of a request: `owner/name`, `owner/name@revision`, or the address of the model's page, at a revision or not.
///
/// # Errors
/// For anything else, and for members that no model has.
pub fn read(request: AdditionRequest) -> Result<AdditionRequest, Problem> {
    let typed = request.id.trim();
    let wrong = || {
        Problem::new(
            ProblemCode::OutOfRange,
            "that is not the id of a model, such as stabilityai/sd-turbo",
        )
        .with_hint("Paste owner/name, owner/name@revision, or the address of the model's page.")
    };
    let (owner, name, at) = split(typed).ok_or_else(wrong)?;
    if !(is_name(&owner) && is_name(&name)) {
        return Err(wrong());
    }
    let revision = request.revision.map(|at| at.trim().to_owned());
    let revision = revision.filter(|at| !at.is_empty()).or(at);
    let license = request.license.map(|license| license.trim().to_owned());
    let license = license.filter(|license| !license.is_empty());
    let fits = |text: &String, more: &[u8]| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-+".contains(&b) || more.contains(&b);
        (1..=LONGEST).contains(&text.len()) && text.bytes().all(plain)
    };
    let refused = |what: &str| {
        let detail = format!("{what} is not written as the hub writes them");
        Err(Problem::new(ProblemCode::OutOfRange, detail))
    };
    if revision.as_ref().is_some_and(|at| !fits(at, b"/")) {
        return refused("the revision");
    }
    if license.as_ref().is_some_and(|text| !fits(text, b" ")) {
        return refused("the licence");
    }
    let components = request
        .components
        .iter()
        .chain(request.component_weights.iter().map(|own| &own.component));
    if components.clone().count() > 2 * MAX_COMPONENTS
        || components.clone().any(|name| !fits(name, b""))
    {
        return refused("the name of a component");
    }
    Ok(AdditionRequest {
        id: format!("{owner}/{name}"),
        revision,
        license,
        ..request
    })
}

/// Owner, name and revision.
fn split(typed: &str) -> Option<(String, String, Option<String>)> {
    let (path, at) = match Url::parse(typed) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => {
            let path = url.path().trim_matches('/').to_owned();
            (path, None)
        }
        _ => match typed.split_once('@') {
            Some((path, at)) => (path.to_owned(), Some(at.to_owned())),
            None => (typed.to_owned(), None),
        },
    };
    let parts: Vec<&str> = path.split('/').collect();
    match *parts.as_slice() {
        [owner, name] => Some((owner.to_owned(), name.to_owned(), at)),
        // A folder, a file or a list of changes of the model: /owner/name/tree/revision/…
        [
            owner,
            name,
            "tree" | "blob" | "resolve" | "commits" | "commit",
            of,
            ..,
        ] if at.is_none() => Some((owner.to_owned(), name.to_owned(), Some(of.to_owned()))),
        [owner, name, ..] if at.is_none() && typed.contains("://") => {
            Some((owner.to_owned(), name.to_owned(), None))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(id: &str, revision: Option<&str>) -> Result<(String, Option<String>), Problem> {
        let request = AdditionRequest {
            id: id.to_owned(),
            revision: revision.map(str::to_owned),
            ..AdditionRequest::default()
        };
        read(request).map(|read| (read.id, read.revision))
    }

    #[test]
    fn what_people_paste_is_understood() {
        for (typed, revision) in [
            ("stabilityai/sd-turbo", None),
            ("  stabilityai/sd-turbo\n", None),
            ("stabilityai/sd-turbo@refs/pr/3", Some("refs/pr/3")),
            ("https://huggingface.co/stabilityai/sd-turbo", None),
            ("https://huggingface.co/stabilityai/sd-turbo/", None),
            (
                "https://huggingface.co/stabilityai/sd-turbo?library=diffusers#files",
                None,
            ),
            (
                "https://huggingface.co/stabilityai/sd-turbo/tree/fp16",
                Some("fp16"),
            ),
            (
                "https://huggingface.co/stabilityai/sd-turbo/blob/main/unet/config.json",
                Some("main"),
            ),
            (
                "https://huggingface.co/stabilityai/sd-turbo/discussions/2",
                None,
            ),
            ("stabilityai/sd-turbo/tree/fp16", Some("fp16")),
        ] {
            let expected = (
                "stabilityai/sd-turbo".to_owned(),
                revision.map(str::to_owned),
            );
            assert_eq!(of(typed, None), Ok(expected), "{typed}");
        }
        // What is said apart goes before what stands in the address.
        let both = of("a/b@main", Some(" v2 ")).unwrap();
        assert_eq!(both.1.as_deref(), Some("v2"));
        assert_eq!(of("a/b", Some(" ")).unwrap().1, None);
    }

    #[test]
    fn what_is_no_model_is_refused() {
        for typed in [
            "",
            "sd-turbo",
            "a/b/c",
            "../../etc",
            "a/..",
            "a /b",
            "a/b@",
            "a/b@x y",
            "a/b@--x\u{0}",
            "file:///etc/passwd",
            "https://huggingface.co/",
            "https://huggingface.co/papers",
            "a/<b>",
            "é/b",
            "a//b",
        ] {
            assert!(of(typed, None).is_err(), "{typed}");
        }
        assert!(of("a/b", Some(&"v".repeat(129))).is_err());
        let license = AdditionRequest {
            id: "a/b".to_owned(),
            license: Some("mit\n--x".to_owned()),
            ..AdditionRequest::default()
        };
        assert!(read(license).is_err());
    }
}
