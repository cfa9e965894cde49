CREATE TABLE IF NOT EXISTS `{dataset}.bad_events` (
  reason STRING NOT NULL OPTIONS(description = 'Reject reason, one of a closed list.'),
  stage STRING NOT NULL OPTIONS(description = 'Where it was refused: collector or streaming.'),
  processor STRING NOT NULL OPTIONS(description = 'Program that refused it.'),
  processorVersion STRING NOT NULL OPTIONS(description = 'Version of that program.'),
  failedAt TIMESTAMP NOT NULL OPTIONS(description = 'When it was refused; for the stream Kafka\'s timestamp.'),
  payload BYTES NOT NULL OPTIONS(description = 'The original message, byte for byte.'),
  eventId STRING OPTIONS(description = 'eventId, where the message had a readable one.'),
  kafkaTopic STRING NOT NULL OPTIONS(description = 'Kafka topic.'),
  kafkaPartition INT64 NOT NULL OPTIONS(description = 'Kafka partition.'),
  kafkaOffset INT64 NOT NULL OPTIONS(description = 'Kafka offset.'),
  kafkaTimestamp TIMESTAMP NOT NULL OPTIONS(description = 'Kafka\'s timestamp of the message.'),
  batchKey STRING NOT NULL OPTIONS(description = 'Lineage: query id and batch id of the micro-batch that wrote the row.')
)
PARTITION BY DATE(failedAt)
CLUSTER BY reason
OPTIONS(description = 'One row per refused message, with what it takes to replay it.')
