"""The columns that the contract's Avro schemas stand for in BigQuery."""

from collections.abc import Iterable

from google.cloud import bigquery

from contract.failures import ConfigError
from contract.names import Kind
from contract.schemas import schema

TYPES = {"string": "STRING", "long": "INTEGER", "boolean": "BOOLEAN", "bytes": "BYTES"}
LOGICAL_TYPES = {"timestamp-micros": "TIMESTAMP"}


def columns(kind: Kind) -> list[bigquery.SchemaField]:
    """The columns of the kind's table, in the schema's order, with their descriptions."""
    return [_column(field) for field in schema(kind.schema)["fields"]]


def missing_columns(kind: Kind, existing: Iterable[bigquery.SchemaField]) -> list[bigquery.SchemaField]:
    """The contract's columns that a table lacks, NULLABLE: rows that are there already have no value for them.

    Raises ConfigError where a column is there with another type: that is never changed in place.
    """
    there = {field.name: field for field in existing}
    for wanted in columns(kind):
        found = there.get(wanted.name)
        if found is not None and _shape(found) != _shape(wanted):
            raise ConfigError(
                f"table {kind.table}: column {wanted.name} is {' '.join(_shape(found))}, the contract says "
                f"{' '.join(_shape(wanted))}; load into a new dataset, or copy the table with the column cast"
            )
    return [_nullable(wanted) for wanted in columns(kind) if wanted.name not in there]


def _shape(field: bigquery.SchemaField) -> tuple[str, str]:
    names = {"INT64": "INTEGER", "BOOL": "BOOLEAN"}
    return names.get(field.field_type, field.field_type), "REPEATED" if field.mode == "REPEATED" else "scalar"


def _nullable(field: bigquery.SchemaField) -> bigquery.SchemaField:
    mode = "REPEATED" if field.mode == "REPEATED" else "NULLABLE"
    return bigquery.SchemaField(field.name, field.field_type, mode=mode, description=field.description)


def _column(field: dict[str, object]) -> bigquery.SchemaField:
    avro, mode = field["type"], "REQUIRED"
    if isinstance(avro, list):
        avro, mode = next(part for part in avro if part != "null"), "NULLABLE"
    if isinstance(avro, dict) and avro["type"] == "array":
        avro, mode = avro["items"], "REPEATED"
    named = LOGICAL_TYPES[avro["logicalType"]] if isinstance(avro, dict) else TYPES[str(avro)]
    return bigquery.SchemaField(str(field["name"]), named, mode=mode, description=str(field["doc"]))
