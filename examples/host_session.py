"""A host's order and a mall's category in one transaction: both are committed, or neither.

Run it in an empty folder: python host_session.py
"""

from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from mallcore import Mall, Principal, hookimpl, structure
from mallcore.errors import DuplicateSlug


class Base(DeclarativeBase):
    """The host's own tables."""


class Supplier(Base):
    """A supplier gets a category of its own."""

    __tablename__ = "supplier"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Announcer:
    """Shows when the mall tells the world."""

    @hookimpl
    def event_committed(self, event: object) -> None:
        """Called after the host's outermost commit."""
        if isinstance(event, structure.Revised):
            print(f"  announced: revision {event.revision}")


ME = Principal.system("host")


def add(session: Session, mall: Mall, name: str) -> None:
    """One supplier and its category, in the caller's transaction."""
    session.add(Supplier(name=name))
    with mall.begin(ME, session=session) as ctx:
        structure.create_category(ctx, channel="market", name=name)


def main() -> None:
    """Commit one, roll one back, and let the mall refuse one."""
    engine = create_engine("sqlite:///host.db")
    Base.metadata.create_all(engine)
    mall = Mall.open(engine, plugins=[Announcer()])
    with mall.begin(ME) as ctx:
        structure.create_channel(ctx, slug="market", name="Market")

    print("committed:")
    with Session(engine) as session, session.begin():
        add(session, mall, "Ada's Apples")
        print("  (not announced yet)")

    print("rolled back:")
    with Session(engine) as session:
        add(session, mall, "Bob's Bread")
        session.rollback()

    print("refused:")
    try:
        with Session(engine) as session, session.begin():
            add(session, mall, "Ada's Apples")
    except DuplicateSlug as error:
        print(f"  {error}")

    with Session(engine) as session, mall.begin(ME) as ctx:
        suppliers = session.scalar(select(func.count()).select_from(Supplier))
        categories = len(structure.tree(ctx, channel="market"))
    print(f"{suppliers} supplier, {categories} category")
    assert (suppliers, categories) == (1, 1)
    mall.close()
    engine.dispose()


if __name__ == "__main__":
    main()
