"""All agents: finding them, and moving each by events through core's table.

The one place that calls `lifecycle.step`. Knows nothing of sockets or of the keeper's protocol.
"""

import asyncio
import random
from collections.abc import Callable, Iterator, Set

from supervisord_asm.core import lifecycle
from supervisord_asm.core.lifecycle import Effect, Event, State
from supervisord_asm.core.spec import AgentSpec, ReadyKind, RestartKind
from supervisord_asm.daemon.agent import Agent, Waiter
from supervisord_asm.daemon.births import Births
from supervisord_asm.daemon.interpret import Interpreter

ID_DIGITS_MAX = 10  # of 2^31 - 1; int() refuses texts of thousands of digits
AT_REST = frozenset({State.STOPPED, State.FAILED})
# What a waiting start waits for: the program runs, or it is clear that it does not.
STARTED = frozenset({State.ACTIVE, State.STOPPED, State.FAILED, State.BACKOFF})


class NoSuchAgent(Exception):
    """Neither an id nor a name of ours."""

    def __init__(self, what: str) -> None:
        super().__init__(f"Agent {what} not found")


class Fleet:
    """Agents by id and by name."""

    def __init__(self, interpreter: Interpreter, births: Births) -> None:
        self._interpreter = interpreter
        self._births = births
        self._by_id: dict[int, Agent] = {}
        self._by_name: dict[str, Agent] = {}
        self._random = random.Random()
        self.on_step: Callable[[Agent, Event, tuple[Effect, ...]], None] = lambda *step: None
        self.on_changed: Callable[[Agent], None] = lambda agent: None
        self.on_gone: Callable[[Agent], None] = lambda agent: None
        self.on_ended: Callable[[Agent], None] = lambda agent: None
        interpreter.dispatch = self.dispatch

    def __iter__(self) -> Iterator[Agent]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def ids(self) -> Set[int]:
        """Return the ids of all agents in it."""
        return self._by_id.keys()

    def get(self, agent_id: int) -> Agent | None:
        """Return the agent by id, or None."""
        return self._by_id.get(agent_id)

    def named(self, name: str) -> Agent | None:
        """Return the agent by name, or None."""
        return self._by_name.get(name)

    def find(self, what: str) -> Agent:
        """Return the agent by id or name, as people write it. Raises NoSuchAgent."""
        is_id = what.isdecimal() and len(what) <= ID_DIGITS_MAX
        agent = self._by_id.get(int(what)) if is_id else self._by_name.get(what)
        if agent is None:
            raise NoSuchAgent(what)
        return agent

    def add(self, agent: Agent) -> None:
        """Take a new agent in, at rest."""
        assert agent.agent_id not in self._by_id
        assert agent.name not in self._by_name
        self._by_id[agent.agent_id] = agent
        self._by_name[agent.name] = agent
        self._changed(agent)

    def forget(self, agent: Agent) -> None:
        """Let an agent at rest go: its spec file, its names. Its history stays."""
        assert agent.life.state in AT_REST
        self._births.release(agent)
        self._births.forget_spec(agent)
        self._births.forget_log(agent)
        del self._by_id[agent.agent_id]
        del self._by_name[agent.name]
        self.on_gone(agent)

    def replace_spec(self, agent: Agent, spec: AgentSpec) -> None:
        """Give the agent a changed spec; the present run keeps what it was born with."""
        agent.spec = spec
        agent.life.policy = policy_of(spec)
        self._births.forget_spec(agent)
        self._changed(agent)

    def dispatch(self, agent: Agent, event: Event) -> str:
        """Move the agent. Returns a word for whoever commanded it."""
        jitter = self._random.randint(-1000, 1000)
        result = lifecycle.step(agent.life, event, jitter)
        self.on_step(agent, event, result.effects)
        self._interpreter.carry_out(agent, result.effects)
        self._settle(agent)
        return result.note

    def wait_for(
        self, agent: Agent, states: frozenset[State], run: int | None = None
    ) -> "asyncio.Future[None]":
        """Return a future that is done when the agent is in one of the states.

        With `run`, also when that run is over because somebody has begun another one.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if agent.life.state in states:
            future.set_result(None)
        else:
            agent.waiters.append(Waiter(states, future, run))
        return future

    def _settle(self, agent: Agent) -> None:
        if agent.life.state in AT_REST:
            agent.close_pidfd()
            agent.life.pid = None
            if agent.cgroup is not None:
                self._births.release(agent)
                self.on_ended(agent)
        self._changed(agent)
        agent.wake_waiters()
        if agent.is_leaving and agent.life.state in AT_REST and agent.agent_id in self._by_id:
            self.forget(agent)

    def _changed(self, agent: Agent) -> None:
        agent.view = None
        self.on_changed(agent)


def policy_of(spec: AgentSpec) -> lifecycle.Policy:
    """Return the parts of a spec that the life depends on."""
    return lifecycle.Policy(
        restart=spec.restart,
        grace_usec=spec.stop.grace_usec,
        start_timeout_usec=spec.start_timeout_usec,
        waits_for_ready=spec.ready is ReadyKind.NOTIFY,
    )


def restarts_by_itself(spec: AgentSpec) -> bool:
    """Whether the guide's "Auto-Restart" is yes."""
    return spec.restart.kind is not RestartKind.NO and spec.restart.max_restarts > 0
