CREATE OR REPLACE VIEW `{dataset}.sessions_live`
OPTIONS(description = 'All rows of sessions, and rows made of the archive for windows of {window_s} s that have none yet.')
AS
WITH sealed_windows AS (
  SELECT uiud, sessionId, window_start, window_end
  FROM `{dataset}.sessions`
  WHERE window_start >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL {sealed_reach_s} SECOND)
),
open_pageviews AS (
  SELECT archived.*
  FROM `{dataset}.events` AS archived
  LEFT JOIN sealed_windows
  ON archived.uiud = sealed_windows.uiud
    AND archived.sessionId = sealed_windows.sessionId
    AND archived.timestamp >= sealed_windows.window_start
    AND archived.timestamp < sealed_windows.window_end
  WHERE archived.eventType = '{pageview}'
    AND archived.timestamp >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL {reach_s} SECOND)
    AND TIMESTAMP_SECONDS(DIV(UNIX_SECONDS(archived.timestamp), {window_s}) * {window_s})
      >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL {reach_s} SECOND)
    AND sealed_windows.uiud IS NULL
)
SELECT
  {columns},
  TRUE AS sealed
FROM `{dataset}.sessions`
UNION ALL
SELECT
  {columns},
  FALSE AS sealed
FROM (
{rows}
)
