"""`asmctl top` on a terminal: head, table, one agent's detail, keys. The only user of Textual.

One thread of ours looks at asmd once per interval and hands each picture to the screen; each order
(kill, stop …) has a short-lived thread. None of them is waited for at the end: a daemon that hangs
must not keep an operator from leaving. Textual's own thread draws and waits for nobody.

An order is for the agent that the question named when it was asked, by its id: whatever moved in
the table meanwhile.
"""

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.events import Resize
from textual.screen import ModalScreen, Screen
from textual.widgets import Input, Static

from supervisord_asm.api.client import ClientError
from supervisord_asm.api.numbers import Control
from supervisord_asm.cli import exit as code
from supervisord_asm.cli.top_rows import TopRows
from supervisord_asm.cli.top_table import AgentTable
from supervisord_asm.cli.top_watch import Picture, Watch, boottime_us, order
from supervisord_asm.view.escape import escaped
from supervisord_asm.view.short_figure import short_duration
from supervisord_asm.view.top_columns import COLUMNS
from supervisord_asm.view.top_detail import detail_lines
from supervisord_asm.view.top_header import header_lines, is_alarming

# Below this the detail takes the table's place; above, both are to be seen.
SPLIT_HEIGHT_MIN = 40
# What an order may take before it is said to have failed; asmd accepts one within milliseconds.
ORDER_TIMEOUT_S = 10.0

KEYS = "q Quit / Filter <> Sort R Reverse Enter Detail k Kill s Stop r Restart f Freeze"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says."""

    socket: str
    timeout_s: float
    interval_s: float


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator wants done to one agent. `words` is for the question and the answer."""

    verb: Control
    words: str
    agent_id: int
    name: str
    request: tuple[tuple[str, int], ...] = ()


