"""Whole numbers in JSON as JSON Schema means them: 5 and 5.0 are the same number, and true is none."""

from __future__ import annotations

from typing import Any

from pydantic import BeforeValidator


def _of_json(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_of_json)
"""Put it last: ``Annotated[int, Field(strict=True, ge=0), WHOLE]``; bounds behind it would not be documented."""
