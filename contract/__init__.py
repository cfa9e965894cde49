"""What all processes of webevents agree on: schemas, names, reasons, failures, settings, log line."""

__version__ = "0.1.0"
