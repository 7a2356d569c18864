"""Applies a changed configuration with the least disturbance, or not at all.

Everything that can refuse (files, ids, users) is asked before anything is done. Then: agents that
are gone are stopped and forgotten, changed ones take their new spec as they run or are restarted
when the change is fixed at exec, new ones are enrolled and started.
"""

import errno
from pathlib import Path
from typing import Any

from supervisord_asm.configuration import (
    Configuration,
    ConfigurationErrors,
    load_configuration,
)
from supervisord_asm.core.events import EventType
from supervisord_asm.core.lifecycle import LIVING, Restart, Start, State, Stop
from supervisord_asm.core.reload import ChangeKind, plan_reload
from supervisord_asm.core.spec import AgentSpec, StartMode
from supervisord_asm.daemon.agent import Agent
from supervisord_asm.daemon.enrolment import Enrolment, EnrolmentError
from supervisord_asm.daemon.fleet import AT_REST, Fleet
from supervisord_asm.daemon.recorder import Recorder
from supervisord_asm.daemon.refusal import ControlRefusal
from supervisord_asm.kernel.identity import Principal

COMING_TO_REST = frozenset({State.STOPPED, State.STOPPING})


class Reloading:
    """Holds the configuration in force."""

    def __init__(
        self,
        *,
        asm_yaml: Path,
        configuration: Configuration,
        fleet: Fleet,
        enrolment: Enrolment,
        recorder: Recorder,
    ) -> None:
        self._asm_yaml = asm_yaml
        self.configuration = configuration
        self._fleet = fleet
        self._enrolment = enrolment
        self._recorder = recorder

    def reload(self, principal: Principal) -> dict[str, Any]:
        """Read the files again and apply them. Raises ControlRefusal, then nothing has changed."""
        fresh = self._load()
        old = self.configuration
        plan = plan_reload(old.daemon, old.agents, fresh.daemon, fresh.agents)
        removed_names = {spec.name for spec in plan.removed}
        for spec in plan.added:
            self._check(spec, removed_names)
        for change in plan.changed:
            self._check(change.new, removed_names)
        self._enrolment.daemon = fresh.daemon
        by = f"reload by {principal}"
        for spec in plan.removed:
            self._remove(spec, by)
        restarted = []
        for change in plan.changed:
            agent = self._fleet.named(change.new.name)
            if agent is None:
                continue
            self._fleet.replace_spec(agent, change.new)
            self._enrolment.refresh_user(agent)
            if change.kind is ChangeKind.RESTART and agent.life.state in LIVING:
                self._fleet.dispatch(agent, Restart(by))
                restarted.append({"name": agent.name, "reason": change.reason})
        for spec in plan.added:
            agent = self._readmit(spec) or self._enrolment.enrol(spec)
            # One that is still stopping starts when it has stopped.
            if spec.start is not StartMode.MANUAL and agent.life.state in COMING_TO_REST:
                self._fleet.dispatch(agent, Start(by))
        self.configuration = fresh
        answer = {
            "added": [spec.name for spec in plan.added],
            "changed": [change.new.name for change in plan.changed],
            "removed": [spec.name for spec in plan.removed],
            "restarted": [item["name"] for item in restarted],
            "needs_daemon_restart": list(plan.daemon_at_start),
        }
        if not plan.is_empty:
            counts = {key: len(answer[key]) for key in ("added", "changed", "removed")}
            self._recorder.record(EventType.RELOAD, 0, {**counts, "by": str(principal)})
        return answer

    def _load(self) -> Configuration:
        try:
            return load_configuration(self._asm_yaml)
        except ConfigurationErrors as error:
            raise ControlRefusal(
                errno.EINVAL,
                f"{len(error.errors)} error(s) in the configuration; nothing was changed",
                {
                    "errors": [
                        {
                            "file": item.file,
                            "line": item.line,
                            "column": item.column,
                            "message": item.message,
                            "hint": item.hint,
                        }
                        for item in error.errors
                    ]
                },
            ) from error

    def _check(self, spec: AgentSpec, leaving: set[str]) -> None:
        """Refuse now what enrolling would refuse later."""
        holder = self._fleet.get(spec.agent_id) if spec.agent_id is not None else None
        namesake = self._fleet.named(spec.name)
        if namesake is not None and namesake.is_transient:
            raise ControlRefusal(
                errno.EEXIST, f"{spec.name} runs by asmctl run; stop it first; nothing was changed"
            )
        is_busy = namesake is not None and namesake.life.state not in AT_REST
        if namesake and is_busy and spec.agent_id not in (None, namesake.agent_id):
            raise ControlRefusal(
                errno.EBUSY,
                f"{spec.name} has another id now and still runs as {namesake.agent_id}; "
                "stop it first; nothing was changed",
            )
        if holder is not None and (holder.name in leaving or spec.name in leaving):
            if holder.life.state not in AT_REST:
                raise ControlRefusal(
                    errno.EBUSY,
                    f"id {spec.agent_id} is still agent {holder.name}'s, which runs; "
                    "stop it first; nothing was changed",
                )
            return
        try:
            self._enrolment.check(spec)
        except EnrolmentError as error:
            raise ControlRefusal(errno.EINVAL, f"{error}; nothing was changed") from error

    def _readmit(self, spec: AgentSpec) -> Agent | None:
        """An agent that was taken out, still stops, and is back in the files: it stays."""
        agent = self._fleet.named(spec.name)
        if agent is None:
            return None
        agent.is_leaving = False
        self._fleet.replace_spec(agent, spec)
        self._enrolment.refresh_user(agent)
        return agent

    def _remove(self, spec: AgentSpec, by: str) -> None:
        agent = self._fleet.named(spec.name)
        if agent is None:
            return
        agent.is_leaving = True
        if agent.life.state in AT_REST:
            self._fleet.forget(agent)
        else:
            self._fleet.dispatch(agent, Stop(by))
