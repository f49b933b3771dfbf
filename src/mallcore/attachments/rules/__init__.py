"""Pure rules of attachments: no database, no clock, no store."""
