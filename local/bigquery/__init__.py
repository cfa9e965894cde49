"""A stand-in for BigQuery on one machine: the REST surface that Google's client uses, over DuckDB.

It tells the truth where the pipeline leans on BigQuery and refuses, by name, what it cannot do. See
docs/adr/0002-bigquery-stand-in.md.
"""
