"""The demo's own care: it removes what it made, and nothing else."""

import pytest

from contract.failures import ConfigError
from local.demo import main


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "mine").write_text("mine")
    with pytest.raises(ConfigError, match="holds other things than an earlier run"):
        main(["--state", str(tmp_path)])
    assert (tmp_path / "logs" / "mine").read_text() == "mine"


def test_an_input_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match="--input: there is no file"):
        main(["--input", str(tmp_path / "none.log")])
