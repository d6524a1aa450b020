// On all pages: a request without an answer of ours shows that, with Retry, where its answer would be.
const asked = new WeakMap(); // the last request of each place that shows an answer
const notices = document.getElementById("connection");
const offline = notices.querySelector("[data-offline]");
const panel = notices.querySelector("template");
let leaving = false;

// What is swapped in nowhere, in a table or at intervals is said at the top of the page.
function placeOf(ctx) {
  return ctx.swap === "none" || ctx.sourceEvent?.type === "every" || ctx.target.closest("table, body > :not(main)") ? notices : ctx.target;
}

function clear(place) {
  place.classList.remove("unreachable");
  for (const old of place.querySelectorAll(":scope > .no-connection")) old.remove();
}

function fail(ctx) {
  if (leaving || !ctx) return;
  const place = placeOf(ctx);
  asked.set(place, ctx);
  const shown = place.querySelector(":scope > .no-connection button");
  if (shown) shown.disabled = false;
  else place.prepend(panel.content.cloneNode(true));
  place.classList.add("unreachable");
}

document.addEventListener("htmx:before:request", ({ detail }) => asked.set(placeOf(detail.ctx), detail.ctx));
document.addEventListener("htmx:error", ({ detail }) => fail(detail.ctx));
document.addEventListener("htmx:before:response", (event) => {
  const { ctx } = event.detail;
  const { status, headers } = ctx.response;
  // A proxy's page, whatever its status; or an error that would be shown nowhere, or instead of what was typed.
  const isHidden = ctx.swap === "none" || ctx.target.matches("[data-keep]");
  if (!headers.has("X-Request-ID") || isHidden && status >= 400 && status !== 401) {
    event.preventDefault();
    fail(ctx);
  } else {
    clear(placeOf(ctx));
    clear(notices);
  }
});

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-retry]");
  for (let place = button; place; place = place.parentElement) {
    const ctx = asked.get(place);
    if (!ctx) continue;
    const { sourceElement: source, request } = ctx;
    if (!source.isConnected) return location.reload();
    button.disabled = true;
    (request.submitter ?? source).focus();
    // A picker shows something else by now.
    const values = source.matches("select") && request.body ? { [source.name]: request.body.get(source.name) } : {};
    return htmx.ajax(request.method, request.action, { source, event: ctx.sourceEvent, target: ctx.target, swap: ctx.swap, values });
  }
});

function update() {
  offline.hidden = navigator.onLine;
}
addEventListener("online", update);
addEventListener("offline", update);
addEventListener("pagehide", () => { leaving = true; });
addEventListener("pageshow", () => { leaving = false; });
update();

// Nothing that was typed stays after Sign out.
document.addEventListener("submit", ({ target }) => {
  if (!target.matches("[action='/logout']")) return;
  sessionStorage.clear();
  for (const key of Object.keys(localStorage)) if (key.startsWith("draft ")) localStorage.removeItem(key);
});
