CREATE TABLE IF NOT EXISTS `{dataset}.events` (
  timestamp TIMESTAMP NOT NULL OPTIONS(description = 'Event time, UTC.'),
  uiud STRING NOT NULL OPTIONS(description = 'Visitor: a UUID kept in the browser.'),
  sessionId STRING NOT NULL OPTIONS(description = 'Session: a cookie that slides 30 minutes with every pageview.'),
  pageUrl STRING NOT NULL OPTIONS(description = 'Address of the page viewed.'),
  eventType STRING NOT NULL OPTIONS(description = 'Pageview, or the name of a custom event.'),
  lastPageVisited STRING OPTIONS(description = 'document.referrer, unshortened.'),
  pageTitle STRING OPTIONS(description = 'document.title.'),
  landingPage STRING OPTIONS(description = '1 when the visitor came from outside the site, else 0.'),
  referrer STRING OPTIONS(description = 'direct, or the address of the site that the visitor came from.'),
  eventId STRING NOT NULL OPTIONS(description = 'Identity of the event; derived from the content where the sender had none.'),
  sentAt INT64 OPTIONS(description = 'When the sender sent it, ms since epoch, sender clock.'),
  receivedAt INT64 OPTIONS(description = 'When the collector received it, ms since epoch, collector clock.'),
  seq INT64 OPTIONS(description = 'Number of the event within its session, from 1.'),
  clockSkewed BOOL OPTIONS(description = 'True where the collector corrected the timestamp.'),
  originalTimestamp INT64 OPTIONS(description = 'The sender\'s own timestamp, ms since epoch, where it was corrected.'),
  robot BOOL OPTIONS(description = 'True where the user agent is a known robot\'s.'),
  extra STRING OPTIONS(description = 'Fields that the contract does not name, as a JSON object of bounded size.'),
  kafkaTopic STRING NOT NULL OPTIONS(description = 'Kafka topic.'),
  kafkaPartition INT64 NOT NULL OPTIONS(description = 'Kafka partition.'),
  kafkaOffset INT64 NOT NULL OPTIONS(description = 'Kafka offset.'),
  kafkaTimestamp TIMESTAMP NOT NULL OPTIONS(description = 'Kafka\'s timestamp of the message.'),
  batchKey STRING NOT NULL OPTIONS(description = 'Lineage: query id and batch id of the micro-batch that wrote the row.')
)
PARTITION BY DATE(timestamp)
CLUSTER BY uiud
OPTIONS(description = 'The archive: one row per accepted message of the topic.')
