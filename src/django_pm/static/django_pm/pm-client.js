// A browser's client of django-pm's live notifications: docs/realtime.md, "In the browser".
//
//   const client = new PMClient();
//   client.on("event", (event) => …);  // each once, in the order of its project
//   client.connect();
//
// A classic script without dependencies that leaves one global, PMClient. It keeps a number and an epoch for each of
// the user's projects and nothing else that could grow: an event is handed on the moment it arrives, and of HTTP one
// page is read at a time.
"use strict";
(() => {
  if (globalThis.PMClient) return;

  const DEFAULTS = {
    url: "/ws/notifications/", // of the socket, relative to the page
    api: "/", // where the REST API is mounted, for polling
    projects: null, // ids, to hear of these alone
    since: {}, // {project: seq}: where to begin, when the page was rendered with a known state
    epoch: {}, // {project: epoch} of those
    ticket: null, // async () => a ticket for each connection; null: nobody is signed in
    fetch: (...request) => globalThis.fetch(...request), // to send other credentials than cookies when polling
    retryBase: 500, // ms; the pause before attempt n is anything up to retryBase * 2**n,
    retryCap: 30_000, // but not more than this
    pollAfter: 3, // attempts in a row without a welcome, then HTTP is tried beside them
    pollEvery: 5_000,
  };
  const OPEN_MS = 15_000; // for ticket and handshake; a firewall may leave it without any answer
  const WELCOME_MS = 60_000; // after it: a server that greets thousands at once is slow, not dead
  const PONG_MS = 5_000;
  const STEADY_MS = 10_000; // whoever was live for so long may come back as if for the first time
  const REQUEST_MS = 30_000;
  const PACE_MS = 200; // between requests of one round, to stay well within the API's limit
  const MAX_RESUME = 15_000; // characters; the server takes frames of 16 KiB

  const CLOSED_TRY_LATER = [1013, 4013]; // daphne sends the second, for it sends no code below 3000
  const CLOSED_NOT_SIGNED_IN = 4401;
  const CLOSED_RESYNC = 4408;
  const CLOSED_TOO_MANY = 4429;
  const BROKEN = 0; // ours: nothing is heard, or there is no connection
  const BEHIND = -1; // ours: something is missing

  class SignedOut extends Error {}

  const typed = (key) => (/^\d+$/.test(key) ? Number(key) : key); // a project's id as events have it
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  class PMClient {
    #options;
    #listeners = new Map();
    #state = "closed";
    #places = new Map(); // project → {seq, epoch} of what was handed on last; who moved last stands last
    #begun = false; // whether it was known once where the projects stand; what is new from then on was gained
    #socket = null;
    #attempt = null; // of connecting; replaced by the next, so that a late answer finds itself outdated
    #attempts = 0; // since it was live for a while
    #unanswered = 0; // attempts in a row without a welcome
    #worked = false; // whether there ever was one,
    #greeted = false; // and on this socket
    #liveAt = null;
    #moved = 0; // how many events were handed on
    #heartbeat = 25_000;
    #retrying = null; // timers
    #watchdog = null;
    #doubt = null;
    #poller = null;
    #request = null;

    constructor(options = {}) {
      this.#options = { ...DEFAULTS, ...options };
      for (const [key, seq] of Object.entries(this.#options.since)) {
        this.#places.set(key, { seq, epoch: this.#options.epoch[key] ?? null });
      }
    }

    get state() {
      return this.#state;
    }

    // Calls `listener` for each "event", "notification", "reset", "access_gained", "access_lost" or "state"; returns how to end that.
    on(name, listener) {
      if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
      this.#listeners.get(name).add(listener);
      return () => this.#listeners.get(name).delete(listener);
    }

    // Begins, or goes on where close() or the end of a session stopped it.
    connect() {
      if (this.#state !== "closed" && this.#state !== "signed-out") return;
      globalThis.addEventListener("online", this.#wake);
      globalThis.addEventListener("pageshow", this.#wake);
      document.addEventListener("visibilitychange", this.#wake);
      this.#attempts = this.#unanswered = 0;
      this.#become("connecting");
      this.#open();
    }

    close() {
      this.#stop("closed");
    }

    #stop(state) {
      globalThis.removeEventListener("online", this.#wake);
      globalThis.removeEventListener("pageshow", this.#wake);
      document.removeEventListener("visibilitychange", this.#wake);
      clearTimeout(this.#retrying);
      this.#retrying = null;
      this.#stopPolling();
      this.#drop();
      this.#become(state);
    }

    #become(state) {
      if (state === this.#state) return;
      this.#state = state;
      this.#emit("state", state);
    }

    // A listener that fails is its page's affair: the others and the next events must not suffer from it.
    #emit(name, detail) {
      for (const listener of [...(this.#listeners.get(name) ?? [])]) {
        try {
          listener(detail);
        } catch (error) {
          (globalThis.reportError ?? console.error)(error);
        }
      }
    }

    // --- Connecting --------------------------------------------------------------------------------------------

    async #open() {
      clearTimeout(this.#retrying);
      this.#retrying = null;
      const attempt = (this.#attempt = {});
      this.#expect(OPEN_MS);
      try {
        const url = await this.#address();
        if (attempt !== this.#attempt) return;
        this.#listenTo(new WebSocket(url));
      } catch (error) {
        if (attempt !== this.#attempt) return;
        if (error instanceof SignedOut) this.#stop("signed-out");
        else this.#lost(BROKEN);
      }
    }

    // Always with ?resume=true, the first time too: there is one way to begin, and nothing falls into a gap.
    async #address() {
      const url = new URL(this.#options.url, location.href);
      url.protocol = url.protocol.replace("http", "ws");
      url.searchParams.set("resume", "true");
      for (const id of this.#options.projects ?? []) url.searchParams.append("project", id);
      if (this.#options.ticket) {
        const ticket = await this.#options.ticket();
        if (!ticket) throw new SignedOut();
        url.searchParams.set("ticket", ticket);
      }
      return url;
    }

    #listenTo(socket) {
      this.#socket = socket;
      socket.onopen = () => socket === this.#socket && this.#expect(WELCOME_MS);
      socket.onmessage = ({ data }) => socket === this.#socket && this.#receive(data);
      socket.onclose = ({ code }) => socket === this.#socket && this.#lost(code);
    }

    // The watchdog: the connection counts as broken if nothing is heard within this time.
    #expect(ms) {
      clearTimeout(this.#watchdog);
      this.#watchdog = setTimeout(() => this.#lost(BROKEN), ms);
    }

    #drop() {
      clearTimeout(this.#watchdog);
      clearTimeout(this.#doubt);
      const socket = this.#socket;
      this.#socket = this.#attempt = this.#liveAt = null;
      this.#greeted = false;
      socket?.close();
    }

    #lost(code) {
      const steady = this.#liveAt !== null && Date.now() - this.#liveAt > STEADY_MS;
      const refused = CLOSED_TRY_LATER.includes(code) || code === CLOSED_TOO_MANY;
      const blocked = !this.#greeted && !refused && code !== CLOSED_RESYNC;
      this.#drop();
      if (code === CLOSED_NOT_SIGNED_IN) return this.#stop("signed-out");
      if (steady) this.#attempts = 0;
      if (refused) this.#attempts = Math.max(this.#attempts, 3);
      // Full jitter (Brooker, "Exponential Backoff And Jitter", 2015): what a restart has cut off must not come back in
      // step. At once only where nothing failed, and not again and again.
      const atOnce = (code === CLOSED_RESYNC || code === BEHIND) && this.#attempts === 0;
      const ceiling = Math.min(this.#options.retryCap, this.#options.retryBase * 2 ** this.#attempts);
      this.#attempts += 1;
      this.#retrying = setTimeout(() => this.#open(), atOnce ? 0 : Math.random() * ceiling);
      if (blocked) this.#unanswered += 1;
      // Once sockets have worked it takes longer to give them up: else a restart of the server, which cuts off
      // everybody at once, would be answered with requests for every project of everybody.
      if (this.#unanswered >= this.#options.pollAfter * (this.#worked ? 4 : 1)) this.#poll();
      if (this.#state !== "polling" || !this.#poller) this.#become(this.#waiting());
    }

    #waiting() {
      return this.#begun ? "reconnecting" : "connecting";
    }

    // The computer may have slept, or been on another network: no timer tells, so ask.
    #wake = () => {
      if (document.visibilityState === "hidden") return;
      if (this.#retrying !== null) {
        this.#attempts = 0;
        this.#open();
      } else if (this.#greeted) {
        this.#socket.send('{"type":"ping"}');
        this.#expect(PONG_MS);
      }
    };

    // --- What the server says ----------------------------------------------------------------------------------

    #receive(data) {
      this.#expect(this.#greeted ? 2 * this.#heartbeat : WELCOME_MS);
      let frame;
      try {
        frame = JSON.parse(data);
      } catch {
        return; // if an event is lost by that, the next number or heartbeat shows it
      }
      if (frame?.type === "welcome") this.#welcome(frame);
      else if (!this.#greeted) return;
      else if (Number.isInteger(frame?.seq) && "project" in frame) this.#take(frame) || this.#lost(BEHIND);
      else if (frame?.type === "reset") this.#reset(frame);
      else if (frame?.type === "access_gained") this.#gained(frame);
      else if (frame?.type === "access_lost") this.#gone(frame);
      else if (frame?.type === "resumed") this.#live();
      else if (frame?.type === "heartbeat") this.#compare(frame.heads ?? {});
      else if (frame?.type === "notification.created") this.#emit("notification", frame.notification);
      else if (frame?.type === "error") this.#told(frame);
    }

    #welcome({ heads = {}, epoch = {}, heartbeat = 25 }) {
      this.#greeted = this.#worked = true;
      this.#unanswered = 0;
      this.#heartbeat = 1000 * heartbeat;
      this.#expect(2 * this.#heartbeat);
      this.#stopPolling(); // what it still gets counts no more
      const asked = { type: "resume", since: {}, epoch: {} };
      const untold = [];
      let size = 50;
      for (const [key, place] of [...this.#places].reverse()) {
        place.epoch ??= epoch[key] ?? null;
        if (heads[key] === place.seq && epoch[key] === place.epoch) continue; // goes on from there by itself
        size += 2 * key.length + String(place.seq).length + (place.epoch?.length ?? 0) + 12;
        if (size > MAX_RESUME) {
          untold.push(key);
          continue;
        }
        asked.since[key] = place.seq;
        if (place.epoch !== null) asked.epoch[key] = place.epoch;
      }
      // Most recent activity first, so these are the quietest of very many projects.
      const resets = untold.map((key) => ({ project: typed(key), head: heads[key] ?? null, epoch: epoch[key] }));
      const added = Object.keys(heads).filter((key) => !this.#places.has(key));
      for (const key of added) this.#places.set(key, { seq: heads[key], epoch: epoch[key] ?? null });
      const gained = this.#begun ? added : [];
      this.#begun = true;
      this.#socket.send(JSON.stringify(asked));
      for (const reset of resets) this.#reset({ type: "reset", reason: "too_many", ...reset });
      for (const key of gained) {
        this.#emit("access_gained", { type: "access_gained", project: typed(key), head: heads[key] });
      }
    }

    // Hands an event on if it is the next one. False if something is missing before it. Where no place is known (more
    // projects than a welcome names, see `complete`) the first event is where to begin.
    #take(event) {
      const key = String(event.project);
      const place = this.#places.get(key);
      if (place && event.seq <= place.seq) return true; // seen already
      if (place && event.seq > place.seq + 1) return false;
      this.#places.delete(key);
      this.#places.set(key, { seq: event.seq, epoch: place?.epoch ?? null });
      this.#moved += 1;
      this.#emit("event", event);
      return true;
    }

    #reset(frame) {
      const key = String(frame.project);
      const epoch = frame.epoch ?? (frame.reason === "epoch" ? null : this.#places.get(key)?.epoch) ?? null;
      if (frame.head === null) this.#places.delete(key);
      else this.#places.set(key, { seq: frame.head, epoch });
      this.#emit("reset", frame);
    }

    #gained(frame) {
      this.#places.set(String(frame.project), { seq: frame.head, epoch: frame.epoch ?? null });
      this.#emit("access_gained", frame);
    }

    #gone(frame) {
      this.#places.delete(String(frame.project));
      this.#emit("access_lost", { ...frame, project: typed(String(frame.project)) });
    }

    #live() {
      this.#liveAt = Date.now();
      this.#become("live");
    }

    // Events that a heartbeat knows of may still be on their way; once none has come for a moment, they were lost.
    #compare(heads, moved = null) {
      clearTimeout(this.#doubt);
      if (!Object.keys(heads).some((key) => this.#places.get(key)?.seq < heads[key])) return;
      if (moved === this.#moved) return this.#lost(BEHIND);
      const now = this.#moved;
      this.#doubt = setTimeout(() => this.#compare(heads, now), this.#heartbeat / 10);
    }

    #told({ code, detail }) {
      console.warn(`django-pm: ${code}: ${detail}`);
      if (code === "no_resume") this.#lost(BEHIND);
    }

    // --- Polling, where sockets do not get through -------------------------------------------------------------

    // Round after round, until a socket is welcomed or a round fails; then the next failed attempt begins anew.
    async #poll() {
      if (this.#poller) return;
      const poller = (this.#poller = {});
      try {
        while (poller === this.#poller) {
          await this.#round(poller);
          if (poller !== this.#poller) return;
          this.#begun = true;
          this.#become("polling");
          await sleep(this.#options.pollEvery * (0.75 + Math.random() / 2));
        }
      } catch (error) {
        if (poller !== this.#poller) return;
        this.#poller = null;
        if (error instanceof SignedOut) this.#stop("signed-out");
        else this.#become(this.#waiting());
      }
    }

    #stopPolling() {
      this.#poller = null;
      this.#request?.abort();
    }

    async #round(poller) {
      const keys = this.#options.projects?.map(String) ?? (await this.#list(poller));
      for (const key of new Set([...keys, ...this.#places.keys()])) {
        await this.#follow(poller, key);
        await sleep(PACE_MS);
      }
    }

    async #list(poller) {
      const keys = [];
      for (let query = "?page_size=200"; query; ) {
        const { body } = await this.#get(poller, `projects/${query}`);
        keys.push(...body.results.map((project) => String(project.id)));
        query = body.next && new URL(body.next, location.href).search;
      }
      return keys;
    }

    async #follow(poller, key) {
      for (let more = true; more; ) {
        const place = this.#places.get(key);
        const query = new URLSearchParams({ since: place?.seq ?? 0, page_size: place ? 200 : 1 });
        if (place?.epoch) query.set("epoch", place.epoch);
        const { status, body } = await this.#get(poller, `projects/${encodeURIComponent(key)}/events/?${query}`);
        const { head, epoch, reason, results } = body;
        const project = typed(key);
        if (status === 404) return place && this.#gone({ type: "access_lost", project });
        if (!place && this.#begun) return this.#gained({ type: "access_gained", project, head, epoch });
        if (!place) return this.#places.set(key, { seq: head, epoch });
        if (status === 410) return this.#reset({ type: "reset", project, head, reason, epoch });
        place.epoch = epoch;
        for (const event of results) {
          if (poller !== this.#poller) return; // a listener may have called close()
          if (!this.#take(event)) throw new Error("The feed has a gap.");
        }
        more = results.length === 200;
      }
    }

    async #get(poller, path) {
      if (poller !== this.#poller) throw new Error("outdated");
      const request = (this.#request = new AbortController());
      const timer = setTimeout(() => request.abort(), REQUEST_MS);
      try {
        const url = new URL(path, new URL(this.#options.api, location.href));
        const { signal } = request;
        const response = await this.#options.fetch(url, { headers: { Accept: "application/json" }, signal });
        if (response.status === 401 || response.status === 403) throw new SignedOut();
        if (!response.ok && response.status !== 404 && response.status !== 410) throw new Error(response.statusText);
        const body = response.status === 404 ? {} : await response.json();
        if (poller !== this.#poller) throw new Error("outdated");
        return { status: response.status, body };
      } finally {
        clearTimeout(timer);
      }
    }
  }

  globalThis.PMClient = PMClient;
})();
