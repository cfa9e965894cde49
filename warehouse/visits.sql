CREATE OR REPLACE VIEW `{dataset}.visits`
OPTIONS(description = 'One row per visit: the pageviews of one visitor and session that lie less than 30 minutes apart.')
AS
WITH hits AS (
  SELECT
    sessions.uiud AS uiud,
    sessions.sessionId AS sessionId,
    seenAt,
    sessions.eventIds[SAFE_OFFSET(place)] AS eventId,
    sessions.Pages[OFFSET(place)] AS page,
    IF(sessions.LandingPageCode[SAFE_OFFSET(place)] = '1', sessions.referrer[SAFE_OFFSET(place)], NULL) AS landingReferrer,
    sessions.robot AS robot
  FROM `{dataset}.sessions` AS sessions CROSS JOIN UNNEST(sessions.sessionTimestamps) AS seenAt WITH OFFSET AS place
),
neighbours AS (
  SELECT *, LAG(seenAt) OVER (PARTITION BY uiud, sessionId ORDER BY seenAt, eventId) AS seenBefore FROM hits
),
numbered AS (
  SELECT
    *,
    SUM(IF(seenBefore IS NULL OR TIMESTAMP_DIFF(seenAt, seenBefore, MILLISECOND) >= 1800000, 1, 0)) OVER (
      PARTITION BY uiud, sessionId ORDER BY seenAt, eventId ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS visitNumber
  FROM neighbours
)
SELECT
  uiud,
  sessionId,
  visitNumber,
  MIN(seenAt) AS visitStart,
  MAX(seenAt) AS visitEnd,
  TIMESTAMP_DIFF(MAX(seenAt), MIN(seenAt), SECOND) AS durationSeconds,
  COUNT(*) AS Pageviews,
  COUNT(*) = 1 AS bounce,
  ARRAY_AGG(page ORDER BY seenAt, eventId) AS Pages,
  ARRAY_AGG(page ORDER BY seenAt, eventId LIMIT 1)[OFFSET(0)] AS entryPage,
  ARRAY_AGG(page ORDER BY seenAt DESC, eventId DESC LIMIT 1)[OFFSET(0)] AS exitPage,
  ARRAY_AGG(landingReferrer IGNORE NULLS ORDER BY seenAt, eventId LIMIT 1)[SAFE_OFFSET(0)] AS landingReferrer,
  LOGICAL_OR(robot) AS robot
FROM numbered
GROUP BY uiud, sessionId, visitNumber
