"""Tables and shapes of webhooks."""
