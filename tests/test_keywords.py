"""The keywords of `genshift.train`, as an editor completes them, are the options of every preset.

`python tests/test_keywords.py` writes the file anew after an option was added.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

from genshift import presets

FILE = Path(presets.__file__).with_name("keywords.py")
PATHS = ("source", "target", "data", "extra", "features", "weights")  # which may be paths
HEAD = '''"""The options of every preset as keywords, for editors and type checkers.

Written by `python tests/test_keywords.py`; what each means, `genshift show PRESET` and `genshift train --help` say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypedDict


class TrainOptions(TypedDict, total=False):
    """Any preset takes some of these; the others are refused by name."""

'''


def written() -> str:
    """The file as it should be."""
    kinds: dict[str, set[object]] = {}
    for family in presets.all_classes():
        hints = get_type_hints(family)
        for field in presets.option_fields(family):
            kinds.setdefault(field.name, set()).add(hints[field.name])
    return HEAD + "".join(f"    {name}: {annotation(name, kinds[name])}\n" for name in sorted(kinds))


def annotation(name: str, kinds: set[object]) -> str:
    words = sorted({word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)})
    plain = sorted(kind.__name__ for kind in kinds if isinstance(kind, type))
    if name in PATHS:
        plain.append("Path")
    literal = [f"Literal[{', '.join(f'{chr(34)}{word}{chr(34)}' for word in words)}]"] if words else []
    return " | ".join([*literal, *plain])


def test_keywords_are_the_options_of_every_preset():
    assert FILE.read_text(encoding="utf-8") == written()


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
