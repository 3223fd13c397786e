"""Segment properties: the names of labels, in a file beside a volume.

Source: Neuroglancer, "Precomputed: segment properties".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import FormatError
from ..files.label_names import LabelNames

PROPERTIES = "segment_properties"


def segment_names(names: Mapping[int, str]) -> dict[str, Any]:
    """The content of the file for names of labels."""
    label = {"id": "label", "type": "label", "values": list(names.values())}
    inline = {"ids": list(map(str, names)), "properties": [label]}
    return {"@type": "neuroglancer_segment_properties", "inline": inline}


def parse_names(raw: bytes, place: str) -> LabelNames:
    """The names of labels in the content of the file; nothing if it has other properties alone.

    Raises:
        FormatError: it is damaged.
    """
    try:
        inline = json.loads(raw)["inline"]
        found = [one for one in inline["properties"] if one["type"] == "label"]
        pairs = zip(inline["ids"], found[0]["values"], strict=True) if found else ()
        return LabelNames({int(label): name for label, name in pairs if name})
    except (ValueError, TypeError, LookupError) as error:
        raise FormatError(f"{place}: its {PROPERTIES} are damaged: {error!r}") from error
