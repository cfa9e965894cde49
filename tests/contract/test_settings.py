from dataclasses import dataclass

import pytest

from contract.failures import ConfigError
from contract.settings import count, number, one_of, read_env, read_flags, setting, switch, text


@dataclass(frozen=True, kw_only=True)
class Example:
    servers: str = setting(text, help="brokers")
    trigger_s: int = setting(number, default=180, help="seconds")
    store: str = setting(one_of("rocksdb", "hdfs"), default="rocksdb", help="store")
    archive: bool = setting(switch, default=True, help="archive")
    since: str = setting(text, default="", flag="from", help="first")


@dataclass(frozen=True, kw_only=True)
class WithWords:
    file: tuple[str, ...] = setting(text, help="files", positional=True)


def flags(*argv: str) -> Example:
    return read_flags(Example, argv, prog="example", description="An example.")


def faults(*argv: str) -> str:
    with pytest.raises(ConfigError) as caught:
        flags(*argv)
    return str(caught.value)


def test_defaults_stand_where_nothing_is_given():
    assert flags("--servers", "a:1") == Example(servers="a:1")


def test_values_may_follow_an_equals_sign():
    assert flags("--servers=a:1", "--trigger-s=5").trigger_s == 5


def test_a_switch_is_given_by_its_name_or_its_no():
    assert flags("--servers", "a", "--no-archive").archive is False
    assert flags("--servers", "a", "--archive").archive is True


def test_a_flag_may_have_a_name_that_python_keeps():
    assert flags("--servers", "a", "--from", "b").since == "b"


def test_all_faults_stand_in_one_message():
    message = faults("--trigger-s", "0", "--store", "rocksbd", "--arhive")
    assert "--servers: required, not given (brokers)" in message
    assert "--trigger-s: want a whole number from 1, got '0'" in message
    assert "did you mean rocksdb?" in message
    assert "--arhive: unknown; did you mean --archive?" in message


def test_the_value_of_an_unknown_flag_is_no_second_fault():
    assert "7" not in faults("--servers", "a", "--triger-s", "7")


def test_a_stray_word_is_a_fault():
    assert "stray: unknown" in faults("--servers", "a", "stray")


def test_a_flag_without_its_value_is_a_fault():
    assert "expected one argument" in faults("--servers")


def test_an_abbreviation_is_not_guessed():
    assert "--trig: unknown; did you mean --trigger-s?" in faults("--servers", "a", "--trig", "7")


def test_positional_words_are_a_tuple():
    assert read_flags(WithWords, ["a", "b"], prog="p", description="d").file == ("a", "b")


def test_positional_words_are_required():
    with pytest.raises(ConfigError, match="FILE: required"):
        read_flags(WithWords, [], prog="p", description="d")


def test_the_environment_is_read_by_prefix():
    assert read_env(Example, {"X_SERVERS": "a", "PATH": "/bin"}, prefix="X_") == Example(servers="a")


def test_an_unknown_variable_under_the_prefix_is_a_fault():
    with pytest.raises(ConfigError, match="X_SERVER: unknown; did you mean X_SERVERS"):
        read_env(Example, {"X_SERVER": "a"}, prefix="X_")


@pytest.mark.parametrize("given", ["", "-1", "1.5", "one", "１"])
def test_no_count(given):
    with pytest.raises(ValueError, match="want a whole number from 0"):
        count(given)


def test_help_shows_the_defaults(capsys):
    with pytest.raises(SystemExit) as stopped:
        flags("--help")
    assert stopped.value.code == 0
    assert "(default: 180)" in capsys.readouterr().out
