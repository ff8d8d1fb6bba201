"""Random numbers by name, so that any of them can be given instead of drawn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol


class Randomness(Protocol):
    """Where a world's numbers come from; `per` as in `mixdali.Mix`."""

    def uniform(self, name: str, per: str) -> Any:
        """(N,) in [0, 1)."""

    def beta(self, name: str, alpha: float, per: str) -> Any:
        """(N,) ~ Beta(alpha, alpha)."""

    def partner(self, name: str, rule: str) -> Any:
        """(N,) int, by one of the rules of `mixdali.Mix`."""

    def given(self, value: Any) -> Any:
        """A draw of the caller's, (N,) or one for all."""


@dataclass(frozen=True)
class Draws:
    """The draws of one mix. A name stands for one draw, however often it is asked for."""

    source: Randomness
    given: Mapping[str, Any]
    prefix: str = ""
    each: str = "image"
    drawn: dict[str, Any] = field(default_factory=dict)

    def uniform(self, name: str) -> Any:
        return self._once(self.prefix + name, lambda full: self.source.uniform(full, self.each))

    def beta(self, name: str, alpha: float) -> Any:
        return self._once(self.prefix + name, lambda full: self.source.beta(full, alpha, self.each))

    def partner(self, rule: str) -> Any:
        """One draw for each rule, shared by all members of a composed method; a given `partner` serves them all."""
        if "partner" in self.given:
            return self._once("partner", lambda _: None)
        return self._once(f"partner.{rule}", lambda full: self.source.partner(full, rule))

    def per(self, per: str) -> "Draws":
        return replace(self, each=per)

    def member(self, i: int) -> "Draws":
        return replace(self, prefix=f"{self.prefix}{i}.")

    def check_used(self) -> None:
        unknown = sorted(set(self.given) - set(self.drawn))
        if unknown:
            names = ", ".join(sorted(self.drawn))
            raise TypeError(f"no draw is called {', '.join(unknown)}; this mix draws {names}")

    def _once(self, name: str, draw: Callable[[str], Any]) -> Any:
        if name not in self.drawn:
            self.drawn[name] = self.source.given(self.given[name]) if name in self.given else draw(name)
        return self.drawn[name]
