"""The gateway's, the prices' and the agents' gateway sections.

A key never stands in a configuration: `key_file` names the file that holds it.
"""

import re
from dataclasses import replace

from supervisord_asm.configuration.bounds import COUNT_LIMIT, TIMER_MIN_USEC
from supervisord_asm.configuration.document import Mark, Node
from supervisord_asm.configuration.errors import Refusal
from supervisord_asm.configuration.scalars import (
    PORT_MAX,
    absolute_path,
    agent_name,
    plain_text,
    whole_number,
)
from supervisord_asm.configuration.section import Section
from supervisord_asm.configuration.suggestion import suggest
from supervisord_asm.core.gateway_spec import (
    PROVIDERS,
    SEED_PRICES,
    Dialect,
    FallbackPolicy,
    GatewaySpec,
    PriceSpec,
    PricesSpec,
    PriceTable,
    ProviderSpec,
)
from supervisord_asm.core.spec import AgentGatewaySpec
from supervisord_asm.core.units import PRICE, RATE, TIME

BURST_MAX = 1_000_000
CONNECTIONS_MAX = 65_536
_LOOPBACK = re.compile(r"(127\.0\.0\.1|\[::1\]|localhost):([0-9]{1,5})")
_URL = re.compile(r"https?://[^\s/?#@]+[^\s?#@]*")
_DATE = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")


def read_gateway(parent: Section) -> GatewaySpec:
    """Read the gateway's section of asm.yaml."""
    section = parent.section("gateway")
    default = GatewaySpec()
    if section is None:
        return default
    providers = _providers(section)
    known = provider_names(replace(default, providers=providers))
    policy = section.choice("policy", FallbackPolicy, default.policy)
    gateway = GatewaySpec(
        enabled=section.flag("enabled", default.enabled),
        listen=section.read("listen", _loopback_address, default.listen),
        policy=policy,
        chain=section.values("chain", lambda text: _provider(text, known), least=1),
        timeout_usec=section.quantity("timeout", TIME, default.timeout_usec, TIMER_MIN_USEC),
        burst=section.count("burst", default.burst, 0, BURST_MAX),
        rate_per_sec=section.quantity("rate", RATE, default.rate_per_sec),
        max_tokens=section.count("max_tokens", default.max_tokens, 1, COUNT_LIMIT),
        providers=providers,
    )
    _check_chain(section, policy)
    section.done()
    return gateway


def read_agent_gateway(parent: Section, providers: frozenset[str]) -> AgentGatewaySpec:
    """Read an agent's own wishes to the gateway."""
    section = parent.section("gateway")
    if section is None:
        return AgentGatewaySpec()
    policy = section.read("policy", _policy, None)
    wishes = AgentGatewaySpec(
        policy=None if policy is None else policy.value,
        chain=section.values("chain", lambda text: _provider(text, providers), least=1),
        preferred_provider=section.read(
            "preferred_provider", lambda text: _provider(text, providers), None
        ),
        models=section.values("models", plain_text),
        burst=section.count("burst", None, 0, BURST_MAX),
        rate_per_sec=section.quantity("rate", RATE, None),
        timeout_usec=section.quantity("timeout", TIME, None, TIMER_MIN_USEC),
        max_tokens=section.count("max_tokens", None, 1, COUNT_LIMIT),
    )
    _check_chain(section, policy)
    section.done()
    return wishes


def provider_names(gateway: GatewaySpec) -> frozenset[str]:
    """Collect the names that a chain may use."""
    return frozenset(PROVIDERS) | {provider.name for provider in gateway.providers}


def _check_chain(section: Section, policy: FallbackPolicy | None) -> None:
    explicit = policy is FallbackPolicy.EXPLICIT
    if explicit and not section.has("chain"):
        section.refuse("policy", f"{section.name('policy')} is explicit", "add chain: [...]")
    if section.has("chain") and not explicit:
        section.refuse("chain", f"{section.name('chain')} without its policy", "policy: explicit")


def _policy(text: str) -> FallbackPolicy:
    words = [policy.value for policy in FallbackPolicy]
    if text not in words:
        raise Refusal(f'unknown value "{text[:80]}"', suggest(text, words))
    return FallbackPolicy(text)


