// The page /live/: each event as a line, newest first. Titles and names are other people's input, so all text goes in as
// text (textContent, append), never as HTML.
"use strict";
(() => {
  const SHOWN = 200;
  const STATES = {
    connecting: "Connecting …",
    live: "Connected",
    reconnecting: "Connection lost, trying again …",
    polling: "Connected over HTTP, for WebSockets do not get through",
    closed: "Closed",
    "signed-out": "Signed out",
  };
  const VERBS = {
    created: "added",
    updated: "changed",
    deleted: "deleted",
    added: "added",
    changed: "changed",
    removed: "removed",
    resync: "changed a lot in",
  };

  const page = document.getElementById("live");
  const list = document.getElementById("events");
  const status = document.getElementById("state");
  const names = new Map(); // what things are called, as far as events or the list of projects have told

  const element = (tag, className, ...content) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.append(...content);
    return made;
  };

  const nameOf = (type, id) => names.get(`${type} ${id}`) ?? `${type} ${id}`;

  // A project that was just gained has its name a moment later.
  const projectNamed = (id) => {
    const made = element("span", "", nameOf("project", id));
    made.dataset.project = id;
    return made;
  };

  const remember = (type, id, name) => {
    const key = `${type} ${id}`;
    names.delete(key);
    names.set(key, name);
    if (names.size > 1000) names.delete(names.keys().next().value);
  };

  const shorten = (value) => {
    if (value === null || value === "") return "nothing";
    if (value?.omitted) return "a long text";
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return text.length > 120 ? `${text.slice(0, 120)}…` : text;
  };

  const add = (...content) => {
    const time = element("time", "soft", new Date().toLocaleTimeString());
    time.dateTime = new Date().toISOString();
    list.prepend(element("li", "", element("span", "what", ...content), time));
    while (list.children.length > SHOWN) list.lastChild.remove();
    page.classList.add("filled");
  };

  const showEvent = (event) => {
    const { type, object, changes, actor, project } = event;
    const [kind, happened] = type.split(".");
    const [before, after] = changes.title ?? changes.name ?? [null, null];
    if (after) remember(kind, object.id, shorten(after));
    const name = before && !after ? shorten(before) : nameOf(kind, object.id);
    const line = [element("b", "", actor?.name ?? "Somebody"), ` ${VERBS[happened] ?? happened} `];
    if (kind === "project" || kind === "task") line.push(`the ${kind} `, element("b", "", name));
    else line.push(`a ${kind}`);
    if (kind !== "project") line.push(" in ", projectNamed(project));
    if (happened === "updated" || happened === "changed") {
      for (const [column, change] of Object.entries(changes)) {
        if (column.endsWith("_at")) continue;
        const told = change.omitted ? "changed" : `${shorten(change[0])} → ${shorten(change[1])}`;
        line.push(element("span", "detail soft", `${column}: ${told}`));
      }
    } else if (kind === "comment" && changes.content) {
      line.push(element("span", "detail soft", shorten(changes.content[1] ?? changes.content[0])));
    }
    add(...line);
  };

  const learnNames = async () => {
    const answer = await fetch(page.dataset.projects, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    for (const project of (await answer.json()).results) remember("project", project.id, project.name);
    for (const shown of list.querySelectorAll("[data-project]")) {
      shown.textContent = nameOf("project", shown.dataset.project);
    }
  };

  // What one is told of alone. A notification is the cue to ask, so the number is right whatever was missed or told
  // twice.
  const REASONS = {
    mentioned: "You are mentioned in",
    assigned: "You are given",
    added: "You are a member of",
    escalated: "It is time for",
    commented: "There is a comment on",
    status_changed: "There is a new status of",
    due_soon: "It is due soon:",
    report_ready: "There is a report of",
  };
  const inbox = document.getElementById("inbox");
  const readAll = document.getElementById("read-all");
  let asked = 0;

  const showInbox = async () => {
    const mine = ++asked;
    const query = "?unread=true&page_size=5";
    const answer = await fetch(page.dataset.inbox + query, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    const { unread, results } = await answer.json();
    if (mine !== asked) return; // a later question is under way
    document.getElementById("unread").textContent = `${unread} unread`;
    const lineOf = ({ reason, title }) =>
      element("li", "", `${REASONS[reason] ?? reason} `, element("b", "", shorten(title)));
    document.getElementById("notifications").replaceChildren(...results.map(lineOf));
    readAll.dataset.upTo = Math.max(0, ...results.map((row) => row.id));
    inbox.hidden = unread === 0;
  };
  const refreshInbox = () => showInbox().catch(() => {}); // the next cue asks again

  const markAllRead = () =>
    fetch(page.dataset.readAll, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": readAll.elements.csrfmiddlewaretoken.value },
      body: JSON.stringify({ up_to: Number(readAll.dataset.upTo) }),
    });
  readAll.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    markAllRead().catch(() => {}).finally(refreshInbox);
  });

  const client = new PMClient({ api: page.dataset.api });
  client.on("state", (state) => {
    status.dataset.state = state;
    status.textContent = STATES[state];
    page.classList.toggle("signed-out", state === "signed-out");
    if (state === "live") learnNames().catch(() => {}); // without them the lines have numbers
    if (state === "live" || state === "polling") refreshInbox();
  });
  client.on("notification", refreshInbox);
  client.on("event", showEvent);
  client.on("reset", ({ project }) => add("Some events of ", projectNamed(project), " cannot be told any more."));
  client.on("access_gained", ({ project }) => {
    add("You can see ", projectNamed(project), " now.");
    learnNames().catch(() => {});
    refreshInbox();
  });
  client.on("access_lost", ({ project }) => {
    add("You do not see ", projectNamed(project), " any more.");
    refreshInbox();
  });
  client.connect();
})();
