"""Another process changes the mall; this one sees each revision, once and in order.

Run it in an empty folder: python follow_changes.py
"""

import subprocess
import sys

from mallcore import Mall, Principal, structure

ME = Principal.system("follower")
WRITER = """
from mallcore import Mall, Principal, structure

with Mall.open("sqlite:///mall.db") as mall:
    for name in ("Fiction", "Poetry", "Drama"):
        with mall.begin(Principal.system("writer")) as ctx:
            structure.create_section(ctx, channel="books", name=name, message=f"Open {name}")
"""


def main() -> None:
    """Follow a channel while a process of its own writes."""
    with Mall.open("sqlite:///mall.db") as mall:
        with mall.begin(ME) as ctx:
            structure.create_channel(ctx, slug="books", name="Books")
            stream = structure.watch(ctx, channel="books")
        seen: list[int] = []
        with subprocess.Popen([sys.executable, "-c", WRITER]) as writer:
            while len(seen) < 3:
                found = stream.next(timeout=30)
                assert found, "nothing came in 30 seconds"
                for revision in found:
                    print(revision.number, revision.author, revision.message)
                    seen.append(revision.number)
        assert writer.returncode == 0
        assert seen == [1, 2, 3]
        with mall.begin(ME) as ctx:
            print(structure.diff_revisions(ctx, channel="books", a=0).text)


if __name__ == "__main__":
    main()
