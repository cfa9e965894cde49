"""BigQuery's functions where DuckDB's of the same meaning differ, as DuckDB macros."""

UNSUPPORTED = "The BigQuery stand-in does not support"
WHITESPACE = "".join(map(chr, [*range(9, 14), 32, 133, 160, 5760, *range(8192, 8203), 8232, 8233, 8239, 8287, 12288]))

TIMESTAMP_TEXT = r"(\d{4}-\d{1,2}-\d{1,2}(?:[T ]\d{1,2}:\d{1,2}:\d{1,2}(?:\.\d{1,6})?)?)(?:Z|z|[+]00(?::00)?| UTC)?"
FLOAT_TEXT = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?|(?i:[+-]?(inf|infinity)|nan)"

MACROS = rf"""
CREATE OR REPLACE MACRO bq_refuse(what) AS error('{UNSUPPORTED} ' || what);
CREATE OR REPLACE MACRO bq_offset(a, i) AS CASE WHEN i < 0 OR i >= len(a)
  THEN error('Array index ' || i || ' is out of bounds') ELSE a[i + 1] END;
CREATE OR REPLACE MACRO bq_safe_offset(a, i) AS CASE WHEN i < 0 THEN NULL ELSE a[i + 1] END;
CREATE OR REPLACE MACRO bq_in_array(x, a) AS CASE WHEN a IS NULL OR len(a) = 0 THEN FALSE WHEN x IS NULL THEN NULL
  WHEN list_contains(a, x) THEN TRUE WHEN len(a) <> list_count(a) THEN NULL ELSE FALSE END;
CREATE OR REPLACE MACRO bq_array_concat(a, b) AS CASE WHEN a IS NULL OR b IS NULL THEN NULL ELSE list_concat(a, b) END;
CREATE OR REPLACE MACRO bq_number(x) AS CASE WHEN typeof(x) IN ('VARCHAR', 'BLOB', 'TIMESTAMP', 'DATE', 'BOOLEAN')
  THEN error('No matching signature for operator: ' || typeof(x) || ' and a number') ELSE x END;
CREATE OR REPLACE MACRO bq_divide(a, b) AS CASE WHEN b = 0 THEN error('division by zero')
  ELSE CAST(a AS DOUBLE) / b END;
CREATE OR REPLACE MACRO bq_safe_divide(a, b) AS CASE WHEN b = 0 THEN NULL ELSE CAST(a AS DOUBLE) / b END;
CREATE OR REPLACE MACRO bq_no_space(x) AS CASE WHEN regexp_matches(x, '\s|^[+-]?0[xX]')
  THEN bq_refuse('casts of text with blanks or of hexadecimal text') ELSE x END;
CREATE OR REPLACE MACRO bq_safe_int(x) AS CASE typeof(x)
  WHEN 'VARCHAR' THEN CASE WHEN regexp_full_match(bq_no_space(CAST(x AS VARCHAR)), '[+-]?[0-9]+')
    THEN TRY_CAST(CAST(x AS VARCHAR) AS BIGINT) END
  WHEN 'DOUBLE' THEN TRY_CAST(round(TRY_CAST(x AS DOUBLE)) AS BIGINT)
  ELSE TRY_CAST(x AS BIGINT) END;
CREATE OR REPLACE MACRO bq_safe_float(x) AS CASE WHEN typeof(x) <> 'VARCHAR' THEN TRY_CAST(x AS DOUBLE)
  WHEN regexp_full_match(bq_no_space(CAST(x AS VARCHAR)), '{FLOAT_TEXT}') THEN TRY_CAST(x AS DOUBLE) END;
CREATE OR REPLACE MACRO bq_safe_bool(x) AS CASE WHEN typeof(x) <> 'VARCHAR' THEN TRY_CAST(x AS BOOLEAN)
  WHEN lower(CAST(x AS VARCHAR)) IN ('true', 'false') THEN lower(CAST(x AS VARCHAR)) = 'true' END;
CREATE OR REPLACE MACRO bq_timestamp_text(v) AS CASE WHEN NOT contains(v, '.') THEN v || '+00'
  ELSE split_part(v, '.', 1) || '.'
    || rpad(split_part(v, '.', 2), CASE WHEN length(split_part(v, '.', 2)) <= 3 THEN 3 ELSE 6 END, '0') || '+00' END;
CREATE OR REPLACE MACRO bq_safe_string(x) AS CASE
  WHEN typeof(x) IN ('VARCHAR', 'BIGINT', 'INTEGER', 'HUGEINT', 'BOOLEAN', 'DATE', '"NULL"') THEN CAST(x AS VARCHAR)
  WHEN typeof(x) = 'TIMESTAMP' THEN bq_timestamp_text(CAST(x AS VARCHAR))
  ELSE bq_refuse('CAST of ' || typeof(x) || ' AS STRING') END;
CREATE OR REPLACE MACRO bq_safe_timestamp(x) AS CASE
  WHEN typeof(x) <> 'VARCHAR' THEN TRY_CAST(x AS TIMESTAMP)
  WHEN regexp_full_match(CAST(x AS VARCHAR), '{TIMESTAMP_TEXT}')
    THEN TRY_CAST(regexp_extract(CAST(x AS VARCHAR), '{TIMESTAMP_TEXT}', 1) AS TIMESTAMP)
  WHEN regexp_matches(CAST(x AS VARCHAR), '^\s*\d+-\d+-\d+') THEN bq_refuse('the timestamp text ' || x) END;
CREATE OR REPLACE MACRO bq_safe_date(x) AS CASE WHEN typeof(x) <> 'VARCHAR' THEN TRY_CAST(x AS DATE)
  WHEN regexp_full_match(CAST(x AS VARCHAR), '\d{{4}}-\d{{1,2}}-\d{{1,2}}') THEN TRY_CAST(x AS DATE)
  WHEN regexp_matches(CAST(x AS VARCHAR), '^\s*\d+-\d+-\d+') THEN bq_refuse('the date text ' || x) END;
CREATE OR REPLACE MACRO bq_safe_bytes(x) AS CASE WHEN typeof(x) = 'BLOB' THEN CAST(x AS BLOB)
  ELSE encode(CAST(x AS VARCHAR)) END;
CREATE OR REPLACE MACRO bq_must(x, y, kind) AS CASE WHEN x IS NOT NULL AND y IS NULL
  THEN error('Bad value for the type ' || kind || ': ' || CAST(x AS VARCHAR)) ELSE y END;
CREATE OR REPLACE MACRO bq_diff(a, b, unit_us) AS (epoch_us(a) - epoch_us(b)) // unit_us;
CREATE OR REPLACE MACRO bq_floor(n, unit) AS (n - ((n % unit) + unit) % unit) // unit;
CREATE OR REPLACE MACRO bq_plus(t, n, unit_us) AS make_timestamp(epoch_us(t) + CAST(n * unit_us AS BIGINT));
CREATE OR REPLACE MACRO bq_micros(n, unit) AS make_timestamp(CAST(n * unit AS BIGINT));
CREATE OR REPLACE MACRO bq_length(x) AS CASE WHEN typeof(x) = 'BLOB' THEN octet_length(CAST(x AS BLOB))
  ELSE length(CAST(x AS VARCHAR)) END;
CREATE OR REPLACE MACRO bq_start(s, p) AS CASE WHEN p >= 1 THEN p WHEN p = 0 OR -p > length(s) THEN 1
  ELSE length(s) + p + 1 END;
CREATE OR REPLACE MACRO bq_substr(s, p) AS substr(s, bq_start(s, p));
CREATE OR REPLACE MACRO bq_substr3(s, p, n) AS CASE WHEN n < 0
  THEN error('Third argument in SUBSTR() cannot be negative')
  ELSE substr(s, bq_start(s, p), n) END;
CREATE OR REPLACE MACRO bq_extract(s, re, g) AS CASE WHEN regexp_matches(s, re) THEN regexp_extract(s, re, g) END;
CREATE OR REPLACE MACRO bq_text(x) AS CASE WHEN x IS NOT NULL AND TRY(decode(x)) IS NULL
  THEN bq_refuse('bytes that are no UTF-8 in SAFE_CONVERT_BYTES_TO_STRING') ELSE TRY(decode(x)) END;
CREATE OR REPLACE MACRO bq_authority(u) AS
  regexp_extract(regexp_replace(trim(u, '{WHITESPACE}'), '^([A-Za-z][A-Za-z0-9+.-]*:)?//', ''), '^[^/?#]*');
CREATE OR REPLACE MACRO bq_host(u) AS
  nullif(regexp_extract(regexp_replace(bq_authority(u), '^.*@', ''), '^(\[[^\]]*\]|[^:]*)', 1), '');
"""