def _provider(text: str, known: frozenset[str]) -> str:
    if text not in known:
        raise Refusal(f'unknown provider "{text[:80]}"', suggest(text, known))
    return text


def _loopback_address(text: str) -> str:
    match = _LOOPBACK.fullmatch(text)
    if match is None:
        raise Refusal(
            f'"{text[:80]}" is no loopback address',
            'write "127.0.0.1:8601": whoever reaches the gateway spends money',
        )
    whole_number(match[2], 1, PORT_MAX)
    return text


def _url(text: str) -> str:
    if not _URL.fullmatch(text):
        raise Refusal(
            # Not quoted: what is wrong with it may be a password in it.
            "this is no base URL",
            "https://HOST/PATH, without user, query or fragment",
        )
    return text


def _providers(parent: Section) -> tuple[ProviderSpec, ...]:
    section = parent.section("providers")
    if section is None:
        return ()
    found = [_provider_entry(section, *entry) for entry in section.entries()]
    return tuple(provider for provider in found if provider is not None)


def _provider_entry(parent: Section, name: str, mark: Mark, node: Node) -> ProviderSpec | None:
    section = parent.open(node, parent.name(name))
    if section is None or not _named(parent, name, mark):
        return None
    default = ProviderSpec(name, "", Dialect.OPENAI_CHAT, "")
    section.require("base_url", "base_url: https://…")
    section.require("dialect", "dialect: openai-chat")
    section.require("model", "model: NAME")
    provider = ProviderSpec(
        name=name,
        base_url=section.read("base_url", _url, ""),
        dialect=section.choice("dialect", Dialect, default.dialect),
        model=section.text("model", ""),
        key_file=section.read("key_file", absolute_path, None),
        timeout_usec=section.quantity("timeout", TIME, default.timeout_usec, TIMER_MIN_USEC),
        connections_max=section.count("connections", default.connections_max, 1, CONNECTIONS_MAX),
    )
    section.done()
    return provider


def _named(parent: Section, name: str, mark: Mark) -> bool:
    try:
        agent_name(name)
    except Refusal as error:
        parent.report.add(mark, error.message, error.hint)
        return False
    return True


def read_prices(parent: Section) -> PricesSpec:
    """Read the price tables; the seed's is always there."""
    section = parent.section("prices")
    default = PricesSpec()
    if section is None:
        return default
    listed = section.section("tables")
    tables = [SEED_PRICES]
    if listed is not None:
        for name, mark, node in listed.entries():
            if name == SEED_PRICES.name:
                listed.report.add(
                    mark, f"{listed.name(name)} is built in", "give your table another name"
                )
            elif _named(listed, name, mark):
                tables += _table(listed, name, node)
    names = [table.name for table in tables]

    def known(text: str) -> str:
        if text not in names:
            raise Refusal(f'unknown price table "{text[:80]}"', suggest(text, names))
        return text

    prices = PricesSpec(use=section.read("use", known, default.use), tables=tuple(tables))
    section.done()
    return prices


def _table(parent: Section, name: str, node: Node) -> list[PriceTable]:
    section = parent.open(node, parent.name(name))
    if section is None:
        return []
    section.require("dated", "dated: YYYY-MM-DD, the day the prices were true")
    section.require("models", "models: {NAME: {input: …, output: …}}")
    dated = section.read("dated", _date, "")
    models = section.section("models")
    prices: list[PriceSpec] = []
    if models is not None:
        for model, _, entry in models.entries():
            price = models.open(entry, models.name(model))
            if price is not None:
                prices.append(_price(price, model))
    section.done()
    return [PriceTable(name, dated, tuple(prices))]


def _price(section: Section, model: str) -> PriceSpec:
    section.require("input", 'input: "3.00 USD/Mtok"')
    section.require("output", 'output: "15.00 USD/Mtok"')
    price = PriceSpec(
        model,
        input_nanos=section.quantity("input", PRICE, 0),
        output_nanos=section.quantity("output", PRICE, 0),
        cached_input_nanos=section.quantity("cached_input", PRICE, None),
    )
    section.done()
    return price


def _date(text: str) -> str:
    if not _DATE.fullmatch(text):
        raise Refusal(f'"{text[:80]}" is no date', "YYYY-MM-DD")
    return text
