// A request without an answer says so, with Retry, where its answer would be.
const asked = new WeakMap(); // the last by the place of its answer
const notices = $("connection");

// Or at the top of the page: what is swapped in nowhere, in a table, or at intervals.
const isSilent = (ctx) => ctx.swap === "none" || ctx.sourceEvent?.type === "every";
const placeOf = (ctx) => isSilent(ctx) || ctx.target.closest("table, header") ? notices : ctx.target;

function clear(place) {
  place.classList.remove("unreachable");
  place.querySelector(":scope > .no-connection")?.remove();
}

function fail({ detail: { ctx } }) {
  if (!ctx) return;
  const place = placeOf(ctx);
  if (isSilent(ctx) && place.querySelector("[data-retry]:enabled")) return;
  clear(place);
  place.classList.add("unreachable");
  place.prepend(notices.querySelector("template").content.cloneNode(true));
  if (document.activeElement.matches("body, :disabled")) place.querySelector("[data-retry]").focus();
}

on("htmx:before:request", ({ detail: { ctx } }) => asked.set(placeOf(ctx), ctx));
on("htmx:error", fail);
on("htmx:before:response", (event) => {
  const { ctx } = event.detail;
  const { status, headers } = ctx.response;
  // A proxy's, or an error that would be shown nowhere or over typed text. 401 leads to the sign-in.
  if (!headers.has("X-Request-ID") || status >= 400 && status !== 401 && (isSilent(ctx) || ctx.target.matches("[data-keep]"))) {
    event.preventDefault();
    fail(event);
  } else {
    clear(placeOf(ctx));
    clear(notices);
  }
});

on("click", ({ target }) => {
  const button = target.closest("[data-retry]");
  let place = button;
  while (place && !asked.has(place)) place = place.parentElement;
  if (!place) return;
  const { sourceElement: source, sourceEvent: event, request, swap, target: into } = asked.get(place);
  if (!source.isConnected) return location.reload();
  button.disabled = true;
  (request.submitter ?? source).focus();
  // A picker shows another by now.
  const values = source.matches("select") && { [source.name]: request.body.get(source.name) };
  htmx.ajax(request.method, request.action, { source, event, target: into, swap, values });
});

const update = () => { notices.firstElementChild.hidden = navigator.onLine; };
addEventListener("online", update);
addEventListener("offline", update);
update();

// Nothing typed stays after Sign out.
on("submit", ({ target }) => {
  if (!target.matches("[action='/logout']")) return;
  localStorage.clear();
  sessionStorage.clear();
});
