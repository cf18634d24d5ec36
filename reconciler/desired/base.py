"""What every document is made of: strict values, unions by their key, errors with a place."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from reconciler.desired.digest import digest

NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
# KServe puts the name into host names and revision names: "<name>-predictor-00001" must fit 63 characters.
NAME_LENGTH = 40

Json = str | int | float | bool | None | list[Any] | dict[str, Any]


class Document(BaseModel):
    """Base of every part of a document: frozen, camelCase, no unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    def content(self) -> dict[str, Any]:
        """Return the document as plain JSON, without what was left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @cached_property
    def digest(self) -> str:
        """Return ten hex digits that stand for the content; made once, as the content never changes."""
        return digest(self.content())


Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=NAME_LENGTH)]
Percent = Annotated[int, Field(ge=0, le=100, strict=True)]
# Strict, or else `min: yes` would be 1.0, and text that YAML 1.1 does not take for a number would pass for one.
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]
# Matching takes longer with every `*`; no name that a pattern could fit is as long as this.
Pattern = Annotated[str, Field(max_length=128)]

# Errors inside a union carry the name of the member that the author meant; it is no field, and begins so.
UNION_PREFIX = "union:"


def refusal(
    code: str, message: str, *, at: tuple[str | int, ...] = (), advice: str = "", label: str = ""
) -> PydanticCustomError:
    """Return an error at the field `at` below the one being checked, with a help text and words beside the marker."""
    return PydanticCustomError(code, message, {"at": at, "advice": advice, "label": label})


def by_key(*keys: str) -> Discriminator:
    """Choose a member of a union by the key that only it has, so that an error speaks of that member alone."""

    def choose(value: Any) -> str | None:
        for key in keys:
            if key in value if isinstance(value, dict) else hasattr(value, key) or hasattr(value, key + "_"):
                return UNION_PREFIX + key
        return None

    message = f"one of the keys {', '.join(keys)} is needed: it says what is meant"
    return Discriminator(
        choose,
        custom_error_type="missing-key",
        custom_error_message=message,
        custom_error_context={"keys": ",".join(keys)},
    )
