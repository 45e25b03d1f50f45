"""ccproxy: `mitmdump -s ccproxy_addon.py --mode reverse:https://api.anthropic.com`.

The composition root: reads the environment once, builds the objects, and lists the addons in the order in which a
request meets them.
"""

from __future__ import annotations

import functools
import gc
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

gc.disable()  # while all is loaded, which leaves no garbage
HERE = Path(__file__).resolve().parent
os.umask(0o077)  # flow files hold prompts, and mitmproxy writes them for everybody to read
sys.path.insert(0, str(HERE))  # mitmproxy loads a script by its path, not as part of a package

PACKAGES = ("httpx", "filelock", "tiktoken", "orjson", "dotenv", "prometheus_client")
if missing := [name for name in PACKAGES if find_spec(name) is None]:
    sys.stderr.write(
        f"ccproxy can't start: {sys.executable}, which runs this mitmproxy, has no {', '.join(missing)}.\n"
        f"Install them:  {sys.executable} -m pip install -r {HERE / 'requirements.txt'}\n"
        "(pipx: `pipx runpip mitmproxy install -r` that file; a mitmproxy without Python: use ./start.sh)\n"
    )
    os._exit(1)

from mitmproxy import ctx

from addon.addons.access_control import AccessControl
from addon.addons.api_log import ApiLog, open_log
from addon.addons.context_window import ContextWindow
from addon.addons.fallback_chain import FallbackChain, unpriced_steps
from addon.addons.flow_file import FlowFile
from addon.addons.mitmproxy_tuning import FlowLimit, replace_streams
from addon.addons.model_list import ModelList, UpstreamModels, utc_day
from addon.addons.notifications import Notifications
from addon.addons.options import Options, given_at_start
from addon.addons.persistence import Persistence
from addon.addons.progress import Progress
from addon.addons.prompt_cache import CacheMemory, PromptCache
from addon.addons.safe_options import SafeOptions
from addon.addons.shutdown import Shutdown
from addon.addons.summary_call import make_manager, make_summary_call
from addon.addons.thinking import Continuity, Thinking
from addon.addons.translate import Translate
from addon.addons.upstream import Upstream
from addon.addons.upstream_request import UpstreamRequestBuilder
from addon.addons.usage_recorder import UsageRecorder
from addon.api.commands import Commands, Finding
from addon.api.compact import CompactApi
from addon.api.control import ControlApi
from addon.api.dashboard import DashboardApi
from addon.api.explain import Explain
from addon.api.flow_commands import FlowCommands
from addon.api.health import Health, Output
from addon.api.local import LocalApi
from addon.api.notices import Notices
from addon.api.request_history import RequestHistory
from addon.api.responses import ResponsesApi
from addon.api.views import Views
from addon.claude.catalogue import Catalogue
from addon.claude.models_file import CatalogueError
from addon.claude.refused_features import RefusedFeatures
from addon.claude.thinking_store import ThinkingStore
from addon.cli.setting_checks import doubts
from addon.context.summarizer import SummaryTasks
from addon.context.summary_memory import SummaryMemory
from addon.context.tokens.counter import make_counter
from addon.context.window import CUTS_KEPT, KnownCuts
from addon.core.environment import environment, from_env_file, models_files, outbound_proxies
from addon.core.errors import CCProxyError
from addon.core.lru import Lru
from addon.core.own_http import own_http, timeouts
from addon.core.secret import with_stored_secret
from addon.core.settings import Settings, SettingsError
from addon.core.terminal import EventLog, Terminal
from addon.core.types import JsonObject
from addon.credentials.open import make_login
from addon.exchange.refusals import Blocked, Guesses, LineAMinute
from addon.exchange.state import Exchanges
from addon.exchange.stored_responses import StoredResponses
from addon.replay_layer import Connections, Gate, ReverseLayer, Timing
from addon.translation.to_anthropic.conversion_cache import ConversionCache
from addon.usage.budget import Budget, PaidCalls
from addon.usage.journal import PaidJournal
from addon.usage.ledger import UsageLedger
from addon.usage.live import LiveHub
from addon.usage.metrics import Metrics
from addon.usage.snapshot import SnapshotFile
from addon.usage.store import UsageStore
from addon.usage.subscription import SubscriptionState

OWN_CALLS = 120.0
"""Seconds, for what the proxy asks for itself: tokens, models, summaries."""


