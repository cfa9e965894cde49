"""The same columns stand in the Avro schemas, in the DDL and in docs/schema.md."""

import hashlib
import re
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from contract.names import Kind
from contract.schemas import NAMES, field_names, schema, schema_text
from warehouse.apply import statement
from warehouse.columns import columns

ROOT = Path(__file__).parents[2]

PUBLISHED = dict(
    line.split()[::-1]
    for line in (Path(__file__).parent / "published_schemas.sha256").read_text().splitlines()
    if line.strip()
)


@pytest.mark.parametrize("name", NAMES)
def test_a_published_version_never_changes(name):
    assert hashlib.sha256(schema_text(name).encode()).hexdigest() == PUBLISHED[f"{name}.v1.avsc"]


@pytest.mark.parametrize("name", NAMES)
def test_every_field_says_what_it_is(name):
    assert all(field["doc"].endswith(".") for field in schema(name)["fields"])


def ddl_columns(kind):
    """(name, type, mode, description) of each column of the CREATE TABLE statement."""
    create = sqlglot.parse_one(statement(kind.table, "d"), read="bigquery")
    for column in create.find_all(exp.ColumnDef):
        repeated = column.kind.this == exp.DataType.Type.ARRAY
        scalar = column.kind.expressions[0] if repeated else column.kind
        required = any(isinstance(c.kind, exp.NotNullColumnConstraint) for c in column.constraints)
        mode = "REPEATED" if repeated else "REQUIRED" if required else "NULLABLE"
        named = {"INT64": "INTEGER", "BOOL": "BOOLEAN"}.get(scalar.sql("bigquery"), scalar.sql("bigquery"))
        yield column.name, named, mode


@pytest.mark.parametrize("kind", list(Kind))
def test_the_ddl_has_the_schemas_columns(kind):
    wanted = [(column.name, column.field_type, column.mode) for column in columns(kind)]
    assert list(ddl_columns(kind)) == wanted


@pytest.mark.parametrize("name", ["pageview", "session", "event", "bad_event"])
def test_the_documentation_has_the_schemas_fields(name):
    text = (ROOT / "docs" / "schema.md").read_text(encoding="utf-8")
    section = text.split(f"<!-- {name} -->")[1].split("<!-- end -->")[0]
    rows = re.findall(r"^\| `(\w+)` \| .+ \| (.+) \|$", section, flags=re.MULTILINE)
    assert rows == [(field["name"], field["doc"]) for field in schema(name)["fields"]]


def test_a_message_is_archived_field_by_field():
    assert set(field_names("pageview")) <= set(field_names("event"))
