//! Multipart bodies (RFC 7578): texts and files, within limits.

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use multer::{Constraints, Multipart, SizeLimit};
use protocol::{MAX_INPUT_BYTES, Problem, ProblemCode};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::error::OpenAiError;
use crate::api::extract::{MAX_TEXT_BYTES, too_large, unread};

/// Largest body: two files and the texts.
const MAX_FORM_BYTES: u64 = 2 * MAX_INPUT_BYTES + MAX_TEXT_BYTES as u64;
/// Bytes that such bodies may take of the process's memory.
static ROOM: Semaphore = Semaphore::const_new(128 << 20);
/// When a client that finds no room may ask again, in seconds.
const AGAIN: u32 = 5;
/// Names under which clients send files; OpenAI's own write `image[]` where they are given a list.
const FILES: [&str; 3] = ["image", "image[]", "mask"];

/// The parts of a body.
pub struct Form {
    /// Name and value of each text.
    pub texts: Vec<(String, String)>,
    files: Vec<(String, Vec<u8>)>,
    /// Held as long as the files.
    _room: Option<SemaphorePermit<'static>>,
}

impl Form {
    /// Reads a body.
    ///
    /// # Errors
    /// [`ProblemCode::UnsupportedType`], [`ProblemCode::BodyTooLarge`], [`ProblemCode::RateLimited`] where others take all
    /// the room; with the name of the part that is wrong.
    pub async fn read(request: Request) -> Result<Self, OpenAiError> {
        let boundary = boundary(request.headers())?;
        let body = request.into_body();
        if axum::body::HttpBody::size_hint(&body).lower() > MAX_FORM_BYTES {
            return Err(too_large().into());
        }
        let limit = SizeLimit::new().whole_stream(MAX_FORM_BYTES);
        let limits = Constraints::new().size_limit(limit);
        let stream = body.into_data_stream();
        let mut parts = Multipart::with_constraints(stream, boundary, limits);
        let mut form = Self {
            texts: Vec::new(),
            files: Vec::new(),
            _room: None,
        };
        let mut left = MAX_TEXT_BYTES;
        while let Some(mut part) = parts.next_field().await.map_err(broken)? {
            let name = part.name().unwrap_or_default().to_owned();
            let is_file = FILES.contains(&name.as_str());
            let mut bytes = Vec::new();
            while let Some(chunk) = part.chunk().await.map_err(broken)? {
                if is_file {
                    form.take_room(chunk.len())?;
                    if (bytes.len() + chunk.len()) as u64 > MAX_INPUT_BYTES {
                        return Err(too_large().into());
                    }
                } else {
                    left = left.checked_sub(chunk.len()).ok_or_else(too_large)?;
                }
                bytes.extend_from_slice(&chunk);
            }
            left = left.checked_sub(name.len()).ok_or_else(too_large)?;
            if is_file {
                form.files.push((name, bytes));
            } else {
                let text = String::from_utf8(bytes);
                let text = text.map_err(|_| {
                    let name: String = name.chars().take(40).collect();
                    let detail = format!("Invalid type for '{name}': it is no UTF-8.");
                    OpenAiError::member("invalid_type", &name, detail)
                })?;
                form.texts.push((name, text));
            }
        }
        Ok(form)
    }

    /// The file of that name, if there is one.
    ///
    /// # Errors
    /// When there are several.
    pub fn file(&mut self, name: &'static str) -> Result<Option<Vec<u8>>, OpenAiError> {
        let is_it = |(named, _): &mut (String, Vec<u8>)| {
            named == name || named.strip_suffix("[]") == Some(name)
        };
        let mut found: Vec<Vec<u8>> = self.files.extract_if(.., is_it).map(|(_, f)| f).collect();
        if found.len() > 1 {
            let detail = format!("Only one '{name}' is taken; {} were sent.", found.len());
            return Err(OpenAiError::member("invalid_value", name, detail));
        }
        Ok(found.pop())
    }

    /// The file of that name.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn required_file(&mut self, name: &'static str) -> Result<Vec<u8>, OpenAiError> {
        self.file(name)?.ok_or_else(|| {
            let detail = format!("Missing required parameter: '{name}'.");
            OpenAiError::member("missing_required_parameter", name, detail)
        })
    }

    /// Counts bytes that are about to be kept.
    fn take_room(&mut self, bytes: usize) -> Result<(), Problem> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = ROOM.try_acquire_many(bytes).map_err(|_| {
            let mut problem = Problem::new(
                ProblemCode::RateLimited,
                "too many pictures are being sent here at this moment",
            )
            .with_hint("Try again in a moment.");
            problem.retry_after = Some(AGAIN);
            problem
        })?;
        match &mut self._room {
            Some(held) => held.merge(room),
            None => self._room = Some(room),
        }
        Ok(())
    }
}

fn boundary(headers: &HeaderMap) -> Result<String, Problem> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    multer::parse_boundary(kind).map_err(|_| {
        Problem::new(
            ProblemCode::UnsupportedType,
            "the body is not marked as a form with files",
        )
        .with_hint("Send it with content-type: multipart/form-data and its boundary.")
    })
}

fn broken(error: multer::Error) -> Problem {
    match &error {
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => {
            too_large()
        }
        multer::Error::StreamReadFailed(cause) => unread(&**cause),
        _ => Problem::new(
            ProblemCode::MalformedRequest,
            format!("the form cannot be read: {error}"),
        ),
    }
}
