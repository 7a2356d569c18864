"""Turns a spec into an agent of the fleet: its id, its user, its history.

An id is the spec's, or the one that the journal remembers for the name, or the next free one; it is
never reused. The user is looked up once, here, because a spec is valid or not on its own while a
user exists or not on this host.
"""

import grp
import os
import pwd

from supervisord_asm.core.agent_history import counters_so_far
from supervisord_asm.core.daemon_spec import DaemonSpec
from supervisord_asm.core.events import EventType
from supervisord_asm.core.lifecycle import Lifecycle, State
from supervisord_asm.core.spec import AgentSpec
from supervisord_asm.daemon.agent import Agent
from supervisord_asm.daemon.fleet import Fleet, policy_of
from supervisord_asm.daemon.recorder import Recorder


class EnrolmentError(Exception):
    """This host cannot have the agent: no such user, id taken. The text says which and where."""


class Enrolment:
    """Makes agents and takes them into the fleet."""

    def __init__(self, fleet: Fleet, recorder: Recorder, daemon: DaemonSpec) -> None:
        self._fleet = fleet
        self._recorder = recorder
        self.daemon = daemon

    def check(self, spec: AgentSpec) -> None:
        """Raise EnrolmentError if enrol would; changes nothing."""
        self._user_of(spec, 0)
        self._id_of(spec)

    def enrol(self, spec: AgentSpec, is_transient: bool = False) -> Agent:
        """Take the agent in, at rest, with what the journal remembers. Raises EnrolmentError."""
        agent_id = self._id_of(spec)
        uid, gid, groups, name = self._user_of(spec, agent_id)
        history = self._recorder.history
        known = history.agents.get(agent_id)
        if known is not None and known.name != spec.name and not known.retired:
            # The file gave the id to another name: the old one is gone for good.
            self._recorder.record(EventType.RETIRE, agent_id, {"name": known.name})
        if known is None or known.name != spec.name or known.retired:
            self._recorder.record(
                EventType.REGISTER, agent_id, {"name": spec.name, "transient": is_transient}
            )
            known = history.agents[agent_id]
        life = Lifecycle(policy_of(spec), run=known.run, restart_count=known.restart_count)
        if known.state == State.FAILED.value:
            life.state = State.FAILED
        agent = Agent(
            agent_id, spec, life, uid, gid, is_transient=is_transient, groups=groups,
            user_name=name,
        )  # fmt: skip
        agent.totals.counters = counters_so_far(known)
        agent.totals.peak_memory_bytes = known.peak_memory_bytes or 0
        agent.run_base = known.run_base or agent.totals.counters
        self._fleet.add(agent)
        return agent

    def refresh_user(self, agent: Agent) -> None:
        """Look the user of a changed spec up; the next run is born under it."""
        user = self._user_of(agent.spec, agent.agent_id)
        agent.uid, agent.gid, agent.groups, agent.user_name = user

    def _id_of(self, spec: AgentSpec) -> int:
        history = self._recorder.history
        remembered = history.ids_by_name.get(spec.name)
        if spec.agent_id is None:
            return remembered if remembered is not None else history.next_agent_id
        holder = self._fleet.get(spec.agent_id)
        if holder is not None and holder.name != spec.name:
            raise EnrolmentError(f"{_place(spec)}id {spec.agent_id} is agent {holder.name}'s")
        return spec.agent_id

    def _user_of(self, spec: AgentSpec, agent_id: int) -> tuple[int, int, tuple[int, ...], str]:
        own = self.daemon.uid_base + agent_id
        if spec.user is None:
            return own, self._group_of(spec, own), (), f"asm-{agent_id}"
        try:
            entry = (
                pwd.getpwuid(int(spec.user)) if spec.user.isdecimal() else pwd.getpwnam(spec.user)
            )
        except KeyError as error:
            raise EnrolmentError(
                f"{_place(spec)}user {spec.user!r} of agent {spec.name} does not exist on this host"
            ) from error
        gid = self._group_of(spec, entry.pw_gid)
        groups = tuple(os.getgrouplist(entry.pw_name, gid)) if entry.pw_uid else ()
        return entry.pw_uid, gid, groups, entry.pw_name

    def _group_of(self, spec: AgentSpec, default: int) -> int:
        if spec.group is None:
            return default
        try:
            if spec.group.isdecimal():
                return grp.getgrgid(int(spec.group)).gr_gid
            return grp.getgrnam(spec.group).gr_gid
        except KeyError as error:
            raise EnrolmentError(
                f"{_place(spec)}group {spec.group!r} of agent {spec.name} does not exist here"
            ) from error


def _place(spec: AgentSpec) -> str:
    return f"{spec.source.file}:{spec.source.line}: " if spec.source.line else ""
