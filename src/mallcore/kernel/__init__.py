"""What every package stands on; knows no domain by name."""
