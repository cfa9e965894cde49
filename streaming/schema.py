"""The explicit schema that a message of the topic is read with."""

from pyspark.sql.types import StringType, StructField, StructType

from contract.schemas import field_names

CORRUPT = "_corrupt"
"""Set by from_json to the whole text where it is not one JSON object."""

MESSAGE_FIELDS = field_names("pageview")

SESSION_FIELDS = tuple(
    name
    for name in MESSAGE_FIELDS
    if name not in ("sentAt", "receivedAt", "seq", "clockSkewed", "originalTimestamp", "extra")
)
"""What the sessions query reads of a message; the parser skips the rest."""


def message_type(fields: tuple[str, ...]) -> StructType:
    """All fields as text: a number where a string is wanted, or the reverse, refuses no message."""
    return StructType([StructField(name, StringType()) for name in (*fields, CORRUPT)])
