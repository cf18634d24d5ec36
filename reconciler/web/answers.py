"""JSON as this API writes it: ASCII only, so that a terminal that shows it is never steered by what systems said."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse


class Json(JSONResponse):
    """A JSON answer in which every character beyond printable ASCII stands as its escape."""

    def render(self, content: Any) -> bytes:
        """Write the body."""
        text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        return text.replace("\x7f", "\\u007f").encode("ascii")
