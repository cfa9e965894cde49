"""How the job is started on this machine."""

from local.job import MALLOC, spark_environ


def test_the_driver_here_has_the_allocator_that_executors_are_given() -> None:
    assert spark_environ({})["GLIBC_TUNABLES"] == MALLOC


def test_a_setting_of_ones_own_stands() -> None:
    assert spark_environ({"GLIBC_TUNABLES": "glibc.malloc.check=1"})["GLIBC_TUNABLES"] == "glibc.malloc.check=1"
