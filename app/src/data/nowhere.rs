//! A native build for hydration alone has neither a server nor a browser to ask.

use std::sync::Arc;

use super::HubData;

pub(super) fn hub() -> Option<Arc<dyn HubData>> {
    None
}

pub(super) fn cookies() -> Option<String> {
    None
}

pub(crate) fn origin() -> String {
    String::new()
}
