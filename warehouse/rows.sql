WITH windowed AS (
  SELECT
    uiud,
    sessionId,
    TIMESTAMP_SECONDS(DIV(UNIX_SECONDS(timestamp), {window_s}) * {window_s}) AS window_start,
    timestamp,
    eventId,
    pageUrl,
    IFNULL(referrer, '') AS referrer,
    IFNULL(landingPage, '') AS landingPage,
    IFNULL(pageTitle, '') AS pageTitle,
    IFNULL(robot, FALSE) AS robot
  FROM ({pageviews})
),
hits AS (
  SELECT * FROM windowed WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY uiud, sessionId, window_start, eventId
    ORDER BY timestamp, pageUrl, referrer, landingPage, pageTitle, robot
  ) = 1
)
SELECT
  uiud,
  sessionId,
  window_start,
  TIMESTAMP_ADD(window_start, INTERVAL {window_s} SECOND) AS window_end,
  ARRAY_AGG(pageUrl ORDER BY timestamp, eventId) AS Pages,
  ARRAY_AGG(referrer ORDER BY timestamp, eventId) AS referrer,
  ARRAY_AGG(landingPage ORDER BY timestamp, eventId) AS LandingPageCode,
  ARRAY_AGG(timestamp ORDER BY timestamp, eventId) AS sessionTimestamps,
  ARRAY_AGG(pageTitle ORDER BY timestamp, eventId) AS pageTitles,
  ARRAY_AGG(eventId ORDER BY timestamp, eventId) AS eventIds,
  COUNT(*) AS Pageviews,
  MIN(timestamp) AS firstSeen,
  MAX(timestamp) AS lastSeen,
  ARRAY_AGG(pageUrl ORDER BY timestamp, eventId LIMIT 1)[OFFSET(0)] AS entryPage,
  ARRAY_AGG(pageUrl ORDER BY timestamp DESC, eventId DESC LIMIT 1)[OFFSET(0)] AS exitPage,
  ARRAY_AGG(IF(landingPage = '1', referrer, NULL) IGNORE NULLS ORDER BY timestamp, eventId LIMIT 1)[SAFE_OFFSET(0)]
    AS landingReferrer,
  LOGICAL_OR(robot) AS robot,
  {correction} AS correction,
  '{batch_key}' AS batchKey
FROM hits
GROUP BY uiud, sessionId, window_start
