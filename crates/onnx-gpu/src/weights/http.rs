//! Files on a web server, read by HTTP ranges.

use std::borrow::Cow;

use js_sys::{Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, Request, RequestInit, Response};

use super::{Reading, WeightSource};
use crate::error::{Error, ErrorKind, Result};

/// The files below a URL, fetched with `Range` requests
/// ([RFC 9110, 14](https://www.rfc-editor.org/rfc/rfc9110#section-14)). A server that does not honour them is an error:
/// it would send the whole file for every chunk.
#[derive(Clone, Debug)]
pub struct HttpRanges(String);

impl HttpRanges {
    /// The files below `base`, absolute or relative to the page or worker.
    pub fn new(base: impl Into<String>) -> Self {
        let base: String = base.into();
        Self(base.trim_end_matches('/').to_owned())
    }

    fn url(&self, file: &str) -> String {
        format!("{}/{file}", self.0)
    }

    async fn fetch(&self, file: &str, first: u64, last: u64) -> Result<Response> {
        let url = self.url(file);
        let fail = |e: JsValue| refuse(&url, &format!("{e:?}"));
        let headers = Headers::new().map_err(fail)?;
        headers
            .set("range", &format!("bytes={first}-{last}"))
            .map_err(fail)?;
        let init = RequestInit::new();
        init.set_headers(&headers);
        let request = Request::new_with_str_and_init(&url, &init).map_err(fail)?;
        // Found on the global object, so that a page and a worker are served alike.
        let fetch = Reflect::get(&js_sys::global(), &"fetch".into())
            .and_then(|f| f.dyn_into::<js_sys::Function>())
            .map_err(fail)?;
        let promise: Promise = fetch
            .call1(&JsValue::UNDEFINED, &request)
            .and_then(|p| p.dyn_into::<Promise>())
            .map_err(fail)?;
        let response: Response = JsFuture::from(promise)
            .await
            .and_then(|r| r.dyn_into::<Response>())
            .map_err(fail)?;
        match response.status() {
            206 => Ok(response),
            200 => Err(refuse(&url, "the server ignores range requests")),
            status => Err(refuse(&url, &format!("status {status}"))),
        }
    }

    async fn total(&self, file: &str) -> Result<u64> {
        let response = self.fetch(file, 0, 0).await?;
        let range = response.headers().get("content-range").ok().flatten();
        range
            .as_deref()
            .and_then(|text| text.rsplit('/').next()?.parse().ok())
            .ok_or_else(|| {
                refuse(
                    &self.url(file),
                    "the answer has no readable Content-Range with the file's size",
                )
            })
    }

    async fn range(&self, file: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        if length == 0 {
            return Ok(Vec::new());
        }
        let url = self.url(file);
        let fail = |e: JsValue| refuse(&url, &format!("{e:?}"));
        let response = self.fetch(file, offset, offset + length as u64 - 1).await?;
        let body = JsFuture::from(response.array_buffer().map_err(fail)?)
            .await
            .map_err(fail)?;
        let body = Uint8Array::new(&body);
        if body.length() as usize != length {
            return Err(refuse(
                &url,
                &format!("{} bytes came where {length} were asked", body.length()),
            ));
        }
        Ok(body.to_vec())
    }
}

impl WeightSource for HttpRanges {
    fn size<'a>(&'a self, file: &'a str) -> Reading<'a, u64> {
        Box::pin(self.total(file))
    }

    fn read<'a>(&'a self, file: &'a str, offset: u64, length: usize) -> Reading<'a, Cow<'a, [u8]>> {
        Box::pin(async move { Ok(Cow::Owned(self.range(file, offset, length).await?)) })
    }
}

fn refuse(url: &str, why: &str) -> Error {
    Error::new(ErrorKind::Io, format!("{url}: {why}"))
}
