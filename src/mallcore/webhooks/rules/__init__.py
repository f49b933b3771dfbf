"""Pure rules of webhooks: what matches, when to try again, how a message is signed, where none may go."""
