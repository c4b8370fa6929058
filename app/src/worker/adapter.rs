//! Telling a GPU from a software rasteriser.

/// Names by which software rasterisers describe themselves.
const SOFTWARE: [&str; 6] = [
    "swiftshader",
    "llvmpipe",
    "lavapipe",
    "softpipe",
    "basic render",
    "warp",
];

/// Whether an adapter computes on the processor: flagged by the browser, or known by its names.
pub fn is_software(fallback_flag: bool, names: &[&str]) -> bool {
    fallback_flag
        || names.iter().any(|name| {
            let name = name.to_ascii_lowercase();
            SOFTWARE.iter().any(|known| {
                name.split(|c: char| !c.is_ascii_alphanumeric() && c != ' ')
                    .any(|part| part.trim() == *known || (known.len() > 4 && part.contains(known)))
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rasterisers_are_known_by_flag_or_name() {
        assert!(is_software(true, &["nvidia", "ampere"]));
        assert!(is_software(false, &["google", "swiftshader"]));
        assert!(is_software(
            false,
            &["", "", "llvmpipe (LLVM 19.1.7, 256 bits)"]
        ));
        assert!(is_software(
            false,
            &["", "", "Microsoft Basic Render Driver"]
        ));
        assert!(is_software(false, &["microsoft", "warp"]));
    }

    #[test]
    fn hardware_is_not() {
        assert!(!is_software(
            false,
            &["nvidia", "ampere", "NVIDIA GeForce RTX 3060"]
        ));
        assert!(!is_software(false, &["apple", "metal-3", ""]));
        assert!(!is_software(
            false,
            &["intel", "gen-12lp", "Warpspeed 9000"]
        ));
        assert!(!is_software(false, &["", "", ""]));
    }
}
