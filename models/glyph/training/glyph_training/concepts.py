"""What a picture shows: matching of file names to Unicode's emoji catalogue."""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

FLAGS, COMPONENTS, SYMBOLS, PEOPLE = "flags", "component", "symbols", "people-body"
# Symbols that show a thing rather than a sign or a letter.
KEPT_SYMBOLS = {"geometric"}
SKIN_TONE = re.compile(r"skin-?tone|-(light|medium-light|medium|medium-dark|dark)$|-tone\d?$|1f3f[b-f]", re.I)
SIGN = re.compile(
    r"keycap|^flag|regional|^letter|^digit|latin|squared|button|japanese-(?!castle|dolls|post|ogre|goblin)"
    r"|cjk|input-symbol|^clock\d|o-?clock|-thirty$|arrow|heart(left|right)tip|symbolfor|ballot|crayon",
    re.I,
)
# Names of FxEmojis and Streamline that no catalogue lists.
SPELLINGS = {
    "2hearts": "two hearts",
    "aubergine": "eggplant",
    "bathtub": "bathtub",
    "blackscissors": "scissors",
    "blackdroplet": "droplet",
    "blackskullcrossbones": "skull and crossbones",
    "bunny": "rabbit face",
    "bunnyside": "rabbit",
    "bunny-ears": "people with bunny ears",
    "catside": "cat",
    "mouseside": "mouse",
    "dogside": "dog",
    "pigside": "pig",
    "cowside": "cow",
    "cellphone": "mobile phone",
    "crazy-face": "zany face",
    "curryandrice": "curry rice",
    "dissapointedrelief": "sad but relieved face",
    "europeafricaglobe": "globe showing europe-africa",
    "americasglobe": "globe showing americas",
    "asiaaustraliaglobe": "globe showing asia-australia",
    "fishcakeswirl": "fish cake with swirl",
    "frontfacingchick": "front-facing baby chick",
    "game-dice": "game die",
    "grintears": "face with tears of joy",
    "grinsweat": "grinning face with sweat",
    "heartblue": "blue heart",
    "heartgreen": "green heart",
    "heartyellow": "yellow heart",
    "heartpurple": "purple heart",
    "hundredpointssymbol": "hundred points",
    "laptop-computer": "laptop",
    "leaffluttering": "leaf fluttering in wind",
    "mansshirt": "t-shirt",
    "makeupbag": "clutch bag",
    "openmailboxlowered": "open mailbox with lowered flag",
    "personalcomputer": "laptop",
    "pigsnout": "pig nose",
    "red-wine-glass": "wine glass",
    "sandals": "woman's sandal",
    "school-backpack": "backpack",
    "sleuthspy": "detective",
    "softshellfloppy": "floppy disk",
    "speaker3soundwaves": "speaker high volume",
    "stormcloud": "cloud with rain",
    "tennisball": "tennis",
    "whitestar": "star",
    "leftmagnifyingglass": "magnifying glass tilted left",
    "foxgrin": "fox",
}


@dataclass(frozen=True)
class Concept:
    """A thing with a name, e.g. `red apple`; `group` is empty when unknown."""

    name: str
    group: str = ""
    subgroup: str = ""
    tags: tuple[str, ...] = ()


def squash(name: str) -> str:
    """Lower-case letters and digits alone, so that spellings of one name meet."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def codepoint_key(hexcode: str) -> str:
    """Code points in lower case without variation selectors."""
    return "-".join(p for p in hexcode.lower().split("-") if p != "fe0f")


class Catalogue:
    """Emoji by code points and by every name in use for them."""

    def __init__(self, names: Path):
        groups = json.loads((names / "meta" / "groups.json").read_text())
        self.by_code: dict[str, Concept] = {}
        for entry in json.loads((names / "en" / "data.json").read_text()):
            if "group" not in entry:
                continue
            self.by_code[codepoint_key(entry["hexcode"])] = Concept(
                entry["label"].lower().replace("’", "'").replace(":", ""),
                groups["groups"][str(entry["group"])],
                groups["subgroups"][str(entry["subgroup"])],
                tuple(entry.get("tags", ())),
            )
        self._shortcodes = sorted((names / "en" / "shortcodes").glob("*.json"))

    @cached_property
    def by_name(self) -> dict[str, Concept]:
        """Squashed label or shortcode -> concept; a label wins over a shortcode."""
        found = {squash(c.name): c for c in self.by_code.values()}
        for file in self._shortcodes:
            for hexcode, codes in json.loads(file.read_text()).items():
                concept = self.by_code.get(codepoint_key(hexcode))
                for code in [codes] if isinstance(codes, str) else codes:
                    if concept:
                        found.setdefault(squash(code), concept)
        return found

    def learn(self, key: str, code: str) -> None:
        """Takes over a name that some set uses for a code point."""
        concept = self.by_code.get(codepoint_key(code))
        if concept:
            self.by_name.setdefault(squash(key), concept)

    def find(self, key: str, code: str | None) -> Concept | None:
        """By code point, by name, then by name without a trailing variant number."""
        if code is not None:
            return self.by_code.get(codepoint_key(code))
        key = SPELLINGS.get(key, key)
        plain = re.sub(r"-?\d$", "", key)
        for name in (key, plain, f"{key}-face", f"person-{key}", plain.replace("cat-face", "cat")):
            if concept := self.by_name.get(squash(name)):
                return concept
        return None


def wanted(key: str, concept: Concept | None) -> bool:
    """False for flags, letters, signs, skin tones: this model draws things."""
    if SKIN_TONE.search(key) or SIGN.search(key):
        return False
    if concept is None:
        return True
    if concept.group in (FLAGS, COMPONENTS):
        return False
    if concept.group == SYMBOLS:
        return concept.subgroup in KEPT_SYMBOLS
    return not SIGN.search(concept.name.replace(" ", "-"))


COLOUR_WORD = re.compile(r"\b(red|orange|yellow|green|teal|blue|purple|pink|black|white|brown|gr[ae]y)\b ?")


def family(name: str) -> str:
    """A concept's name without its colour: red and green apple are one family."""
    return COLOUR_WORD.sub("", name).strip() or name
