"""What the two ends of the bus count. Labels name services and queues, never ids."""

from prometheus_client import Counter, Gauge

EVENTS_CONSUMED = Counter("reeve_events_consumed_total", "Events applied for the first time.", ("queue",))
INBOX_DUPLICATES = Counter("reeve_inbox_duplicates_total", "Events that had been applied before.", ("queue",))
DEAD_LETTERS = Counter("reeve_dead_letters_total", "Events that could not be applied.", ("queue",))
CONSUMER_RETRIES = Counter("reeve_consumer_retries_total", "Batches that had to be tried again.", ("queue",))
RELAY_PUBLISHED = Counter("reeve_relay_published_total", "Outbox rows published and confirmed.", ("producer",))
RELAY_FAILURES = Counter(
    "reeve_relay_failures_total", "Messages whose publish was not confirmed.", ("producer", "reason")
)
OUTBOX_UNSENT = Gauge("reeve_outbox_unsent", "Rows waiting in an outbox, counted up to 10,001.", ("producer",))
OUTBOX_OLDEST_SECONDS = Gauge("reeve_outbox_oldest_age_seconds", "Age of the oldest row in an outbox.", ("producer",))
