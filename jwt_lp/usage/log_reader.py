"""Reader of access logs in the formats of servers, and detection of the format from the first lines."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Final, NamedTuple

from jwt_lp._support.validation import did_you_mean, quote_text
from jwt_lp.errors import ConfigurationError
from jwt_lp.usage.log_formats import LOG_FORMATS, LogFormat, Values, fitting_formats, log_format
from jwt_lp.usage.row_reader import Row
from jwt_lp.usage.usage_records import LOG_FIELDS, REQUIRED_LOG_FIELDS

SAMPLE: Final = 50
"""The number of lines from which a format is detected and checked."""

_MAX_LISTED: Final = 40


class _Sampled(NamedTuple):
    number: int
    values: Values


def detect_log_format(lines: Iterable[str]) -> LogFormat:
    """The format that every one of the first lines has.

    `ConfigurationError` names the first line that has no known format, or another one than the lines before it.
    """
    known: tuple[LogFormat, ...] = LOG_FORMATS
    first = 0
    for number, line in islice(_numbered(lines), SAMPLE):
        fitting = tuple(fitting_formats(line))
        if not fitting:
            raise ConfigurationError(
                f"line {number}: it has no known format of an access log: pass --format, or for a format of your own "
                "write JSON Lines and name its fields with --map"
            )
        both = tuple(each for each in known if each in fitting)
        if not both:
            raise ConfigurationError(
                f"line {number}: it has the format {fitting[0].name}, and line {first} the format {known[0].name}: "
                "import each log by itself"
            )
        known, first = both, first or number
    if not first:
        raise ConfigurationError("the file is empty, so it has no format: nothing can be imported")
    return known[0]


def read_log(lines: Iterable[str], form: LogFormat, columns: Mapping[str, str]) -> Iterator[Row]:
    """The rows of `LOG_FIELDS` in a log; a line of another format is a fault of that line.

    `columns` maps a field to the name of its value, if that differs. `ConfigurationError` if the format has no value
    for a required field, or if the first lines lack a name in `columns`.
    """
    wanted = {field: (columns[field],) if field in columns else form.columns.get(field, ()) for field in LOG_FIELDS}
    faults = [
        f"the format {form.name} has no {_shown(field)}: {form.lacks[field]}"
        for field in REQUIRED_LOG_FIELDS
        if not wanted[field]
    ]
    if faults:
        raise ConfigurationError(*faults)
    numbered = _numbered(lines)
    head = list(islice(numbered, SAMPLE))
    sampled = [_Sampled(number, values) for number, line in head if (values := form.parse(line)) is not None]
    _check_sample(sampled, form, columns, wanted)
    # A client that gets a quote into a text that is not escaped makes more fields, or a second one of a name.
    own = {name for names in form.columns.values() for name in names}
    guarded = form.regular and not own.issuperset(columns.values())
    names = sampled[0].values.keys() if sampled and guarded else None
    return _rows(chain(head, numbered), form, wanted, names)


def choose_log_format(name: str, lines: Iterable[str]) -> LogFormat:
    """The format of that name, or for `auto` the one that the first lines have."""
    return detect_log_format(lines) if name == "auto" else log_format(name)


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in enumerate(lines, 1) if not line.isspace())


def _check_sample(
    sampled: Sequence[_Sampled], form: LogFormat, columns: Mapping[str, str], wanted: Mapping[str, Sequence[str]]
) -> None:
    """`ConfigurationError` for a name that no line has, and for a required field that no line has."""
    names = {name for each in sampled for name in each.values}
    if not names:
        return
    first, listed = sampled[0].number, ", ".join(sorted(names)[:_MAX_LISTED])
    faults = [
        f"line {first}: there is no field {quote_text(name)}{did_you_mean(name, names) or f'; there are {listed}'}"
        for name in columns.values()
        if name not in names
    ]
    faults += (
        f"the log has no {_shown(field)}: {form.lacks.get(field) or f'name its field with --map {_shown(field)}=FIELD'}"
        for field in REQUIRED_LOG_FIELDS
        if field not in columns and names.isdisjoint(wanted[field])
    )
    if faults:
        raise ConfigurationError(*faults)


def _rows(
    numbered: Iterable[tuple[int, str]],
    form: LogFormat,
    wanted: Mapping[str, Sequence[str]],
    names: Collection[str] | None,
) -> Iterator[Row]:
    for number, line in numbered:
        values = form.parse(line)
        if values is None:
            yield Row(number, (), f"it is not a line of the format {form.name}")
        elif names is not None and values.keys() != names:
            yield Row(number, (), "it has other fields than the first line")
        else:
            yield Row(number, [_first(values, wanted[field]) for field in LOG_FIELDS])


def _first(values: Values, names: Iterable[str]) -> str:
    return next((values[name] for name in names if name in values), "")


def _shown(field: str) -> str:
    return "time" if field == "day" else field
