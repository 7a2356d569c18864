"""What the gateway is to be: providers, the order they are asked in, admission rates, prices.

Pure data. Prices are nano-USD for a million tokens, None = unknown, which is never 0: an unknown
price closes admission under a dollar budget instead of passing for free.

Sources: seeds/002 ("Cloud Gateway") for policies, order and limiter; spec/metrics.md 3.1 for the
seed's price table, which stays available by its name.
"""

import enum
from dataclasses import dataclass


class FallbackPolicy(enum.StrEnum):
    """In which order providers are tried."""

    COST_OPTIMIZED = "cost-optimized"
    RELIABILITY_OPTIMIZED = "reliability-optimized"
    LOCAL_ONLY = "local-only"
    EXPLICIT = "explicit"
    ROUND_ROBIN = "round-robin"


class Dialect(enum.StrEnum):
    """What a provider speaks."""

    OPENAI_CHAT = "openai-chat"
    OPENAI_RESPONSES = "openai-responses"
    ANTHROPIC_MESSAGES = "anthropic-messages"
    GEMINI = "gemini"


# The guide's names; `local` is the fallback that always answers and needs no entry.
PROVIDERS = ("local", "gpt4", "claude", "gemini")


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """One upstream. The key is a file's path: never a value in a configuration."""

    name: str
    base_url: str
    dialect: Dialect
    model: str  # used where a request names none
    key_file: str | None = None
    timeout_usec: int = 30_000_000
    connections_max: int = 64


@dataclass(frozen=True, slots=True)
class GatewaySpec:
    """The gateway process. `listen` is a loopback address; None = Unix socket only."""

    enabled: bool = True
    listen: str | None = None
    policy: FallbackPolicy = FallbackPolicy.COST_OPTIMIZED
    chain: tuple[str, ...] = ()  # of policy explicit
    timeout_usec: int = 30_000_000  # over the whole chain
    burst: int = 30
    rate_per_sec: int = 10
    max_tokens: int = 1_000  # of a request that names none
    providers: tuple[ProviderSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class PriceSpec:
    """What a model costs, for a million tokens."""

    model: str
    input_nanos: int
    output_nanos: int
    cached_input_nanos: int | None = None  # None = as input


@dataclass(frozen=True, slots=True)
class PriceTable:
    """A dated list of prices. `dated` is YYYY-MM-DD: the day it was true."""

    name: str
    dated: str
    prices: tuple[PriceSpec, ...]


# seeds/001: what its examples reckon with. Template and cached answers cost nothing.
SEED_PRICES = PriceTable(
    name="seed",
    dated="2025-12-15",
    prices=(
        PriceSpec("haiku", 250_000_000, 1_250_000_000),
        PriceSpec("sonnet", 3_000_000_000, 15_000_000_000),
        PriceSpec("opus", 15_000_000_000, 75_000_000_000),
        PriceSpec("template", 0, 0),
        PriceSpec("cached", 0, 0),
    ),
)


@dataclass(frozen=True, slots=True)
class PricesSpec:
    """The tables that exist, and the name of the one in force."""

    use: str = SEED_PRICES.name
    tables: tuple[PriceTable, ...] = (SEED_PRICES,)
