"""Operations of attachments; the only files here that use a database session or a store."""
