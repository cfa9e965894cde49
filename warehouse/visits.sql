CREATE OR REPLACE VIEW `{dataset}.visits`
OPTIONS(description = 'One row per visit: the rows of one visitor and session whose neighbours lie less than 30 minutes apart.')
AS
WITH neighbours AS (
  SELECT
    *,
    MAX(lastSeen) OVER (
      PARTITION BY uiud, sessionId ORDER BY firstSeen, lastSeen, batchKey
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS seenBefore
  FROM `{dataset}.sessions`
),
numbered AS (
  SELECT
    *,
    SUM(IF(seenBefore IS NULL OR TIMESTAMP_DIFF(firstSeen, seenBefore, MILLISECOND) >= 1800000, 1, 0)) OVER (
      PARTITION BY uiud, sessionId ORDER BY firstSeen, lastSeen, batchKey
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS visitNumber
  FROM neighbours
)
SELECT
  uiud,
  sessionId,
  visitNumber,
  MIN(firstSeen) AS visitStart,
  MAX(lastSeen) AS visitEnd,
  TIMESTAMP_DIFF(MAX(lastSeen), MIN(firstSeen), SECOND) AS durationSeconds,
  SUM(Pageviews) AS Pageviews,
  SUM(Pageviews) = 1 AS bounce,
  ARRAY_CONCAT_AGG(Pages ORDER BY firstSeen, lastSeen, batchKey) AS Pages,
  ARRAY_AGG(entryPage ORDER BY firstSeen, lastSeen, batchKey LIMIT 1)[OFFSET(0)] AS entryPage,
  ARRAY_AGG(exitPage ORDER BY lastSeen DESC, firstSeen DESC, batchKey DESC LIMIT 1)[OFFSET(0)] AS exitPage,
  ARRAY_AGG(landingReferrer IGNORE NULLS ORDER BY firstSeen, lastSeen, batchKey LIMIT 1)[SAFE_OFFSET(0)] AS landingReferrer,
  LOGICAL_OR(robot) AS robot
FROM numbered
GROUP BY uiud, sessionId, visitNumber
