"""Operations of access: roles and grants, the ends of sessions, the mall's keys."""
