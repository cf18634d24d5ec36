"""Numbers without a unit, and what they are mended to."""

from __future__ import annotations

import pytest

from reconciler.desired.duration import NotADuration, parse_duration

MEANT: dict[object, tuple[str, str]] = {
    600: ("timeout", 'write "600s" or "10m"'),
    "600": ("timeout", 'write "600s" or "10m"'),
    45: ("interval", 'write "45s"'),
    0: ("interval", 'write "0s"'),
    1.5: ("interval", 'write "1s500ms"'),
    250: ("maxLatencyP95", 'write "250ms"'),
    1500: ("maxLatencyP95", 'write "1500ms" or "1s500ms"'),
    0.25: ("maxLatencyP95", 'write "250ms"'),
    -600: ("timeout", ""),
    10**11: ("timeout", ""),
    "soon": ("timeout", ""),
    "": ("timeout", ""),
    True: ("timeout", ""),
}


@pytest.mark.parametrize("text", MEANT)
def test_a_number_without_a_unit_is_mended_to_what_can_be_read(text: object) -> None:
    field, meant = MEANT[text]
    with pytest.raises(NotADuration, match="not a duration") as raised:
        parse_duration(text)
    assert raised.value.meant(field) == meant
    for option in meant.removeprefix("write ").split(" or "):
        if option:
            parse_duration(option.strip('"'))


def test_the_message_names_milliseconds_too() -> None:
    with pytest.raises(NotADuration, match='"250ms", "90s", "10m", "2h" or "30d"'):
        parse_duration("soon")
