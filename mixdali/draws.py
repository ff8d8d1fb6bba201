"""Random numbers by name, so that any of them can be given instead of drawn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from mixdali.names import nearest


class Law(NamedTuple):
    """Which values a draw may have: those from `low` to `high`, which is among them if `closed`."""

    low: float
    high: float
    closed: bool
    rule: str
    """In words, as in "lam must be RULE"."""
    whole: bool = False
    """Whether they are whole numbers."""

    def holds(self, values: Any) -> Any:
        """For each value, an array's or a tensor's, whether it fits; not a number does not."""
        within = (values >= self.low) & ((values <= self.high) if self.closed else (values < self.high))
        return within & (values % 1 == 0) if self.whole else within


LARGEST = 3.4e38  # a float32
SHARE = Law(0.0, 1.0, False, "in [0, 1)")
WEIGHT = Law(0.0, 1.0, True, "in [0, 1]")
FINITE = Law(-LARGEST, LARGEST, True, "finite")


def between(low: float, high: float) -> Law:
    return Law(low, high, True, f"in [{low:.6g}, {high:.6g}]")


def whole_between(first: int, last: int) -> Law:
    return Law(first, last, True, f"a whole number from {first} to {last}", whole=True)


class Line(NamedTuple):
    """Where on one side of an image a draw of a place lies.

    number  how many pixels there are to choose from, or lines between pixels; a number of the world.
    middle  0.5: pixel r is the share (r + 0.5) / number, in [0, 1). 0: line r is the share r / number, in [0, 1].
    """

    number: Any
    middle: float

    @property
    def law(self) -> Law:
        """Of shares."""
        law = SHARE if self.middle else WEIGHT
        return law._replace(rule=f"{law.rule} as a float, or a pixel as an integer")

    def pixels(self, number: float) -> Law:
        """Of whole pixels, where there are `number` to choose from."""
        last = number - 1 if self.middle else number
        return Law(0, last, True, f"a pixel from 0 to {last:g}, since it is an integer")


def check_values(name: str, values: Any, law: Law) -> None:
    """ValueError for the first of the values, an array or a tensor, that is against the law."""
    wrong = values[~law.holds(values)].reshape(-1)
    if len(wrong):
        raise ValueError(f"{name} must be {law.rule}, got {wrong[0].item():.6g}")


def check_law(name: str, values: Any, law: Law) -> None:
    """The same for a draw, by its name."""
    check_values(f"draw {name}", values, law)


def check_partner(name: str, values: Any, number: int) -> None:
    """The same, with the whole name, of values that must be images of a batch of this number."""
    wrong = values[~whole_between(0, number - 1).holds(values)].reshape(-1)
    if len(wrong):
        raise ValueError(f"{name} must be images of the batch, 0 to {number - 1}, got {wrong[0].item():.6g}")


def check_shape(name: str, shape: tuple[int, ...], number: int) -> None:
    """ValueError unless it is of a draw for each of so many images, or of one for all."""
    if shape not in ((), (1,), (number,)):
        raise ValueError(f"draw {name} must be ({number},), a number for each image, or one for all, got {shape}")


class Randomness(Protocol):
    """Where a world's numbers come from; `per` as in `mixdali.Mix`.

    What is given is checked: ValueError or TypeError, in a graph for nodes DALI's own when it runs.
    """

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

    def given(self, name: str, value: Any, law: Law) -> Any:
        """A draw of the caller's, (N,) or one for all."""

    def given_place(self, name: str, value: Any, line: Line) -> Any:
        """The same of a place, a share or a whole pixel -> the share."""

    def given_partner(self, name: str, value: Any) -> Any:
        """The same of a partner, which must be in the batch."""

    def given_pixels(self, name: str, value: Any, law: Law) -> Any:
        """The same of (N, C, H, W)."""

    def given_arrays(self, name: str, value: Any, shape: tuple[Any, ...]) -> Any:
        """The same of arrays of this shape, whose sides may be numbers of the world: (N, ...) or one for all."""

    def constant(self, value: float) -> Any:
        """No draw, but the same for all."""

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
    names: set[str] = field(default_factory=set)
    """Those that may be given."""

    def uniform(self, name: str, law: Law = SHARE) -> Any:
        """(N,) in [0, 1)."""
        return self._once(
            self.prefix + name,
            lambda full: self.source.uniform(full, self.each),
            lambda full, value: self.source.given(full, value, law),
        )

    def place(self, name: str, number: Any) -> Any:
        """A share in [0, 1) that stands for one of so many pixels, each as likely: `floor(share * number)`."""
        return self._once(
            self.prefix + name,
            lambda full: self.source.uniform(full, self.each),
            lambda full, value: self.source.given_place(full, value, Line(number, 0.5)),
        )

    def beta(self, name: str, a: Any, b: Any, lines: Any = None) -> Any:
        """(N,) ~ Beta(a, b). lines: it stands for one of the lines 0 to `lines` between pixels."""
        return self._once(
            self.prefix + name,
            lambda full: self.source.beta(full, a, b, self.each),
            lambda full, value: self._given_weight(full, value, lines),
        )

    def fixed(self, name: str, value: float, lines: Any = None) -> Any:
        """A draw without chance, which can still be given."""
        return self._once(
            self.prefix + name,
            lambda _: self.source.constant(value),
            lambda full, given: self._given_weight(full, given, lines),
        )

    def instead(self, name: str, law: Law) -> Any:
        """What was given in place of other draws, None if it was not."""
        return self._once(self.prefix + name, lambda _: None, lambda full, value: self.source.given(full, value, law))

    def arrays_instead(self, name: str, shape: tuple[Any, ...]) -> Any:
        """The same of an array of this shape for each image."""
        return self._once(
            self.prefix + name, lambda _: None, lambda full, value: self.source.given_arrays(full, value, shape)
        )

    def partner(self, rule: str) -> Any:
        """One draw for each rule, shared by all members of a composed method; a given `partner` serves them all."""
        return self._partner(rule, "")

    def partners(self, rule: str, count: int) -> list[Any]:
        """`count` partners for each image: of a cycle its next ones, so that they differ; of other rules new draws."""
        partners = [self.partner(rule)]
        for i in range(1, count):
            follows = "partner" in self.given or rule in ("cycle", "roll")
            if f"partner.{i}" in self.given or not follows:
                partners.append(self._partner(rule, f".{i}"))
            else:
                self.names.add(f"partner.{i}")
                partners.append(self.source.follow(partners[0], partners[-1]))
        return partners

    def pixels(self, name: str, law: str) -> Any:
        """(N, C, H, W) "uniform" in [0, 1) or "normal"."""
        return self._once(
            self.prefix + name,
            lambda full: self.source.pixels(full, law),
            lambda full, value: self.source.given_pixels(full, value, WEIGHT if law == "uniform" else FINITE),
        )

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
        for name in sorted(set(self.given) - self.names):
            known = sorted(self.names)
            close = nearest(name, known, ())
            hint = f" ({close})" if close.startswith("nearest") else ""
            raise TypeError(f"no draw is called {name}; this mix draws {', '.join(known)}{hint}")

    def _given_weight(self, name: str, value: Any, lines: Any) -> Any:
        if lines is None:
            return self.source.given(name, value, WEIGHT)
        return self.source.given_place(name, value, Line(lines, 0.0))

    def _partner(self, rule: str, which: str) -> Any:
        name = f"partner{which}"
        if name in self.given:
            return self._once(name, lambda _: None, self.source.given_partner)
        self.names.add(name)
        drawn = f"partner.{rule}{which}"
        if drawn not in self.drawn:
            self.drawn[drawn] = self._drawn_partner(drawn, rule, which)
        return self.drawn[drawn]

    def _drawn_partner(self, name: str, rule: str, which: str) -> Any:
        if rule not in ("same_class", "other_class"):
            return self.source.partner(name, rule)
        if self.targets is None:
            raise ValueError(f'partner="{rule}" needs the targets: mix.draw(images, targets=targets)')
        mate = self._once(
            f"mate{which}",
            lambda full: self.source.uniform(full, "image"),
            lambda full, value: self.source.given(full, value, SHARE),
        )
        return self.source.partner_by_class(self.targets, mate, rule)

    def _once(self, name: str, draw: Callable[[str], Any], take: Callable[[str, Any], Any]) -> Any:
        self.names.add(name)
        if name not in self.drawn:
            self.drawn[name] = take(name, self.given[name]) if name in self.given else draw(name)
        return self.drawn[name]
