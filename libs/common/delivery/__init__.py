"""Where database and broker meet: relay, subscriber, command and reply."""
