"""How a mall is put together: its operations, its plug-ins, and the ports through which packages meet.

Only `mallcore.mall` calls this. A package that wants something done in the background adds it to the mall's chores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from mallcore import access, attachments, audit, structure, webhooks
from mallcore.api import noticing
from mallcore.api import operations as api
from mallcore.api.contracts import EventShapes
from mallcore.api.counting import Counter
from mallcore.api.hooks import ApiHooks
from mallcore.api.noticing import Notices, Telling
from mallcore.api.pages import PAGES
from mallcore.api.rates import Limiter
from mallcore.api.releases import OURS
from mallcore.api.settling import GRAPHQL
from mallcore.api.table import refuse_shared
from mallcore.api.versions import Release, Versions
from mallcore.errors import InvalidInput, InvalidSettings
from mallcore.kernel.context import Context, Principal, Services
from mallcore.kernel.hooks import KernelHooks, manager
from mallcore.kernel.keys import TOPIC as KEYS
from mallcore.kernel.keys import Keyring
from mallcore.kernel.objects import Stores
from mallcore.kernel.operations import Catalogue, Operation
from mallcore.kernel.ports import Policy, Verifiers
from mallcore.kernel.recording import Recorder
from mallcore.kernel.sessions import EngineSessions
from mallcore.opening import BUILT_IN, Given, plugin_of

if TYPE_CHECKING:
    from mallcore.mall import Mall

PACKAGES: tuple[ModuleType, ...] = (structure, attachments, access, audit, webhooks, api)
"""The packages whose public operations every mall has."""

HOOKS: tuple[type, ...] = (
    KernelHooks,
    structure.StructureHooks,
    attachments.AttachmentHooks,
    ApiHooks,
    access.AccessHooks,
    webhooks.WebhookHooks,
)


def plugged(given: Given) -> pluggy.PluginManager:
    """The manager of the mall's plug-ins: our own, then the host's."""
    own = [
        audit.Trail(),
        attachments.Pins(),
        webhooks.Outbox(),
        Notices(),
        *map(plugin_of, (*BUILT_IN, *given.plugins)),
    ]
    return manager(HOOKS, own)


def catalogue_of(hooks: pluggy.HookRelay) -> Catalogue:
    """Our own operations, and those that plug-ins add."""
    found = hooks.operations_extra()
    return Catalogue.of(*PACKAGES).with_more(
        _added(found, "operations_extra", lambda one: isinstance(getattr(one, "operation", None), Operation))
    )


def versions_of(hooks: pluggy.HookRelay) -> Versions:
    """The versions of the API: our own releases and changes, and those of plug-ins."""
    releases = _added(hooks.releases_extra(), "releases_extra", lambda one: isinstance(one, Release))
    changes = _added(hooks.changes_extra(), "changes_extra", lambda one: hasattr(one, "declared"))
    return OURS.extended(releases, changes)


def _added(found: Iterable[Any], hook: str, fits: Callable[[Any], bool]) -> list[Any]:
    """What plug-ins add by a hook; `InvalidSettings` shows what is no such thing."""
    added: list[Any] = []
    for some in found:
        if not isinstance(some, Iterable):
            raise InvalidSettings(setting="plugins", reason=f"{hook} returned {some!r:.200}: return a list")
        added += some
    for one in added:
        if not fits(one):
            raise InvalidSettings(setting="plugins", reason=f"{hook} returned {one!r:.200}, which does not fit")
    return added


def _followed(versions: Versions, catalogue: Catalogue) -> None:
    """What does not fit together is found now, and not by the first who asks for some version."""
    versions.known(catalogue)
    if versions.changes != OURS.changes or len(catalogue) > len(Catalogue.of(*PACKAGES)):
        for name in versions.names:
            refuse_shared(versions.view(catalogue, name), (*PAGES, GRAPHQL))


def wired(mall: Mall, given: Given, clock: Callable[[], datetime]) -> Services:
    """What the mall gives to every Context."""
    source = EngineSessions(mall.engine, mall.backend, mall.settings.busy_seconds)
    policy = given.policy or _grants(mall)
    versions = versions_of(mall.plugins.hook)
    _followed(versions, mall.catalogue)
    ports: dict[type, Any] = {
        Catalogue: mall.catalogue,
        Stores: mall.stores,
        Keyring: mall.keys,
        Recorder: Recorder(),
        Verifiers: Verifiers(),
        **_api(mall, clock, versions),
        **_structure(mall),
        **_attachments(mall, given, clock),
        **_audit(mall),
        **_webhooks(mall, versions, clock),
        **_logins(mall, given),
        **_clients(mall, clock, versions),
    }
    _sessions(mall, ports[Verifiers])
    ports[Verifiers].known.append(ports[access.ApiKeys])
    ports |= _tokens(mall, given, clock, ports[Verifiers])
    mall.follower.subscribe(KEYS, lambda _: mall.keys.forget(), mall.keys.look)
    return Services(source, policy, mall.plugins.hook, ports, clock)


def _api(mall: Mall, clock: Callable[[], datetime], versions: Versions) -> dict[type, Any]:
    counter = Counter(clock)

    def keep() -> None:
        if counter.waiting:
            with mall.begin(Principal.system("api")) as ctx:
                ctx.commanding = True
                counter.flush(ctx)

    mall.chores.ticks += [lambda: keep() if counter.due else None, _telling(mall)]
    mall.chores.closing.append(keep)
    mall.chores.forked.append(counter.forget_parent)
    return {Counter: counter, Versions: versions}


def _telling(mall: Mall) -> Callable[[], None]:
    telling, system = Telling(), Principal.system("api")

    def tell() -> None:
        for release in telling.waiting(mall.versions, mall.now()):
            with mall.begin(system) as ctx:
                noticing.tell(ctx, release)
            telling.done(release)

    return tell


def _grants(mall: Mall) -> Policy:
    grants = access.Grants(mall.engine.connect, lambda: mall.follower.running)
    mall.follower.subscribe(access.TOPIC, lambda _: grants.forget(), _following(mall, access.look))
    mall.chores.forked.append(grants.forget)
    return grants


def _structure(mall: Mall) -> dict[type, Any]:
    trees, places = structure.Trees(mall.follower), structure.Places()
    mall.follower.subscribe(structure.TOPIC, _following(mall, structure.heard), _following(mall, structure.look))
    mall.chores.forked.append(trees.forget_parent)
    return {
        structure.Trees: trees,
        structure.Beginning: structure.Beginning(mall.begin),
        access.Places: places,
        attachments.Owners: places,
        attachments.Moments: places,
    }


def _attachments(mall: Mall, given: Given, clock: Callable[[], datetime]) -> dict[type, Any]:
    edges = attachments.Edges(given.edges, clock)
    mall.chores.ticks.append(edges.look)
    return {
        attachments.Slots: attachments.Slots(given.slots),
        attachments.Edges: edges,
        attachments.Addresses: attachments.Addresses(mall.settings.content_url),
        attachments.Epochs: access.Sessions(),
    }


def _tokens(mall: Mall, given: Given, clock: Callable[[], datetime], verifiers: Verifiers) -> dict[type, Any]:
    """What OAuth2 keeps, and the verifier of access tokens, if any are taken."""
    settings = mall.settings
    denied = access.DeniedTokens(mall.engine.connect, lambda: mall.follower.running, clock)
    mall.follower.subscribe(access.TOKENS, lambda _: denied.forget(), denied.look)
    mall.chores.forked.append(denied.forget)
    store = access.OAuthStore(mall.begin)
    mall.chores.hours.append(store.forget_old)
    own = None
    if settings.issuer:
        audience = settings.audience or settings.issuer
        own = access.OwnTokens(
            url=access.checked_issuer(settings.issuer, loopback=True),
            audience=audience,
            algorithm=settings.token_algorithm,
            keys=mall.keys,
            refuses=denied.refuses,
            ready=lambda: denied.ready,
        )
    verifier = mall.plugins.hook.access_tokens_backend(own=own, issuers=tuple(given.issuers), clock=clock)
    if verifier is not None:
        verifiers.known.append(access.RecordedRefusals(verifier, mall.begin))
    return {access.DeniedTokens: denied, access.OAuthStore: store}


def _logins(mall: Mall, given: Given) -> dict[type, Any]:
    logins = access.Logins.of(given.logins)
    return {access.Logins: logins, access.Lives: logins.lives}


def _clients(mall: Mall, clock: Callable[[], datetime], versions: Versions) -> dict[type, Any]:
    pinnable = Pinnable(versions, clock)
    keys = access.ApiKeys(mall.engine.connect, mall.follower.heard, mall.keys, clock, mall.begin, pinnable)
    mall.follower.subscribe(access.CREDENTIALS, lambda _: keys.forget(), _following(mall, access.look_at_credentials))
    limiter = Limiter(mall.settings.plans, mall.settings.rates.get_secret_value())
    mall.chores.closing.append(keys.close)
    mall.chores.forked += [keys.forget_parent, limiter.forget_parent]
    return {
        access.ApiKeys: keys,
        access.ApiVersions: pinnable,
        access.Plans: access.Plans(mall.settings.plans),
        Limiter: limiter,
        access.HostPermissions: access.HostPermissions(mall.settings.permissions),
    }


class Told(webhooks.Payloads):
    """What webhooks tell, as the version each subscription is pinned to has it: as of everything else of the API."""

    def __init__(self, catalogue: Catalogue, versions: Versions, clock: Callable[[], datetime]) -> None:
        self._catalogue = catalogue
        self._versions = versions
        self._clock = clock

    def version(self, asked: str | None) -> str | None:
        latest = self._versions.latest(self._clock())
        name = self._versions.find(asked or latest).name
        if self._versions.state(name, self._clock()) == "sunset":
            raise InvalidInput(field="version", reason=f"{name} is gone: choose another, such as {latest}")
        return name

    def payload(self, event_name: str, data: Mapping[str, Any], version: str | None) -> dict[str, Any]:
        kind = webhooks.known_events().get(event_name)
        if version is None or kind is None:
            return dict(data)
        down = self._versions.view(self._catalogue, version).down(webhooks.shape_of(kind))
        return dict(data) if down is None else dict(down(dict(data)))


class Pinnable(access.ApiVersions):
    """The versions of the API that an API key can be pinned to: those that are served, and not on their way out."""

    def __init__(self, versions: Versions, clock: Callable[[], datetime]) -> None:
        self._versions = versions
        self._clock = clock

    def known(self, version: str) -> bool:
        return version in self._versions.names and self._versions.state(version, self._clock()) != "sunset"

    def latest(self) -> str | None:
        return self._versions.latest(self._clock()) if self._versions.names else None


def _sessions(mall: Mall, verifiers: Verifiers) -> None:
    tokens = access.SessionTokens(mall.begin, mall.now)
    verifiers.known.append(tokens)
    mall.chores.ticks.append(tokens.flush)
    mall.chores.closing.append(tokens.flush)
    mall.chores.hours.append(_housekeeping(mall, access.forget_old_sessions))


def _housekeeping(mall: Mall, step: Callable[[Context], None]) -> Callable[[], None]:
    """The step, in a unit of work of its own that writes."""

    def keep() -> None:
        with mall.begin(Principal.system("housekeeping")) as ctx:
            ctx.commanding = True
            step(ctx)

    return keep


def _audit(mall: Mall) -> dict[type, Any]:
    subjects = audit.Subjects(mall.keys, lambda: mall.follower.running)
    mall.follower.subscribe(audit.TOPIC, lambda _: subjects.forget(), _following(mall, audit.look))
    return {audit.Subjects: subjects}


def _webhooks(mall: Mall, versions: Versions, clock: Callable[[], datetime]) -> dict[type, Any]:
    settings, interest = mall.settings, webhooks.Interest(lambda: mall.follower.running)
    egress = webhooks.Egress.of(settings.webhook_networks, settings.webhook_insecure, settings.webhook_ports)
    dispatcher = webhooks.Dispatcher(
        mall.begin,
        lambda: mall.plugins.hook.webhook_sender(egress=egress),
        threads=settings.webhook_threads,
        days=settings.webhook_days,
        failing_days=settings.webhook_failing_days,
    )
    mall.chores.ticks.append(dispatcher.tick)
    mall.chores.hours.append(dispatcher.keep_house)
    mall.chores.closing.append(dispatcher.close)
    mall.chores.forked += [dispatcher.forget_parent, interest.forget]
    mall.follower.subscribe(webhooks.TOPIC, lambda _: interest.forget(), _following(mall, webhooks.look))
    roots = _roots(mall)
    told = {kind: webhooks.shape_of(kind) for kind in webhooks.known_events().values() if _root(kind) in roots}
    return {
        EventShapes: EventShapes(told),
        webhooks.Interest: interest,
        webhooks.Egress: egress,
        webhooks.Dispatcher: dispatcher,
        webhooks.Payloads: Told(mall.catalogue, versions, clock),
        webhooks.Places: structure.Places(),
        webhooks.Credentials: access.KnownCredentials(),
    }


def _roots(mall: Mall) -> set[str]:
    """The packages that this mall's operations and plug-ins come from: events of others are no promise of its API."""
    functions = (one.function for one in mall.catalogue.values())
    return {_root(one) for one in (*functions, *mall.plugins.get_plugins())}


def _root(one: Any) -> str:
    module = one.__name__ if isinstance(one, ModuleType) else getattr(one, "__module__", "")
    return str(module).partition(".")[0]


def _following(mall: Mall, step: Callable[..., None]) -> Callable[..., None]:
    """The step, in a unit of work of the follower's."""

    def follow(*heard: str) -> None:
        with mall.begin(Principal.system("follower")) as ctx:
            step(ctx, *heard)

    return follow
