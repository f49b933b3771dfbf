"""Pure decisions of the REST face: routes, negotiation, preconditions, problem documents, the OpenAPI document."""