class Shared:
    """What lives as long as the process, whatever becomes of the settings. Raises CatalogueError."""

    tracing: Any = None
    """The last Telemetry, once it is wanted."""

    def __init__(self, settings: Settings, outputs: Sequence[Output]) -> None:
        api_log = open_log(settings)
        self.outputs = [*outputs, api_log] if api_log else outputs
        self.catalogue = Catalogue.load(*models_files(settings.home))
        self.exchanges = Exchanges()
        console = type(ctx.master).__name__ == "ConsoleMaster"  # importing its class loads urwid
        self.terminal = EventLog() if console else Terminal(no_color=settings.no_color)
        self.ledger = UsageLedger(time.time)
        self.budget = Budget(self.ledger)
        snapshot = SnapshotFile(settings.home, time.time)
        journal = PaidJournal(settings.home)
        self.subscription = SubscriptionState()
        self.store = UsageStore(
            snapshot,
            self.ledger,
            self.budget,
            journal,
            monotonic=time.monotonic,
            subscription=self.subscription,
        )
        self.http = own_http(proxy=settings.upstream_proxy_url, timeout=timeouts(OWN_CALLS))
        self.login = make_login(settings, self.http)
        paid = PaidCalls(settings, self.budget, self.catalogue.get)
        asking = UpstreamModels(settings, self.login, self.http, paid)
        self.models = ModelList(self.catalogue, asking)
        self.memory = SummaryMemory(settings.home / "summaries", time.time)
        self.summary_tasks = SummaryTasks(self.exchanges.background)
        self.cuts: KnownCuts = Lru(CUTS_KEPT)
        self.conversions = ConversionCache()
        self.responses = StoredResponses(time.monotonic)
        self.refused = RefusedFeatures()
        self.cache_memory = CacheMemory()
        self.blocked, self.lines = Blocked(), LineAMinute()
        self.guesses = Guesses(time.monotonic, self.lines)
        self.api_log = ApiLog(settings, self.exchanges, api_log)
        self.continuity = Continuity(ThinkingStore(time.monotonic))
        self.counter = make_counter(settings)
        self.history = RequestHistory()
        self.metrics, self.hub = Metrics(self.ledger), LiveHub()
        self.notices = Notices(self.terminal, self.hub)
        self.recorder = UsageRecorder(
            self.exchanges,
            self.ledger,
            self.budget,
            self.terminal,
            metrics=self.metrics,
            hub=self.hub,
            subscription=self.subscription,
            find=self.catalogue.get,
        )
        self.control = ControlApi(
            self.exchanges,
            self.ledger,
            self.budget,
            metrics=self.metrics,
            hub=self.hub,
            subscription=self.subscription,
            memory=self.memory,
            blocked=self.blocked,
        )

    def builder(self, settings: Settings) -> UpstreamRequestBuilder:
        proxies = outbound_proxies(settings.upstream_proxy)
        return UpstreamRequestBuilder(settings, self.continuity, self.refused, proxies)

    def compact(self, settings: Settings, paid: PaidCalls) -> CompactApi:
        model = self.catalogue.get(settings.context_summarization_model)
        summarize = make_summary_call(settings, self, paid)
        return CompactApi(settings, self.exchanges, self.responses, model, summarize)

    def telemetry(self, settings: Settings) -> list[Any]:
        """OpenTelemetry's SDK is an extra, and takes a while to load."""
        if settings.otel_endpoint is None:
            return []
        try:
            from addon.addons.telemetry import Telemetry
        except ImportError as error:
            self.terminal.line(
                f"OTEL_EXPORTER_OTLP_ENDPOINT has no effect without OpenTelemetry's SDK ({error}): {sys.executable}"
                " -m pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http",
                "odd",
            )
            return []
        self.tracing = Telemetry.after(self.tracing, settings, self.exchanges)
        return [self.tracing]

    def health(self, settings: Settings, chain: FallbackChain) -> Health:
        health = Health(
            settings,
            self.login.status,
            self.subscription,
            self.budget,
            chain,
            usage_problem=lambda: self.store.problem,
            counting_problem=lambda: self.counter.problem,
            outputs=self.outputs,
        )
        self.notices.current = health.notices
        return health


