//! Short names for the conditions under which parts of this crate are compiled.

fn main() {
    cfg_aliases::cfg_aliases! {
        // The page in the browser's main thread.
        browser: { all(feature = "hydrate", target_arch = "wasm32") },
        // The pages, wherever they are rendered.
        pages: { any(feature = "ssr", feature = "hydrate") },
        // The inside of a worker.
        worker: { all(any(feature = "render-worker", feature = "cpu-worker"), target_arch = "wasm32") },
    }
}
