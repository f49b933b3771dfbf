"""What is looked at longer than one answer: a tree drawn level by level, a draft's tree, and changes as they come."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from mallcore import structure
from mallcore.adapters.cli.forms import shown, tree_lines
from mallcore.adapters.cli.output import Output, plain
from mallcore.adapters.cli.session import Cli
from mallcore.adapters.cli.transfer import ChannelOption

_MANY = 1000  # a larger tree is drawn to two levels, unless asked for more
_WAIT_SECONDS = 1.0

DepthOption = Annotated[int | None, typer.Option(metavar="N", help="How many levels to show.")]
LocaleOption = Annotated[
    str | None, typer.Option(metavar="TAG", help="Show names in this language, as far as there are.")
]


def show(
    cli: Cli,
    channel: ChannelOption = None,
    at: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A revision's number, a time, or a snapshot's name.")
    ] = None,
    depth: DepthOption = None,
    locale: LocaleOption = None,
    node: Annotated[str | None, typer.Option(metavar="NODE", help="Only this node, and what is below it.")] = None,
) -> None:
    """Show a channel's tree, or the part below a node."""
    name = cli.channel(channel)
    with cli.begin() as ctx:
        view = structure.tree(ctx, channel=name, at=at, depth=depth, locale=locale, node=node)
        if not cli.out.json and depth is None and node is None and len(view) > _MANY:
            view = structure.tree(ctx, channel=name, at=at, depth=2, locale=locale)
            cli.out.note(f"{len(view):,} nodes: two levels are shown; --depth shows more, --json all.")
    cli.out.result(view, draw)


def draft_tree(
    cli: Cli,
    draft: Annotated[str, typer.Argument(metavar="DRAFT", help="The draft's id.")],
    depth: DepthOption = None,
    locale: LocaleOption = None,
) -> None:
    """Show the channel's tree as it would be after publishing a draft."""
    with cli.begin() as ctx:
        view = structure.preview_tree(ctx, draft=draft, depth=depth, locale=locale)
    cli.out.result(view, draw)


def draw(out: Output, view: structure.TreeView) -> None:
    """The tree as lines."""
    tree = view.shape
    out.say(f"{tree.name}  ({tree.slug}, revision {tree.revision}, {tree.locale}, {tree.currency})", "bold")
    for guides, one in tree_lines(tree.nodes):
        out.say(
            f"{guides}{one.name}  [{one.slug}]"
            if out.text.is_terminal
            else f"{guides}{one.name}  [{one.slug}]  {one.id}"
        )


def watch(
    cli: Cli,
    channel: ChannelOption = None,
    after: Annotated[
        int | None, typer.Option(metavar="N", help="Begin after this revision. [default: with the next one]")
    ] = None,
) -> None:
    """Follow a channel: print each new revision as it is committed, until Ctrl-C. With `--json` one object a line."""
    mall = cli.open(follow=True)
    name = cli.channel(channel)
    with mall.begin(cli.principal) as ctx:
        changes = structure.watch(ctx, channel=name, after=after)
    cli.out.note(f"following from revision {changes.after} on; Ctrl-C ends it")
    while True:
        for one in changes.next(_WAIT_SECONDS):
            if cli.out.json:
                cli.out.write(json.dumps(plain(one), ensure_ascii=False).encode())
            else:
                cli.out.say(f"{one.number}  {shown(one.at)}  {one.author}  {one.message or ''}")
                cli.out.text.file.flush()
