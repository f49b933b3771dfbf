"""Operations of webhooks: the outbox, subscriptions, deliveries, and the dispatcher that sends them."""
