// The page /live/: each event as a line, newest first. Titles and names are other people's input, so all text goes in as
// text (textContent, append), never as HTML.
/* global gettext, ngettext, interpolate: of Django's JavaScriptCatalog, which the page includes before */
"use strict";
(() => {
  const SHOWN = 200;
  const STATES = {
    connecting: gettext("Connecting …"),
    live: gettext("Connected"),
    reconnecting: gettext("Connection lost, trying again …"),
    polling: gettext("Connected over HTTP, for WebSockets do not get through"),
    closed: gettext("Closed"),
    "signed-out": gettext("Signed out"),
  };
  const SENTENCES = {
    "project.created": gettext("%(actor)s added the project %(name)s"),
    "project.updated": gettext("%(actor)s changed the project %(name)s"),
    "project.resync": gettext("%(actor)s changed a lot in the project %(name)s"),
    "task.created": gettext("%(actor)s added the task %(name)s in %(project)s"),
    "task.updated": gettext("%(actor)s changed the task %(name)s in %(project)s"),
    "task.deleted": gettext("%(actor)s deleted the task %(name)s in %(project)s"),
    "comment.created": gettext("%(actor)s added a comment in %(project)s"),
    "comment.updated": gettext("%(actor)s changed a comment in %(project)s"),
    "comment.deleted": gettext("%(actor)s deleted a comment in %(project)s"),
    "member.added": gettext("%(actor)s added a member in %(project)s"),
    "member.changed": gettext("%(actor)s changed a member in %(project)s"),
    "member.removed": gettext("%(actor)s removed a member in %(project)s"),
    "report.generated": gettext("%(actor)s had a report made in %(project)s"),
  };

  const page = document.getElementById("live");
  const list = document.getElementById("events");
  const status = document.getElementById("state");
  // In the language of the page, with the digits that the rest of it has.
  const TIME = new Intl.DateTimeFormat(`${document.documentElement.lang}-u-nu-latn`, { timeStyle: "medium" });
  const names = new Map(); // what things are called, as far as events or the list of projects have told

  const element = (tag, className, ...content) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.append(...content);
    return made;
  };

  // What people have written keeps its own direction, whatever that of the page is.
  const written = (tag, className, text) => {
    const made = element(tag, className, text);
    made.dir = "auto";
    return made;
  };

  // A sentence of the catalogue with elements in the places of its names.
  const say = (sentence, parts) => sentence.split(/%\((\w+)\)s/).map((part, place) => (place % 2 ? parts[part] : part));

  const nameOf = (type, id) => {
    const unnamed = type === "project" ? gettext("project %(id)s") : gettext("task %(id)s");
    return names.get(`${type} ${id}`) ?? interpolate(unnamed, { id }, true);
  };

  // A project that was just gained has its name a moment later.
  const projectNamed = (id) => {
    const made = written("span", "", nameOf("project", id));
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
    if (value === null || value === "") return gettext("nothing");
    if (value?.omitted) return gettext("a long text");
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return text.length > 120 ? `${text.slice(0, 120)}…` : text;
  };

  const add = (...content) => {
    const time = element("time", "soft", TIME.format(new Date()));
    time.dateTime = new Date().toISOString();
    list.prepend(element("li", "", element("span", "what", ...content), time));
    while (list.children.length > SHOWN) list.lastChild.remove();
    page.classList.add("filled");
  };

  const tell = (sentence, project) => add(...say(sentence, { project: projectNamed(project) }));

  const showEvent = (event) => {
    const { type, object, changes, actor, project } = event;
    const [kind, happened] = type.split(".");
    const [before, after] = changes.title ?? changes.name ?? [null, null];
    if (after) remember(kind, object.id, shorten(after));
    const name = before && !after ? shorten(before) : nameOf(kind, object.id);
    const line = say(SENTENCES[type] ?? type, {
      actor: written("b", "", actor?.name ?? gettext("Somebody")),
      name: written("b", "", name),
      project: projectNamed(project),
    });
    if (happened === "updated" || happened === "changed") {
      for (const [column, change] of Object.entries(changes)) {
        if (column.endsWith("_at")) continue;
        const told = change.omitted ? gettext("changed") : `${shorten(change[0])} → ${shorten(change[1])}`;
        line.push(written("span", "detail soft", `${column}: ${told}`));
      }
    } else if (kind === "comment" && changes.content) {
      line.push(written("span", "detail soft", shorten(changes.content[1] ?? changes.content[0])));
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
    mentioned: gettext("You are mentioned in %(title)s"),
    assigned: gettext("You are given %(title)s"),
    added: gettext("You are a member of %(title)s"),
    escalated: gettext("It is time for %(title)s"),
    commented: gettext("There is a comment on %(title)s"),
    status_changed: gettext("There is a new status of %(title)s"),
    due_soon: gettext("It is due soon: %(title)s"),
    report_ready: gettext("There is a report of %(title)s"),
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
    document.getElementById("unread").textContent = interpolate(
      ngettext("%(number)s unread", "%(number)s unread", unread), { number: unread }, true,
    );
    const lineOf = ({ reason, title }) =>
      element("li", "", ...say(REASONS[reason] ?? reason, { title: written("b", "", shorten(title)) }));
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
  client.on("reset", ({ project }) => tell(gettext("Some events of %(project)s cannot be told any more."), project));
  client.on("access_gained", ({ project }) => {
    tell(gettext("You can see %(project)s now."), project);
    learnNames().catch(() => {});
    refreshInbox();
  });
  client.on("access_lost", ({ project }) => {
    tell(gettext("You do not see %(project)s any more."), project);
    refreshInbox();
  });
  client.connect();
})();
