//! What licences allow and ask for, in plain words.
//!
//! A reminder, not the licence: it names the duties that people forget. Sources are the licences' own texts.

use protocol::{License, LicenseUse};

use LicenseUse::{Any, NonCommercial, Restricted};

struct Entry {
    /// SPDX or hub identifiers, lower case.
    ids: &'static [&'static str],
    name: &'static str,
    url: &'static str,
    permits: LicenseUse,
    limits: &'static [&'static str],
}

const CREDIT: &str = "Credit the authors, link the licence and say what you changed.";
const SAME: &str = "Share what you make from it under the same licence.";
const NOT_COMMERCIAL: &str = "Not for commercial purposes.";
const NO_CHANGES: &str = "Do not share changed versions.";
const NOTICES: &str = "Keep the copyright and licence notices, and say what you changed.";
const RAIL_USES: &str = "Not for the uses in its attachment A, among them breaking the law, harming minors, false information meant \
     to harm, harassment, discrimination, medical advice and automated decisions on people's rights.";
const RAIL_PASS_ON: &str =
    "Pass these limits on with the weights and with what you derive from them.";

const KNOWN: [Entry; 15] = [
    Entry {
        ids: &["apache-2.0"],
        name: "Apache License 2.0",
        url: "https://www.apache.org/licenses/LICENSE-2.0",
        permits: Any,
        limits: &[NOTICES],
    },
    Entry {
        ids: &["mit"],
        name: "MIT License",
        url: "https://spdx.org/licenses/MIT.html",
        permits: Any,
        limits: &["Keep the copyright and licence notice."],
    },
    Entry {
        ids: &["bsd-3-clause"],
        name: "BSD 3-Clause License",
        url: "https://spdx.org/licenses/BSD-3-Clause.html",
        permits: Any,
        limits: &[
            "Keep the copyright and licence notice.",
            "Do not advertise with the authors' names.",
        ],
    },
    Entry {
        ids: &["cc0-1.0"],
        name: "Creative Commons Zero 1.0",
        url: "https://creativecommons.org/publicdomain/zero/1.0/",
        permits: Any,
        limits: &[],
    },
    Entry {
        ids: &["cc-by-4.0"],
        name: "Creative Commons Attribution 4.0",
        url: "https://creativecommons.org/licenses/by/4.0/",
        permits: Any,
        limits: &[CREDIT],
    },
    Entry {
        ids: &["cc-by-sa-4.0"],
        name: "Creative Commons Attribution-ShareAlike 4.0",
        url: "https://creativecommons.org/licenses/by-sa/4.0/",
        permits: Any,
        limits: &[CREDIT, SAME],
    },
    Entry {
        ids: &["cc-by-nd-4.0"],
        name: "Creative Commons Attribution-NoDerivatives 4.0",
        url: "https://creativecommons.org/licenses/by-nd/4.0/",
        permits: Any,
        limits: &[CREDIT, NO_CHANGES],
    },
    Entry {
        ids: &["cc-by-nc-4.0"],
        name: "Creative Commons Attribution-NonCommercial 4.0",
        url: "https://creativecommons.org/licenses/by-nc/4.0/",
        permits: NonCommercial,
        limits: &[NOT_COMMERCIAL, CREDIT],
    },
    Entry {
        ids: &["cc-by-nc-sa-4.0"],
        name: "Creative Commons Attribution-NonCommercial-ShareAlike 4.0",
        url: "https://creativecommons.org/licenses/by-nc-sa/4.0/",
        permits: NonCommercial,
        limits: &[NOT_COMMERCIAL, CREDIT, SAME],
    },
    Entry {
        ids: &["cc-by-nc-nd-4.0"],
        name: "Creative Commons Attribution-NonCommercial-NoDerivatives 4.0",
        url: "https://creativecommons.org/licenses/by-nc-nd/4.0/",
        permits: NonCommercial,
        limits: &[NOT_COMMERCIAL, CREDIT, NO_CHANGES],
    },
    Entry {
        ids: &["creativeml-openrail-m"],
        name: "CreativeML Open RAIL-M",
        url: "https://huggingface.co/spaces/CompVis/stable-diffusion-license",
        permits: Restricted,
        limits: &[RAIL_USES, RAIL_PASS_ON, NOTICES],
    },
    Entry {
        ids: &["openrail++"],
        name: "CreativeML Open RAIL++-M",
        url: "https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/blob/main/LICENSE.md",
        permits: Restricted,
        limits: &[RAIL_USES, RAIL_PASS_ON, NOTICES],
    },
    Entry {
        ids: &["openrail", "bigscience-openrail-m"],
        name: "Open RAIL (a family of licences)",
        url: "https://www.licenses.ai/",
        permits: Restricted,
        limits: &[
            "Not for the uses that the model's own licence lists.",
            RAIL_PASS_ON,
        ],
    },
    Entry {
        ids: &["flux-1-dev-non-commercial-license"],
        name: "FLUX.1 [dev] Non-Commercial License",
        url: "https://huggingface.co/black-forest-labs/FLUX.1-dev/blob/main/LICENSE.md",
        permits: NonCommercial,
        limits: &[
            "The weights are not for commercial purposes without another licence of their makers.",
        ],
    },
    Entry {
        ids: &["stabilityai-ai-community"],
        name: "Stability AI Community License",
        url: "https://stability.ai/community-license-agreement",
        permits: NonCommercial,
        limits: &[
            "Organisations with a yearly revenue of a million US dollars or more need another licence.",
            "Not for the uses that its acceptable use policy forbids.",
        ],
    },
];

