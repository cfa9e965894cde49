-- The watermark is pushed into the source: each partition has its own, and a quiet one does not hold up the others.
CREATE TEMPORARY TABLE messages (
  uiud STRING, sessionId STRING, eventId STRING, eventType STRING, `timestamp` TIMESTAMP(3),
  pageUrl STRING, referrer STRING, landingPage STRING, pageTitle STRING,
  WATERMARK FOR `timestamp` AS `timestamp` - INTERVAL '200' SECOND(3)
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '{servers}', 'topic' = '{topic}',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'scan.watermark.idle-timeout' = '30 s',
  'format' = 'json', 'json.ignore-parse-errors' = 'true', 'json.timestamp-format.standard' = 'SQL'
);

-- A comparison with '' drops NULL as well. A row without a time must be gone before the window function sees it.
CREATE TEMPORARY VIEW pageviews AS
SELECT * FROM messages
WHERE eventType = 'Pageview' AND uiud <> '' AND sessionId <> '' AND pageUrl <> '' AND `timestamp` IS NOT NULL;

CREATE TEMPORARY TABLE sessions (
  uiud STRING, sessionId STRING, window_start TIMESTAMP(3),
  hits ARRAY<ROW<
    `at` TIMESTAMP(3), eventId STRING, pageUrl STRING, referrer STRING, landingPage STRING, pageTitle STRING
  >>,
  Pageviews BIGINT
) WITH ('connector' = 'filesystem', 'path' = '{out}', 'format' = 'avro', 'avro.codec' = 'snappy');

INSERT INTO sessions
SELECT
  uiud, sessionId, window_start,
  ARRAY_AGG(ROW(`timestamp`, eventId, pageUrl, referrer, landingPage, pageTitle)),
  COUNT(*)
FROM TABLE(TUMBLE(TABLE pageviews, DESCRIPTOR(`timestamp`), INTERVAL '30' MINUTE))
GROUP BY uiud, sessionId, window_start, window_end;
