"""Random numbers by name, so that any of them can be given instead of drawn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol


class Randomness(Protocol):
    """Where a world's numbers come from; `per` as in `mixdali.Mix`."""

    def uniform(self, name: str, per: str) -> Any:
        """(N,) in [0, 1)."""

    def beta(self, name: str, a: Any, b: Any, per: str) -> Any:
        """(N,) ~ Beta(a, b)."""

    def partner(self, name: str, rule: str) -> Any:
        """(N,) int, by one of the rules of `mixdali.Mix` that need no targets."""

    def partner_by_class(self, targets: Any, mate: Any, rule: str) -> Any:
        """(N,) int: see `mixdali.worlds.classmates`."""

    def follow(self, partner: Any, again: Any) -> Any:
        """(N,) int: the partner's partner."""

    def pixels(self, name: str, law: str) -> Any:
        """(N, C, H, W) "uniform" in [0, 1) or "normal"."""

    def given(self, value: Any) -> Any:
        """A draw of the caller's, (N,) or one for all."""

    def given_partner(self, value: Any) -> Any:
        """The same of a partner, which must be in the batch."""

    def setting(self, value: Any) -> Any:
        """A number that the caller's settings follow from, as the epoch."""


@dataclass(frozen=True)
class Draws:
    """The draws of one mix. A name stands for one draw, however often it is asked for."""

    source: Randomness
    given: Mapping[str, Any]
    prefix: str = ""
    each: str = "image"
    targets: Any = None
    first_epoch: Any = None
    drawn: dict[str, Any] = field(default_factory=dict)

    def uniform(self, name: str) -> Any:
        """(N,) in [0, 1)."""
        return self._once(self.prefix + name, lambda full: self.source.uniform(full, self.each))

    def beta(self, name: str, a: Any, b: Any) -> Any:
        """(N,) ~ Beta(a, b)."""
        return self._once(self.prefix + name, lambda full: self.source.beta(full, a, b, self.each))

    def fixed(self, name: str, value: float) -> Any:
        """A draw without chance, which can still be given."""
        return self._once(self.prefix + name, lambda _: self.source.given(value))

    def partner(self, rule: str) -> Any:
        """One draw for each rule, shared by all members of a composed method; a given `partner` serves them all."""
        if "partner" not in self.given:
            return self._partner(rule, "")
        if "partner" not in self.drawn:
            self.drawn["partner"] = self.source.given_partner(self.given["partner"])
        return self.drawn["partner"]

    def partners(self, rule: str, count: int) -> list[Any]:
        """`count` partners for each image: of a cycle its next ones, so that they differ; of other rules new draws."""
        partners = [self.partner(rule)]
        for i in range(1, count):
            if "partner" in self.given or rule in ("cycle", "roll"):
                partners.append(self.source.follow(partners[0], partners[-1]))
            else:
                partners.append(self._partner(rule, f".{i}"))
        return partners

    def pixels(self, name: str, law: str) -> Any:
        """(N, C, H, W) "uniform" in [0, 1) or "normal"."""
        full = self.prefix + name
        if full not in self.drawn:
            self.drawn[full] = self.given[full] if full in self.given else self.source.pixels(full, law)
        return self.drawn[full]

    @property
    def epoch(self) -> Any:
        if self.first_epoch is None:
            raise ValueError(
                "this mix changes from epoch to epoch: say which one it is, mix(images, targets, epoch=...)"
            )
        return self.source.setting(self.first_epoch)

    def per(self, per: str) -> "Draws":
        return replace(self, each=per)

    def member(self, i: int) -> "Draws":
        return replace(self, prefix=f"{self.prefix}{i}.")

    def check_used(self) -> None:
        unknown = sorted(set(self.given) - set(self.drawn))
        if unknown:
            names = ", ".join(sorted(self.drawn))
            raise TypeError(f"no draw is called {', '.join(unknown)}; this mix draws {names}")

    def _partner(self, rule: str, which: str) -> Any:
        if rule not in ("same_class", "other_class"):
            return self._once(f"partner.{rule}{which}", lambda full: self.source.partner(full, rule))
        if self.targets is None:
            raise ValueError(f'partner="{rule}" needs the targets: mix.draw(images, targets=targets)')
        mate = self._once(f"mate{which}", lambda full: self.source.uniform(full, "image"))
        return self._once(f"partner.{rule}{which}", lambda _: self.source.partner_by_class(self.targets, mate, rule))

    def _once(self, name: str, draw: Callable[[str], Any]) -> Any:
        if name not in self.drawn:
            self.drawn[name] = self.source.given(self.given[name]) if name in self.given else draw(name)
        return self.drawn[name]