/// Describes an SPDX expression or a hub identifier. Licences joined by `AND` hold together: the narrowest decides.
pub fn describe(id: &str) -> License {
    let unknown = License {
        id: id.to_owned(),
        name: id.to_owned(),
        url: None,
        permits: LicenseUse::Unknown,
        limits: None,
    };
    let parts: Option<Vec<&Entry>> = id.split(" AND ").map(find).collect();
    let Some(parts) = parts.filter(|parts| !parts.is_empty()) else {
        return unknown;
    };
    let names: Vec<&str> = parts.iter().map(|entry| entry.name).collect();
    let mut limits: Vec<String> = Vec::new();
    for limit in parts.iter().flat_map(|entry| entry.limits) {
        if !limits.iter().any(|known| known == limit) {
            limits.push((*limit).to_owned());
        }
    }
    let strictness = |entry: &&&Entry| rank(entry.permits);
    License {
        name: names.join(" and "),
        url: (parts.len() == 1).then(|| parts[0].url.to_owned()),
        permits: parts
            .iter()
            .min_by_key(strictness)
            .map_or(LicenseUse::Unknown, |e| e.permits),
        limits: Some(limits),
        ..unknown
    }
}

/// Whether `license` is `id`, or holds it.
pub fn names(license: &License, id: &str) -> bool {
    license.id.eq_ignore_ascii_case(id)
        || license
            .id
            .split(" AND ")
            .any(|part| part.eq_ignore_ascii_case(id))
}

/// Whether `license` is known to permit at least `wanted`.
pub fn permits(license: &License, wanted: LicenseUse) -> bool {
    rank(license.permits) >= rank(wanted)
}

fn rank(permits: LicenseUse) -> u8 {
    match permits {
        LicenseUse::Unknown => 0,
        NonCommercial => 1,
        Restricted => 2,
        Any => 3,
    }
}

fn find(id: &str) -> Option<&'static Entry> {
    let id = id.trim().to_ascii_lowercase();
    KNOWN.iter().find(|entry| entry.ids.contains(&&*id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_part_decides() {
        for (id, permits) in [
            ("Apache-2.0", Any),
            ("Apache-2.0 AND CC-BY-4.0 AND MIT", Any),
            ("mit AND cc-by-nc-4.0", NonCommercial),
            ("creativeml-openrail-m", Restricted),
            ("MIT OR Apache-2.0", LicenseUse::Unknown),
            ("mit AND something-else", LicenseUse::Unknown),
            ("", LicenseUse::Unknown),
        ] {
            let license = describe(id);
            assert_eq!((license.permits, &*license.id), (permits, id));
            assert_eq!(
                license.limits.is_none(),
                permits == LicenseUse::Unknown,
                "{id}"
            );
        }
    }

    #[test]
    fn duties_are_named_once() {
        let license = describe("CC-BY-4.0 AND cc-by-sa-4.0");
        assert_eq!(license.limits.unwrap_or_default(), [CREDIT, SAME]);
    }

    #[test]
    fn parts_are_found_and_use_is_compared() {
        let license = describe("Apache-2.0 AND MIT");
        assert!(names(&license, "mit") && names(&license, "apache-2.0 and mit"));
        assert!(!names(&license, "cc-by-4.0"));
        assert!(permits(&license, Restricted) && permits(&license, Any));
        assert!(!permits(&describe("cc-by-nc-4.0"), Restricted));
        assert!(!permits(&describe("who-knows"), NonCommercial));
    }
}
