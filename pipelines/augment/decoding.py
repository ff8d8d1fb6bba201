"""What DALI's decoder is told beside the images."""

from dataclasses import dataclass, fields
from typing import Any

from mixdali.checks import count, fraction


@dataclass(frozen=True, kw_only=True)
class DecoderHints:
    """Memory and hardware of DALI's decoder on a GPU; on a CPU they change nothing. None leaves each to DALI, whose own
    value, of version 2.4, stands in brackets.

    Memory that is there from the beginning need not be asked for when a larger image comes, which makes all streams of
    a GPU wait.
    """

    hw_decoder_load: float | None = None
    """Share of the images that the hardware decoder of newer GPUs takes, in [0, 1] (0.65). Its pixels may differ in the
    last bit from those of the others."""
    preallocate_width_hint: int | None = None
    """Width of the largest images, in pixels, for the memory of the hardware decoder (0, none is reserved)."""
    preallocate_height_hint: int | None = None
    """Their height (0)."""
    device_memory_padding: int | None = None
    """Bytes of GPU memory that each thread reserves (16 MiB)."""
    host_memory_padding: int | None = None
    """Bytes of pinned memory that each thread reserves (8 MiB)."""

    def __post_init__(self) -> None:
        for name, value in self.settings.items():
            (fraction if name == "hw_decoder_load" else count)(f"DecoderHints: {name}", value)

    @property
    def of_pixels(self) -> "DecoderHints":
        """What of them may change a pixel; the rest is memory."""
        return DecoderHints(hw_decoder_load=self.hw_decoder_load)

    @property
    def settings(self) -> dict[str, Any]:
        """Those that are set, as the decoder takes them."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in named.items() if value is not None}
