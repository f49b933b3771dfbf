"""Tables and shapes of attachments."""
