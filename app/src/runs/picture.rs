//! The file of a finished picture.

/// Where the file is. Clones share it; one that is in this browser alone is gone with the last of them.
#[derive(Clone, Debug, PartialEq)]
pub enum Picture {
    /// In the store, at this address.
    Stored(String),
    /// In this browser.
    #[cfg(browser)]
    Here(std::sync::Arc<Png>),
}

impl Picture {
    /// An address that shows it.
    pub fn url(&self) -> &str {
        match self {
            Self::Stored(url) => url,
            #[cfg(browser)]
            Self::Here(png) => png.url(),
        }
    }
}

#[cfg(browser)]
pub use here::Png;

#[cfg(browser)]
mod here {
    use js_sys::{ArrayBuffer, Uint8Array};
    use send_wrapper::SendWrapper;
    use wasm_bindgen::JsValue;
    use web_sys::Blob;

    use crate::browser::blob::{BlobUrl, blob};

    /// A PNG that was made here.
    pub struct Png {
        file: SendWrapper<Blob>,
        url: BlobUrl,
    }

    impl Png {
        /// Takes the bytes of a PNG.
        pub(crate) fn new(bytes: &ArrayBuffer) -> Result<Self, JsValue> {
            let file = blob(&Uint8Array::new(bytes), protocol::PNG_MIME)?;
            Ok(Self {
                url: BlobUrl::new(&file)?,
                file: SendWrapper::new(file),
            })
        }

        /// An address that shows it.
        pub(super) fn url(&self) -> &str {
            self.url.as_str()
        }

        /// The file.
        pub(crate) fn file(&self) -> &Blob {
            &self.file
        }
    }

    impl std::fmt::Debug for Png {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.url())
        }
    }

    impl PartialEq for Png {
        /// Every file has an address of its own.
        fn eq(&self, other: &Self) -> bool {
            self.url() == other.url()
        }
    }
}
