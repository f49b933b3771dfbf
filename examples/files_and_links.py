"""A banner that is replaced and comes back, a link for one person, and a log that proves what happened.

python examples/files_and_links.py: makes everything in a folder that is gone afterwards.
"""

from mallcore import Mall, Principal, attachments, audit, structure
from mallcore.errors import LinkRefused

EDITOR, ADA, EVE = Principal.system("editor"), Principal.user("ada"), Principal.user("eve")


def put(mall: Mall, content: bytes) -> str:
    """Upload a version, and have the channel refer to it: the reference is part of the revision."""
    with mall.begin(EDITOR) as ctx:
        version = attachments.upload_file(ctx, file=content, file_name="terms.txt", owner="channel:books")
        structure.update_channel(ctx, channel="books", settings={"terms": version.ref})
        return version.ref


def main() -> None:
    with Mall.open("sqlite://") as mall:
        with mall.begin(EDITOR) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
        first, second = put(mall, b"Terms of spring"), put(mall, b"Terms of autumn")
        with mall.begin(EDITOR) as ctx:
            structure.rollback(ctx, channel="books", to=1)
            shown = structure.get_channel(ctx, channel="books").settings["terms"]
        print("the channel shows the first version again:", shown == first != second)

        with mall.begin(EDITOR) as ctx:
            link = attachments.link(ctx, version=shown, to=ADA.ref, once=True)
        with mall.begin(ADA) as ctx:
            print("ada opens", attachments.open_link(ctx, token=link.token).file_name)
        for who in (ADA, EVE):
            try:
                with mall.begin(who) as ctx:
                    attachments.open_link(ctx, token=link.token)
            except LinkRefused as refused:
                print(who.id, "is refused:", refused.details["reason"])

        with mall.begin(EDITOR) as ctx:
            print("records that hold:", audit.verify(ctx).size > 10)


main()
