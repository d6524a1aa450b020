// Append the text of running generations, and join them again if the connection breaks.
const SILENT_MS = 25_000; // the server pings every 10 s
const runs = new Map(); // by panel
const part = (run, name) => run.panel.querySelector(`[data-${name}]`);
const each = (act) => runs.forEach(act);

function say(run, state) {
  if (run.state === state) return;
  run.state = state;
  for (const words of run.panel.querySelectorAll("[data-say]")) words.hidden = !words.dataset.say.includes(state);
  if (document.activeElement.closest("[data-say][hidden]")) run.panel.focus();
}

function leave(run) {
  runs.delete(run.panel);
  clearTimeout(run.timer);
  run.request?.abort();
  run.place.ariaBusy = null;
  // The end of a failed generation comes without its text where none is kept.
  if (run.ending && run.position && !run.place.querySelector(".output, .structured")) {
    const rest = run.panel.querySelector("template").content;
    rest.querySelector(".output").append(...part(run, "grows").childNodes);
    run.place.append(rest);
  }
}

function update() {
  each((run) => { if (!run.panel.isConnected) leave(run); });
  for (const panel of document.querySelectorAll("[data-running]")) {
    if (runs.has(panel)) continue;
    const run = { panel, place: panel.closest(".answer"), position: 0, tries: 0, seen: Date.now() };
    run.began = run.seen - part(run, "elapsed").dataset.elapsed;
    run.place.ariaBusy = "true";
    runs.set(panel, run);
    if ("join" in panel.dataset) join(run);
  }
}

function grow(run, { data, id }) {
  // Append as text, never as HTML: a model's output is untrusted.
  part(run, "grows").append(JSON.parse(data).text);
  run.position = Number(id);
  part(run, "characters").textContent = run.position.toLocaleString("en");
  say(run, "arriving");
}

async function join(run) {
  clearTimeout(run.timer);
  run.request?.abort();
  const { signal } = run.request = new AbortController();
  run.seen = Date.now();
  const headers = { "HX-Request": "true", ...run.position && { "Last-Event-ID": run.position } };
  try {
    const response = await fetch(run.panel.dataset.events, { headers, signal });
    if (response.ok) await read(run, response.body.pipeThrough(new TextDecoderStream()).getReader());
    // Without our id, a proxy answered.
    else if (response.status < 500 && response.headers.has("X-Request-ID")) return end(run, response.status);
  } catch {}
  if (!signal.aborted) retry(run);
}

async function read(run, reader) {
  for (let rest = "", chunk; !(chunk = await reader.read()).done;) {
    run.seen = Date.now();
    run.tries = 0;
    say(run, run.position ? "arriving" : "waiting");
    const messages = (rest + chunk.value).split("\n\n");
    rest = messages.pop();
    for (const message of messages) {
      const [, id, data] = /^event: delta\nid: (.+)\ndata: ([^\n]+)/.exec(message) ?? [];
      if (data) grow(run, { id, data });
      if (!message.startsWith("data: ")) continue;
      run.ending = true;
      return htmx.swap({ text: `\n${message}`.replaceAll("\ndata: ", "\n"), target: run.place, swap: "innerHTML", sourceElement: run.panel });
    }
  }
}

function retry(run) {
  if (!runs.has(run.panel)) return;
  say(run, "broken");
  run.timer = setTimeout(join, Math.min(500 * 2 ** run.tries++, 15_000) * (0.75 + Math.random() / 2), run);
}

function end(run, status) {
  say(run, status === 401 ? "signed-out" : "gone");
  delete run.panel.dataset.running;
  leave(run);
  htmx.trigger(run.panel, "htmx:after:swap");
}

// What cannot be joined comes with the form's own request, as events at the form.
const own = (act) => ({ detail }) => each((run) => { if (!run.request) act(run, detail); });
on("delta", own(grow));
on("htmx:sse:before:message", own((run, { message }) => Object.assign(run, { seen: Date.now(), ending: !message.event })));
on("htmx:sse:close", own(retry));

setInterval(() => {
  each((run) => {
    part(run, "elapsed").textContent = ((Date.now() - run.began) / 1000).toFixed(1);
    if (Date.now() - run.seen < SILENT_MS) return;
    say(run, "broken");
    join(run);
  });
}, 100);
const hurry = () => each((run) => { if (run.state === "broken") join(run); });
addEventListener("online", hurry);
on("visibilitychange", hurry);
on("click", ({ target }) => { if (target.closest("[data-try]")) hurry(); });
on("htmx:after:swap", update);
update();
