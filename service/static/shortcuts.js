// What each key of the page does, in the groups of the list.
import { byId } from "./element.js";

const press = (id) => () => byId(id).click();

/** The key groups for `Keys`; `room` is null where no single session is shown. */
export function shortcuts({ layout, theme, notices, room, keys }) {
  /** To a part of the page: shown, opened, focused and in sight. */
  const goTo = (id, focused = null) => () => {
    const panel = byId(id);
    layout.reveal(id);
    if (panel instanceof HTMLDetailsElement) panel.open = true;
    (focused === null ? (panel.querySelector(":scope > summary") ?? panel) : byId(focused)).focus();
    panel.scrollIntoView({ block: "nearest" });
  };
  const panels = [
    ["s", "To the sessions", goTo("sessions")],
    ["j", "To the next session", () => toCard(1)],
    ["k", "To the session before", () => toCard(-1)],
    ["g", "Go to a session by its id", () => byId("goto-id").focus()],
    ["a", "All sessions", () => location.assign(location.pathname)],
    ["x", "To the alerts", goTo("alerts")],
    ["r", "To the throughput", goTo("throughput")],
    ["w", "To the workers", goTo("workers")],
    ["h", "Search the history", goTo("history", "history-q")],
  ];
  const session = [
    ["c", "To the course and its slider", goTo("session-view", "scrub")],
    [",", "One event back", () => room.step(-1)],
    [".", "One event on", () => room.step(1)],
    ["y", "Replay, or pause it", press("replay")],
    ["b", "Back to now", press("to-now")],
    ["i", "Copy the session's id", () => document.querySelector("#session-cards .copy")?.click()],
    ["← →", "Move the slider while it has the focus"],
    ["Home End", "The first event, and now"],
  ];
  const log = [
    ["o", "To the log", goTo("log", "log-lines")],
    ["/", "Filter the log", goTo("log", "log-text")],
    ["p", "Pause the log, or let it go on", press("pause")],
    ["e", "To the newest line", press("to-end")],
    ["↑ ↓", "From event to event while one has the focus"],
    ["Enter", "Show the whole event, or hide it"],
  ];
  const page = [
    ["l", "Layout of the panels", () => layout.open()],
    ["t", "Theme: system, light, dark", () => theme.next()],
    ["n", "Notifications on or off", () => notices.toggle()],
    ["?", "Show these keys", () => keys().open()],
    ["Esc", "Close a dialog"],
  ];
  return [["Go to", panels], ...(room === null ? [] : [["This session", session]]), ["Log", log], ["Page", page]];
}

/** The focus to another session's name; without one on a name, to the first or the last. */
function toCard(by) {
  const names = [...document.querySelectorAll("#session-cards .name")];
  if (names.length === 0) return;
  const at = names.findIndex((name) => name.closest(".card").contains(document.activeElement));
  const next = at === -1 ? (by > 0 ? 0 : names.length - 1) : Math.min(names.length - 1, Math.max(0, at + by));
  names[next].focus();
  names[next].closest(".card").scrollIntoView({ block: "nearest" });
}
