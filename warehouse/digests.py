"""Digests of session rows and of whole tables, worked out in SQL: no row leaves the warehouse.

A row's digest is the SHA-256 of its columns but correction and batchKey, each spelled so that no two rows share a
spelling. A table's digest is that of its rows' digests in order, folded in two steps, so that no text becomes large:
first by the digests' first four digits, then the 65,536 results at most.
"""

from typing import Any

from contract.names import Kind
from contract.schemas import schema

LINEAGE = ("correction", "batchKey")
"""Which rows came in which batch: another one for a row that is made again."""
KEY = "uiud, sessionId, window_start"


def row_digests(rows: str) -> str:
    """The question for `uiud, sessionId, window_start, digest` of the rows of the question `rows`."""
    fields = [field for field in schema(Kind.SESSIONS.schema)["fields"] if field["name"] not in LINEAGE]
    spelled = ", ';',\n    ".join(_spelled(field["type"], field["name"]) for field in fields)
    text = f"SELECT {KEY}, CONCAT(\n    {spelled}\n  ) AS text\n  FROM ({rows})"
    return f"SELECT {KEY}, TO_HEX(SHA256(text)) AS digest\nFROM ({text})"


def table_digest(digests: str) -> str:
    """The question for the one digest of the rows whose digests the question `digests` gives as `digest`."""
    return f"""
SELECT TO_HEX(SHA256(IFNULL(STRING_AGG(fold, '' ORDER BY head), ''))) AS digest
FROM (
  SELECT SUBSTR(digest, 1, 4) AS head, TO_HEX(SHA256(STRING_AGG(digest, '' ORDER BY digest))) AS fold
  FROM ({digests})
  GROUP BY head
)"""


def _spelled(avro: Any, name: str) -> str:
    """The value as text that ends where it says: '-' for null, numbers in digits, other text after its length."""
    if isinstance(avro, list):
        (avro,) = (part for part in avro if part != "null")
    if isinstance(avro, dict) and avro["type"] == "array":
        element = _spelled(avro["items"], "element")
        ordered = f"SELECT {element} FROM UNNEST({name}) AS element WITH OFFSET AS place ORDER BY place"
        return f"ARRAY_TO_STRING(ARRAY({ordered}), ',')"
    if isinstance(avro, dict):
        text = f"CAST(UNIX_MICROS({name}) AS STRING)"
    elif avro == "string":
        text = f"CONCAT(CAST(BYTE_LENGTH({name}) AS STRING), ':', {name})"
    else:
        text = f"CAST({name} AS STRING)"
    return f"IFNULL({text}, '-')"