class Question(ModalScreen[bool]):
    """A question about an order, answered by y or by anything else."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)"),
        Binding("n,escape,q,enter", "answer(False)"),
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """Show the question in a box."""
        yield Static(Text(f"{self._text}\n\ny yes   n no"), id="question")

    def action_answer(self, is_yes: bool) -> None:
        """Take the answer."""
        self.dismiss(is_yes)


class TopApp(App[int]):
    """The whole screen. `run` returns the exit code; `failure` is what went wrong, if it did."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head { height: 4; }
    #head, #status, #keys { text-wrap: nowrap; text-overflow: ellipsis; }
    #status, #keys, #filter { height: 1; }
    #keys { text-style: dim; }
    #filter { border: none; padding: 0; display: none; }
    AgentTable { height: 2fr; }
    #detail { height: 3fr; border-top: solid ansi_blue; display: none; scrollbar-size: 1 1; }
    .closely #detail { display: block; }
    .short.closely AgentTable { display: none; }
    .filtering #filter { display: block; }
    Question { align: center middle; }
    #question { width: auto; max-width: 90%; height: auto; border: heavy ansi_yellow;
                padding: 1 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave"),
        Binding("ctrl+c", "interrupt", priority=True),
        # First, before the key reaches a widget: what is typed quickly behind a slash is text then
        # and not an order, and what is typed behind its Enter is no text.
        Binding("slash", "filter", priority=True),
        Binding("enter", "keep_filter", priority=True),
        Binding("escape", "drop_filter", priority=True),
        Binding("less_than_sign,left", "sort_beside(-1)"),
        Binding("greater_than_sign,right", "sort_beside(1)"),
        Binding("R", "reverse"),
        Binding("escape", "go_back"),
        Binding("k", "ask('KILL')"),
        Binding("s", "ask('STOP')"),
        Binding("r", "ask('RESTART')"),
        Binding("f", "freeze"),
        *(Binding(str((number + 1) % 10), f"sort({number})") for number in range(len(COLUMNS))),
    ]

    def __init__(self, settings: Settings, rows: TopRows, first: Picture) -> None:
        """Prepare to show. `first` is a look that has already been made."""
        super().__init__()
        self.theme = "ansi-dark"  # the terminal's own colours and background
        self.failure: Exception | None = None
        self._settings = settings
        self._rows = rows
        self._picture = first
        self._watch = Watch(settings.socket, settings.timeout_s)
        self._away_since: float | None = None
        self._seen = time.time()
        self._closely: int | None = None
        self._said = ""
        self._look_now = threading.Event()
        # Held, since a question on top of them hides them from every query.
        self._head = Static(id="head")
        self._table = AgentTable()
        self._detail = Static()
        self._panel = VerticalScroll(self._detail, id="detail")
        self._status = Static(id="status")
        self._filter = Input(
            rows.wanted, placeholder="id, name or state", id="filter", compact=True
        )

    # -- The screen.

    def compose(self) -> ComposeResult:
        """Lay out the parts, from top to bottom."""
        yield self._head
        yield self._table
        yield self._panel
        yield self._status
        yield self._filter
        yield Static(Text(KEYS), id="keys")

    def on_mount(self) -> None:
        """Show the first picture and begin to look."""
        asyncio.get_running_loop().add_signal_handler(
            signal.SIGTERM, lambda: self.exit(128 + signal.SIGTERM)
        )
        self._table.focus()
        self._take(self._picture)
        threading.Thread(target=self._keep_looking, name="look", daemon=True).start()
        self.set_interval(1.0, self._show_head)

    def on_resize(self, event: Resize) -> None:
        """Decide whether table and detail both have room."""
        self._view.set_class(event.size.height < SPLIT_HEIGHT_MIN, "short")
        self.call_after_refresh(self._show_detail)

    def _handle_exception(self, error: Exception) -> None:
        # Textual would print a trace with local variables; command.py says it in a line.
        self.failure = error
        self.panic()

    # -- Looking.

    def _keep_looking(self) -> None:
        """Look once per interval until the process ends; in a thread of its own."""
        while True:
            self._look_now.wait(self._settings.interval_s)
            self._look_now.clear()
            try:
                picture = self._watch.look(self._closely)
            except ClientError:
                self._hand_over(self._note_away)
            except Exception as error:  # a bug of ours ends the view, and not its figures silently
                self._hand_over(self._handle_exception, error)
                return
            else:
                self._hand_over(self._take, picture)

    def _hand_over(self, call: Callable[..., None], *arguments: Any) -> None:
        """Have something done in the screen's thread; nothing when the screen is gone."""
        try:
            self.call_from_thread(call, *arguments)
        except RuntimeError:
            pass  # the view has been left meanwhile

    def _take(self, picture: Picture) -> None:
        self._picture = picture
        self._away_since = None
        self._seen = time.time()
        self._rows.take(picture.agents, picture.at_us)
        self._show_all()

    def _note_away(self) -> None:
        if self._away_since is None:
            self._away_since = time.monotonic()
        self._show_all()

    # -- Showing.

    def _show_all(self) -> None:
        self._show_table()
        self._show_head()
        self._show_detail()

    def _show_table(self) -> None:
        self._table.show(
            self._rows.rows(),
            self._rows.sorted_by,
            is_descending=self._rows.is_descending,
            is_stale=self._away_since is not None,
        )
        self._show_status()

    def _show_head(self) -> None:
        system = self._picture.system
        clock = time.strftime("%H:%M:%S")
        lines = header_lines(system, self._rows.all_rows(), clock)
        head = Text("\n".join(lines[:-1]) + "\n")
        head.append(lines[-1], "yellow" if is_alarming(system) else "")
        if self._away_since is not None:
            last = time.strftime("%H:%M:%S", time.localtime(self._seen))
            ago = short_duration(int((time.time() - self._seen) * 1_000_000))
            head = Text(f"asmd is away, last seen {last} ({ago} ago); trying again", "bold red")
            head.append("\nwhat follows is how it was then\n" + "\n".join(lines[1:3]), "dim")
        self._head.update(head)

    def _show_status(self) -> None:
        place, shown = self._table.place
        arrow = "descending" if self._rows.is_descending else "ascending"
        parts = [f"{place}/{shown}", f"by {COLUMNS[self._rows.sorted_by].title} {arrow}"]
        if self._rows.wanted:
            parts.append(f'filter "{escaped(self._rows.wanted)}" of {self._rows.total}')
        if self._said:
            parts.append(self._said)
        self._status.update(Text("  ".join(parts)))

    def _show_detail(self) -> None:
        if self._closely is None:
            return
        detail = self._picture.detail
        if detail is None or detail.view.agent_id != self._closely:
            text = f"agent {self._closely}: nothing is known of it, or not yet"
        else:
            lines = detail_lines(
                detail.view, detail.windows, detail.events, boottime_us(), self.size.width - 1
            )
            text = "\n".join(lines)
        self._detail.update(Text(text))

    def _say(self, text: str) -> None:
        self._said = escaped(text)
        self._show_status()

    # -- Keys.

    def action_leave(self) -> None:
        """End, as wished."""
        self.exit(code.OK)

    def action_interrupt(self) -> None:
        """End, as Ctrl-C ends other commands."""
        self.exit(code.INTERRUPTED)

    def action_sort(self, index: int) -> None:
        """Sort by a column; by the same one again: the other way round."""
        self._rows.sort_by(index)
        self._show_table()

    def action_sort_beside(self, step: int) -> None:
        """Sort by the next or the previous column."""
        self._rows.sort_beside(step)
        self._show_table()

    def action_reverse(self) -> None:
        """Turn the order round."""
        self._rows.is_reversed = not self._rows.is_reversed
        self._show_table()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave the keys of the filter to others while it is not being typed, or is."""
        del parameters
        if action in ("keep_filter", "drop_filter"):
            return self._is_filtering
        if action == "filter":
            return not self._is_filtering and len(self.screen_stack) == 1
        return True

    @property
    def _view(self) -> Screen[object]:
        """The screen below any question."""
        return self.screen_stack[0]

    @property
    def _is_filtering(self) -> bool:
        return self._view.has_class("filtering")

    def action_filter(self) -> None:
        """Ask for the text that agents are to be filtered by."""
        self._view.add_class("filtering")
        self._view.set_focus(self._filter)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is being typed."""
        self._rows.wanted = event.value.strip()
        self._show_table()

    def action_keep_filter(self) -> None:
        """Keep the filter and go back to the table."""
        self._view.remove_class("filtering")
        self._focus_what_is_shown()

    def action_drop_filter(self) -> None:
        """Go back to the table and show all agents."""
        self._filter.value = ""
        self.action_keep_filter()

    def action_go_back(self) -> None:
        """Close the detail; without one, drop the filter."""
        if self._closely is not None:
            self._look_closely(None)
        else:
            self._filter.value = ""

    def on_agent_table_moved(self) -> None:
        """Follow the cursor with the place and the detail."""
        self._show_status()
        if self._closely is not None and self._table.row is not None:
            self._look_closely(self._table.row.view.agent_id)

    def on_agent_table_chosen(self) -> None:
        """Open the detail, or close it."""
        row = self._table.row
        self._look_closely(None if self._closely is not None or row is None else row.view.agent_id)

    def _look_closely(self, agent_id: int | None) -> None:
        self._closely = agent_id
        self._view.set_class(agent_id is not None, "closely")
        self._focus_what_is_shown()
        self._show_detail()
        self._look_now.set()

    def _focus_what_is_shown(self) -> None:
        is_hidden = self._closely is not None and self._view.has_class("short")
        self._view.set_focus(self._panel if is_hidden else self._table)

    # -- Orders.

    def action_ask(self, word: str) -> None:
        """Ask whether the agent is to be killed, stopped or restarted."""
        row = self._table.row
        if row is None:
            return
        verb = Control[word]
        words = "kill -9" if verb is Control.KILL else word.lower()
        request = (("signal", int(signal.SIGKILL)),) if verb is Control.KILL else ()
        wanted = Order(verb, words, row.view.agent_id, row.view.name, request)

        def answered(is_yes: bool | None) -> None:
            if is_yes:
                self._give(wanted)
            else:
                self._say(f"{words} {wanted.name}: not done")

        self.push_screen(
            Question(f"{words} agent {wanted.agent_id} ({escaped(wanted.name)})?"), answered
        )

    def action_freeze(self) -> None:
        """Freeze the agent, or thaw it; both can be taken back, so nothing is asked."""
        row = self._table.row
        if row is not None:
            verb = Control.THAW if row.view.state == "frozen" else Control.FREEZE
            self._give(Order(verb, verb.name.lower(), row.view.agent_id, row.view.name))

    def _give(self, wanted: Order) -> None:
        self._say(f"{wanted.words} {wanted.name} …")
        threading.Thread(target=self._carry_out, args=(wanted,), daemon=True).start()

    def _carry_out(self, wanted: Order) -> None:
        """Make the call and tell what became of it; in a thread of its own."""
        said = order(
            self._settings.socket, ORDER_TIMEOUT_S, wanted.verb, wanted.agent_id,
            **dict(wanted.request),
        )  # fmt: skip
        self._hand_over(self._say, f"{wanted.words} {wanted.name}: {said}")
        self._look_now.set()