def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Loads the doctor, as below the stand-in, when it is asked: they are a quarter of what the start would load."""
    from addon.cli.doctor import examine

    return examine(settings)


def against_stand_in(saved: JsonObject) -> JsonObject:
    from addon.cli.own_proxy import against_stand_in

    return against_stand_in(saved)


def build(settings: Settings, environ: Mapping[str, str], outputs: Sequence[Output]) -> list[Any]:
    """The addons. `environ`: what the settings were read from, without mitmproxy's options. Raises CatalogueError."""
    shared = Shared(settings, outputs)
    exchanges, terminal = shared.exchanges, shared.terminal
    return [
        # at the end: lets running answers finish before anything behind it is closed
        Shutdown(exchanges, terminal, shared.recorder.sum_up),
        # caps what clients can hold open
        Connections(exchanges, shared.lines),
        # forces safe options and moves the listener to this machine
        SafeOptions(settings.port, Gate(exchanges)),
        # shows flows as conversations
        Views(shared.history, shared.catalogue.get),
        # the settings as options, and all that a request meets on its way
        Options(environ, settings, functools.partial(request_path, shared)),
        # the same questions at mitmproxy's own prompt
        Commands(
            shared.ledger,
            shared.budget,
            shared.subscription,
            functools.partial(examine, settings),
        ),
        # sends a flow again, and takes its conversation elsewhere
        FlowCommands(settings, shared.history, against_stand_in),
        # says what a request waits for
        Progress(exchanges, terminal),
        # keeps what was learnt and counted over restarts
        Persistence(
            settings,
            shared.store,
            shared.counter,
            shared.memory,
            login=shared.login,
            http=shared.http,
            terminal=terminal,
            doubts=doubts(settings, shared.catalogue, from_env_file(), utc_day()),
            unpriced=unpriced_steps(settings, shared.catalogue),
        ),
        # below the banner: what is wrong, what rests, and when that is over
        shared.notices,
        # tells the user elsewhere when a limit is near
        Notifications(settings, shared.subscription, shared.budget, shared.http),
    ]


def request_path(shared: Shared, settings: Settings) -> list[Any]:
    """The addons that a request meets, in this order. They are made anew when a setting changes, so what they remember
    is `shared`'s."""
    exchanges, terminal, subscription = shared.exchanges, shared.terminal, shared.subscription
    models, paid = shared.models, PaidCalls(settings, shared.budget, shared.catalogue.get)
    builder = shared.builder(settings)
    manager = make_manager(settings, shared, paid)
    window = ContextWindow(settings, exchanges, manager, terminal, builder.with_blocks_put_back)
    chain = FallbackChain(settings, shared.catalogue, subscription, paid)
    health = shared.health(settings, chain)
    terminal.quiet = settings.quiet  # nothing from here on refuses the settings
    models.ask = UpstreamModels(settings, shared.login, shared.http, paid)
    return [
        # puts our upstream leg under every connection
        ReverseLayer(exchanges, Timing.from_settings(settings)),
        # first of the request's: nobody is served before this, and credentials come off the flow
        AccessControl(settings, exchanges, shared.blocked, shared.guesses, shared.lines),
        # what was asked, before anything changes it
        shared.api_log,
        # the same for /explain and mitmweb
        Explain(settings, exchanges, shared.history, shared.catalogue.get),
        # answers what needs no upstream
        LocalApi(settings, exchanges, models, health),
        # what clients have left here
        ResponsesApi(exchanges, shared.responses),
        # the same, as one summary
        shared.compact(settings, paid),
        shared.control,
        DashboardApi(
            exchanges,
            settings,
            shared.ledger,
            shared.budget,
            health=health,
            hub=shared.hub,
            subscription=subscription,
            guesses=shared.guesses,
            history=shared.history,
        ),
        # from here on there is an Anthropic request; on the way back, the client's dialect
        Translate(settings, exchanges, models, shared.conversions, shared.responses),
        # needs the model and what the client asked; remembers thinking on the way back
        Thinking(settings, exchanges, shared.continuity),
        # what is counted and cut is what will be sent
        window,
        # marks the prefix that the window has made stable
        PromptCache(settings, exchanges, shared.cache_memory),
        # last: its approval is what lets a request go upstream
        Upstream(settings, exchanges, builder, shared.login, chain=chain, window=window),
        # the same as spans, for who wants them
        *shared.telemetry(settings),
        # after everything: sees how each request ended
        shared.recorder,
        # forgets flows that mitmweb would keep for ever
        FlowLimit(),
    ]


# with `-n` somebody looks at saved flows, and wants all of the output
writers = list(replace_streams(ctx.master.addons)) if ctx.options.server else []
outputs: list[Output] = [*writers]
if ctx.options.server and (save := ctx.master.addons.get("save")):
    outputs.append(FlowFile(save))
try:
    variables = environment()
    settings = with_stored_secret(Settings.from_env(variables | given_at_start(ctx.options)))
    addons = build(settings, variables, outputs)
except (SettingsError, CatalogueError, CCProxyError) as error:
    # The process has to end, and at once: mitmproxy listens already, and without its addons it would forward
    # everything as it comes. `sys.exit` would let it serve what has come in.
    sys.stderr.write(f"ccproxy can't start:\n{error}\n")
    for writer in writers:
        writer.close()
    os._exit(1)
gc.freeze()  # or the first collection, which comes at once, would look at all of it
gc.enable()
