"""The picture sets as THIRD_PARTY.md lists them."""

from .fetch import Source

LICENSES = {"CC-BY-4.0": "[CC-BY-4.0](https://creativecommons.org/licenses/by/4.0/)"}


def credits(names: Source, sets: list[Source]) -> str:
    """A Markdown table of every package of `sources.toml`."""
    lines = ["| set | style | npm package | authors | licence |", "|---|---|---|---|---|"]
    for source in [*sets, names]:
        lines.append(
            f"| [{source.title}]({source.url}) | {source.style or 'names and tags'} | `{source.package}` {source.version}"
            f" | {source.authors} | {LICENSES.get(source.license, source.license)} |"
        )
    return "\n".join(lines) + "\n"
