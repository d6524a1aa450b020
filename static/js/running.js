// Running generations, any number on a page: append their text, count their seconds, and join them again from where
// they were for as long as the connection breaks.
const SILENT_MS = 25_000; // the server pings every 10 s
const runs = new Map(); // by panel

function say(run, state) {
  if (run.state === state) return;
  run.state = state;
  const focused = document.activeElement;
  for (const part of run.panel.querySelectorAll("[data-say]")) part.hidden = !part.dataset.say.includes(state);
  if (focused.closest("[data-say][hidden]")) run.panel.focus();
}

function leave(run) {
  runs.delete(run.panel);
  clearTimeout(run.timer);
  run.request?.abort();
  run.place.removeAttribute("aria-busy");
  // Where no text is kept, the end of a failed generation comes without it.
  if (run.ending && run.position && !run.place.querySelector(".output, .structured")) {
    const partial = run.panel.querySelector("template").content.cloneNode(true);
    partial.querySelector(".output").append(...run.output.childNodes);
    run.place.append(partial);
  }
}

function update() {
  for (const run of runs.values()) if (!run.panel.isConnected) leave(run);
  for (const panel of document.querySelectorAll("[data-running]")) {
    if (runs.has(panel)) continue;
    const part = (name) => panel.querySelector(`[data-${name}]`);
    const run = { panel, place: panel.closest(".answer"), output: part("grows"), count: part("characters"), clock: part("elapsed"), position: 0, tries: 0, seen: Date.now() };
    // From the server's time, then by this clock.
    run.began = run.seen - run.clock.dataset.elapsed;
    runs.set(panel, run);
    run.place.setAttribute("aria-busy", "true");
    if ("join" in panel.dataset) join(run);
  }
}

function grow(run, data, id) {
  // Append as text, never as HTML: a model's output is untrusted.
  run.output.append(JSON.parse(data).text);
  run.position = Number(id);
  run.count.textContent = run.position.toLocaleString("en");
  say(run, "arriving");
}

async function join(run) {
  clearTimeout(run.timer);
  run.request?.abort();
  const request = run.request = new AbortController();
  run.seen = Date.now();
  const headers = { "HX-Request": "true", "HX-Current-URL": location.href };
  if (run.position) headers["Last-Event-ID"] = run.position;
  try {
    const response = await fetch(run.panel.dataset.events, { headers, signal: request.signal });
    if (response.ok) await read(run, response.body.pipeThrough(new TextDecoderStream()).getReader());
    // Without our id, it is a proxy's answer.
    else if (response.status < 500 && response.headers.has("X-Request-ID")) return end(run, response.status);
  } catch {
    // The connection broke.
  }
  if (!request.signal.aborted) retry(run);
}

async function read(run, reader) {
  for (let rest = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    run.seen = Date.now();
    run.tries = 0;
    say(run, run.position ? "arriving" : "waiting");
    const messages = (rest + value).split("\n\n");
    rest = messages.pop();
    for (const message of messages) {
      const get = (name) => message.split("\n").filter((line) => line.startsWith(name)).map((line) => line.slice(name.length)).join("\n");
      const data = get("data: ");
      if (get("event: ") === "delta") grow(run, data, get("id: "));
      else if (!get("event: ")) {
        run.ending = true;
        return htmx.swap({ text: data, target: run.place, swap: "innerHTML", sourceElement: run.panel });
      }
    }
  }
}

function retry(run) {
  if (!runs.has(run.panel)) return;
  say(run, "broken");
  run.timer = setTimeout(join, Math.min(500 * 2 ** run.tries++, 15_000) * (0.75 + Math.random() / 2), run);
}

// No more will come; the text stays.
function end(run, status) {
  say(run, status === 401 ? "signed-out" : "gone");
  delete run.panel.dataset.running;
  leave(run);
  htmx.trigger(run.panel, "htmx:after:swap");
}

// Where it cannot be joined, the text comes with the form's own request, as events at the form.
const own = () => [...runs.values()].find((run) => !run.request);
document.addEventListener("delta", ({ detail }) => { if (own()) grow(own(), detail.data, detail.id); });
document.addEventListener("htmx:sse:before:message", ({ detail }) => {
  if (own()) Object.assign(own(), { seen: Date.now(), ending: !detail.message.event });
});
document.addEventListener("htmx:sse:close", () => { if (own()) retry(own()); });

const isSilent = (run) => Date.now() - run.seen > SILENT_MS;
setInterval(() => {
  for (const run of runs.values()) {
    run.clock.textContent = ((Date.now() - run.began) / 1000).toFixed(1);
    if (isSilent(run)) {
      say(run, "broken");
      join(run);
    }
  }
}, 100);
function hurry() {
  for (const run of runs.values()) if (run.state === "broken") join(run);
}
addEventListener("online", hurry);
document.addEventListener("visibilitychange", hurry);
document.addEventListener("click", ({ target }) => { if (target.closest("[data-try]")) hurry(); });
document.addEventListener("htmx:after:swap", update);
update();
