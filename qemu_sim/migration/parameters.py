"""Migration parameters: numbers, strings and modes that a client may set.

QEMU: migration/options.c (migrate_params_check, migrate_params_apply)

Names and defaults are those of the recorded QEMU. A request is checked as what it would
make of all parameters, in the order of `_LIMITS`, and applied as a whole or not at all.
The words are measured on 7.2 and 11.1; a QEMU before 11.0 is taken to speak as 7.2 does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from qemu_sim.errors import QMPError
from qemu_sim.migration.bitmap_mapping import check_mapping

if TYPE_CHECKING:
    from qemu_sim.qapi.profile import Profile

_ANY = (1 << 64) - 1
_PAGE = 4096  # bytes; x86
_MIB = 1 << 20
_VALUE = "{option} expects a value between {low} and {high}"
_INTEGER = "{option} expects an integer in the range of {low} to {high}"


class _Limit(NamedTuple):
    name: str
    low: int | str  # a string names the parameter that holds it
    high: int
    words: str = _VALUE
    power_of_two: bool = False


# The order in which QEMU looks at them, before and after block-bitmap-mapping.
_LIMITS = (
    _Limit("compress-level", 0, 9),
    _Limit("compress-threads", 1, 255),
    _Limit("decompress-threads", 1, 255),
    _Limit("throttle-trigger-threshold", 1, 100, _INTEGER),
    _Limit("cpu-throttle-initial", 1, 99, _INTEGER),
    _Limit("cpu-throttle-increment", 1, 99, _INTEGER),
    _Limit(
        "downtime-limit",
        0,
        2_000_000,
        "{option} expects an integer in the range of 0 to (2000 * 1000) ms",
    ),
    _Limit("multifd-channels", 1, 255),
    _Limit("multifd-zlib-level", 0, 9),
    _Limit("multifd-qatzip-level", 1, 9),
    _Limit("multifd-zstd-level", 0, 20),
    _Limit(
        "xbzrle-cache-size",
        _PAGE,
        _ANY,
        "{option} expects a power of two no less than the target page size",
        power_of_two=True,
    ),
    _Limit("max-cpu-throttle", "cpu-throttle-initial", 99, _INTEGER),
    _Limit("announce-initial", 0, 100_000),
    _Limit("announce-max", 0, 100_000),
    _Limit("announce-rounds", 0, 1000),
    _Limit("announce-step", 1, 10_000, "{option} expects a value between 0 and 10000"),  # no 0
)
_LATER_LIMITS = (
    _Limit("x-vcpu-dirty-limit-period", 1, 1000),
    _Limit("vcpu-dirty-limit", 1, _ANY, "Parameter '{name}' must be greater than 1 MB/s"),
    _Limit(
        "x-rdma-chunk-size",
        _MIB,
        1024 * _MIB,
        # Spelled with underscores even where all others have dashes.
        "Option x_rdma_chunk_size expects a power of 2 in the range 1MiB to 1024MiB",
        power_of_two=True,
    ),
)

_TLS = ("tls-creds", "tls-hostname", "tls-authz")
# Accepted and forgotten by QEMU 7.2, whatever the value: neither copied nor checked.
_FORGOTTEN = frozenset({"multifd-zlib-level", "multifd-zstd-level"})
_NEW_WORDS = (11, 0)


class Parameters:
    """All parameters of one machine. Index it by QMP name."""

    def __init__(self, profile: Profile, more: Mapping[str, Any] | None = None) -> None:
        """`more` are a dialect's parameters and their defaults; an empty list is not shown."""
        # In the order of the schema. In the recorded one, what was added last comes first
        # where two names share a bucket.
        section = profile.section("query-migrate-parameters")
        self._more = more or {}
        self._values: dict[str, Any] = {**dict(reversed(section.items())), **self._more}
        self._new = profile.version >= _NEW_WORDS

    def __getitem__(self, name: str) -> Any:
        """Value of a parameter. KeyError for one that this QEMU lacks, or that is not set."""
        return self._values[name]

    def get(self, name: str) -> Any:
        """Value of a parameter, None for one that this QEMU lacks."""
        return self._values.get(name)

    def query(self) -> dict[str, Any]:
        """Return all parameters, as query-migrate-parameters does."""
        hidden = {name for name in self._more if self._values[name] == []}
        return {name: value for name, value in self._values.items() if name not in hidden}

    @property
    def compressed_or_encrypted(self) -> bool:
        """Whether multifd compression or TLS is on, which several capabilities exclude."""
        return _is_transformed(self._values)

    def set(
        self,
        arguments: dict[str, Any],
        capabilities: Collection[str] = (),
        check: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """Set all of `arguments` or none. `capabilities` are those that are on.

        `check` is a dialect's, of all values there would be. Raises QMPError in QEMU's words.
        """
        wanted = {**self._values, **self._normalised(arguments)}
        self._check_limits(_LIMITS, wanted)
        check_mapping(wanted.get("block-bitmap-mapping", []))
        self._check_plain(wanted, capabilities)
        self._check_limits(_LATER_LIMITS, wanted)
        if check is not None:
            check(wanted)
        self._values = wanted

    def not_simulated(self) -> list[str]:
        """What is set that would change a migration, and does not here: ["name=value"].

        Nothing else changes what the destination gets. Parameters of something that is
        refused itself (multifd, postcopy, throttling, x-colo, bitmaps, files) wait for it.
        """
        found = []
        if self._values["tls-creds"]:
            found.append(f"tls-creds={self._values['tls-creds']}")
        return found

    def _normalised(self, arguments: dict[str, Any]) -> dict[str, Any]:
        given = {
            name: "" if name in _TLS and value is None else value
            for name, value in arguments.items()
        }
        if not self._new:
            for name in _FORGOTTEN & given.keys():
                del given[name]
        return given

    def _check_limits(self, limits: tuple[_Limit, ...], wanted: dict[str, Any]) -> None:
        for limit in limits:
            value = wanted.get(limit.name)
            if value is None:
                continue
            low = wanted[limit.low] if isinstance(limit.low, str) else limit.low
            fits = low <= value <= limit.high
            if not fits or (limit.power_of_two and value & (value - 1)):
                raise QMPError(self._complaint(limit))

    def _complaint(self, limit: _Limit) -> str:
        name, low = limit.name, str(limit.low)
        if not self._new:
            name, low = name.replace("-", "_"), low.replace("-", "_")
        option = f"Option {name}" if self._new else f"Parameter '{name}'"
        return limit.words.format(option=option, name=name, low=low, high=limit.high)

    def _check_plain(self, wanted: dict[str, Any], capabilities: Collection[str]) -> None:
        if "zero-copy-send" in capabilities and _is_transformed(wanted):
            raise QMPError("Zero copy only available for non-compressed non-TLS multifd migration")
        # QEMU looks at what is set, not at what is asked: such a setting cannot be undone.
        if "mapped-ram" in capabilities and self.compressed_or_encrypted:
            raise QMPError("Mapped-ram only available for non-compressed non-TLS multifd migration")


def _is_transformed(values: dict[str, Any]) -> bool:
    return bool(values["multifd-compression"] != "none" or values["tls-creds"])
