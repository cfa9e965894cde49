"""Settings: declared once as a dataclass, read from flags or from the environment, all faults in one message."""

import argparse
import dataclasses
import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from contract.failures import ConfigError

T = TypeVar("T")
S = TypeVar("S")


def setting(
    parse: Callable[[str], Any],
    *,
    help: str,
    default: Any = dataclasses.MISSING,
    positional: bool = False,
    flag: str | None = None,
    repeatable: bool = False,
) -> Any:
    """A field of a settings class, which is a dataclass(frozen=True, kw_only=True).

    `parse` turns the text given into the value, or raises ValueError saying what it wants. Without `default`
    the setting is required. `positional` takes all words that are no flags, as a tuple of parsed values. `flag` is
    the flag's name where it is not the field's (a word that Python keeps to itself). `repeatable` flags may be given
    many times, and are a tuple of parsed values; in the environment, one value a line.
    """
    metadata = {"parse": parse, "help": help, "positional": positional, "flag": flag, "repeatable": repeatable}
    return dataclasses.field(default=default, metadata=metadata)


def read_env(cls: type[S], environ: Mapping[str, str], *, prefix: str) -> S:
    """Settings from the variables that begin with `prefix`, e.g. WEBEVENTS_ and DATASET.

    Raises ConfigError with every fault at once: missing, unreadable, or unknown under the prefix.
    """
    given = {name: value for name, value in environ.items() if name.startswith(prefix)}
    return _read(cls, given, lambda field: prefix + field.name.upper())


def read_flags(cls: type[S], argv: Sequence[str], *, prog: str, description: str, epilog: str | None = None) -> S:
    """Settings from a command line: --kafka-servers a:9092, --archive / --no-archive, -h / --help.

    Raises ConfigError with every fault at once; an unknown flag is answered with the nearest known one.
    """
    parser = _FlagParser(
        prog=prog, description=description, epilog=epilog, allow_abbrev=False, argument_default=argparse.SUPPRESS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    for field in _fields(cls):
        _add_flag(parser, field)
    known, unknown = parser.parse_known_args(list(argv))
    positional = next((field for field in _fields(cls) if field.metadata["positional"]), None)
    given = {_spell_flag(field): vars(known)[field.name] for field in _fields(cls) if field.name in vars(known)}
    if positional is not None and not given.get(positional.name.upper()):
        given.pop(positional.name.upper(), None)
    # The value of an unknown flag is no fault of its own; a stray word by itself is.
    strangers = [word.split("=")[0] for word in unknown if word.startswith("-")] or unknown
    return _read(cls, {**given, **dict.fromkeys(strangers, "")}, _spell_flag)


def _read(cls: type[S], given: Mapping[str, Any], spell: Callable[[dataclasses.Field[Any]], str]) -> S:
    known = {spell(field): field for field in _fields(cls)}
    faults = [f"{name}: unknown; {nearest(name, known)}" for name in given if name not in known]
    values: dict[str, Any] = {}
    for name, field in known.items():
        if name not in given:
            if field.default is dataclasses.MISSING:
                faults.append(f"{name}: required, not given ({field.metadata['help']})")
            continue
        try:
            values[field.name] = _parse(field, given[name])
        except ValueError as error:
            faults.append(f"{name}: {error}")
    if faults:
        raise ConfigError("\n  ".join(["settings at fault:", *faults]))
    return cls(**values)


def _parse(field: dataclasses.Field[Any], text: Any) -> Any:
    parse = field.metadata["parse"]
    if isinstance(text, bool):
        return text
    if field.metadata["repeatable"] and isinstance(text, str):
        text = text.splitlines()
    if field.metadata["positional"] or field.metadata["repeatable"]:
        return tuple(parse(word) for word in text)
    return parse(text)


def nearest(name: str, known: Collection[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, or all of them."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"


def _fields(cls: Any) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(cls) if "parse" in field.metadata]


def _spell_flag(field: dataclasses.Field[Any]) -> str:
    if field.metadata["positional"]:
        return field.name.upper()
    return "--" + (field.metadata["flag"] or field.name.replace("_", "-"))


def _add_flag(parser: argparse.ArgumentParser, field: dataclasses.Field[Any]) -> None:
    text = field.metadata["help"].replace("%", "%%")
    if field.metadata["positional"]:
        parser.add_argument(field.name, metavar=field.name.upper(), nargs="*", help=text)
    elif field.metadata["parse"] is switch:
        on = "on" if field.default is True else "off"
        parser.add_argument(
            _spell_flag(field), dest=field.name, action=argparse.BooleanOptionalAction, help=f"{text} (default: {on})"
        )
    else:
        default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
        shown = "" if default in (dataclasses.MISSING, None, "") else f" (default: {default})"
        metavar = field.metadata["parse"].__name__.upper()
        action = "append" if field.metadata["repeatable"] else "store"
        parser.add_argument(_spell_flag(field), dest=field.name, metavar=metavar, action=action, help=text + shown)


class _FlagParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; {self.prog} --help lists the settings")


# What a setting's text may be. The function's name stands in --help as the placeholder.


def text(given: str) -> str:
    """Any text but the empty one."""
    if not given.strip():
        raise ValueError("want some text, got nothing")
    return given


def number(given: str) -> int:
    """A whole number from 1."""
    if not re.fullmatch(r"[0-9]+", given) or int(given) < 1:
        raise ValueError(f"want a whole number from 1, got {given!r}")
    return int(given)


def count(given: str) -> int:
    """A whole number from 0."""
    if not re.fullmatch(r"[0-9]+", given):
        raise ValueError(f"want a whole number from 0, got {given!r}")
    return int(given)


def seconds(given: str) -> int:
    """A number of whole seconds, from 0."""
    return count(given)


def switch(given: str) -> bool:
    """on or off; as a flag, --name or --no-name."""
    try:
        return {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}[given.lower()]
    except KeyError:
        raise ValueError(f"want on or off, got {given!r}") from None


def one_of(*allowed: str) -> Callable[[str], str]:
    """One of the words `allowed`."""

    def word(given: str) -> str:
        if given not in allowed:
            raise ValueError(f"{given!r} is not one of the choices; {nearest(given, allowed)}")
        return given

    return word
