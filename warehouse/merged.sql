WITH parts AS (
  SELECT *, COUNT(*) OVER (PARTITION BY uiud, sessionId, window_start) AS partsOfRow
  FROM `{dataset}.sessions`
  WHERE {closed}
),
hits AS (
  SELECT
    parts.*,
    place,
    seenAt,
    parts.eventIds[SAFE_OFFSET(place)] AS eventId,
    parts.Pages[SAFE_OFFSET(place)] AS page,
    parts.referrer[SAFE_OFFSET(place)] AS cameFrom,
    parts.LandingPageCode[SAFE_OFFSET(place)] AS landing,
    parts.pageTitles[SAFE_OFFSET(place)] AS title
  FROM parts CROSS JOIN UNNEST(parts.sessionTimestamps) AS seenAt WITH OFFSET AS place
  WHERE partsOfRow > 1
)
SELECT
  uiud, sessionId, window_start, window_end, Pages, referrer, LandingPageCode, sessionTimestamps, pageTitles, eventIds,
  Pageviews, firstSeen, lastSeen, entryPage, exitPage, landingReferrer, robot
FROM parts
WHERE partsOfRow = 1
UNION ALL
SELECT
  uiud,
  sessionId,
  window_start,
  MAX(window_end) AS window_end,
  ARRAY_AGG(page ORDER BY seenAt, eventId) AS Pages,
  ARRAY_AGG(cameFrom ORDER BY seenAt, eventId) AS referrer,
  ARRAY_AGG(landing ORDER BY seenAt, eventId) AS LandingPageCode,
  ARRAY_AGG(seenAt ORDER BY seenAt, eventId) AS sessionTimestamps,
  ARRAY_AGG(title ORDER BY seenAt, eventId) AS pageTitles,
  ARRAY_AGG(eventId ORDER BY seenAt, eventId) AS eventIds,
  SUM(IF(place = 0, Pageviews, 0)) AS Pageviews,
  MIN(firstSeen) AS firstSeen,
  MAX(lastSeen) AS lastSeen,
  ARRAY_AGG(entryPage ORDER BY seenAt, eventId LIMIT 1)[OFFSET(0)] AS entryPage,
  ARRAY_AGG(exitPage ORDER BY seenAt DESC, eventId DESC LIMIT 1)[OFFSET(0)] AS exitPage,
  ARRAY_AGG(
    IF(landing = '1', STRUCT(landingReferrer AS address), NULL) IGNORE NULLS ORDER BY seenAt, eventId LIMIT 1
  )[SAFE_OFFSET(0)].address AS landingReferrer,
  LOGICAL_OR(robot) AS robot
FROM hits
GROUP BY uiud, sessionId, window_start
