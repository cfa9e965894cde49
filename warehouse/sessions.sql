CREATE TABLE IF NOT EXISTS `{dataset}.sessions` (
  uiud STRING NOT NULL OPTIONS(description = 'Visitor.'),
  sessionId STRING NOT NULL OPTIONS(description = 'Session of the visitor.'),
  window_start TIMESTAMP NOT NULL OPTIONS(description = 'Start of the tumbling window, UTC, inclusive.'),
  window_end TIMESTAMP NOT NULL OPTIONS(description = 'End of the window, UTC, exclusive.'),
  Pages ARRAY<STRING> OPTIONS(description = 'Addresses viewed, ordered by time, then eventId, as all arrays here.'),
  referrer ARRAY<STRING> OPTIONS(description = 'Referrer of each pageview; empty where the sender had none.'),
  LandingPageCode ARRAY<STRING> OPTIONS(description = '\'1\' or \'0\' of each pageview; empty where the sender had none.'),
  sessionTimestamps ARRAY<TIMESTAMP> OPTIONS(description = 'Event time of each pageview.'),
  pageTitles ARRAY<STRING> OPTIONS(description = 'Title of each page; empty where the sender had none.'),
  eventIds ARRAY<STRING> OPTIONS(description = 'eventId of each pageview; distinct within the row.'),
  Pageviews INT64 NOT NULL OPTIONS(description = 'Number of distinct pageviews: the length of every array.'),
  firstSeen TIMESTAMP NOT NULL OPTIONS(description = 'Event time of the first pageview.'),
  lastSeen TIMESTAMP NOT NULL OPTIONS(description = 'Event time of the last pageview.'),
  entryPage STRING NOT NULL OPTIONS(description = 'First address.'),
  exitPage STRING NOT NULL OPTIONS(description = 'Last address.'),
  landingReferrer STRING OPTIONS(description = 'Referrer of the first landing pageview; null where the row has none.'),
  robot BOOL NOT NULL OPTIONS(description = 'True where any pageview of the row came from a known robot.'),
  correction INT64 NOT NULL OPTIONS(description = '0 for a row of the stream; n for a row of the n-th correction.'),
  batchKey STRING NOT NULL OPTIONS(description = 'Lineage: query id and batch id of the micro-batch that wrote the row.')
)
PARTITION BY DATE(window_start)
CLUSTER BY uiud
OPTIONS(description = 'One row per visitor, session and 30-minute window.')
