"""Pure rules of the audit trail: none beyond the order of records, which their ids carry."""
